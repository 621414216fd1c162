"""Python objects over a socket; arrays in them travel beside the pickle and are not copied into it.

A large array, the logits of a prompt say, is handed over as memory of its own that the other end maps: a
socket would copy it twice, a bit at a time.  Each keeps a file open as long as it lives, so it is for arrays
so large that few are kept.
"""

from __future__ import annotations

import mmap
import os
import pickle
import select
import socket
import struct
import sys
from typing import Any

_HEAD = struct.Struct("<QI")  # bytes of the pickle, number of buffers
_LENGTH = struct.Struct("<Q")
_LARGE = 1 << 25 if hasattr(os, "memfd_create") else sys.maxsize  # bytes; without it, all go by the socket


class Channel:
    """One end of a connected Unix socket.  Both ends must trust each other: objects are pickled."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def send(self, message: Any) -> None:
        """Send one object; OSError when the other end is gone."""
        buffers: list[pickle.PickleBuffer] = []
        data = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
        views = [buffer.raw() for buffer in buffers]
        lengths = b"".join(_LENGTH.pack(view.nbytes) for view in views)
        self._socket.sendall(_HEAD.pack(len(data), len(views)) + lengths + data)
        for view in views:
            if view.nbytes < _LARGE:
                self._socket.sendall(view)
            else:
                self._hand_over(view)

    def receive(self, time_limit: float | None = None) -> Any:
        """Receive one object.

        Raises TimeoutError when nothing begins to arrive for time_limit seconds, and EOFError when the
        other end is gone.
        """
        if not select.select([self._socket], [], [], time_limit)[0]:
            raise TimeoutError
        size, count = _HEAD.unpack(self._read(_HEAD.size))
        lengths = [_LENGTH.unpack(self._read(_LENGTH.size))[0] for _ in range(count)]
        data = self._read(size)
        buffers = [self._read(length) if length < _LARGE else self._map(length) for length in lengths]
        return pickle.loads(data, buffers=buffers)

    def close(self) -> None:
        self._socket.close()

    def _hand_over(self, view: memoryview) -> None:
        memory = os.memfd_create("bitparity")
        try:
            while view:
                view = view[os.write(memory, view) :]
            socket.send_fds(self._socket, [b"\0"], [memory])
        finally:
            os.close(memory)

    def _map(self, size: int) -> mmap.mmap:
        try:
            _, memories, _, _ = socket.recv_fds(self._socket, 1, 1)
        except ConnectionResetError:
            memories = []
        if not memories:
            raise EOFError
        try:
            return mmap.mmap(memories[0], size)
        finally:
            os.close(memories[0])

    def _read(self, size: int) -> bytearray:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            try:
                got = self._socket.recv_into(view)
            except ConnectionResetError:
                got = 0
            if got == 0:
                raise EOFError
            view = view[got:]
        return data
