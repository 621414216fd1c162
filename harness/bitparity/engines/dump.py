"""A folder of stages that somebody dumped, as an engine: `dump:FOLDER`.

Each file is a stage: raw little-endian float32 (.bin, .f32, .raw), or .npy; its rows are consecutive
positions.  The name without the ending says which stage, by a stage map, or as `attn_norm-3` in bitparity's
own words.  A map with {position} tells at which position the rows of a file begin; without it that is 0.
`logits` are what the engine answers with; a dump without them can be traced and blamed, but not compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bitparity.engine import Availability, Fingerprint, Floats, Role, Session
from bitparity.engines.forward import ForwardSession
from bitparity.engines.model_facts import model_facts
from bitparity.errors import BadInput, NotCompared
from bitparity.model import open_model
from bitparity.model.types import HyperParameters, Model
from bitparity.stage_map import Named, StageMap, compiled
from bitparity.stages import POSITIONS_SO_FAR, STAGES, stage_named

PREFIX = "dump:"
_RAW = (".bin", ".f32", ".raw")
Rows = dict[tuple[int, str], dict[int, Floats]]  # layer, stage -> position -> values


class DumpEngine:
    """Answers with what lies in a folder, whatever ids are run: whose they were, nobody can see.

    Raises BadInput when there is no such folder.
    """

    role: Role = "candidate"

    def __init__(self, given: str, *, stage_map: StageMap | None = None, model: Model | None = None) -> None:
        self._folder = Path(given.removeprefix(PREFIX))
        if not self._folder.is_dir():
            raise BadInput(f"{self._folder}: there is no such folder")
        self.given, self._map, self._model = given, stage_map or StageMap(), model
        self.name = self._folder.resolve().name

    def availability(self) -> Availability:
        return Availability(True, f"the dump in {self._folder}")

    def refusal(self, arch: str, weight_formats: set[str]) -> str | None:
        """A dump does not say what it was made of."""
        return None

    def with_stage_map(self, stage_map: StageMap) -> DumpEngine:
        """As bitparity.engine.NamesStages says."""
        return DumpEngine(self.given, stage_map=stage_map, model=self._model)

    def informed_of(self, model: Model) -> DumpEngine:
        """As bitparity.engine.Informed says."""
        return DumpEngine(self.given, stage_map=self._map, model=model)

    def open(self, model: Path, *, context: int, threads: int, device_id: int | None = None) -> Session:
        """Raises BadInput for a file whose values are no rows of its stage, and if no file is a stage."""
        known = self._model or open_model(model)
        rows = _read(self._folder, self._map, known.hyper)
        fingerprint = Fingerprint(self.name, "", "", "", "", 0, "", {"dump": str(self._folder)})
        return ForwardSession(
            _Dumped(self._folder, rows, known.hyper.n_vocab), model_facts(model, known, context, fingerprint)
        )


class _Dumped:
    """A `bitparity.engines.forward.Forward` that computes nothing."""

    def __init__(self, folder: Path, rows: Rows, n_vocab: int) -> None:
        self._folder, self._rows, self.n_vocab = folder, rows, n_vocab
        self._hear: Callable[[str, int, int, Floats], None] | None = None

    def forward(self, ids: Sequence[int], position: int) -> Floats:
        positions = range(position, position + len(ids))
        if self._hear is not None:
            for (layer, stage), values in self._rows.items():
                for run in _runs([at for at in positions if at in values]):
                    self._hear(stage, layer, run[0], np.stack([values[at] for at in run]))
        logits = self._rows.get((-1, "logits"), {})
        if all(at in logits for at in positions):
            return np.stack([logits[at] for at in positions])
        if self._hear is None:
            raise NotCompared(f"{self._folder} has no logits at positions {position} to {positions[-1]}")
        return np.full((len(ids), self.n_vocab), np.nan, np.float32)  # nobody reads them but to record stages

    def tap(self, hear: Callable[[str, int, int, Floats], None] | None) -> None:
        self._hear = hear

    def close(self) -> None:
        """Nothing is open."""


def _runs(positions: Sequence[int]) -> list[list[int]]:
    """Ascending positions, cut where one is missing: what lies together counts as computed together."""
    runs: list[list[int]] = []
    for at in positions:
        if runs and at == runs[-1][-1] + 1:
            runs[-1].append(at)
        else:
            runs.append([at])
    return runs


def _read(folder: Path, stage_map: StageMap, hyper: HyperParameters) -> Rows:
    rows: Rows = {}
    for path in sorted(folder.iterdir()):
        named = _named(path, stage_map)
        if named is None:
            continue
        layer = -1 if named.layer is None else named.layer
        stage = stage_named(named.stage)
        if stage.in_block != (layer in range(hyper.n_layer)):
            raise BadInput(f"{path}: layer {layer} {stage.name} is not in a model of {hyper.n_layer} layers")
        first = named.position or 0
        for index, row in enumerate(_rows(path, stage.axes, hyper)):
            rows.setdefault((layer, stage.name), {})[first + index] = row
    if not rows:
        raise BadInput(f"{folder}: no file has the name of a stage; --stage-map FILE says which is which")
    return rows


def _named(path: Path, stage_map: StageMap) -> Named | None:
    if path.suffix not in (*_RAW, ".npy"):
        return None
    return stage_map.find(path.stem) or _OWN_NAMES.find(path.stem)


def _rows(path: Path, axes: tuple[str, ...], hyper: HyperParameters) -> Floats:
    """The values, (n, elements of a position)."""
    if POSITIONS_SO_FAR in axes:
        raise BadInput(f"{path}: rows of {axes} are of unequal length, and a dump does not tell them apart")
    values = np.load(path, allow_pickle=False) if path.suffix == ".npy" else np.fromfile(path, "<f4")
    width = int(np.prod([hyper.size(axis) for axis in axes]))
    if values.dtype != np.float32 or values.size == 0 or values.size % width:
        raise BadInput(f"{path}: {values.size} values of {values.dtype} are no rows of {width} float32")
    return np.ascontiguousarray(values.reshape(-1, width), np.float32)


def _own_names() -> StageMap:
    patterns = [(stage.name + "-{layer}" if stage.in_block else stage.name, stage.name) for stage in STAGES]
    return StageMap(tuple((compiled(theirs), stage) for theirs, stage in patterns))


_OWN_NAMES = _own_names()
