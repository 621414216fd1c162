"""One cell of a sweep: what names it, and what is run in it; plain data that travels to workers."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from blake3 import blake3

from bitparity.records.columns import AXES, Record
from bitparity.worker.worker import TIME_LIMIT

CELL_TIME_LIMIT = 3600.0


@dataclass(frozen=True)
class EngineChoice:
    """An engine as a matrix names it, and how it is set up: the options of `bitparity compare` for one side.

    name         what the matrix and its reports call it
    engine       as --reference and --candidate take it
    model        another file for this engine, as --candidate-model
    environment  variables that are set where the cell runs, say BITNET_CPP_DIR
    """

    name: str
    engine: str
    kernels: str | None = None
    arithmetic: str | None = None
    stage_map: str | None = None
    model: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PromptChoice:
    """A prompt by name: a text, token ids, a file of prompts, or a corpus with --window and --stride."""

    name: str
    text: str | None = None
    tokens: tuple[int, ...] | None = None
    file: str | None = None
    corpus: str | None = None
    window: int | None = None
    stride: int | None = None


@dataclass(frozen=True)
class Limits:
    """What holds for every cell of a matrix.

    require          the least that passes, as --require
    blame            whether stages are judged
    steps            positions that are continued greedily
    time_limit       seconds after which an engine that gives no sign of life counts as hung
    cell_time_limit  seconds that a cell may take
    """

    require: str = "noise"
    blame: bool = False
    steps: int = 0
    time_limit: float = TIME_LIMIT
    cell_time_limit: float = CELL_TIME_LIMIT


@dataclass(frozen=True)
class Cell:
    """What is compared with what.

    model          as the matrix names it; `path` is the file, None for a bundled model
    weight_format  None: as in the file
    threads        None: as many as there are processors
    """

    model: str
    path: str | None
    weight_format: str | None
    reference: EngineChoice
    candidate: EngineChoice
    build: str
    threads: int | None
    chunks: str
    prompt: PromptChoice
    limits: Limits = Limits()

    @property
    def axes(self) -> dict[str, Any]:
        """The values that name the cell, by column of a record."""
        return {
            "model": self.model,
            "weight_format": self.weight_format or "",
            "reference": self.reference.name,
            "candidate": self.candidate.name,
            "build": self.build,
            "threads": self.threads,
            "chunks": self.chunks,
            "prompt": self.prompt.name,
        }

    @property
    def key(self) -> str:
        """The same for the same axes, whatever is run under these names: 16 hex digits."""
        return blake3(json.dumps([self.axes[name] for name in AXES]).encode()).hexdigest(length=8)

    def record(self, run: str) -> Record:
        """A record that says of this cell no more than which it is, and how to run it alone."""
        record = Record(run=run, cell=self.key, command=self.command(), required=self.limits.require)
        return replace(record, **self.axes)

    def command(self, model: str | None = None) -> str:
        """What to type to run the cell alone; model is the file, where it is known which one is run."""
        settings = {**self.reference.environment, **self.candidate.environment}
        words = [f"{name}={value}" for name, value in settings.items()]
        words += [
            "bitparity",
            "compare",
            model or self.path or self.model,
            "--reference",
            self.reference.engine,
        ]
        words += ["--candidate", self.candidate.engine, "--chunks", self.chunks]
        for option, value in self._options().items():
            words += [option, str(value)] if value not in (None, 0) else []
        return shlex.join([*words, *(["--blame"] if self.limits.blame else [])])

    def _options(self) -> dict[str, Any]:
        prompt, limits = self.prompt, self.limits
        tokens = None if prompt.tokens is None else ",".join(map(str, prompt.tokens))
        return {
            "--kernels": self.candidate.kernels,
            "--arithmetic": self.candidate.arithmetic,
            "--stage-map": self.candidate.stage_map,
            "--reference-model": self.reference.model,
            "--candidate-model": self.candidate.model,
            "--threads": self.threads,
            "--prompt": prompt.text,
            "--prompts": prompt.file,
            "--tokens": tokens,
            "--corpus": prompt.corpus,
            "--window": prompt.window,
            "--stride": prompt.stride,
            "--steps": limits.steps,
            "--require": limits.require,
            "--time-limit": f"{limits.time_limit:g}",
        }

    def files(self) -> list[Path]:
        """Files that decide what the cell computes, as far as the matrix names them."""
        named = [self.path, self.prompt.file, self.prompt.corpus]
        for side in (self.reference, self.candidate):
            named += [side.model, side.stage_map, side.engine, *_words(side.engine)]
            named += [*side.environment.values()]
        return [path for path in (Path(name) for name in named if name) if path.is_file()]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def _words(engine: str) -> list[str]:
    """The words of a command line, `exec:python engine.py`."""
    return shlex.split(engine.partition(":")[2])
