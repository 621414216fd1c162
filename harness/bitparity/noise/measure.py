"""Measure the noise floor: how far the reference is from itself on the tokens of this run.

Two things are measured, each as the distance between two runs of the same engine:

self      the same model: again, prefill against decode, against chunks of 7, and n threads against one
rounding  the model against a copy whose norm weights moved by a few float32 steps (perturb.py), as prefill
          and as decode

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
pooled: the largest over all positions and comparisons, from MIN_POSITIONS positions at least.

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
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from blake3 import blake3

from bitparity.compare.chunking import Chunking
from bitparity.compare.metrics import compare_logits, relative_l2
from bitparity.compare.positions import logits_by_position
from bitparity.engine import Engine, Session
from bitparity.model import open_model
from bitparity.model.types import Model
from bitparity.noise.floor import Kind, Levels, NoiseFloor, SelfComparison, largest
from bitparity.noise.perturb import STEPS, write_perturbed
from bitparity.output import to_json
from bitparity.runs import file_digest, open_session
from bitparity.settings import Settings
from bitparity.stages import StageFilter
from bitparity.trace import MemoryTrace, TraceValues

FORMAT = 1  # of the cached JSON
MIN_POSITIONS = 32  # fewer tokens are repeated up to that many: at position 0 alone, no rounding may flip
MAX_POSITIONS = 256  # of long prompts; the plateau is reached within the first few
PERTURBED_COPIES = 2
Progress = Callable[[str], None]


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
) -> NoiseFloor:
    """Run the reference against itself; the answer is kept under settings.cache_dir.

    session  of the engine with the model open; it runs all tokens, and more sessions are opened to differ
    tokens   repeated up to MIN_POSITIONS, cut at MAX_POSITIONS; the context of the session permitting
    stages   also measure these stages; all their values of two runs are in memory at a time
    progress called with the name of each comparison as it begins

    At most one chunk of logits is in memory a session, and one more session is open at a time.
    """
    ids = _enough(tokens, session.info.context)
    progress = progress or (lambda name: None)
    bench = _Bench(session, engine, model, ids, settings, threads, device_id, stages, progress)
    file = _cache_file(bench)
    if (kept := _read_whole(file)) is not None:
        return kept
    comparisons = [*bench.against_itself(), *bench.against_perturbed()]
    floor = NoiseFloor(engine.name, tuple(comparisons))
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
    bench = _Bench(
        session, engine, model, list(tokens), settings, threads, device_id, None, lambda name: None
    )
    return largest(comparison.levels for comparison in bench.against_perturbed())


@dataclass(frozen=True)
class _Bench:
    """The arguments of measure_noise, and the comparisons that it makes of them."""

    session: Session
    engine: Engine
    model: Model
    tokens: list[int]
    settings: Settings
    threads: int | None
    device_id: int | None
    stages: StageFilter | None
    progress: Progress

    @contextmanager
    def another(self, model: Model | None = None, threads: int | None = None) -> Iterator[Session]:
        with open_session(
            self.engine,
            model or self.model,
            context=self.session.info.context,
            settings=self.settings,
            threads=threads or self.threads,
            device_id=self.device_id,
        ) as session:
            yield session

    def against_itself(self) -> Iterator[SelfComparison]:
        with self.another() as other:
            yield self.compare("self", "again", "prefill", other, "prefill")
            yield self.compare("self", "prefill against decode", "prefill", other, "decode")
            yield self.compare("self", "prefill against chunks of 7", "prefill", other, "7")
        threads = self.session.info.fingerprint.threads
        if threads > 1:
            with self.another(threads=1) as other:
                yield self.compare("self", f"{threads} threads against 1", "prefill", other, "prefill")

    def against_perturbed(self) -> Iterator[SelfComparison]:
        with tempfile.TemporaryDirectory(prefix="bitparity-") as folder:
            for seed in range(PERTURBED_COPIES):
                path = Path(folder) / f"perturbed-{seed}.gguf"
                write_perturbed(self.model, path, seed)
                with self.another(open_model(path)) as other:
                    for chunks in ("prefill", "decode"):
                        name = f"norm weights moved by {STEPS} float32 steps, seed {seed}, {chunks}"
                        yield self.compare("rounding", name, chunks, other, chunks)
                path.unlink()

    def compare(
        self, kind: Kind, name: str, chunks: str, other: Session, other_chunks: str
    ) -> SelfComparison:
        self.progress(name)
        traces = MemoryTrace("expected"), MemoryTrace("actual")
        with ExitStack() as stack:
            if self.stages is not None:
                for session, trace in zip((self.session, other), traces, strict=True):
                    stack.enter_context(session.tap(self.stages, trace))
            rows = zip(
                logits_by_position(self.session, self.tokens, Chunking(chunks)),
                logits_by_position(other, self.tokens, Chunking(other_chunks)),
                strict=True,
            )
            measured = [compare_logits(expected, actual) for expected, actual in rows]
        flips = {position: m.contested for position, m in enumerate(measured) if not m.argmax_equal}
        return SelfComparison(kind, name, tuple(map(Levels.of, measured)), flips, stage_noise(*traces))


def stage_noise(expected: TraceValues, actual: TraceValues) -> dict[str, float]:
    """Largest relative L2 of each stage over the layers and positions that both traces hold."""
    noise: dict[str, float] = {}
    for layer, stage in expected.stages():
        for position in expected.positions():
            if expected.has_value(layer, stage, position) and actual.has_value(layer, stage, position):
                values = (side.value(layer, stage, position) for side in (expected, actual))
                noise[stage] = float(np.maximum(noise.get(stage, 0.0), relative_l2(*values)))
    return noise


def _enough(tokens: Sequence[int], context: int) -> list[int]:
    wanted = min(max(len(tokens), MIN_POSITIONS), MAX_POSITIONS, context)
    return list(islice(cycle(tokens), wanted))


def _cache_file(bench: _Bench) -> Path:
    """The file of this measurement: named by all that it depends on."""
    depends = {
        "format": FORMAT,
        "model": file_digest(bench.model.path),
        "fingerprint": bench.session.info.fingerprint.as_dict(),
        "tokens": bench.tokens,
        "stages": bench.stages.text if bench.stages else None,
        "perturbation": [STEPS, PERTURBED_COPIES],
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
