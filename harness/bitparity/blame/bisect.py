"""Blame two open sessions without ever holding all values: window by window of layers, under a budget.

Judging a layer needs nothing but that layer's own values and its input, so the model is run again for every
window of layers that fits the budget, and the answer is the one that a full recording gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from bitparity.blame.causes import in_order
from bitparity.blame.engines import BlameReport, EngineBlame, Evidence, check_judged, judge_all
from bitparity.compare.chunking import Chunking
from bitparity.engine import Session
from bitparity.errors import NotCompared
from bitparity.model.twin import in_formats_of
from bitparity.model.types import HyperParameters, Model
from bitparity.oracle.arithmetic import Arithmetic
from bitparity.stages import POSITIONS_SO_FAR, StageFilter, graph_order, stage_named
from bitparity.trace import MemoryTrace

Side = tuple[Session, Model]  # with what it should compute
DEFAULT_BUDGET = 1 << 30  # bytes of recorded values of all engines together


@dataclass(frozen=True)
class Window:
    """Layers first <= layer < last; the first window has the embeddings too, the last one the logits."""

    first: int
    last: int
    n_layer: int

    def judged(self) -> StageFilter:
        """The stages that this window judges."""
        ends = ["-1:embeddings"] if self.first == 0 else []
        ends += ["-1:final_norm", "-1:logits"] if self.last == self.n_layer else []
        return StageFilter.parse(",".join([f"{self.first}-{self.last - 1}:*", *ends]))

    def recorded(self) -> StageFilter:
        """Those, and the input of the first layer."""
        before = f",{self.first - 1}:layer_out" if self.first else ""
        return StageFilter.parse(self.judged().text + before)


def blame_sessions(
    model: Model,
    expected: Session,
    actual: Session,
    tokens: Sequence[int],
    chunking: Chunking | None = None,
    *,
    files: tuple[Model, Model] | None = None,
    budget: int = DEFAULT_BUDGET,
) -> BlameReport:
    """Run the tokens on both sessions from position 0, as often as the budget asks for; judge every stage.

    model      the model that both were meant to run
    chunking   as the tokens were run when the engines diverged; prefill unless given
    files      that the two sessions have open, where those are not the model itself but may be twins of it
    Both sessions are rolled back to 0 first, and hold the tokens afterwards.
    Raises NotCompared if nothing could be judged, or one layer alone does not fit the budget.
    """
    sides = list(zip((expected, actual), files or (model, model), strict=True))
    report = blame_all(model, sides, tokens, chunking, budget=budget)[0, 1]
    check_judged(report)
    return report


def blame_all(
    model: Model,
    sides: Sequence[Side],
    tokens: Sequence[int],
    chunking: Chunking | None = None,
    *,
    budget: int = DEFAULT_BUDGET,
    found: Sequence[Arithmetic | None] = (),
) -> dict[tuple[int, int], BlameReport]:
    """A report for every two of these sessions, by their numbers; each of them is recorded and judged once.

    found  the arithmetic of each session by its logits, as Evidence.of takes it; empty for none of them
    Everything else as blame_sessions has it, but nothing judged is no error.
    """
    plan = chunking or Chunking("prefill")
    meant = [(session, in_formats_of(file, model)) for session, file in sides]
    reports = [
        _blame_window(model, meant, tokens, plan, window, found or [None] * len(sides))
        for window in windows(model.hyper, len(tokens), budget, len(sides))
    ]
    return {pair: _merge([of_window[pair] for of_window in reports]) for pair in reports[0]}


def windows(hyper: HyperParameters, n_tokens: int, budget: int, engines: int = 2) -> list[Window]:
    """Cut the layers so that what all engines record of a window fits the budget.

    Raises NotCompared if a single layer, or the logits, are larger than it.
    """
    layer, ends = engines * _layer_bytes(hyper, n_tokens), engines * _end_bytes(hyper, n_tokens)
    room = (budget - ends) // layer
    if room < 1:
        raise NotCompared(
            f"recording one layer and the logits of {n_tokens} positions takes {layer + ends:,} bytes, "
            f"the budget is {budget:,}; give fewer positions"
        )
    firsts = range(0, hyper.n_layer, room)
    return [Window(first, min(first + room, hyper.n_layer), hyper.n_layer) for first in firsts]


def _layer_bytes(hyper: HyperParameters, n: int) -> int:
    """Recorded values of a layer at n positions, one engine; attn_probs as a full square."""

    def size(axis: str) -> int:
        return n if axis == POSITIONS_SO_FAR else hyper.size(axis)

    axes = [stage_named(stage.name).axes for stage in hyper.architecture.block]
    return 4 * n * sum(prod(map(size, each)) for each in axes)


def _end_bytes(hyper: HyperParameters, n: int) -> int:
    """Logits, final norm and the input of the window, one engine."""
    return 4 * n * (hyper.n_vocab + 2 * hyper.n_embd)


def _blame_window(
    model: Model,
    sides: Sequence[Side],
    tokens: Sequence[int],
    plan: Chunking,
    window: Window,
    found: Sequence[Arithmetic | None],
) -> dict[tuple[int, int], BlameReport]:
    recorded = [
        record_session(*side, tokens, plan, window.recorded(), arithmetic)
        for side, arithmetic in zip(sides, found, strict=True)
    ]
    return judge_all(model, recorded, tokens=tokens, stages=window.judged())


def record_session(
    session: Session,
    model: Model,
    tokens: Sequence[int],
    plan: Chunking,
    stages: StageFilter,
    found: Arithmetic | None = None,
) -> Evidence:
    """Run the tokens from position 0 and record stages; the model is what the session has open.

    found  as Evidence.of takes it
    """
    info = session.info
    trace = MemoryTrace(info.fingerprint.engine)
    session.rollback(0)
    with session.tap(stages, trace):
        for chunk in plan.chunks(len(tokens)):
            if chunk.decode:
                session.decode(tokens[chunk.first])
            else:
                session.prefill(tokens[chunk.first : chunk.last])
    return Evidence.of(trace, info.fingerprint, model, found)


def _merge(reports: Sequence[BlameReport]) -> BlameReport:
    return BlameReport(
        _merge_engine([r.expected for r in reports]),
        _merge_engine([r.actual for r in reports]),
        tuple(d for r in reports for d in r.differences),
    )


def _merge_engine(blames: Sequence[EngineBlame]) -> EngineBlame:
    return EngineBlame(
        engine=blames[0].engine,
        arithmetic=blames[0].arithmetic,
        stages=tuple(
            sorted((s for b in blames for s in b.stages), key=lambda s: graph_order(s.layer, s.stage))
        ),
        causes=in_order(cause for b in blames for cause in b.causes),
        not_judged=tuple(n for b in blames for n in b.not_judged),
        absent=tuple(s for s in blames[0].absent if all(s in b.absent for b in blames)),
        positions=blames[0].positions,
    )
