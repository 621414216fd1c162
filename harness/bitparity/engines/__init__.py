"""Ways to reach an engine that is no part of bitparity.

ways.py         what a name on the command line means, a row each
python.py       a class that somebody's package announces
library.py      a shared library that exports the functions of engine.h
c_functions.py  those functions, called by ctypes in a worker process
program.py      a program, spoken to over a pipe as program.md says
server.py       a server, asked for log-probabilities
http.py         its requests and answers
pipes.py        lines and bytes to and from it
returns.py      what an engine returned, held against what it was asked for
loaded.py       the libraries that came with it, and their digests
dump.py         a folder of stages that somebody dumped
forward.py      a session made of the little that an engine gives: forward at a position
graph_order.py  the values of stages, sorted as the graph has them
"""
