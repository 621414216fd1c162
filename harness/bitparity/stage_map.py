"""From the names that an engine has for its stages to bitparity's.

A stage map is a text file with a name a line; `{layer}` and `{position}` stand for numbers in it:

    # mine              bitparity's
    q                 = q_proj
    blk.{layer}.att   = attn_ctx
    x_{layer}_{position} = layer_out

A name that is bitparity's own needs no line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bitparity.errors import BadInput
from bitparity.stages import STAGE_NAMES


class Named(NamedTuple):
    """A stage, and what its name said of layer and position; None where it said nothing."""

    stage: str
    layer: int | None
    position: int | None


@dataclass(frozen=True)
class StageMap:
    """names  pattern of a name -> stage"""

    names: tuple[tuple[re.Pattern[str], str], ...] = ()

    def find(self, name: str) -> Named | None:
        """The stage of that name; None for a name that nobody knows."""
        for pattern, stage in self.names:
            if match := pattern.fullmatch(name):
                numbers = {key: int(value) for key, value in match.groupdict().items()}
                return Named(stage, numbers.get("layer"), numbers.get("position"))
        return Named(name, None, None) if name in STAGE_NAMES else None


def read_stage_map(path: Path) -> StageMap:
    """Raises BadInput for a file that cannot be read and a line that says nothing, with its number."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read as text: {error}") from None
    names = [_parse(line.partition("#")[0], f"{path} line {n}") for n, line in enumerate(lines, start=1)]
    return StageMap(tuple(name for name in names if name is not None))


def _parse(line: str, where: str) -> tuple[re.Pattern[str], str] | None:
    if not line.strip():
        return None
    theirs, sign, stage = (part.strip() for part in line.partition("="))
    if not (theirs and sign):
        raise BadInput(f"{where}: {line.strip()!r} is no line of a stage map; write: name = stage")
    if stage not in STAGE_NAMES:
        raise BadInput(f"{where}: no stage is named {stage!r}; there are {', '.join(STAGE_NAMES)}")
    return compiled(theirs, where), stage


def compiled(theirs: str, where: str = "") -> re.Pattern[str]:
    """The pattern of a name with {layer} and {position} in it; raises BadInput for any other braces."""
    parts = re.split(r"\{(\w*)\}", theirs)
    texts, keys = parts[::2], parts[1::2]
    if unknown := [key for key in keys if key not in ("layer", "position")] or keys[len(set(keys)) :]:
        raise BadInput(f"{where}: {theirs!r} has {{{unknown[0]}}}; one {{layer}} and one {{position}} can be")
    numbers = [rf"(?P<{key}>\d+)" for key in keys] + [""]
    return re.compile("".join(re.escape(text) + n for text, n in zip(texts, numbers, strict=True)))
