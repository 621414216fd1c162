"""How far the reference is from itself, and what that makes of a difference.

perturb.py    a model that differs by rounding only
measure.py    the reference against itself and against such a copy
floor.py      what was measured, as data
criterion.py  how much difference a position is allowed
verdict.py    what is said of a position and of a run
"""
