"""Which layout has this I2_S tensor?  Three share its type id and size, and one program reads a fourth.

The bytes themselves do not tell: whatever one layout unpacks, the others unpack too.  The evidence there is:

| evidence | says |
|---|---|
| codes 3 | no packer of bitnet.cpp writes them; QK256 uses them for +2 |
| agreement with another file | its codes, in a format whose layout is known: all equal for the right one |
| agreement with the norm | the RMSNorm before a projection has a weight for each of its columns |

Training makes columns with larger norm weights denser or sparser, and a wrong layout permutes the columns
but not the norm.  This evidence is pooled over all projections after a norm, and given in standard
deviations from chance.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bitparity.errors import BadInput, ShapeError
from bitparity.formats import I2_S_LAYOUTS, get_format, is_ternary
from bitparity.formats.base import Codes
from bitparity.formats.rules import exact_codes
from bitparity.model.types import Model, Tensor

CERTAIN = 0.999  # share of codes equal to another file's; a wrong layout moves about half of them
CLEAR = 5.0  # standard deviations from chance, once in two million by accident
LEAD = 3.0  # standard deviations between the best and the next
Sureness = Literal["certain", "likely", "undecided"]


@dataclass(frozen=True)
class LayoutEvidence:
    """codes_3       share of codes 3 in the tensor, the same for all layouts
    norm_agreement   standard deviations from chance, over the model; None without a norm to compare with
    other_agreement  share of codes equal to the other file's; None without one
    """

    layout: str
    codes_3: float
    norm_agreement: float | None
    other_agreement: float | None


@dataclass(frozen=True)
class Judgement:
    layout: str | None
    sureness: Sureness
    reason: str


def layout_evidence(model: Model, name: str, other: Model | None = None) -> list[LayoutEvidence]:
    """Evidence for each layout that the tensor's shape allows.

    Raises BadInput for a tensor that is not there or not I2_S, or that the other file does not have as
    ternary.
    """
    tensor = model.tensors.get(name)
    if tensor is None or tensor.format != "I2_S":
        raise BadInput(f"{model.path}: {name!r} is no I2_S tensor, and only those have layouts to tell apart")
    codes_3 = _share_of_code_3(tensor)
    trusted = None if other is None else _trusted_codes(other, name)
    return [
        LayoutEvidence(
            layout,
            codes_3,
            _norm_agreement(model, layout) if codes_3 == 0 else None,
            _agreement(tensor, layout, trusted),
        )
        for layout in I2_S_LAYOUTS
        if _fits(tensor, layout)
    ]


def judge(evidence: list[LayoutEvidence]) -> Judgement:
    """The layout that the evidence points to, and how sure that is."""
    if evidence and evidence[0].codes_3 > 0:
        share = evidence[0].codes_3
        return Judgement("QK256", "likely", f"{share:.1%} of the codes are 3, which bitnet.cpp never writes")
    with_other = [(e.other_agreement, e.layout) for e in evidence if e.other_agreement is not None]
    if with_other:
        share, layout = max(with_other)
        if share >= CERTAIN:
            return Judgement(layout, "certain", f"{share:.2%} of its codes are those of the other file")
        return Judgement(
            None, "undecided", f"no layout gives the other file's codes; {layout} gives {share:.1%} of them"
        )
    ranked = sorted(
        ((abs(e.norm_agreement), e.layout) for e in evidence if e.norm_agreement is not None), reverse=True
    )
    if len(ranked) > 1 and ranked[0][0] >= CLEAR and ranked[0][0] - ranked[1][0] >= LEAD:
        return Judgement(
            ranked[0][1], "likely", f"column densities follow the norms, {ranked[0][0]:.1f} sigma from chance"
        )
    return Judgement(
        None, "undecided", "nothing in this file tells the layouts apart; give another file of the model"
    )


def _share_of_code_3(tensor: Tensor) -> float:
    data = tensor.data[: -tensor.weight_format.tail_bytes]
    return float(np.mean([np.mean(data >> np.uint8(shift) & np.uint8(3) == 3) for shift in (0, 2, 4, 6)]))


def _fits(tensor: Tensor, layout: str) -> bool:
    rows, cols = tensor.shape
    try:
        get_format(layout).size(rows, cols)
    except ShapeError:
        return False
    return True


def _codes(tensor: Tensor, layout: str) -> Codes:
    weight_format = get_format(layout)
    assert is_ternary(weight_format)
    rows, cols = tensor.shape
    return weight_format.unpack_codes(tensor.data, rows, cols)[0]


def _trusted_codes(other: Model, name: str) -> Codes:
    tensor = other.tensors.get(name)
    if tensor is None:
        raise BadInput(f"{other.path} has no tensor {name!r} to compare with")
    if is_ternary(tensor.weight_format):
        return tensor.weight_format.unpack_codes(tensor.data, *tensor.shape)[0]
    try:
        return exact_codes(tensor.values())[0]
    except BadInput as error:
        raise BadInput(f"{other.path}: tensor {name} {error}") from None


def _agreement(tensor: Tensor, layout: str, trusted: Codes | None) -> float | None:
    if trusted is None or trusted.shape != tensor.shape or _share_of_code_3(tensor) > 0:
        return None
    return float(np.mean(_codes(tensor, layout) == trusted))


def _norm_agreement(model: Model, layout: str) -> float | None:
    """Pooled correlation of column density with the norm's weight, in standard deviations from chance."""
    scores = [score for norm, tensor in _after_norms(model) for score in _correlation(norm, tensor, layout)]
    return float(np.sum(scores) / np.sqrt(len(scores))) if scores else None


def _after_norms(model: Model) -> Iterable[tuple[Tensor, Tensor]]:
    """The norms of the residual stream, each with the projections that read it."""
    graph = model.hyper.architecture
    norms = [s for s in graph.block if s.kind == "norm" and s not in graph.inner_norms]
    roles = [(n.weight, s.weight) for n in norms for s in graph.block if s.inputs == (n.name,)]
    for layer in model.weights.layers:
        yield from ((layer[norm], layer[projection]) for norm, projection in roles)


def _correlation(norm: Tensor, tensor: Tensor, layout: str) -> list[float]:
    """Fisher's z of the correlation, in its standard deviations; nothing for constants."""
    if tensor.format != "I2_S" or not _fits(tensor, layout) or _share_of_code_3(tensor) > 0:
        return []
    weights = np.abs(norm.values().reshape(-1).astype(np.float64))
    density = np.mean(_codes(tensor, layout) != 0, axis=0)
    if weights.std() == 0 or density.std() == 0:
        return []
    correlation = float(np.corrcoef(weights, density)[0, 1])
    return [float(np.arctanh(np.clip(correlation, -0.999999, 0.999999)) * np.sqrt(weights.size - 3))]
