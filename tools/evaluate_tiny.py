"""Measure a bundled model's validation loss with an engine, beside what training recorded.

    python tools/evaluate_tiny.py harness/bitparity/data/tiny-bitnet.gguf --engine native

Prints a table for the model card.  Uses the held-out documents and windows of train_tiny.py, so Debian's
python3-doc is needed.  The two losses differ by what the export rounds (scales and embedding to 16 bits)
and by the engine's own arithmetic.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitparity.engine import Session
from bitparity.model import open_model
from bitparity.registry import get_engine
from bitparity.settings import read_settings
from bitparity.tokenizer import Tokenizer

DOCS = Path("/usr/share/doc/python3.11/html/_sources")
HELD_OUT = 20  # every twentieth document, as in train_tiny.py
TOKENS, WINDOWS = 256, 64


def held_out_ids(docs: Path, tokenizer: Tokenizer, bos: int, eos: int) -> NDArray[np.int64]:
    """One stream: BOS, a document, EOS, and so on."""
    files = sorted(docs.rglob("*.rst.txt"))[::HELD_OUT]
    if not files:
        raise SystemExit(f"{docs}: no *.rst.txt files; install Debian's python3-doc or give --docs")
    ids: list[int] = []
    for file in files:
        text = file.read_text(encoding="utf-8")
        ids += [bos, *tokenizer.encode(text, add_bos=False, parse_special=False), eos]
    return np.array(ids)


def windows(ids: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for start in np.linspace(0, len(ids) - TOKENS - 2, WINDOWS).astype(int):
        yield ids[start : start + TOKENS + 1]


def cross_entropy(session: Session, window: NDArray[np.int64]) -> float:
    """Mean over the window, nats."""
    session.rollback(0)
    logits = session.prefill(window[:-1].tolist()).astype(np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return float(-log_probabilities[np.arange(len(logits)), window[1:]].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--engine", default="native")
    parser.add_argument("--docs", type=Path, default=DOCS)
    args = parser.parse_args()
    metadata = open_model(args.model).metadata
    record = json.loads(metadata["bitparity.training"])
    special = (int(metadata[f"tokenizer.ggml.{name}_token_id"]) for name in ("bos", "eos"))
    ids = held_out_ids(args.docs, Tokenizer.from_gguf(metadata), *special)
    session = get_engine(args.engine).open(args.model, context=TOKENS, threads=read_settings().threads)
    losses = [cross_entropy(session, window) for window in windows(ids)]
    session.close()
    print("| model | engine | validation loss, nats | as trained | unigram entropy |\n|---|---|---|---|---|")
    print(
        f"| {args.model.name} | {args.engine} | {np.mean(losses):.4f} | {record['validation_loss']:.4f} "
        f"| {record['unigram_entropy']:.4f} |"
    )


if __name__ == "__main__":
    main()
