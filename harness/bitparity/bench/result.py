"""What a benchmark measured, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from bitparity.bench.samples import Samples
from bitparity.output import write_json

FORMAT = "bitparity bench 2"


@dataclass(frozen=True)
class Decode:
    """Decoding at one depth.

    tokens_per_second  of the engine
    read_bandwidth     of the machine in bytes a second, measured in the same turns
    share              of that bandwidth which reading the weights once a token takes up; above 1 when they
                       come from a cache
    """

    tokens_per_second: Samples
    read_bandwidth: Samples
    share: float


@dataclass(frozen=True)
class LaneResult:
    """One engine on one file; prefill by number of tokens, decode by depth, peak memory in bytes."""

    label: str
    model: str
    blake3: str
    fingerprint: Mapping[str, Any]
    weight_bytes_per_token: int
    load_seconds: Samples
    prefill_tokens_per_second: Mapping[int, Samples]
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
        return {"format": FORMAT, **_as_data(self)}

    def save(self, path: Path) -> None:
        write_json(path, self.as_dict())


def _as_data(value: Any) -> Any:
    """Dataclasses as mappings of their fields, and samples with what is worked out of them."""
    if isinstance(value, Samples):
        return value.as_dict()
    if is_dataclass(value):
        return {field.name: _as_data(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: _as_data(item) for key, item in value.items()}
    return [_as_data(item) for item in value] if isinstance(value, tuple) else value
