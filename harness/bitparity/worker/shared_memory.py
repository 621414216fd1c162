"""Memory that two processes map: what one of them writes there need not travel to the other.

A system without memfd_create (any but Linux) has ordinary memory instead, whose content travels.
"""

from __future__ import annotations

import mmap
import os
import socket
import weakref
from typing import Any

_LARGE = 1 << 24  # bytes; each keeps a file open while it lives, so it is for arrays of which few are kept


class SharedMemory(mmap.mmap):
    """Memory of this process that `send_memory` gives to another."""

    file: int


def new_memory(size: int) -> SharedMemory | bytearray:
    """Zeros for an array of so many bytes to lie in; shared if that is large."""
    if size < _LARGE or not hasattr(os, "memfd_create"):
        return bytearray(size)
    file = os.memfd_create("bitparity")
    os.ftruncate(file, size)
    memory = SharedMemory(file, size)
    memory.file = file
    weakref.finalize(memory, os.close, file)
    return memory


def memory_of(view: memoryview) -> SharedMemory | None:
    """The shared memory that holds this array and nothing else; None if there is none."""
    base: Any = getattr(view.obj, "base", None)
    return base if isinstance(base, SharedMemory) and len(base) == view.nbytes else None


def send_memory(connection: socket.socket, memory: SharedMemory) -> None:
    """Both ends have it from now on.  OSError when the other end is gone."""
    socket.send_fds(connection, [b"\0"], [memory.file])


def receive_memory(connection: socket.socket, size: int) -> mmap.mmap:
    """What the other end sent; EOFError when it is gone."""
    try:
        files = socket.recv_fds(connection, 1, 1)[1]
    except ConnectionResetError:
        files = []
    if not files:
        raise EOFError
    try:
        return mmap.mmap(files[0], size)
    finally:
        os.close(files[0])
