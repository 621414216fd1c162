"""Every measurement in turns, so that what disturbs the machine disturbs all engines alike."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice

from bitparity.bench.agreement import require_agreement
from bitparity.bench.bandwidth import ReadBandwidth, last_level_cache
from bitparity.bench.child import ChildTimer
from bitparity.bench.lane import Lane, reference_of, weight_bytes
from bitparity.bench.result import BenchResult, Decode, LaneResult
from bitparity.bench.samples import Samples
from bitparity.bench.stopwatch import Timer
from bitparity.errors import BadInput, EngineFailed
from bitparity.processors import usable_processors
from bitparity.runs import file_digest
from bitparity.settings import Settings
from bitparity.worker.worker import TIME_LIMIT

SETTLE_SECONDS = (
    0.25  # LLVM's OpenMP lets threads spin for 0.2 s after a call, on the next engine's processors
)
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Plan:
    """prefill: numbers of tokens; depths: tokens in the cache when `decode_tokens` are decoded."""

    prefill: tuple[int, ...]
    depths: tuple[int, ...]
    decode_tokens: int
    repetitions: int

    @property
    def context(self) -> int:
        """Positions that a session needs."""
        return max((*self.prefill, *(depth + self.decode_tokens for depth in self.depths)), default=0)

    def check(self, lanes: Sequence[Lane]) -> None:
        """Raises BadInput for an empty plan, and when a model is too short for it."""
        if not (self.prefill or self.depths):
            raise BadInput("there is nothing to time; name lengths with --prefill or --depths")
        for lane in lanes:
            longest = lane.model.hyper.context_length
            if self.context > longest:
                raise BadInput(
                    f"{lane.model.path} holds {longest} positions and {self.context} are needed; "
                    "ask for smaller --prefill and --depths"
                )

    def tokens(self, text: Sequence[int]) -> list[int]:
        """As many as the context holds: the text again and again."""
        return list(islice(cycle(text), self.context))


class Turns:
    """Measures lane after lane, round after round; the first round is a warm-up and does not count."""

    def __init__(
        self,
        timers: Mapping[str, Timer],
        bandwidth: Callable[[], float],
        plan: Plan,
        *,
        settle: float,
        progress: Progress | None = None,
    ) -> None:
        self._timers, self._bandwidth, self._plan = timers, bandwidth, plan
        self._settle, self._progress, self._done = settle, progress, 0
        self._total = (1 + len(plan.prefill) + len(plan.depths)) * (plan.repetitions + 1)

    def load(self) -> dict[str, Samples]:
        """Label -> seconds."""
        return {label: Samples.of(seconds) for label, seconds in self._rounds(lambda t: t.load()).items()}

    def prefill(self, tokens: Sequence[int]) -> dict[str, Samples]:
        """Label -> tokens a second."""
        seconds = self._rounds(lambda timer: timer.prefill(tokens))
        return {label: _rates(len(tokens), values) for label, values in seconds.items()}

    def decode(self, tokens: Sequence[int], depth: int) -> tuple[dict[str, Samples], Samples]:
        """Label -> tokens a second, and the bytes a second that the machine read meanwhile."""
        bandwidths: list[float] = []

        def measure_bandwidth() -> None:
            time.sleep(self._settle)
            bandwidths.append(self._bandwidth())

        seconds = self._rounds(lambda timer: timer.decode(tokens, depth), after=measure_bandwidth)
        rates = {label: _rates(len(tokens) - depth, values) for label, values in seconds.items()}
        return rates, Samples.of(bandwidths[1:])

    def _rounds(
        self, measure: Callable[[Timer], float], after: Callable[[], None] = lambda: None
    ) -> dict[str, list[float]]:
        seconds: dict[str, list[float]] = {label: [] for label in self._timers}
        for number in range(self._plan.repetitions + 1):
            for label, timer in self._timers.items():
                time.sleep(self._settle)
                measured = measure(timer)
                if number > 0:
                    seconds[label].append(measured)
            after()
            self._done += 1
            if self._progress is not None:
                self._progress(self._done, self._total)
        return seconds


def bench(
    lanes: Sequence[Lane],
    plan: Plan,
    text: Sequence[int],
    *,
    settings: Settings,
    threads: int | None = None,
    time_limit: float = TIME_LIMIT,
    progress: Progress | None = None,
    command: str = "",
) -> BenchResult:
    """Compare the outputs of all lanes, then time them side by side, each in a process of its own.

    text        token ids that every engine runs, repeated as often as it takes
    time_limit  seconds of silence after which an engine without a limit of its own counts as hung

    Raises OutputsDisagree before anything is timed, BadInput when the plan does not fit a model, and
    EngineFailed when an engine does not load.  One that ends later is the result's failure.
    """
    plan.check(lanes)
    load_average = os.getloadavg()[0]
    agreement = require_agreement(lanes, text, settings=settings, threads=threads)
    open_child = partial(
        ChildTimer, context=plan.context, settings=settings, threads=threads, time_limit=time_limit
    )
    with ExitStack() as opened:
        timers = {lane.label: opened.enter_context(closing(open_child(lane))) for lane in agreement.lanes}
        bandwidth = opened.enter_context(ReadBandwidth())
        turns = Turns(timers, bandwidth, plan, settle=SETTLE_SECONDS, progress=progress)
        results, failure = measure(lanes, timers, turns, plan, plan.tokens(text))
    return BenchResult(
        lanes=results,
        reference=reference_of(lanes).label,
        agreement=agreement.sentences,
        repetitions=plan.repetitions,
        decode_tokens=plan.decode_tokens,
        processors=usable_processors(),
        last_level_cache=last_level_cache(),
        load_average=load_average,
        failure=None if failure is None else str(failure),
        command=command,
    )


def measure(
    lanes: Sequence[Lane], timers: Mapping[str, Timer], turns: Turns, plan: Plan, tokens: Sequence[int]
) -> tuple[tuple[LaneResult, ...], EngineFailed | None]:
    """All of the plan, in turns: results in the order of the lanes, and the failure that ended it early.

    A measurement in which an engine failed is left out for every lane.
    Raises EngineFailed when an engine does not load.
    """
    load = turns.load()
    fingerprints = {label: timer.fingerprint() for label, timer in timers.items()}
    prefill: dict[int, dict[str, Samples]] = {}
    decode: dict[int, tuple[dict[str, Samples], Samples]] = {}
    peaks: dict[str, int | None] = {}
    failure: EngineFailed | None = None
    try:
        for n in plan.prefill:
            prefill[n] = turns.prefill(tokens[:n])
        for depth in plan.depths:
            decode[depth] = turns.decode(tokens[: depth + plan.decode_tokens], depth)
        peaks = {label: timer.peak_memory() for label, timer in timers.items()}
    except EngineFailed as error:
        failure = error

    def result(lane: Lane) -> LaneResult:
        weights = weight_bytes(lane.model)
        return LaneResult(
            label=lane.label,
            model=str(lane.model.path),
            blake3=file_digest(lane.model.path),
            fingerprint=fingerprints[lane.label],
            weight_bytes_per_token=weights,
            load_seconds=load[lane.label],
            prefill_tokens_per_second={n: rates[lane.label] for n, rates in prefill.items()},
            decode={d: _decode(rates[lane.label], read, weights) for d, (rates, read) in decode.items()},
            peak_memory=peaks.get(lane.label),
        )

    return tuple(map(result, lanes)), failure


def _decode(rate: Samples, bandwidth: Samples, weights: int) -> Decode:
    return Decode(rate, bandwidth, share=weights * rate.median / bandwidth.median)


def _rates(tokens: int, seconds: Sequence[float]) -> Samples:
    return Samples.of([tokens / value for value in seconds])
