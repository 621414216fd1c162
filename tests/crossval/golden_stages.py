"""What a reference gives at every stage of a bundled model, kept as digests: tests/golden/stages/*.json.

    python tests/crossval/golden_stages.py llama.cpp F32 F16 BF16 TQ2_0
    BITNET_CPP_DIR=... python tests/crossval/golden_stages.py bitnet.cpp I2_S F16 BF16 TQ1_0

writes a file for each bundled architecture and format that the reference runs, named by the arithmetic of its
build.  By it a machine whose reference was built for another CPU can hold native against that build.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from bitparity.compare.chunking import Chunking
from bitparity.engine import Session, StageValue
from bitparity.model.bundled import ARCHS, bundled_model
from bitparity.registry import get_engine
from bitparity.stages import StageFilter
from bitparity.trace.record import digest_of, position_row

FOLDER = Path(__file__).parent.parent / "golden/stages"
CHUNKS = "mixed"
TOKENS = [0, 34, 644, 312, 263, 1306, 315, 754, 13, 326, 263, 1064, 312, 263, 1306, 399, 1777, 338, 2306]
TOKENS += [15, 407, 909, 271, 814, 2047, 34, 67, 80, 263, 313, 307, 2035, 841, 338, 15, 407, 426, 399]
DIGITS = 8  # kept of each BLAKE3 digest: of 800 digests none is equal by chance


def stage_digests(session: Session) -> dict[str, list[str]]:
    """By `layer:stage`, a digest of all positions of each call, when TOKENS are run in CHUNKS."""
    digests: dict[str, list[str]] = {}

    def keep(value: StageValue) -> None:
        rows = [position_row(value, i).ravel() for i in range(len(value.values))]
        calls = digests.setdefault(f"{value.layer}:{value.stage}", [])
        calls.append(digest_of(np.concatenate(rows))[:DIGITS])

    with session.tap(StageFilter.parse("*:*"), keep):
        for chunk in Chunking(CHUNKS).chunks(len(TOKENS)):
            if chunk.decode:
                session.decode(TOKENS[chunk.first])
            else:
                session.prefill(TOKENS[chunk.first : chunk.last])
    return digests


def record(engine: str, arch: str, weight_format: str) -> Path:
    """Write the golden file of one model; returns its path."""
    model = bundled_model(arch, weight_format)
    session = get_engine(engine).open(model, context=len(TOKENS), threads=1)
    fingerprint = session.info.fingerprint
    golden: dict[str, Any] = {
        "arch": arch,
        "weight_format": weight_format,
        "arithmetic": fingerprint.details["arithmetic"],
        "fingerprint": fingerprint.as_dict(),
        "stages": stage_digests(session),
    }
    session.close()
    name = "-".join([*golden["arithmetic"].split("/"), arch, weight_format])
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(golden).replace("], ", "],\n") + "\n")
    return path


if __name__ == "__main__":
    engine, *formats = sys.argv[1:]
    for arch in ARCHS:
        for weight_format in formats:
            if get_engine(engine).refusal(arch, {weight_format, "F16", "F32"}) is None:
                print(record(engine, arch, weight_format))
