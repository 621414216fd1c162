"""Run a reference and keep what it gives in a recording (recording.py)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from bitparity.compare.chunking import Chunking
from bitparity.compare.positions import logits_by_position
from bitparity.compare.prompts import Prompt, encode
from bitparity.compare.recording import CHUNKS, RecordedSequence, Recording, weights_digest
from bitparity.engine import Engine, Session, role_of
from bitparity.errors import BadInput
from bitparity.model.types import Model
from bitparity.noise.floor import pool
from bitparity.noise.measure import measure_noise
from bitparity.runs import choose_context, open_session
from bitparity.settings import Settings


def make_recording(
    engine: Engine,
    model: Model,
    prompts: Sequence[Prompt],
    *,
    settings: Settings,
    threads: int | None = None,
    device_id: int | None = None,
) -> Recording:
    """Run the prompts on a reference, as prefill and as decode, keep every logit and measure the noise.

    Raises BadInput for an engine that is no reference: golden data never comes from what it is to check.
    """
    if role_of(engine) != "reference":
        raise BadInput(
            f"{engine.name} says that its role is {role_of(engine)}; "
            "a recording is made from a reference such as llama.cpp"
        )
    context = choose_context(model, max(p.largest_length() for p in prompts))
    with open_session(
        engine, model, context=context, settings=settings, threads=threads, device_id=device_id
    ) as session:
        info = session.info
        sequences = [s for prompt in prompts for s in _record(session, prompt)]
        measure = partial(
            measure_noise,
            session,
            engine,
            model,
            settings=settings,
            threads=threads,
            device_id=device_id,
        )
        floors = [measure(s.tokens or ()) for s in sequences if s.chunks == CHUNKS[0]]
    return Recording(info, weights_digest(model), tuple(sequences), pool(floors))


def _record(session: Session, prompt: Prompt) -> Iterator[RecordedSequence]:
    tokens = encode(prompt, session)
    for chunks in CHUNKS:
        rows = np.stack([row.copy() for row in logits_by_position(session, tokens, Chunking(chunks))])
        yield RecordedSequence(prompt.text, tuple(tokens), chunks, rows)
