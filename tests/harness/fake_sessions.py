"""Sessions that fail in every way there is; a worker imports them by name."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from bitparity.engine import Fingerprint, Floats, ModelInfo, Sink, StageValue
from bitparity.errors import BadInput
from bitparity.stages import StageFilter

INFO = ModelInfo(
    arch="llama",
    n_vocab=4,
    n_layer=1,
    n_embd=2,
    n_head=1,
    n_head_kv=1,
    n_ff=2,
    context=8,
    weight_formats={"F32": 1},
    tied_head=True,
    fingerprint=Fingerprint("fake", "1", "none", "", "none", 1, "f16"),
)


class FakeSession:
    """`decode(token)` fails as the token says; `prefill` answers with the tokens and their process id."""

    def __init__(self) -> None:
        self.info = INFO
        self.position = 0
        self._sink: Sink | None = None

    def tokenize(self, text: str, *, add_bos: bool, parse_special: bool) -> list[int]:
        return [os.getpid(), int(add_bos), int(parse_special), len(text)]

    def detokenize(self, ids: Sequence[int]) -> str:
        return ",".join(map(str, ids))

    def prefill(self, tokens: Sequence[int], *, logits: str = "all") -> Floats:
        values = np.repeat(np.asarray(tokens, np.float32)[:, None], 4, axis=1)
        if self._sink is not None:
            self._sink(StageValue(0, "ffn_out", self.position, 0, values[:, :2]))
        self.position += len(tokens)
        return values

    def decode(self, token: int) -> Floats:
        sys.stderr.write("about to fail\n")
        sys.stderr.flush()
        FAILURES[token]()
        raise AssertionError("unreachable")

    def rollback(self, to: int) -> None:
        self.position = to

    @contextmanager
    def tap(self, stages: StageFilter, sink: Sink) -> Iterator[None]:
        self._sink = sink
        try:
            yield
        finally:
            self._sink = None

    def close(self) -> None:
        pass


def open_fake() -> FakeSession:
    return FakeSession()


def open_refusing() -> FakeSession:
    raise BadInput("model.gguf is not to my taste")


def open_crashing() -> FakeSession:
    os.abort()


def _raise() -> None:
    raise ValueError("a bug")


def _refuse() -> None:
    raise BadInput("token 9 is not in the vocabulary")


def _leave_a_child() -> None:
    """Which keeps every file of its parent open, as those of multiprocessing do."""
    if os.fork() == 0:
        time.sleep(90)  # beyond the time limit
    os._exit(7)


FAILURES: dict[int, Callable[[], object]] = {
    0: os.abort,
    1: lambda: os.kill(os.getpid(), signal.SIGSEGV),
    2: lambda: os._exit(7),
    3: lambda: time.sleep(60),
    4: _raise,
    5: _refuse,
    7: _leave_a_child,
    6: lambda: os.kill(os.getpid(), signal.SIGKILL),
}
