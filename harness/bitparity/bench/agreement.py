"""Nothing is timed before the outputs agree: a wrong engine is easily a fast one."""

from __future__ import annotations

from collections.abc import Sequence

from bitparity.bench.lane import Lane, reference_of
from bitparity.compare.chunking import Chunking
from bitparity.compare.comparison import Comparison, Side
from bitparity.compare.judging import compare
from bitparity.compare.prompts import Prompt
from bitparity.errors import BitparityError
from bitparity.report.words import headline
from bitparity.settings import Settings

POSITIONS = 24  # a prefill of 7, decodes, a prefill of 12: both paths that are timed, over a filled cache


class OutputsDisagree(BitparityError):
    """Two lanes do not compute the same, so their times say nothing of each other.

    exit_code is that of the comparison: 1 diverged, 4 not compared, 5 an engine failed.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def require_agreement(
    lanes: Sequence[Lane], tokens: Sequence[int], *, settings: Settings, threads: int | None = None
) -> dict[str, str]:
    """Compare every lane with the reference lane, position by position, as `bitparity compare` does.

    tokens   of them the first POSITIONS are run, in mixed chunks
    returns  label -> the verdict in a sentence; empty for a single lane

    Raises OutputsDisagree unless each agrees or differs by the reference's own noise.
    """
    reference = reference_of(lanes)
    prompt = Prompt(tokens=tuple(tokens[:POSITIONS]))
    sentences: dict[str, str] = {}
    for lane in lanes:
        if lane is reference:
            continue
        comparison = Comparison(
            reference=Side(reference.engine, reference.model),
            candidate=Side(lane.engine, lane.model),
            prompts=[prompt],
            settings=settings,
            chunking=Chunking("mixed"),
            threads=threads,
        )
        result = compare(comparison)
        sentences[lane.label] = headline(result)
        if result.exit_code != 0:
            message = f"nothing was timed, because the outputs do not agree: {headline(result)}"
            raise OutputsDisagree(message, result.exit_code)
    return sentences
