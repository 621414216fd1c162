"""Objects and arrays cross a socket whole; silence and a closed end are told apart."""

from __future__ import annotations

import socket
import threading

import numpy as np
import pytest

from bitparity_reference.channel import Channel


@pytest.fixture
def ends() -> tuple[Channel, Channel]:
    here, there = socket.socketpair()
    return Channel(here), Channel(there)


def test_channel_keeps_objects_and_arrays_of_any_size(ends: tuple[Channel, Channel]) -> None:
    here, there = ends
    message = ("stage", {"a": np.arange(12.0).reshape(3, 4)[:, ::2], "b": np.zeros((0, 3)), "c": None})
    large = np.arange(2_000_000, dtype=np.float32)  # far more than a socket holds
    sender = threading.Thread(target=lambda: (here.send(message), here.send(large)))
    sender.start()
    kind, received = there.receive(5)
    assert kind == "stage"
    assert received["a"].tolist() == message[1]["a"].tolist()
    assert received["b"].shape == (0, 3)
    assert np.array_equal(there.receive(5), large)
    sender.join()


def test_channel_silence_is_a_timeout(ends: tuple[Channel, Channel]) -> None:
    with pytest.raises(TimeoutError):
        ends[1].receive(0.01)


def test_channel_closed_end_is_the_end_of_file(ends: tuple[Channel, Channel]) -> None:
    here, there = ends
    here.close()
    with pytest.raises(EOFError):
        there.receive(5)
