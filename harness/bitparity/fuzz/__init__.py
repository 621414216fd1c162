"""Search formats, kernels and sessions for inputs that break their contracts.

implementations.py        the implementations that are tested
cases.py, strategies.py   the inputs
contracts/                the contracts that are checked
runner.py                 the search for a counterexample
known_defects.py          defects of others that are known
replay.py                 one case, run again
campaign.py               all of it, as `bitparity fuzz` runs it
"""
