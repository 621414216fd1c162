"""What tracers print: a line a stage, with statistics and the first values instead of all of them.

    attn_norm pos=0 layer=3 dim=256 sum=-1.38889742 ss=170.713623 min=-2.65 max=1.86 first=-0.44,-0.21

The first word is the name of the stage, which a stage map may lead to bitparity's; then come `key=value` in
any order.  _KEYS says which keys are understood; a line without a known name, or without any number to
compare, is skipped, for logs have others between them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

from bitparity.errors import BadInput
from bitparity.stage_map import StageMap
from bitparity.trace.record import TraceRecord
from bitparity.trace.trace import Trace

# what it is -> how tracers call it
_KEYS = {
    "position": ("pos", "position", "token"),
    "layer": ("layer", "block", "il"),
    "count": ("dim", "n", "size", "count", "num_elements"),
    "sum": ("sum",),
    "mean": ("mean", "avg"),
    "squares": ("ss", "sumsq", "sum_sq"),
    "rms": ("rms",),
    "min": ("min",),
    "max": ("max",),
    "first": ("first", "head", "values"),
}
_WHAT = {key: what for what, keys in _KEYS.items() for key in keys}
_PAIR = re.compile(r"(\w+)=(\S+)")


def read_printed(path: Path, stage_map: StageMap) -> Trace:
    """Read a log; raises BadInput for a number that is none, with its line."""
    records = []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        record = _record(line, stage_map, f"{path} line {number}")
        if record is not None:
            records.append(record)
    return Trace(path, records, {"engine": path.stem})


def _record(line: str, stage_map: StageMap, where: str) -> TraceRecord | None:
    name, _, rest = line.strip().partition(" ")
    said = {_WHAT[key]: value for key, value in _PAIR.findall(rest) if key in _WHAT}
    named = stage_map.find(name)
    if named is None or not said.keys() & {"rms", "squares", "sum", "mean", "first"}:
        return None
    try:
        first = tuple(float(text) for text in said.pop("first", "").split(",") if text)
        numbers = {key: float(text) for key, text in said.items()}
    except ValueError as error:
        raise BadInput(f"{where}: {error}") from None
    layer, position = named.layer, named.position
    count = int(numbers.get("count", 0))
    return TraceRecord(
        name=name,
        shape=(count,),
        dtype="F32",
        blake3="",
        num_elements=count,
        seq=0,
        stage=named.stage,
        layer=int(numbers.get("layer", -1)) if layer is None else layer,
        position=int(numbers.get("position", 0)) if position is None else position,
        rms=_rms(numbers, count),
        mean=numbers["sum"] / count if "sum" in numbers and count else numbers.get("mean"),
        min=numbers.get("min"),
        max=numbers.get("max"),
        first=first,
    )


def _rms(numbers: Mapping[str, float], count: int) -> float | None:
    if "squares" in numbers and count:
        return math.sqrt(numbers["squares"] / count)
    return numbers.get("rms")
