"""Work in a process of its own: what kills that process is a finding and not the end of the run.

session.py        any engine's session in a worker process
worker.py         any object in a worker process, and calls of its methods
child.py          what runs there
process.py        the process: started, spoken to, and asked how it ended
channel.py        Python objects over a socket
shared_memory.py  large arrays that do not travel
"""
