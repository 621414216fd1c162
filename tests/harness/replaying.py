"""Engines that answer with what the oracle computed, in every language that tests need: engines/replay.*."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitparity import open_engine
from bitparity.compare.chunking import Chunking
from bitparity.compare.positions import logits_by_chunk
from bitparity.model.synthetic import ModelSpec, make_model

SOURCES = Path(__file__).parent / "engines"
N_TOKENS = 24
TOKENS = [1, *((37 * i + 11) % 250 + 3 for i in range(N_TOKENS - 1))]
TOKENS_TYPED = ",".join(map(str, TOKENS))
FAULT_AT = 17  # the position at which an engine fails, if REPLAY_FAULT says how


def replayed_model(folder: Path, chunks: str = "prefill") -> Path:
    """A small model with the oracle's logits of TOKENS beside it; how they are cut changes its roundings."""
    path = folder / f"{chunks}.gguf"
    make_model(path, ModelSpec(n_layer=1, n_vocab=512, context_length=64))
    session = open_engine("oracle").open(path, context=N_TOKENS, threads=1)
    rows = np.concatenate([*logits_by_chunk(session, TOKENS, Chunking.parse(chunks))])
    data = np.int32(rows.shape[1]).tobytes() + rows.astype("<f4").tobytes()
    path.with_name(path.name + ".logits").write_bytes(data)
    return path


def compile_replay(folder: Path, *defines: str, name: str = "libreplay.so") -> Path:
    """Compile replay.c into a library, warnings being errors."""
    import bitparity

    include = Path(bitparity.__file__).parent.parent
    library = folder / name
    files = [str(SOURCES / "replay.c"), "-o", str(library)]
    flags = ["-std=c99", "-O1", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", f"-I{include}"]
    command = ["cc", *flags, *(f"-D{define}" for define in defines), *files]
    subprocess.run(command, check=True)
    return library


def announce_replay(monkeypatch: pytest.MonkeyPatch, value: str = "replay:Replay") -> str:
    """Announce a class of engines/replay.py, as another package does; returns the engine's name."""
    from bitparity import registry

    found: Callable[..., Any] = vars(registry)["entry_points"]
    point = EntryPoint("replay-class", value, registry.ENTRY_POINT_GROUP)

    def entry_points(*, group: str, name: str | None = None) -> list[EntryPoint]:
        points = [*found(group=group), *([point] if group == point.group else [])]
        return [p for p in points if name in (None, p.name)]

    monkeypatch.setattr(registry, "entry_points", entry_points)
    monkeypatch.syspath_prepend(str(SOURCES))
    return point.name
