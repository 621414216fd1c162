"""A recorded run in memory: what reader.py reads, whoever wrote it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

from bitparity.engine import Floats
from bitparity.errors import BadInput
from bitparity.stages import STAGE_NAMES, graph_order
from bitparity.trace.record import TraceRecord
from bitparity.trace.store import VALUES


class RowKey(NamedTuple):
    """One position of one stage.

    occurrence   0, 1, ... when the run computed it more than once (after a rollback), in order of time
    """

    position: int
    layer: int
    stage: str
    occurrence: int = 0


@dataclass
class Trace:
    """What one run recorded.

    damage   what is missing from the files, a sentence each; empty for a whole trace
    """

    path: Path
    records: list[TraceRecord]
    meta: dict[str, Any] = field(default_factory=dict)
    damage: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[TraceRecord]:
        return iter(self.records)

    @property
    def engine(self) -> str:
        return str(self.meta.get("engine") or self.path.name)

    @property
    def tokens(self) -> list[int]:
        return list(self.meta.get("tokens", ()))

    @cached_property
    def rows(self) -> dict[RowKey, TraceRecord]:
        """The records, by position and stage whatever the chunking."""
        rows: dict[RowKey, TraceRecord] = {}
        times: dict[tuple[int, int, str], int] = {}
        for record in self.records:
            layer, stage = -1 if record.layer is None else record.layer, record.stage or record.name
            place = (_position(record), layer, stage)
            occurrence = times.get(place, 0)
            times[place] = occurrence + 1
            rows[RowKey(*place, occurrence)] = record
        return rows

    @cached_property
    def _latest(self) -> dict[tuple[int, int, str], TraceRecord]:
        return {(key.position, key.layer, key.stage): record for key, record in self.rows.items()}

    def stages(self) -> list[tuple[int, str]]:
        """(layer, stage) pairs that were recorded, in graph order."""
        return sorted({(key.layer, key.stage) for key in self.rows}, key=lambda pair: order_in_graph(*pair))

    def positions(self) -> list[int]:
        return sorted({key.position for key in self.rows})

    def has_value(self, layer: int, stage: str, position: int) -> bool:
        """Whether `value` has an answer."""
        record = self._latest.get((position, layer, stage))
        return record is not None and self.holds_values(record)

    def value(self, layer: int, stage: str, position: int) -> Floats:
        """The value at one position, however the run was chunked; the latest, if it was computed again.

        returns  float32 with the axes of the stage; attn_probs is (n_head, position + 1)
        Raises BadInput if the stage was not recorded there or its values were not kept.
        """
        record = self._latest.get((position, layer, stage))
        if record is None:
            raise BadInput(f"{self.path}: layer {layer} {stage} was not recorded at position {position}")
        return self.kept_value(record)

    def seq(self, layer: int, stage: str, position: int) -> int | None:
        """The step that computed that row: 0 is prefill.  None if it is not recorded."""
        record = self._latest.get((position, layer, stage))
        return None if record is None else record.seq

    def batch_rows(self, layer: int, stage: str, position: int) -> int | None:
        """How many positions were computed together with that row; engines round differently for one.

        None if it is not recorded.
        """
        record = self._latest.get((position, layer, stage))
        return None if record is None else record.batch

    def holds_values(self, record: TraceRecord) -> bool:
        return record.values_file is not None and record.values_file in self._files

    def kept_value(self, record: TraceRecord) -> Floats:
        """The value of a record; raises BadInput if it was not kept."""
        if not self.holds_values(record):
            raise BadInput(
                f"{self.path}: the values of {record.name} were not kept; record again with --values"
            )
        return np.asarray(self._files[record.values_file].get_tensor(record.name), np.float32)

    @cached_property
    def _files(self) -> dict[str | None, Any]:
        """Value files, open; one that cannot be read is named in `damage`."""
        files: dict[str | None, Any] = {}
        for name in sorted({r.values_file for r in self.records if r.values_file is not None}):
            path = self.path / VALUES / name
            try:
                files[name] = safe_open(path, framework="np")
            except (SafetensorError, OSError) as error:
                self.damage.append(
                    f"{path}: cannot be read ({error}); its records are compared without values"
                )
        return files

    def check_values(self) -> None:
        """Open all value files, so that `damage` is complete."""
        _ = self._files


def order_in_graph(layer: int, stage: str) -> tuple[int, int, int, str]:
    """graph_order, with stages that only other tools have at the end of their layer."""
    if stage in STAGE_NAMES:
        return (*graph_order(layer, stage), stage)
    return 1 if layer >= 0 else 2, layer, len(STAGE_NAMES), stage


def stage_order(stage: str) -> tuple[int, str]:
    """Sort key of stages by themselves; those that only other tools have come last."""
    return (STAGE_NAMES.index(stage) if stage in STAGE_NAMES else len(STAGE_NAMES)), stage


def _position(record: TraceRecord) -> int:
    """Records of other tools have no position; their seq counts tokens."""
    return record.position if record.position is not None else record.seq or 0
