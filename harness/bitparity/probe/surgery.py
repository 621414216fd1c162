"""An engine without a tap, read on copies of the model at hand with one branch of one block alive."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bitparity.engine import Engine
from bitparity.model.types import Model
from bitparity.model.writer import Progress
from bitparity.oracle.arithmetic import Arithmetic
from bitparity.probe.parts import ATTENTION, FEED_FORWARD
from bitparity.probe.run import Sessions, read_branches, sheet_of, single_parts
from bitparity.probe.sheet import Sheet
from bitparity.processors import one_blas_thread
from bitparity.settings import Settings

LARGEST = 200_000_000  # weights of a model that is copied once for every branch
LENGTH = 5  # tokens of a sequence


def why_not(model: Model) -> str | None:
    """Why an engine cannot be read on copies of this model, in a clause; None when it can."""
    if not model.tensors:
        return "nothing but the engine reads its file"
    count = sum(
        tensor.shape[0] * tensor.shape[-1] for layer in model.weights.layers for tensor in layer.values()
    )
    return f"the model has {count / 1e6:,.0f} million weights, too many to copy" if count > LARGEST else None


@one_blas_thread()
def operate(
    engine: Engine,
    settings: Settings,
    model: Model,
    tokens: Sequence[int],
    *,
    meant: Model | None = None,
    found: Sequence[Arithmetic] = (),
    threads: int | None = None,
    device_id: int | None = None,
    progress: Progress | None = None,
) -> Sheet:
    """Read every branch of every block of a model.

    tokens  that the copies are run on, the first few of them
    meant   what the model was meant to be, where it is a twin in other formats
    found   arithmetics that give what it gives on the model itself: others are tried if these do not do
    Raises EngineFailed when the engine fails on a copy.
    """
    sessions = Sessions(engine, settings, threads, device_id)
    sequences = dict.fromkeys(("ends", FEED_FORWARD, ATTENTION), _sequences(tokens, model.hyper.n_vocab))
    with TemporaryDirectory(prefix="bitparity-surgery-") as folder:
        ends, *each = sessions.read(Path(folder), model, single_parts(model), sequences, progress, meant)
        findings = read_branches(ends, each, found)
        if found and any(reading.mistake or not reading.fits for reading in findings.readings.values()):
            findings = read_branches(ends, each)
        return sheet_of(sessions, model, findings)


def _sequences(tokens: Sequence[int], n_vocab: int) -> list[tuple[int, ...]]:
    """Two sequences without a token in common, of those of the run and of others if it has too few."""
    distinct = list(dict.fromkeys((*tokens, *range(min(n_vocab, 4 * LENGTH)))))
    return [tuple(distinct[:LENGTH]), tuple(distinct[LENGTH : 2 * LENGTH])]
