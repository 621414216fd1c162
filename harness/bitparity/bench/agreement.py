"""Nothing is timed before the outputs agree: a wrong engine is easily a fast one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bitparity.bench.lane import Lane, reference_of
from bitparity.compare.chunking import Chunking
from bitparity.compare.comparison import Comparison, Side
from bitparity.compare.prompts import Prompt
from bitparity.compare.run import compare_engines
from bitparity.engine import Fingerprint
from bitparity.errors import BitparityError
from bitparity.report.words import headline
from bitparity.runs import follow
from bitparity.settings import Settings

POSITIONS = 24  # a prefill of 7, decodes, a prefill of 12: both paths that are timed, over a filled cache


class OutputsDisagree(BitparityError):
    """Two lanes do not compute the same, so their times say nothing of each other.

    exit_code is that of the comparison: 1 diverged, 4 not compared, 5 an engine failed.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Agreement:
    """sentences: label -> the verdict, empty for a single lane; lanes: each engine as it was compared."""

    sentences: dict[str, str]
    lanes: list[Lane]


def require_agreement(
    lanes: Sequence[Lane], tokens: Sequence[int], *, settings: Settings, threads: int | None = None
) -> Agreement:
    """Compare every lane with the reference lane, position by position, as `bitparity compare` does.

    tokens  the first POSITIONS of them are run, in mixed chunks

    Raises OutputsDisagree unless each agrees or differs by the reference's own noise.
    """
    reference = reference_of(lanes)
    prompt = Prompt(tokens=tuple(tokens[:POSITIONS]))
    agreement = Agreement({}, [])
    for lane in lanes:
        if lane is reference:
            agreement.lanes.append(lane)
            continue
        comparison = Comparison(
            reference=Side(reference.engine, reference.model),
            candidate=Side(lane.engine, lane.model),
            prompts=[prompt],
            settings=settings,
            chunking=Chunking("mixed"),
            threads=threads,
        )
        result = compare_engines(comparison)
        agreement.sentences[lane.label] = headline(result)
        followed = follow(lane.engine, Fingerprint(**result.reference))
        agreement.lanes.append(replace(lane, engine=followed))
        if result.exit_code != 0:
            message = f"nothing was timed, because the outputs do not agree: {headline(result)}"
            raise OutputsDisagree(message, result.exit_code)
    return agreement
