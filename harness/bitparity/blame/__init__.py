"""Which stage is wrong, and whose.

inputs.py    the inputs of a stage, recorded or derived from what was recorded
batches.py   how many rows an engine computed together
judge.py     the local error of every recorded stage
bounds.py    how large a local error rounding may make
explain.py   which known mistake a guilty stage is
own_arithmetic.py  the arithmetic of an engine that states none, found in its stages
causes.py    what guilty stages have in common, the worst first
engines.py   both engines judged, and the wrong one named
bisect.py    both engines judged in open sessions, a window of layers at a time
"""
