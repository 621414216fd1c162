"""What engines do wrong with queries, keys, values and the mask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bitparity.architectures.graph import GraphStage, Kind
from bitparity.oracle import ops
from bitparity.oracle.definition import Definition, Place
from bitparity.oracle.mistakes.row import Row, arithmetic, differs, instead
from bitparity.oracle.ops import Doubles, Positions

MOST_KV_HEADS = 8  # shifts that are tried


class OtherHeads(Definition):
    """Query heads read other heads of the cache.  heads  (m, n_head_kv, d), n_head -> (m, n_head, d)"""

    heads: Callable[[Doubles, int], Doubles]

    def cached_heads(self, kv: Doubles) -> Doubles:
        return self.heads(self.cached(kv), self.hyper.n_head)


class OtherRows(Definition):
    """The cache holds other rows.  rows  (m, columns) -> the same shape"""

    rows_of: Callable[[Doubles], Doubles]

    def cached(self, kv: Doubles) -> Doubles:
        return super().cached(self.rows_of(kv))


class OtherScores(Definition):
    """Scores are scaled by another factor.  factor  of the hyperparameters, times 1 / sqrt(head_dim)"""

    factor: Callable[[Any], float]

    def softmax(self, stage: GraphStage, place: Place, q: Doubles, keys: Doubles) -> Doubles:
        return super().softmax(stage, place, q * self.factor(self.hyper), keys)


def _changed(cls: type[Definition], **attributes: Any) -> Callable[[Definition], Definition]:
    def make(d: Definition) -> Definition:
        twin = cls(d.hyper, d.weights, d.arithmetic)
        vars(twin).update(attributes)
        return twin

    return make


def stale_row(row: int, holds: int) -> Callable[[Definition], Definition]:
    """The K and V rows of a position were never written: they hold another position's, or zeros (-1)."""

    def rows(cache: Doubles) -> Doubles:
        if not row < len(cache):
            return cache
        stale = cache.copy()
        stale[row] = 0 if holds < 0 else cache[holds]
        return stale

    return _changed(OtherRows, rows_of=rows)


def heads_shifted(by: int) -> Callable[[Definition], Definition]:
    """Query heads read the KV head that is so much further on."""
    return _changed(OtherHeads, heads=lambda kv, n: ops.share_heads(np.roll(kv, -by, axis=1), n))


def stale_rows(stage: GraphStage, length: int) -> Iterator[Row]:
    """Rows for every position of a cache of that length."""
    for row in range(length):
        for holds in (row - 1, -1) if row else (-1,):
            what = "zero" if holds < 0 else f"that of position {holds}"
            words = f"reads a stale KV row: the row of position {row} is {what}"
            yield Row(stage.kind, words, stale_row(row, holds))


def _softmax(how: Callable[[Doubles, Place], Doubles]) -> Callable[[Definition], Definition]:
    """Another softmax of scores (n, heads, m)."""

    def softmax(d: Definition, stage: GraphStage, place: Place, q: Doubles, keys: Doubles) -> Doubles:
        return how(d.scores(place, q, keys), place)

    return instead("softmax", softmax)


def _masked(scores: Doubles, place: Place, hidden: Callable[[Positions, Positions], Any]) -> Doubles:
    """Softmax without what is hidden: later columns, and what is said of columns and positions.

    A row that sees nothing becomes zeros.
    """
    columns, positions = np.arange(scores.shape[-1])[None, None, :], place.positions[:, None, None]
    unseen = (columns > positions) | hidden(columns, positions)
    with np.errstate(invalid="ignore"):
        masked = np.where(unseen, -np.inf, scores)
        largest = np.max(masked, axis=-1, keepdims=True)
        weights = np.where(unseen, 0, np.exp(masked - np.where(np.isfinite(largest), largest, 0)))
        total = np.sum(weights, axis=-1, keepdims=True)
    out: Doubles = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    return out


