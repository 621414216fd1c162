"""The oracle with a planted fault, as a program that engines/program.md of the harness describes.

planted_program.py FAULT [--mute] [--dies-of TOKEN]

The fault is a name of the catalogue; with --mute it has no tap; at that token it dies.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from bitparity.engine import Session, StageValue
from bitparity.faults.catalogue import CATALOGUE
from bitparity.faults.plant import plant
from bitparity.oracle.engine import OracleEngine
from bitparity.stages import StageFilter


def answer(**said: Any) -> None:
    sys.stdout.buffer.write(json.dumps(said).encode() + b"\n")


def tapped(value: StageValue) -> None:
    if value.stage == "attn_probs":  # its rows have an axis more than a program may write
        return
    answer(stage=value.stage, layer=value.layer, position=value.position, shape=list(value.values.shape))
    sys.stdout.buffer.write(value.values.astype("<f4").tobytes())


def forward(session: Session, ids: list[int], position: int, tap: bool) -> None:
    session.rollback(position)
    if tap:
        with session.tap(StageFilter.parse(), tapped):
            rows = session.prefill(ids)
    else:
        rows = session.prefill(ids)
    answer(rows=len(rows))
    sys.stdout.buffer.write(rows.astype("<f4").tobytes())


def main(name: str, *flags: str) -> None:
    engine = plant(next(fault for fault in CATALOGUE if fault.name == name), OracleEngine())
    session: Session
    for line in sys.stdin:
        request = json.loads(line)
        match request:
            case {"open": model, "context": context}:
                session = engine.open(Path(model), context=context, threads=1)
                can = ["forward"] if "--mute" in flags else ["forward", "tap"]
                about = {"name": "planted", "arithmetic": session.info.fingerprint.details["arithmetic"]}
                answer(n_vocab=session.info.n_vocab, can=can, about=about)
            case {"forward": ids} if "--dies-of" in flags and int(flags[-1]) in ids:
                sys.exit(3)
            case {"forward": ids, "position": position}:
                forward(session, ids, position, request.get("tap", False))
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
