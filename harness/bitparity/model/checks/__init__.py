"""What a file says of itself, checked when it is opened.

A check is a function from a model to findings, and a row of CHECKS; one that looks at the texts of a run,
too, is a row of TEXT_CHECKS.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from bitparity.model.checks import aborts, declared, values, vocabulary
from bitparity.model.checks.finding import Finding, Severity, refuse_to_run
from bitparity.model.types import Model

__all__ = ["Finding", "Severity", "check_model", "refuse_to_run"]

CHECKS: tuple[Callable[[Model], Iterator[Finding]], ...] = (
    values.not_finite,
    values.illegal_codes,
    values.zero_vectors,
    declared.activation,
    declared.function_keys,
    declared.foreign_keys,
    declared.file_type,
    vocabulary.pre_tokenizer_of_the_fork,
    vocabulary.array_lengths,
    vocabulary.special_ids,
    vocabulary.repeated_tokens,
    vocabulary.missing_merges,
    aborts.half_norms,
    aborts.own_head,
    aborts.lookup_in_batches,
)
TEXT_CHECKS: tuple[Callable[[Model, Sequence[str]], Iterator[Finding]], ...] = (
    vocabulary.pre_tokenizer,
    vocabulary.characters_without_a_token,
)


def check_model(
    model: Model, *, engines: Collection[str] | None = None, texts: Sequence[str] = ()
) -> list[Finding]:
    """All findings, the gravest first, in the order of the checks.

    engines  those that will run it: what concerns another alone is left out; None keeps everything
    texts    that will be tokenized; without any, a sample is

    Reads every tensor, so many rows at a time that memory stays bounded.
    """
    found = [finding for check in CHECKS for finding in check(model)]
    found += [finding for text_check in TEXT_CHECKS for finding in text_check(model, texts)]
    if engines is not None:
        found = [finding for finding in found if finding.concerns(engines)]
    return sorted(found, key=lambda finding: list(Severity).index(finding.severity))
