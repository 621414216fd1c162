"""Objects and arrays cross a socket whole; silence and a closed end are told apart."""

from __future__ import annotations

import os
import socket
import threading

import numpy as np
import pytest
from numpy.typing import NDArray

from bitparity.worker.channel import Channel
from bitparity.worker.shared_memory import SharedMemory, new_memory

LARGE = 10_000_000  # float32 values: far more than a socket holds


@pytest.fixture
def ends() -> tuple[Channel, Channel]:
    here, there = socket.socketpair()
    return Channel(here), Channel(there)


def test_channel_keeps_objects_and_arrays_of_any_size(ends: tuple[Channel, Channel]) -> None:
    here, there = ends
    every_other = np.arange(12.0).reshape(3, 4)[:, ::2]
    large = np.arange(LARGE, dtype=np.float32)

    def send() -> None:
        here.send(("stage", {"a": every_other, "b": np.zeros((0, 3)), "c": None}))
        here.send(large)

    sender = threading.Thread(target=send)
    sender.start()
    kind, received = there.receive(5)
    assert kind == "stage"
    assert received["a"].tolist() == every_other.tolist()
    assert received["b"].shape == (0, 3)
    assert np.array_equal(there.receive(5), large)
    sender.join()


def test_channel_array_in_shared_memory_is_both_ends(ends: tuple[Channel, Channel]) -> None:
    here, there = ends
    array = shared_array((5, LARGE // 5))
    array[:] = np.arange(LARGE).reshape(array.shape)
    here.send({"first": array, "rest": [1, 2]})  # nobody reads meanwhile: it does not pass through the socket
    received = there.receive(5)
    assert received["rest"] == [1, 2]
    assert np.array_equal(received["first"], array)
    received["first"][4, 7] = -1.0
    assert array[4, 7] == -1.0


def test_channel_part_of_shared_memory_is_copied(ends: tuple[Channel, Channel]) -> None:
    here, there = ends
    array = shared_array((LARGE,))
    for part in (array[:8], array[-8:], array[::2][:8]):
        part[:] = np.arange(8)
        here.send(part)
        received = there.receive(5)
        assert received.tolist() == list(range(8))
        received[0] = 9.0
        assert part[0] == 0.0


def test_channel_keeps_no_file_open_for_an_array_that_is_gone(ends: tuple[Channel, Channel]) -> None:
    here, there = ends
    before = open_files()
    array = shared_array((LARGE,))
    here.send(array)
    received = there.receive(5)
    assert open_files() > before
    del array, received
    assert open_files() == before


def test_memory_of_small_arrays_is_ordinary_and_so_is_all_where_none_can_be_shared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert isinstance(new_memory(4 * LARGE), SharedMemory)
    assert isinstance(new_memory(4_000), bytearray)
    monkeypatch.delattr(os, "memfd_create")
    memory = new_memory(4 * LARGE)
    assert isinstance(memory, bytearray)
    assert len(memory) == 4 * LARGE


def test_channel_silence_is_a_timeout(ends: tuple[Channel, Channel]) -> None:
    with pytest.raises(TimeoutError):
        ends[1].receive(0.01)


def test_channel_closed_end_is_the_end_of_file(ends: tuple[Channel, Channel]) -> None:
    here, there = ends
    here.close()
    with pytest.raises(EOFError):
        there.receive(5)


def shared_array(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.ndarray(shape, np.float32, buffer=new_memory(4 * int(np.prod(shape))))


def open_files() -> int:
    return len(os.listdir("/dev/fd"))
