"""Python objects over a socket; arrays in them travel beside the pickle and are not copied into it.

An array that lies in shared memory does not travel: the other end maps it.
"""

from __future__ import annotations

import mmap
import pickle
import socket
import struct
from typing import Any

from bitparity.worker.shared_memory import memory_of, receive_memory, send_memory

_MAGIC = b"bitparity"
_HEAD = struct.Struct("<9sQI")  # the magic, bytes of the pickle, number of buffers
_BUFFER = struct.Struct("<Q?")  # bytes of a buffer, whether it is shared memory


class NoMessage(Exception):
    """What came is no object that the other end sent."""


class Channel:
    """One end of a connected Unix socket.  Both ends must trust each other: objects are pickled."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: Any) -> None:
        """Send one object; OSError when the other end is gone.

        From then on an array in shared memory belongs to both ends: each sees what the other writes.
        """
        buffers: list[pickle.PickleBuffer] = []
        data = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
        views = [buffer.raw() for buffer in buffers]
        memories = [memory_of(view) for view in views]
        heads = (_BUFFER.pack(v.nbytes, m is not None) for v, m in zip(views, memories, strict=True))
        self._socket.sendall(_HEAD.pack(_MAGIC, len(data), len(views)) + b"".join(heads) + data)
        for view, memory in zip(views, memories, strict=True):
            if memory is None:
                self._socket.sendall(view)
            else:
                send_memory(self._socket, memory)

    def receive(self, time_limit: float | None = None) -> Any:
        """Receive one object.

        Raises TimeoutError when nothing arrives for time_limit seconds, and EOFError when the other end is
        gone, and NoMessage when somebody else wrote into the connection.
        """
        self._socket.settimeout(time_limit)
        magic, size, count = _HEAD.unpack(self._read(_HEAD.size))
        if magic != _MAGIC:
            raise NoMessage
        heads = [_BUFFER.unpack(self._read(_BUFFER.size)) for _ in range(count)]
        data = self._read(size)
        return pickle.loads(data, buffers=[self._buffer(*head) for head in heads])

    def close(self) -> None:
        self._socket.close()

    def _buffer(self, size: int, is_shared: bool) -> bytearray | mmap.mmap:
        return receive_memory(self._socket, size) if is_shared else self._read(size)

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
