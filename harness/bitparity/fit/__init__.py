"""What an engine computes, found from nothing but its logits.

observed.py   logits that an engine gave, and how they were asked for
lockstep.py   one sequence computed in many ways at once
options.py    the arithmetics that a model can tell apart
search.py     which of many ways gives what was observed
found.py      the answer as data and in words
"""