def _sees_all(scores: Doubles, place: Place) -> Doubles:
    """Of what later positions get, a record holds nothing."""
    last = np.full_like(place.positions, scores.shape[-1] - 1)
    later = np.arange(scores.shape[-1]) > place.positions[:, None, None]
    return np.where(later, 0, ops.causal_softmax(scores, last))


def _sees_the_whole_call(scores: Doubles, place: Place) -> Doubles:
    return ops.causal_softmax(scores, np.full_like(place.positions, scores.shape[-1] - 1))


def _one_more_in_the_sum(scores: Doubles, place: Place) -> Doubles:
    probs = ops.causal_softmax(scores, place.positions)
    later = np.arange(scores.shape[-1]) > place.positions[:, None, None]
    seen = np.where(later, -np.inf, scores)
    largest = np.max(seen, axis=-1, keepdims=True)
    total = np.sum(np.exp(seen - largest), axis=-1, keepdims=True)
    out: Doubles = probs * total / (total + np.exp(-largest))
    return out


def _not_normalised(scores: Doubles, place: Place) -> Doubles:
    later = np.arange(scores.shape[-1]) > place.positions[:, None, None]
    seen = np.where(later, -np.inf, scores)
    return np.asarray(np.exp(seen - np.max(seen, axis=-1, keepdims=True)))


def _query_heads_shifted(
    d: Definition, stage: GraphStage, place: Place, q: Doubles, keys: Doubles
) -> Doubles:
    shifted = np.roll(d.split_heads(q), -1, axis=1).reshape(q.shape)
    return d.softmax(stage, place, shifted, keys)


def _context(how: Callable[[Doubles], Doubles]) -> Callable[[Definition], Definition]:
    """Another order of what the heads give, (n, heads, head_dim)."""

    def context(d: Definition, stage: GraphStage, place: Place, probs: Doubles, values: Doubles) -> Doubles:
        out = d.context(stage, place, probs, values)
        return how(d.split_heads(out)).reshape(out.shape)

    return instead("context", context)


def _mean_of_values(
    d: Definition, stage: GraphStage, place: Place, probs: Doubles, values: Doubles
) -> Doubles:
    equal = (probs > 0) / np.maximum(np.sum(probs > 0, axis=-1, keepdims=True), 1)
    return d.context(stage, place, equal, values)


def _first_heads_rows(
    d: Definition, stage: GraphStage, place: Place, probs: Doubles, values: Doubles
) -> Doubles:
    return d.context(stage, place, np.broadcast_to(probs[:, :1], probs.shape).copy(), values)


def _has_groups(d: Definition, stage: GraphStage) -> bool:
    return 1 < d.hyper.n_head_kv < d.hyper.n_head


def _has_more_kv_heads_than(count: int) -> Callable[[Definition, GraphStage], bool]:
    return lambda d, stage: d.hyper.n_head_kv > count


