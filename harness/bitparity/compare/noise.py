"""The noise of a run's reference: measured, or kept with its recording."""

from __future__ import annotations

from collections.abc import Sequence

from bitparity.compare.comparison import Comparison
from bitparity.compare.recording import RecordedEngine
from bitparity.engine import ModelInfo, Session
from bitparity.errors import NotCompared
from bitparity.noise.floor import NoiseFloor
from bitparity.noise.measure import Progress, measure_noise


def noise_of_reference(
    comparison: Comparison,
    reference: Session,
    candidate: ModelInfo,
    tokens: Sequence[int],
    progress: Progress | None = None,
) -> NoiseFloor:
    """How far the reference is from itself on these tokens, in what the candidate gives of its logits.

    Raises NotCompared for a recording that has no such noise, and as sessions do.
    """
    engine = comparison.reference.engine
    if isinstance(engine, RecordedEngine):
        if engine.recording.noise is None:
            raise NotCompared(f"{engine.name} holds numbers only, which tell nothing of their noise")
        if candidate.most_probable is not None:
            raise NotCompared(f"the recording of {engine.name} has the noise of logits only")
        return engine.recording.noise
    return measure_noise(
        reference,
        engine,
        comparison.reference.model,
        tokens,
        settings=comparison.settings,
        threads=comparison.threads,
        device_id=comparison.reference.device_id,
        progress=progress,
        most_probable=candidate.most_probable,
    )
