"""Measure the noise floor: how far the reference is from itself on the tokens of this run.

Two things are measured, each as the distance between two runs of the same engine:

self      the same model: again, prefill against decode, against chunks of 7, and n threads against one
rounding  prefill as it is against prefill with what all norms give moved by a few float32 steps (perturb.py)

Both are needed.  An engine whose prefill and decode share all code has no self noise, and still another
correct engine will not match it: BitNet rounds activations to int8 before every matmul, and the first
rounding that falls the other way multiplies a 1e-7 difference by 1e5.  Relative L2 of the logits, 48 or 64
positions:

| reference and model            | self median, max | rounding median, max | oracle median, max |
|--------------------------------|------------------|----------------------|--------------------|
| bitnet.cpp I2_S, trained       | 5.1e-3, 1.2e-2   | 3.7e-3, 9.5e-3       | 2.1e-3, 6.3e-3     |
| bitnet.cpp I2_S, random        | 2.8e-2, 3.6e-2   | 2.0e-2, 3.1e-2       | 1.8e-2, 2.3e-2     |
| bitnet.cpp F16, trained        | 1.9e-4, 4.7e-4   | 1.8e-4, 4.8e-4       | 1.6e-4, 3.7e-4     |
| llama.cpp TQ2_0, random        | 9.9e-8, 1.6e-2   | 1.8e-2, 2.5e-2       | 1.2e-2, 2.2e-2     |
| llama.cpp F32, trained         | 7.9e-5, 2.5e-4   | 1.0e-4, 3.3e-4       | 7.1e-5, 2.5e-4     |

The last column is the float64 oracle against the reference's decode.  It shares nothing with the reference
and is as far from it as rounding predicts, and so will every correct candidate be.  The size of the
perturbation hardly matters (64 times as much moves the result by 1.3 to 1.6), because flips beget flips until
a plateau of the model is reached.

Position by position the distance is either about 1e-7 (no flip yet) or on the plateau, and which of the two
is chance; a floor for each position would be 0 where the candidate happens to flip.  The floor is therefore
pooled: the largest over all positions and comparisons, from MIN_SAMPLE positions at least.

How many positions are enough?  A run of thousands meets larger differences by chance than a sample does.
With a floor from the first 128 positions of llama.cpp, the largest difference between two perturbed runs over
many more, as a multiple of it (the limit is 3, and 9 for 1 - cosine and KL, which are quadratic):

| model          | positions | relative L2 | 1 - cosine | KL         |
|----------------|-----------|-------------|------------|------------|
| TQ2_0, trained | 2,000     | 1.4 to 2.2  | 1.9 to 4.9 | 5.4 to 8.0 |
| TQ2_0, random  | 1,500     | 1.1 to 1.2  | 1.2 to 1.3 | 1.7 to 1.8 |
| F32, random    | 1,500     | 0.9 to 1.1  | 0.9 to 1.1 | 0.9 to 1.1 |

From the first 32 positions alone the floor of the trained model is less than half as high, and would not do.
So a prefill of SAMPLE positions is perturbed, which is cheap; what is dear for each position, decode above
all, runs over few of them, for it has to show no more than that the engine contradicts itself.

Why a multiple of 3 on it (criterion.MULTIPLE): the candidate's worst position meets the reference's worst.
Between seeds such maxima differed by up to 1.4 in relative L2, and by 2.4 in KL, which is quadratic; the
oracle's stayed below 1.1 times the floor on every model above.  Below the plateau the difference grows as the
square root of the rounding, so 3 allows a candidate nine times the rounding of ordinary stages.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import cycle, islice, starmap
from pathlib import Path

import numpy as np
from blake3 import blake3

from bitparity.compare.chunking import Chunking
from bitparity.compare.metrics import relative_l2
from bitparity.compare.most_probable import measure_for
from bitparity.compare.positions import logits_by_position
from bitparity.engine import Engine, Floats, Session
from bitparity.model.types import Model
from bitparity.noise.floor import Kind, Levels, NoiseFloor, SelfComparison, largest
from bitparity.noise.perturb import STEPS, perturbed
from bitparity.output import to_json
from bitparity.runs import file_digest, open_session
from bitparity.settings import Settings
from bitparity.stages import StageFilter
from bitparity.trace import MemoryTrace, TraceValues

FORMAT = 2  # of the cached JSON
MIN_SAMPLE, SAMPLE = 32, 128  # positions; fewer tokens than MIN_SAMPLE are repeated up to that many
SHORT, DECODED = 32, 16  # of the runs that cost more for each, or only have to show that they differ
SEEDS = (0, 1)  # of the perturbed runs
Progress = Callable[[int, int], None]


def measure_noise(
    session: Session,
    engine: Engine,
    model: Model,
    tokens: Sequence[int],
    *,
    settings: Settings,
    threads: int | None = None,
    device_id: int | None = None,
    stages: StageFilter | None = None,
    progress: Progress | None = None,
    most_probable: int | None = None,
) -> NoiseFloor:
    """Run the reference against itself; the answer is kept under settings.cache_dir.

    session  of the engine with the model open; it runs the sample, and more sessions are opened to differ
    tokens   the first SAMPLE of them are run; fewer are repeated up to MIN_SAMPLE, the context permitting
    stages   also measure these stages; all their values of two runs are in memory at a time
    progress called with the number of runs that are done, and of all
    most_probable  compare only so many tokens of a row, as with a candidate that gives no more

    The logits of two runs of the sample are in memory, and one more session is open at a time.
    """
    wanted = min(max(len(tokens), MIN_SAMPLE), SAMPLE, session.info.context)
    ids = list(islice(cycle(tokens), wanted))
    bench = _Bench(session, engine, model, ids, settings, threads, device_id, stages, progress, most_probable)
    file = _cache_file(bench)
    if (kept := _read_whole(file)) is not None:
        return kept
    floor = NoiseFloor(engine.name, tuple(bench.comparisons()))
    with suppress(OSError):  # what cannot be kept is measured again
        _write_whole(file, to_json(floor.as_dict()))
    return floor


def measure_rounding(
    session: Session,
    engine: Engine,
    model: Model,
    tokens: Sequence[int],
    *,
    settings: Settings,
    threads: int | None = None,
    device_id: int | None = None,
) -> Levels:
    """How far rounding alone moves an engine's logits on these tokens: the comparisons of kind "rounding".

    Arguments as for measure_noise.  Nothing is kept from run to run: an engine that is being written has the
    same fingerprint from build to build.
    """
    bench = _Bench(session, engine, model, list(tokens), settings, threads, device_id, None, None)
    prefill = bench.run(session, "prefill", SAMPLE)
    return largest(comparison.levels for comparison in bench.against_perturbed(prefill))


@dataclass(frozen=True)
class _SampleRun:
    """Logits of one run of the sample, (positions, n_vocab), and the stages that were asked for."""

    logits: Floats
    trace: MemoryTrace


class _Bench:
    """The arguments of measure_noise, and the runs that it compares."""

    def __init__(
        self,
        session: Session,
        engine: Engine,
        model: Model,
        tokens: list[int],
        settings: Settings,
        threads: int | None,
        device_id: int | None,
        stages: StageFilter | None,
        progress: Progress | None,
        most_probable: int | None = None,
    ) -> None:
        self.session, self.engine, self.model, self.tokens = session, engine, model, tokens
        self.settings, self.threads, self.device_id = settings, threads, device_id
        self.stages, self.progress, self.most_probable = stages, progress, most_probable
        self._done = 0

    def comparisons(self) -> Iterator[SelfComparison]:
        """The reference against itself, then against perturbed runs."""
        threads = self.session.info.fingerprint.threads
        prefill = self.run(self.session, "prefill", SAMPLE)
        yield self.compare("self", "again", prefill, self.run(self.session, "prefill", SHORT))
        decode = self.run(self.session, "decode", DECODED)
        yield self.compare("self", "prefill against decode", prefill, decode)
        yield self.compare("self", "prefill against chunks of 7", prefill, self.run(self.session, "7", SHORT))
        if threads > 1:
            with self.opened(self.engine, self.model, 1) as other:
                one_thread = self.run(other, "prefill", SHORT)
            yield self.compare("self", f"{threads} threads against 1", prefill, one_thread)
        yield from self.against_perturbed(prefill)

    def against_perturbed(self, prefill: _SampleRun) -> Iterator[SelfComparison]:
        """A prefill of the sample against perturbed ones."""
        for seed in self._seeds():
            with perturbed(self.engine, self.model, seed) as what, self.opened(*what, self.threads) as other:
                moved = self.run(other, "prefill", SAMPLE)
            name = f"norms moved by {STEPS} float32 steps, seed {seed}"
            yield self.compare("rounding", name, prefill, moved)

    def _seeds(self) -> tuple[int, ...]:
        """A short sample is perturbed twice."""
        return SEEDS if len(self.tokens) < SAMPLE // 2 else SEEDS[:1]

    @contextmanager
    def opened(self, engine: Engine, model: Model, threads: int | None) -> Iterator[Session]:
        with open_session(
            engine,
            model,
            context=self.session.info.context,
            settings=self.settings,
            threads=threads,
            device_id=self.device_id,
        ) as session:
            yield session

    def run(self, session: Session, chunks: str, positions: int) -> _SampleRun:
        """The first positions of the sample, cut into calls."""
        tokens = self.tokens[:positions]
        trace = MemoryTrace(self.engine.name)
        with ExitStack() as stack:
            if self.stages is not None:
                stack.enter_context(session.tap(self.stages, trace))
            logits = np.stack([row.copy() for row in logits_by_position(session, tokens, Chunking(chunks))])
        self._done += 1
        if self.progress is not None:
            self.progress(self._done, 5 + len(self._seeds()))
        return _SampleRun(logits, trace)

    def compare(self, kind: Kind, name: str, expected: _SampleRun, actual: _SampleRun) -> SelfComparison:
        """Two runs at the positions that both have."""
        rows = zip(expected.logits, actual.logits, strict=False)
        measured = list(starmap(measure_for(self.most_probable), rows))
        flips = {position: m.contested for position, m in enumerate(measured) if not m.argmax_equal}
        stages = stage_noise(expected.trace, actual.trace)
        return SelfComparison(kind, name, tuple(map(Levels.of, measured)), flips, stages)


def stage_noise(expected: TraceValues, actual: TraceValues) -> dict[str, float]:
    """Largest relative L2 of each stage over the layers and positions that both traces hold."""
    noise: dict[str, float] = {}
    for layer, stage in expected.stages():
        for position in expected.positions():
            if expected.has_value(layer, stage, position) and actual.has_value(layer, stage, position):
                values = (side.value(layer, stage, position) for side in (expected, actual))
                noise[stage] = float(np.maximum(noise.get(stage, 0.0), relative_l2(*values)))
    return noise


def _cache_file(bench: _Bench) -> Path:
    """The file of this measurement: named by all that it depends on."""
    depends = {
        "format": FORMAT,
        "model": file_digest(bench.model.path),
        "fingerprint": bench.session.info.fingerprint.as_dict(),
        "tokens": bench.tokens,
        "stages": bench.stages.text if bench.stages else None,
        "sample": [SHORT, DECODED, STEPS, SEEDS],
        "most_probable": bench.most_probable,
    }
    key = blake3(json.dumps(depends, sort_keys=True).encode()).hexdigest(length=16)
    return bench.settings.cache_dir / "noise" / f"{key}.json"


def _read_whole(file: Path) -> NoiseFloor | None:
    """What was kept; None for a file that is missing or damaged."""
    try:
        return NoiseFloor.from_dict(json.loads(file.read_text()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _write_whole(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as unfinished:
        unfinished.write(text)
    Path(unfinished.name).replace(file)
