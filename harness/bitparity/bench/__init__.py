"""Time engines side by side, in one run, on the same tokens, beside what the machine can do.

lane.py         an engine and the file that it runs
agreement.py    nothing is timed before the outputs agree
stopwatch.py    the timed calls on one session
child.py        a stopwatch in a process of its own, so that an engine's memory is its own
bandwidth.py    how fast this machine reads memory
run.py          every measurement in turns: A B bandwidth, A B bandwidth, ...
samples.py      a median and its interval
result.py       what was measured, as data
table.py        the same on a terminal
"""
