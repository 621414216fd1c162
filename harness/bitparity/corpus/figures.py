"""The table of figures: what is told of a corpus.  A figure is a row: its name, its title, and its formula.

Δp is how much more probable the candidate makes the token that follows than the reference does.  Names and
meanings are those of llama.cpp's `--kl-divergence`, so that figures can be compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from bitparity.corpus.estimate import Blocks, Estimate, Values
from bitparity.corpus.rows import Rows


class Sample:
    """The rows of a corpus, and what several figures share."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.blocks = Blocks.of(rows["window"])

    def column(self, name: str) -> Values:
        return np.asarray(self.rows[name], np.float64)

    @cached_property
    def kl(self) -> Values:
        return self.column("kl")

    @cached_property
    def delta_p(self) -> Values:
        values: Values = np.exp(-self.column("nll_actual")) - np.exp(-self.column("nll_expected"))
        return values

    @cached_property
    def same_best(self) -> Values:
        same = self.rows["argmax_expected"] == self.rows["argmax_actual"]
        finite = self.rows["expected_is_finite"] & self.rows["actual_is_finite"]
        return np.asarray(same & finite, np.float64)


@dataclass(frozen=True)
class Figure:
    """A row of the table.

    name    key in JSON
    group   under which reports print it
    title   what reports call it
    of      computes it
    is_share  printed in percent
    """

    name: str
    group: str
    title: str
    of: Callable[[Sample], Estimate]
    is_share: bool = False


def _nll(side: str, sample: Sample) -> Estimate:
    return sample.blocks.mean(sample.column(f"nll_{side}"))


def _log_ratio(sample: Sample) -> Estimate:
    return sample.blocks.mean(sample.column("nll_actual") - sample.column("nll_expected"))


def _perplexity(side: str, sample: Sample) -> Estimate:
    return _nll(side, sample).exponential


def _mean_kl(sample: Sample) -> Estimate:
    return sample.blocks.mean(sample.kl)


def _largest_kl(sample: Sample) -> Estimate:
    return Estimate(float(sample.kl.max()))


def _kl_below(share: float, sample: Sample) -> Estimate:
    return sample.blocks.percentile(sample.kl, share)


def _mean_delta_p(sample: Sample) -> Estimate:
    return sample.blocks.mean(sample.delta_p)


def _rms_delta_p(sample: Sample) -> Estimate:
    return sample.blocks.mean(np.square(sample.delta_p)).root


def _delta_p_below(share: float, sample: Sample) -> Estimate:
    return sample.blocks.percentile(sample.delta_p, share)


def _same_best(sample: Sample) -> Estimate:
    return sample.blocks.mean(sample.same_best)


_KL_SHARES = (0.999, 0.99, 0.95, 0.9, 0.5)
_DELTA_P_SHARES = (1.0, 0.999, 0.99, 0.95, 0.9, 0.75, 0.5, 0.25, 0.1, 0.05, 0.01, 0.001, 0.0)


def _share_title(share: float) -> str:
    return {0.5: "median", 1.0: "maximum", 0.0: "minimum"}.get(share, f"{100 * share:g} %")


def _share_name(share: float) -> str:
    return {0.5: "median", 1.0: "maximum", 0.0: "minimum"}.get(share, f"p{100 * share:g}")


FIGURES = (
    Figure("nll_expected", "negative log-likelihood", "reference", partial(_nll, "expected")),
    Figure("nll_actual", "negative log-likelihood", "candidate", partial(_nll, "actual")),
    Figure("perplexity_expected", "perplexity", "reference", partial(_perplexity, "expected")),
    Figure("perplexity_actual", "perplexity", "candidate", partial(_perplexity, "actual")),
    Figure("perplexity_log_ratio", "perplexity", "ln(candidate / reference)", _log_ratio),
    Figure("perplexity_ratio", "perplexity", "candidate / reference", lambda s: _log_ratio(s).exponential),
    Figure("kl_mean", "KL divergence", "mean", _mean_kl),
    Figure("kl_maximum", "KL divergence", "maximum", _largest_kl),
    *(
        Figure(f"kl_{_share_name(s)}", "KL divergence", _share_title(s), partial(_kl_below, s))
        for s in _KL_SHARES
    ),
    Figure("delta_p_mean", "Δp of the next token", "mean", _mean_delta_p, is_share=True),
    Figure("delta_p_rms", "Δp of the next token", "RMS", _rms_delta_p, is_share=True),
    *(
        Figure(
            f"delta_p_{_share_name(s)}",
            "Δp of the next token",
            _share_title(s),
            partial(_delta_p_below, s),
            is_share=True,
        )
        for s in _DELTA_P_SHARES
    ),
    Figure("same_best", "best token", "the same", _same_best, is_share=True),
)


def figures_of(rows: Rows) -> dict[str, Estimate]:
    """Every figure by its name; there is a row at least."""
    sample = Sample(rows)
    return {figure.name: figure.of(sample) for figure in FIGURES}
