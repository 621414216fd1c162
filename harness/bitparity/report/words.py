"""The sentences that every report says of a comparison, so that they all say the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bitparity.compare.metrics import PositionMetrics
from bitparity.compare.result import ComparisonResult, PositionResult
from bitparity.noise.criterion import DEFAULT_LIMIT
from bitparity.noise.verdict import Verdict

# instruction set, as ggml names it -> those that every processor with it has
_INCLUDED = {
    "avx2": ("sse3", "ssse3", "avx"),
    "avx512": ("sse3", "ssse3", "avx", "avx2", "f16c", "fma", "bmi2"),
}


def headline(result: ComparisonResult) -> str:
    """The verdict in one sentence."""
    counts = result.counts()
    names = f"{result.candidate['engine']} and {result.reference['engine']}"
    positions = plural(counts["compared"], "position")
    match result.verdict:
        case Verdict.AGREE:
            return f"{names} agree at all {positions}"
        case Verdict.EXPLAINED:
            return (
                f"{_found(result)} ({counts['agree']} agree, {counts['explained']} explained){_less(result)}"
            )
        case Verdict.NOISE:
            said = ", ".join(
                f"{counts[name]} {name}" for name in ("agree", "explained", "noise") if counts[name]
            )
            return (
                f"{names} differ by no more than the reference's own noise at all {positions} "
                f"({said}), {_unexplained_noise(result)}{_less(result)}"
            )
        case Verdict.DIVERGED:
            return _diverged(result, names, positions)
        case Verdict.REFERENCE_SUSPECT:
            return f"nothing can be judged: {(result.noise_floor or {}).get('suspect')}"
        case Verdict.ENGINE_FAILED:
            return (
                f"{result.failure}; {counts['compared']} of {counts['asked']} positions were compared before"
                f"{_seen_before(result)}"
            )
        case Verdict.NOT_COMPARED if counts["compared"] == counts["asked"] and result.unfinished:
            return f"{names} differ by no more than noise at all {positions}, but {result.unfinished}"
        case Verdict.NOT_COMPARED:
            why = f": {result.unfinished}" if result.unfinished else ""
            return f"only {counts['compared']} of {counts['asked']} positions were compared{why}"


def remarks(result: ComparisonResult) -> list[str]:
    """Whatever else a report has to tell, a sentence each."""
    said = (
        how_to_keep_more(result),
        unexplained(result),
        near_ties(result),
        fixed_limit(result),
        systematic_shift(result),
        resolution(result),
        unfinished(result),
        blame_line(result),
        suggestion(result),
    )
    return [finding["sentence"] for finding in result.findings] + [sentence for sentence in said if sentence]


def how_to_keep_more(result: ComparisonResult) -> str | None:
    """What to type when an engine failed in the middle of a batch, of which nothing is known then."""
    if result.failure is None or result.chunks == "decode" or len(result.positions) == result.asked:
        return None
    return "--chunks decode runs one token at a time, and keeps every position before the failure"


def describe_position(result: ComparisonResult, row: PositionResult) -> str:
    """Where a row lies: its position, and its prompt when there are several."""
    of_prompt = f" of prompt {row.prompt}" if len(result.prompts) > 1 else ""
    return f"position {row.position}{of_prompt}"


def best_tokens(metrics: PositionMetrics) -> str:
    """The best token, or the expected and the actual one where they differ."""
    if metrics.argmax_equal:
        return str(metrics.argmax_expected)
    return f"{metrics.argmax_expected} / {metrics.argmax_actual}"


def describe_fingerprint(fingerprint: Mapping[str, Any], *, short: bool = False) -> str:
    """One line: version, compiler, ISA, kernels, threads, KV type, and the details, as far as they are known.

    short  for a terminal, without the instruction sets that others of the list include
    """
    parts = [
        f"{fingerprint['engine']} {fingerprint['version']}".rstrip(),
        fingerprint["compiler"],
        short_isa(fingerprint["isa"]) if short else fingerprint["isa"],
        f"kernels {fingerprint['kernels']}" if fingerprint["kernels"] else "",
        plural(fingerprint["threads"], "thread") if fingerprint["threads"] else "",
        f"KV {fingerprint['kv_type']}" if fingerprint["kv_type"] else "",
        *(f"{key} {value}" for key, value in sorted(fingerprint["details"].items())),
    ]
    return ", ".join(part for part in parts if part)


def short_isa(isa: str) -> str:
    """`sse3+avx+avx2+fma+avx512+avx512_vnni` as `avx512+vnni`: sets that others include are left out."""
    names = isa.split("+")
    included = {name for widest in names for name in _INCLUDED.get(widest, ())}
    kept = [name for name in names if name not in included]
    return "+".join(name.removeprefix("avx512_") if "avx512" in names else name for name in kept)


def unexplained(result: ComparisonResult) -> str | None:
    """What the logits do not fit, where they were asked and the headline does not say it."""
    return None if result.explanation is None or result.verdict is Verdict.EXPLAINED else _found(result)


def near_ties(result: ComparisonResult) -> str | None:
    """Which flips of the best token were near ties, so that they are marked and not counted."""
    ties = [row for row in result.positions if row.judged.is_near_tie]
    if not ties:
        return None
    gap = max(row.metrics.contested for row in ties)
    return (
        f"{plural(len(ties), 'near tie')}: the best token differs but led by at most {gap:.3g}, "
        "within the noise; not counted"
    )


def fixed_limit(result: ComparisonResult) -> str | None:
    """Says that the reference itself fails the customary limit, if its measured noise shows that."""
    if result.noise_floor is None:
        return None
    own = result.noise_floor["self"]["one_minus_cosine"]
    if own is None or own <= DEFAULT_LIMIT:
        return None
    return (
        f"{result.reference['engine']} fails the fixed limit of {DEFAULT_LIMIT:g} on 1 - cosine when it is "
        f"compared with itself: {own:.2e}"
    )


def systematic_shift(result: ComparisonResult) -> str | None:
    """That positions within the noise are too far off all together, which none of them shows alone."""
    shift = result.shift() if result.verdict is Verdict.NOISE else None
    if shift is None:
        return None
    return f"{shift.sentence}: noise makes no such shift, look for a small mistake everywhere with --blame"


def resolution(result: ComparisonResult) -> str | None:
    """What the run could not have seen."""
    return None if result.resolution is None else str(result.resolution["sentence"])


def unfinished(result: ComparisonResult) -> str | None:
    """What could not be measured or judged, where the headline does not say it."""
    return None if result.verdict is Verdict.NOT_COMPARED else result.unfinished


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


def _found(result: ComparisonResult) -> str:
    return str((result.explanation or {}).get("sentence"))


def _unexplained_noise(result: ComparisonResult) -> str:
    """What is not known of noise, as the end of a sentence."""
    explanation = result.explanation or {}
    if explanation.get("holds") and not explanation["sampled"]:
        return "which is explained on small models only"
    return "which nothing explains"


def _less(result: ComparisonResult) -> str:
    """That a pass is less than what was asked for."""
    if result.exit_code == 0:
        return ""
    return f"; {result.required.value} was required"


def _diverged(result: ComparisonResult, names: str, positions: str) -> str:
    row = result.first_divergence
    if row is None:
        within = f"{names} differ by no more than noise at all {positions}, but"
        if result.blame is not None and result.blame["guilty"]:
            return f"{within} a stage is wrong"
        shift = result.shift()
        return (
            f"{within} {'one of them is wrong' if shift is None else f'not all together: {shift.sentence}'}"
        )
    diverged = result.counts()["diverged"]
    where = describe_position(result, row)
    return f"{names} diverged at {diverged} of {positions}; the first is {where}: {row.judged.reason}"


def _seen_before(result: ComparisonResult) -> str:
    """How the positions were judged that were compared before an engine failed, in brackets."""
    counts, row = result.counts(), result.first_divergence
    parts = [f"{counts[name]} {name}" for name in ("agree", "noise", "diverged") if counts[name]]
    first = f", the first at {describe_position(result, row)}: {row.judged.reason}" if row else ""
    return f" ({', '.join(parts)}{first})" if parts else ""


def suggestion(result: ComparisonResult) -> str | None:
    """What to do next when engines diverged and nobody asked why."""
    if result.verdict is not Verdict.DIVERGED or result.blame is not None:
        return None
    return "add --blame to learn which engine is wrong, at which stage, if it records stages"


def blame_line(result: ComparisonResult) -> str | None:
    """What blame found, in its own words."""
    return None if result.blame is None else str(result.blame["sentence"])
