"""Checks of what an engine may have besides: a tokenizer, a tap."""

from __future__ import annotations

import numpy as np

from bitparity.conformance.calls import expect_same_bits
from bitparity.conformance.check import Absent, NotJudged, check
from bitparity.conformance.subject import Subject
from bitparity.engine import StageValue
from bitparity.errors import BadInput, CannotTokenize
from bitparity.fuzz.violation import expect
from bitparity.stages import POSITIONS_SO_FAR, StageFilter, stage_named
from bitparity.tokenizer import Tokenizer

TEXTS = (
    "Hello world",
    "  two  spaces\n\tand a tab\n",
    "It's 1234567 o'clock, isn't it?",
    "naïve café, Straße, 日本語, 👍🏽",
    "def f(x):\n    return x ** 2  # power",
)


@check
def tokenizer(subject: Subject) -> str:
    """Texts get the ids that the vocabulary of the model's file gives them."""
    session = subject.session()
    try:
        session.tokenize("a", add_bos=True, parse_special=True)
    except CannotTokenize:
        raise Absent("it has no tokenizer, so it runs the ids of others") from None
    try:
        expected = Tokenizer.from_gguf(subject.model.metadata)
    except BadInput as error:
        raise NotJudged(str(error)) from None
    for text in TEXTS:
        for add_bos in (True, False):
            wanted = expected.encode(text, add_bos=add_bos, parse_special=True)
            ids = session.tokenize(text, add_bos=add_bos, parse_special=True)
            expect(ids == wanted, f"{text!r} becomes {ids}, by the file's vocabulary it is {wanted}")
    return f"the ids of the file's own vocabulary, on {len(TEXTS)} texts"


@check
def tap(subject: Subject) -> str:
    """Stages arrive under names of the model's graph, in its order and with their shapes, and change no bit
    of the logits."""
    session, ids = subject.session(), subject.text(7)
    expected = [session.prefill(ids[:6]).copy(), session.decode(ids[6]).copy()[None]]
    heard: list[StageValue] = []
    session.rollback(0)
    with session.tap(StageFilter.parse("*:*"), heard.append):
        actual = [session.prefill(ids[:6]).copy(), session.decode(ids[6]).copy()[None]]
    for name, plain, tapped in zip(("a prompt", "a token"), expected, actual, strict=True):
        expect_same_bits(plain, tapped, f"{name} with the tap on")
    if not heard:
        raise Absent("no stage arrives, so nothing can say where it goes wrong")
    for value in heard:
        _check_value(subject, value)
    _check_logits(heard, np.concatenate(actual))
    return _coverage(subject, heard)


def _check_value(subject: Subject, value: StageValue) -> None:
    """Raise Violation unless the stage belongs to the graph and the value is as wide as it."""
    hyper = subject.model.hyper
    where = f"layer {value.layer} {value.stage} at position {value.position}"
    expect(value.stage in hyper.architecture.by_name, f"{where}: {hyper.arch} has no such stage")
    stage = stage_named(value.stage)
    layers = range(hyper.n_layer) if stage.in_block else (-1,)
    expect(value.layer in layers, f"{where}: it is in layers {layers[0]} to {layers[-1]}")
    n = len(value.values)
    wanted = tuple(value.position + n if a == POSITIONS_SO_FAR else hyper.size(a) for a in stage.axes)
    expect(value.values.shape[1:] == wanted, f"{where}: the shape is {value.values.shape[1:]}, not {wanted}")
    expect(bool(np.isfinite(value.values).all()), f"{where}: it is NaN or infinite")


def _check_logits(heard: list[StageValue], logits: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> None:
    """Raise Violation unless the stage of that name is what the calls returned."""
    for value in heard:
        if value.stage == "logits":
            rows = logits[value.position : value.position + len(value.values)]
            expect_same_bits(rows, value.values, "logits that arrive as a stage")


def _coverage(subject: Subject, heard: list[StageValue]) -> str:
    hyper = subject.model.hyper
    wanted = StageFilter.parse("*:*").pairs(hyper.n_layer)
    every = [stage for _, stage in wanted if stage in hyper.architecture.by_name]
    stages = list(dict.fromkeys(every))
    given = {value.stage for value in heard}
    absent = [stage for stage in stages if stage not in given]
    return f"{len(given)} of {len(stages)} stages" + (f"; absent: {', '.join(absent)}" if absent else "")
