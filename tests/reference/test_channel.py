"""Objects and arrays cross a socket whole; silence and a closed end are told apart."""

from __future__ import annotations

import os
import socket
import threading

import numpy as np
import pytest

from bitparity_reference.channel import Channel


@pytest.fixture
def ends() -> tuple[Channel, Channel]:
    here, there = socket.socketpair()
    return Channel(here), Channel(there)


@pytest.mark.parametrize("size", [2_000_000, 10_000_000])
def test_channel_keeps_objects_and_arrays_of_any_size(ends: tuple[Channel, Channel], size: int) -> None:
    here, there = ends
    message = ("stage", {"a": np.arange(12.0).reshape(3, 4)[:, ::2], "b": np.zeros((0, 3)), "c": None})
    large = np.arange(size, dtype=np.float32)  # far more than a socket holds
    sender = threading.Thread(target=lambda: (here.send(message), here.send(large)))
    sender.start()
    kind, received = there.receive(5)
    assert kind == "stage"
    assert received["a"].tolist() == message[1]["a"].tolist()
    assert received["b"].shape == (0, 3)
    first = there.receive(5)
    assert np.array_equal(first, large)
    sender.join()
    first[0] = 7.0  # it is ours alone: the sender's stays as it was, and so does what comes next
    assert large[0] == 0.0
    sender = threading.Thread(target=here.send, args=[large])
    sender.start()
    assert np.array_equal(there.receive(5), large)
    assert first[0] == 7.0
    sender.join()


def test_channel_keeps_no_file_open_for_an_array_that_is_gone(ends: tuple[Channel, Channel]) -> None:
    here, there = ends
    before = open_files()
    here.send(np.ones(10_000_000, dtype=np.float32))
    received = there.receive(5)
    assert received.sum() == 10_000_000
    del received
    assert open_files() == before


def open_files() -> int:
    return len(os.listdir("/dev/fd"))


def test_channel_silence_is_a_timeout(ends: tuple[Channel, Channel]) -> None:
    with pytest.raises(TimeoutError):
        ends[1].receive(0.01)


def test_channel_closed_end_is_the_end_of_file(ends: tuple[Channel, Channel]) -> None:
    here, there = ends
    here.close()
    with pytest.raises(EOFError):
        there.receive(5)