def _of_heads(kind: Kind) -> Iterator[Row]:
    yield Row(
        kind,
        "gives query head h KV head h mod {hyper.n_head_kv} where h // {group} is defined",
        _changed(OtherHeads, heads=lambda kv, n: np.tile(kv, (1, n // kv.shape[1], 1))),
        _has_groups,
    )
    for shift in range(1, MOST_KV_HEADS):
        words = f"reads KV heads {shift} further on, modulo {{hyper.n_head_kv}}"
        yield Row(kind, words, heads_shifted(shift), _has_more_kv_heads_than(shift))
    yield Row(
        kind,
        "reads KV head 0 for every query head",
        _changed(OtherHeads, heads=lambda kv, n: np.repeat(kv[:, :1], n, axis=1)),
        _has_more_kv_heads_than(1),
    )
    yield Row(
        kind,
        "reads KV heads in reverse order",
        _changed(OtherHeads, heads=lambda kv, n: ops.share_heads(kv[:, ::-1], n)),
        _has_more_kv_heads_than(2),
    )


def _of_rows(kind: Kind) -> Iterator[Row]:
    def late(cache: Doubles) -> Doubles:
        return np.concatenate([cache[:1], cache[:-1]])

    def early(cache: Doubles) -> Doubles:
        return np.concatenate([cache[1:], cache[-1:]])

    yield Row(kind, "reads the KV row of position p - 1 for that of p", _changed(OtherRows, rows_of=late))
    yield Row(kind, "reads the KV row of position p + 1 for that of p", _changed(OtherRows, rows_of=early))
    yield Row(
        kind,
        "reads the KV row of position 0 for every position",
        _changed(OtherRows, rows_of=lambda cache: np.broadcast_to(cache[:1], cache.shape).copy()),
    )


def _precisions(kind: Kind) -> Iterator[Row]:
    for kv in ("f32", "f16", "bf16", "q8_0"):
        cached = "K" if kind == "softmax" else "V"
        yield Row(
            kind,
            f"caches {cached} as {kv.upper()}",
            arithmetic(kv=kv),
            differs("kv", kv),
            is_rounding=True,
        )
    axis, what = (
        ("q", "Q to {} before q.k") if kind == "softmax" else ("probs", "softmax rows to {} before x V")
    )
    for to in ("f16", "bf16"):
        words = "rounds " + what.format(to.upper())
        yield Row(kind, words, arithmetic(**{axis: to}), differs(axis, to), is_rounding=True)
    words = "does not round " + what.format("F16")
    yield Row(kind, words, arithmetic(**{axis: "f32"}), differs(axis, "f32"), is_rounding=True)


_SCALES = {
    "does not divide the scores by sqrt(head_dim)": lambda hyper: np.sqrt(hyper.head_dim),
    "divides the scores by head_dim where sqrt(head_dim) is defined": lambda hyper: hyper.head_dim**-0.5,
    "divides the scores by the root of the model's width": lambda hyper: np.sqrt(
        hyper.head_dim / hyper.n_embd
    ),
    "takes powers of 2 where powers of e are defined": lambda hyper: np.log(2),
}

ROWS = (
    *_of_heads("softmax"),
    *_of_heads("context"),
    *_of_rows("softmax"),
    *_of_rows("context"),
    *(Row("softmax", words, _changed(OtherScores, factor=factor)) for words, factor in _SCALES.items()),
    Row(
        "softmax",
        "lets positions see later ones",
        _softmax(_sees_all),
        in_a_run=_softmax(_sees_the_whole_call),
    ),
    Row(
        "softmax",
        "hides a position from itself",
        _softmax(lambda s, place: _masked(s, place, lambda column, p: column == p)),
    ),
    Row(
        "softmax",
        "hides position 0",
        _softmax(lambda s, place: _masked(s, place, lambda column, p: (column == 0) & (p > 0))),
    ),
    Row(
        "softmax",
        "sees nothing before the call",
        _softmax(lambda s, place: _masked(s, place, lambda column, p: column < place.positions[0])),
    ),
    Row("softmax", "adds 1 to the sum of a softmax", _softmax(_one_more_in_the_sum)),
    Row("softmax", "does not divide a softmax by its sum", _softmax(_not_normalised)),
    Row(
        "softmax",
        "takes the query of the next head",
        instead("softmax", _query_heads_shifted),
        lambda d, stage: d.hyper.n_head > 1,
    ),
    *_precisions("softmax"),
    Row(
        "context",
        "merges heads in the wrong order, dimensions outside",
        _context(lambda heads: heads.transpose(0, 2, 1)),
        lambda d, stage: d.hyper.n_head > 1,
    ),
    Row("context", "weighs all values equally", instead("context", _mean_of_values)),
    Row(
        "context",
        "weighs the values of every head by the first head's softmax row",
        instead("context", _first_heads_rows),
        lambda d, stage: d.hyper.n_head > 1,
    ),
    *_precisions("context"),
)
