"""Search formats, kernels and sessions for inputs that break their contracts.

implementations.py  who is tested; cases.py, strategies.py  with what; properties/  for what; runner.py  how;
known_defects.py  what is known; replay.py  one case again; campaign.py  all of it, as `bitparity fuzz` runs
it.
"""
