"""A fake engine: logits that depend on the tokens so far, and whatever fault a test plants."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal
from zlib import crc32

import numpy as np
import pytest

from bitparity import registry
from bitparity.engine import Availability, Fingerprint, Floats, ModelInfo, Role, Sink
from bitparity.errors import EngineFailed
from bitparity.model.synthetic import ModelSpec, make_model
from bitparity.stages import StageFilter
from harness.sample_records import write_samples

N_VOCAB = 64


@dataclass
class FakeEngine:
    """alter     changes the logits of a position
    fail_at   position at which it crashes
    lose_rows how many rows of a prefill it leaves out
    offset    added to every token id that its tokenizer gives
    raises_in name of the method that raises what no contract foresees
    refuses   architecture that it does not run
    """

    name: str = "fake"
    alter: Callable[[int, Floats], Floats] = field(default=lambda position, row: row)
    fail_at: int | None = None
    lose_rows: int = 0
    offset: int = 0
    found: bool = True
    n_vocab: int = N_VOCAB
    raises_in: str = ""
    role: Role = "candidate"
    refuses: str = ""

    def availability(self) -> Availability:
        self.come_to("availability")
        return Availability(self.found, "a fake", "install the fake")

    def refusal(self, arch: str, weight_formats: set[str]) -> str | None:
        self.come_to("refusal")
        return f"it has no {arch}" if arch == self.refuses else None

    def open(self, model: Path, *, context: int, threads: int, device_id: int | None = None) -> FakeSession:
        self.come_to("open")
        return FakeSession(self, context, threads)

    def come_to(self, method: str) -> None:
        if method == self.raises_in:
            raise ValueError(f"a bug in {method}")


@dataclass
class FakeSession:
    engine: FakeEngine
    context: int = 128
    threads: int = 1
    tokens: list[int] = field(default_factory=list)
    calls: list[tuple[str, int]] = field(default_factory=list)

    @property
    def info(self) -> ModelInfo:
        self.engine.come_to("info")
        fingerprint = Fingerprint(self.engine.name, "1", "none", "none", "fake", self.threads, "f16")
        formats = {"I2_S": 7, "F16": 1, "F32": 5}
        return ModelInfo(
            "bitnet", self.engine.n_vocab, 1, 8, 1, 1, 8, self.context, formats, True, fingerprint
        )

    @property
    def position(self) -> int:
        return len(self.tokens)

    def tokenize(self, text: str, *, add_bos: bool, parse_special: bool) -> list[int]:
        self.engine.come_to("tokenize")
        return [(ord(c) + self.engine.offset) % N_VOCAB for c in text]

    def detokenize(self, ids: Sequence[int]) -> str:
        return "".join(chr(64 + i) for i in ids)

    def prefill(self, tokens: Sequence[int], *, logits: Literal["all", "last"] = "all") -> Floats:
        self.engine.come_to("prefill")
        self.calls.append(("prefill", len(tokens)))
        rows = np.stack([self._next(t) for t in tokens])
        return rows[-1:] if logits == "last" else rows[: len(rows) - self.engine.lose_rows]

    def decode(self, token: int) -> Floats:
        self.engine.come_to("decode")
        self.calls.append(("decode", 1))
        return self._next(token)

    def rollback(self, to: int) -> None:
        self.engine.come_to("rollback")
        del self.tokens[to:]

    @contextmanager
    def tap(self, stages: StageFilter, sink: Sink) -> Iterator[None]:
        self.engine.come_to("tap")
        yield

    def close(self) -> None:
        self.engine.come_to("close")
        self.calls.append(("close", 0))

    def _next(self, token: int) -> Floats:
        if self.engine.fail_at == self.position:
            raise EngineFailed(self.engine.name, "aborted (SIGABRT)", "GGML_ASSERT(false)")
        self.tokens.append(token)
        rng = np.random.default_rng(crc32(bytes(str(self.tokens), "ascii")))
        row = rng.normal(0, 3, self.engine.n_vocab).astype(np.float32)
        return self.engine.alter(self.position - 1, row)


@pytest.fixture(scope="session")
def path_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A synthetic model of two layers with the given fields of ModelSpec, made once."""
    folder = tmp_path_factory.mktemp("models")

    def make(**fields: Any) -> Path:
        spec = ModelSpec(n_layer=2, n_ff=512, n_vocab=320, **fields)
        path = folder / f"{abs(hash(spec))}.gguf"
        if not path.exists():
            make_model(path, spec)
        return path

    return make


@pytest.fixture(scope="session")
def sample_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The records of sample_records.py; a test that changes them takes a copy."""
    folder = tmp_path_factory.mktemp("records")
    write_samples(folder)
    return folder


@pytest.fixture
def fake_engine() -> type[FakeEngine]:
    return FakeEngine


@pytest.fixture
def fake_session() -> Callable[..., FakeSession]:
    """Called with the fields of FakeEngine, and `context`."""

    def make(*, context: int = 128, **fields: object) -> FakeSession:
        return FakeSession(FakeEngine(**fields), context)  # type: ignore[arg-type]

    return make


@pytest.fixture
def announce(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Make an engine known by its name, as if bitparity brought it: it is run in this process."""

    def announce(engine: Any) -> None:
        found: Callable[..., Any] = vars(registry)["entry_points"]
        dist = SimpleNamespace(name="bitparity", version="1")
        point = SimpleNamespace(name=engine.name, value="fake", load=lambda: lambda: engine, dist=dist)

        def entry_points(*, group: str, name: str | None = None) -> list[Any]:
            points = [*found(group=group), *([point] if group == registry.ENTRY_POINT_GROUP else [])]
            return [p for p in points if name in (None, p.name)]

        monkeypatch.setattr(registry, "entry_points", entry_points)

    return announce
