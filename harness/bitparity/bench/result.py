"""What a benchmark measured, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bitparity.output import write_json

FORMAT = "bitparity bench 1"


@dataclass(frozen=True)
class Spread:
    """Median and range of the repetitions."""

    median: float
    min: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True)
class Decode:
    """Decoding at one depth.

    tokens_per_second  of the engine
    read_bandwidth     of the machine in bytes a second, measured in the same turns
    share              of that bandwidth which reading the weights once a token takes up; above 1 when they
                       come from a cache
    """

    tokens_per_second: Spread
    read_bandwidth: Spread
    share: float


@dataclass(frozen=True)
class LaneResult:
    """One engine on one file; prefill by number of tokens, decode by depth, peak memory in bytes."""

    label: str
    model: str
    blake3: str
    fingerprint: Mapping[str, Any]
    weight_bytes_per_token: int
    load_seconds: Spread
    prefill_tokens_per_second: Mapping[int, Spread]
    decode: Mapping[int, Decode]
    peak_memory: int | None


@dataclass(frozen=True)
class BenchResult:
    """A whole run.

    reference     label of the lane that the others are compared with
    agreement     label -> how its outputs compare with the reference's; empty for a single lane
    load_average  processes that wanted a processor in the minute before the run
    failure       what an engine did that ended the run early, in a clause
    """

    lanes: tuple[LaneResult, ...]
    reference: str
    agreement: Mapping[str, str]
    repetitions: int
    decode_tokens: int
    processors: int
    last_level_cache: int | None
    load_average: float
    command: str
    failure: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return {"format": FORMAT, **asdict(self)}

    def save(self, path: Path) -> None:
        write_json(path, self.as_dict())
