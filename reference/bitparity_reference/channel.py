"""Python objects over a socket; arrays in them travel beside the pickle and are not copied into it."""

from __future__ import annotations

import pickle
import select
import socket
import struct
from typing import Any

_HEAD = struct.Struct("<QI")  # bytes of the pickle, number of buffers
_LENGTH = struct.Struct("<Q")


class Channel:
    """One end of a connected stream socket.  Both ends must trust each other: objects are pickled."""

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
            self._socket.sendall(view)

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
        return pickle.loads(data, buffers=[self._read(length) for length in lengths])

    def close(self) -> None:
        self._socket.close()

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
