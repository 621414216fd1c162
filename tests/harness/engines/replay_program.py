"""The same as replay.py as a program, which engines/program.md of the harness describes."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from replay import FAULT_AT, ReplaySession  # type: ignore[import-not-found]  # it lies beside this one


def answer(**said: Any) -> None:
    sys.stdout.buffer.write(json.dumps(said).encode() + b"\n")


def misbehave(fault: str) -> None:
    """What only a program can do, when it has come to the position of the fault."""
    out = sys.stdout.buffer
    if fault == "noise":
        out.write(b"\xff\x00 loading layers ...\n")
    if fault == "array":
        out.write(b"[1, 2]\n")
    if fault == "rows":
        answer(rows=7)
    if fault == "silence":
        os.close(1)
        time.sleep(600)
    if fault == "half":
        answer(rows=1)
        out.write(b"half a row")
        out.flush()
        time.sleep(600)
    if fault == "error":
        answer(error="no room\nleft")


def forward(session: ReplaySession, ids: list[int], position: int, *, only_last: bool, tap: bool) -> None:
    rows: Any = session.forward(ids, position)
    if position <= FAULT_AT < position + len(ids):
        misbehave(os.environ.get("REPLAY_FAULT", ""))
    if tap:
        answer(stage="logits", layer=-1, position=position, shape=list(rows.shape))
        sys.stdout.buffer.write(rows.tobytes())
    rows = rows[-1:] if only_last else rows
    answer(rows=len(rows))
    sys.stdout.buffer.write(rows.tobytes())


def main(flags: list[str]) -> None:
    session: ReplaySession
    for line in sys.stdin:
        request = json.loads(line)
        match request:
            case {"open": model} if not Path(f"{model}.logits").is_file():
                answer(error=f"nobody computed {model}.logits")
            case {"open": model}:
                session = ReplaySession(Path(model))
                about = {"about": {"name": "played-back", "version": "5"}} if "--about" in flags else {}
                can = ["forward_last"] if "--last" in flags else ["forward", "tokenize", "detokenize", "tap"]
                answer(n_vocab=session.n_vocab, can=can, **about)
            case {"forward": ids, "position": position, "logits": which}:
                forward(session, ids, position, only_last=which == "last", tap=request.get("tap", False))
            case {"tokenize": text, "add_bos": bos}:
                answer(ids=[1] * bos + list(text.encode()))
            case {"detokenize": ids}:
                answer(text=bytes(ids).decode())
        sys.stdout.flush()
    session.close()


if __name__ == "__main__":
    main(sys.argv[1:])
