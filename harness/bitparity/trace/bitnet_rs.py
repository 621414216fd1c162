"""Traces of BitNet.rs: a folder of `.trace` files, one pretty-printed JSON object each.

seq, layer and stage are optional there and then found in the name: "t0/blk3/q_proj", "blk3/attn_norm",
"t5_logits".
BitNet.rs runs token by token and its seq counts tokens, so it serves as the position.
Source: EffortlessMetrics/BitNet-rs crates/bitnet-trace/src/lib.rs, crates/bitnet-transformer/src/lib.rs.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from bitparity.errors import BadInput
from bitparity.stages import STAGE_NAMES
from bitparity.trace.record import TraceRecord
from bitparity.trace.trace import Trace

_NAME = re.compile(r"(?:t(?P<seq>\d+)[/_])?(?:(?:blk|blk\.|layer)[._]?(?P<layer>\d+)[/_.])?(?P<stage>\w+)$")
_OTHER_WORDS = {"attn_scores_softmax": "attn_probs", "token_embd": "embeddings", "output_norm": "final_norm"}


def read_trace_files(folder: Path) -> Trace:
    """Read every *.trace file of a folder.

    One that is cut off is named in `damage`; raises BadInput for one that is no record.
    """
    records, damage = [], []
    for path in sorted(folder.glob("*.trace")):
        text = path.read_text(encoding="utf-8", errors="replace")
        try:
            records.append(with_names_understood(TraceRecord.from_mapping(json.loads(text))))
        except json.JSONDecodeError:
            damage.append(f"{path}: is cut off after {len(text):,} bytes")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadInput(f"{path}: is no trace record: {error}") from None
    return Trace(folder, records, {"engine": "BitNet.rs"}, damage)


def with_names_understood(record: TraceRecord) -> TraceRecord:
    """Fill in seq, layer and stage from the name where they are missing, and say our word for a stage."""
    if record.position is not None and record.stage in STAGE_NAMES:
        return record
    match = _NAME.match(record.name)
    stage = record.stage or (match["stage"] if match else record.name)
    layer, seq = record.layer, record.seq
    if layer is None:
        layer = int(match["layer"]) if match and match["layer"] else -1
    if seq is None:
        seq = int(match["seq"]) if match and match["seq"] else 0
    return record._replace(stage=_OTHER_WORDS.get(stage, stage), layer=layer, seq=seq)
