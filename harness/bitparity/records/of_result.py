"""The record of a comparison."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bitparity.compare.metrics import PositionMetrics
from bitparity.compare.result import ComparisonResult
from bitparity.corpus.result import CorpusResult
from bitparity.output import to_json
from bitparity.provenance import Provenance
from bitparity.records.columns import Record
from bitparity.report.corpus import corpus_headline
from bitparity.report.words import headline

_COUNTS = ("asked", "compared", "agree", "explained", "noise", "diverged")
# Columns that a corpus fills, and the figures of it (corpus/figures.py).
_FIGURES = {
    "mean_kl": "kl_mean",
    "max_kl": "kl_maximum",
    "same_best": "same_best",
    "perplexity_expected": "perplexity_expected",
    "perplexity_actual": "perplexity_actual",
    "perplexity_ratio": "perplexity_ratio",
}
_ERRORS = {"mean_kl_error": "kl_mean", "perplexity_ratio_error": "perplexity_ratio"}
_DIGESTS = ("libraries", "files", "blake3")  # details of a fingerprint that tell one build from another


def with_result(record: Record, result: ComparisonResult) -> Record:
    """The record of this cell with all that a comparison found in it."""
    counts = result.counts()
    return _with(
        record,
        result,
        headline(result),
        {name: counts[name] for name in _COUNTS} | _distances([row.metrics for row in result.positions]),
    )


def with_corpus(record: Record, result: CorpusResult) -> Record:
    """The same for a comparison on a corpus."""
    figures = result.figures
    values = {column: figures[name].value for column, name in _FIGURES.items() if figures}
    errors = {column: _known(figures[name].error) for column, name in _ERRORS.items() if figures}
    counts = {name: result.counts[name] for name in _COUNTS}
    return _with(record, result, corpus_headline(result), counts | values | errors)


def _with(
    record: Record, result: ComparisonResult | CorpusResult, sentence: str, measured: Mapping[str, Any]
) -> Record:
    """What both kinds of result tell alike, and what was measured, by column."""
    first = result.first_divergence
    found: dict[str, Any] = {
        **measured,
        **_first_guilty(result.blame),
        **fingerprint_columns("reference", result.reference),
        **fingerprint_columns("candidate", result.candidate),
    }
    return replace(
        record,
        outcome=result.verdict.value,
        exit_code=result.exit_code,
        required=result.required.value,
        sentence=sentence,
        first_position=None if first is None else first.position,
        model_path=result.model.path,
        model_blake3=result.model.blake3,
        candidate_model_path=result.candidate_model.path,
        candidate_model_blake3=result.candidate_model.blake3,
        command=result.command,
        result=to_json(result.as_dict()),
        **found,
    )


def _known(error: float) -> float | None:
    """A standard error, or None where it is not known: of a single block."""
    return None if math.isnan(error) else error


def with_provenance(record: Record, provenance: Provenance) -> Record:
    return replace(
        record,
        date=provenance.date,
        host=provenance.host,
        system=provenance.system,
        cpu=provenance.cpu,
        python=provenance.python,
        bitparity_version=provenance.version,
        bitparity_commit=provenance.commit,
    )


def fingerprint_columns(side: str, fingerprint: Mapping[str, Any]) -> dict[str, str]:
    """The columns that tell what ran, `side` being reference or candidate."""
    details = fingerprint["details"]
    named = {name: fingerprint[name] for name in ("engine", "version", "compiler", "isa", "kernels")}
    named["arithmetic"] = details.get("arithmetic", "")
    named["digest"] = next((details[name] for name in _DIGESTS if name in details), "")
    named["fingerprint"] = json.dumps(dict(fingerprint), sort_keys=True)
    return {f"{side}_{name}": value for name, value in named.items()}


def _distances(metrics: list[PositionMetrics]) -> dict[str, float]:
    """Over the positions that were compared; NaN where a logit of one is not finite."""
    if not metrics:
        return {}
    relative_l2, kl = (np.array([getattr(m, name) for m in metrics]) for name in ("relative_l2", "kl"))
    return {
        "mean_relative_l2": float(relative_l2.mean()),
        "max_relative_l2": float(relative_l2.max()),
        "max_one_minus_cosine": float(np.max([m.one_minus_cosine for m in metrics])),
        "max_abs": float(np.max([m.max_abs for m in metrics])),
        "mean_kl": float(kl.mean()),
        "max_kl": float(kl.max()),
        "same_best": float(np.mean([m.argmax_equal for m in metrics])),
    }


def _first_guilty(blame: Mapping[str, Any] | None) -> dict[str, Any]:
    """The engine that is wrong, and the layer and stage where it went wrong, if blame found one."""
    sides = () if blame is None else (blame["actual"], blame["expected"])
    for side in sides:
        if causes := side["causes"]:
            local = causes[0]["local"]
            return {"guilty": side["engine"], "first_layer": local["layer"], "first_stage": local["stage"]}
    return {}
