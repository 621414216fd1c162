"""Why two engines differ: each computes the definition, in an arithmetic of its own.

Both engines are fitted, then the oracle computes the run in each one's arithmetic.  A position is explained
where both engines give what the oracle gives.  A sound engine adds in another order than the oracle, so here
and there an activation falls the other way in it, and all that follows moves: such a position is explained as
far as the same happens to the oracle when the norms of the model are moved by a few float32 steps, or every
stage where each is rounded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bitparity.compare.sample import Sample, SampledPrompt, sample_columns
from bitparity.engine import Fingerprint, ModelInfo, Session
from bitparity.errors import BadInput
from bitparity.fit.found import Fit, Probe, fit
from bitparity.fit.lockstep import relative_l2
from bitparity.fit.moved import Moved
from bitparity.fit.observed import Observed, observe
from bitparity.fit.options import Options
from bitparity.fit.sample import with_head_rows
from bitparity.fit.words import clauses, joined
from bitparity.formats import ROWS
from bitparity.model.twin import in_formats_of
from bitparity.model.types import Model
from bitparity.noise.criterion import EXACTNESS, MULTIPLE
from bitparity.noise.perturb import MOST_RUNS, with_norms_moved
from bitparity.oracle.arithmetic import AXES, PLAIN, Arithmetic, arithmetic_named
from bitparity.oracle.decoder import Decoder
from bitparity.oracle.definition import Definition
from bitparity.oracle.engine import OracleEngine
from bitparity.oracle.ops import Doubles
from bitparity.output import without_nan

LARGEST = 200_000_000  # weights of a model that the oracle computes in seconds
FROM_RUN = 8  # positions of a prompt that engines are fitted by when they run nothing else
Place = tuple[int, int]  # prompt and position


@dataclass(frozen=True)
class Side:
    """One engine of a run.

    session   None for one that runs nothing but what it was run on
    model     what it was meant to compute, in the formats of the file that it has open
    probe     what small models say of it; None for one that runs nothing but what it was run on
    """

    session: Session | None
    fingerprint: Fingerprint
    model: Model
    probe: Probe | None = None

    @property
    def stated(self) -> Arithmetic | None:
        """Its arithmetic as it states it; None for none, or one that nobody knows."""
        name = self.fingerprint.details.get("arithmetic")
        try:
            return None if name is None else arithmetic_named(name)
        except BadInput:
            return None


@dataclass(frozen=True)
class Explanation:
    """What both engines were found to compute.

    differ      what the candidate does where it differs from the reference, as clauses
    apart       median relative L2 of the two engines over the sample
    exact       sampled positions that both engines give exactly
    flipped     those that they give but for activations that fell the other way
    sampled     positions that were looked at; empty where the run was too large for the oracle
    within      relative L2 from the oracle up to which the candidate's positions are explained
    """

    expected: Fit
    actual: Fit
    differ: tuple[str, ...]
    apart: float
    exact: frozenset[Place]
    flipped: frozenset[Place]
    sampled: frozenset[Place]
    within: float = EXACTNESS

    @property
    def holds(self) -> bool:
        """Whether both compute the definition, in short sequences and in most sampled positions."""
        return self._fit and 2 * self._given >= len(self.sampled)

    @property
    def _fit(self) -> bool:
        return self.expected.fits and self.actual.fits

    @property
    def _given(self) -> int:
        return len(self.exact | self.flipped)

    @property
    def names_a_mistake(self) -> bool:
        """Whether one of them is wrong, and how is known."""
        return bool(self.expected.mistake or self.actual.mistake)

    @property
    def found(self) -> tuple[Arithmetic | None, Arithmetic | None]:
        """The arithmetic of each where it states none that holds, and logits told it."""
        return self.expected.found, self.actual.found

    @property
    def sentence(self) -> str:
        """What was found, in one line."""
        expected, actual = self.expected, self.actual
        if self._fit and not self.holds:
            unexplained = len(self.sampled) - self._given
            return (
                f"{actual.engine} and {expected.engine} compute what is defined in short sequences, but not "
                f"in this run, where {unexplained} of {len(self.sampled)} positions are left unexplained: "
                "what long calls do otherwise, `--blame` looks for"
            )
        if not self.holds:
            return "; ".join(f.sentence() for f in (actual, expected) if not f.fits)
        if not self.sampled:
            return self._of_small_models()
        if not self.differ:
            return (
                f"{actual.engine} computes what {expected.engine} computes and adds in another order: int8 "
                f"activations at a tie fall the other way (residual {actual.residual:.0e})"
            )
        own = f"{expected.engine}'s own arithmetic leaves {self.apart:.0e}"
        ties = ", for codes at a tie fall either way" if actual.has_ties else ""
        left = f"residual {actual.residual:.0e}{ties}; {own}"
        undecided = actual.not_told_apart()
        return f"{actual.engine} is right: it {joined(list(self.differ))} ({left}){undecided}"

    def _of_small_models(self) -> str:
        """What is known where the oracle could not compute the run itself."""
        expected, actual = self.expected, self.actual
        does = joined(list(self.differ)) if self.differ else f"computes what {expected.engine} computes"
        return (
            f"on small models like this one {actual.engine} gives what is defined: it {does} "
            f"(residual {actual.residual:.0e}){actual.not_told_apart()}; this run, in which the two are "
            f"{self.apart:.0e} apart, is too large for the oracle"
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        data = {
            "sentence": self.sentence,
            "holds": self.holds,
            "names_a_mistake": self.names_a_mistake,
            "expected": self.expected.as_dict(),
            "actual": self.actual.as_dict(),
            "differ": list(self.differ),
            "apart": self.apart,
            "sampled": len(self.sampled),
            "exact": len(self.exact),
            "flipped": len(self.flipped),
        }
        plain: dict[str, Any] = without_nan(data)
        return plain


def why_not(model: Model, info: ModelInfo) -> str | None:
    """Why the oracle cannot explain an engine with this model open, in a clause; None when it can."""
    if info.most_probable is not None:
        return f"it gives the {info.most_probable} most probable tokens only"
    if info.n_vocab != model.hyper.n_vocab:
        return f"it gives {info.n_vocab} logits, the model has {model.hyper.n_vocab}"
    refused = OracleEngine().refusal(model.hyper.arch, set(model.format_counts()))
    if refused:
        return refused
    return None


def is_too_large(model: Model) -> bool:
    """Whether the oracle would take minutes for the positions of a run."""
    count = sum(int(np.prod(tensor.shape)) for layer in model.weights.layers for tensor in layer.values())
    return count > LARGEST


def explain(sides: tuple[Side, Side], files: tuple[Model, Model], sample: Sample) -> Explanation:
    """Fit reference and candidate, and say which of the sampled positions that explains.

    Raises as the sessions do.
    """
    meant = [in_formats_of(file, side.model) for side, file in zip(sides, files, strict=True)]
    fits = []
    observations = []
    for side, model, attribute in zip(sides, meant, ("expected", "actual"), strict=True):
        observed = _observations(side, sample, attribute)
        observations.append(observed)
        fits.append(fit(side.fingerprint.engine, model, observed, side.stated, side.probe))
    expected, actual = fits
    return Explanation(
        expected=expected,
        actual=actual,
        differ=_differ(meant, fits),
        apart=median_distance(sample),
        **(_places(meant, fits, sample) if expected.fits and actual.fits else _nowhere()),
    )


def _observations(side: Side, sample: Sample, attribute: str) -> list[Observed]:
    """Short sequences that the engine runs for this; what it was run on, if it runs nothing else."""
    if side.session is not None:
        tokens = [token for prompt in sample.prompts.values() for token in prompt.tokens]
        return observe(side.session, tokens)
    observed = []
    for prompt in sample.prompts.values():
        length = prompt.batches[0] if prompt.batches[0] > 1 else prompt.batches.count(1)
        length = min(length, FROM_RUN)
        rows = 1 if prompt.batches[0] == 1 else max(length, 2)
        logits = np.stack(getattr(prompt, attribute)[:length])
        observed.append(Observed(tuple(prompt.tokens[:length]), rows, logits))
    return observed


def _differ(meant: Sequence[Model], fits: Sequence[Fit]) -> tuple[str, ...]:
    """What the candidate does where it differs; files of other formats quantise activations otherwise."""
    arithmetics = [_canonical(model, f.arithmetic) for model, f in zip(meant, fits, strict=True)]
    said = clauses(_nearest_to(arithmetics[0], fits[1], arithmetics[1]), arithmetics[0])
    formats = [_ternary_formats(model) for model in meant]
    quantised = [{ROWS[name].activations for name in names} for names in formats]
    if quantised[0] != quantised[1] and "quantises activations" not in " ".join(said):
        said.append(f"quantises activations as {' and '.join(sorted(formats[1])) or 'floats'} says")
    return tuple(said)


def _nearest_to(other: Arithmetic, found: Fit, arithmetic: Arithmetic) -> Arithmetic:
    """What was found, without a difference at axes where it may as well do what the other one does."""
    left = {axis.name: {f.option(axis.name) for f in found.undecided} for axis in AXES}
    same = {axis: other.option(axis) for axis, options in left.items() if other.option(axis) in options}
    return arithmetic.having(**same)


def _canonical(model: Model, arithmetic: Arithmetic) -> Arithmetic:
    return Options(model, Definition.of(model, PLAIN, keep_layers=1)).canonical(arithmetic)


def _ternary_formats(model: Model) -> set[str]:
    layer = model.weights.layers[0]
    return {tensor.format for tensor in layer.values() if len(tensor.shape) == 2}


def _nowhere() -> dict[str, Any]:
    return {"exact": frozenset(), "flipped": frozenset(), "sampled": frozenset()}


def median_distance(sample: Sample) -> float:
    """Median relative L2 of the two engines over the sample."""
    pairs = [(np.stack(p.expected).astype(np.float64), np.stack(p.actual)) for p in sample.prompts.values()]
    return float(np.median(np.concatenate([relative_l2(*pair) for pair in pairs])))


def _places(meant: Sequence[Model], fits: Sequence[Fit], sample: Sample) -> dict[str, Any]:
    """Which sampled positions are explained: exactly, or but for activations that fell the other way."""
    left: list[dict[Place, float]] = []
    limits = []
    for model, found, attribute in zip(meant, fits, ("expected", "actual"), strict=True):
        definition = _sampled(model, found.arithmetic)
        outputs = {n: _oracle(definition, p) for n, p in sample.prompts.items()}
        left.append(_residuals(outputs, sample, attribute))
        limits.append(_limit(model, found.arithmetic, outputs, sample, max(left[-1].values())))
    sampled = frozenset(left[0])
    exact = frozenset(p for p in sampled if all(side[p] <= EXACTNESS for side in left))
    within = frozenset(
        p for p in sampled if all(side[p] <= limit for side, limit in zip(left, limits, strict=True))
    )
    coarse = {} if exact else {"within": limits[1]}
    return {"exact": exact, "flipped": within - exact, "sampled": sampled, **coarse}


def _residuals(outputs: Mapping[int, Doubles], sample: Sample, attribute: str) -> dict[Place, float]:
    return {
        (number, position): float(value)
        for number, expected in outputs.items()
        for position, value in enumerate(
            relative_l2(expected, np.stack(getattr(sample.prompts[number], attribute)))
        )
    }


def _limit(
    model: Model, arithmetic: Arithmetic, outputs: Mapping[int, Doubles], sample: Sample, worst: float
) -> float:
    """How far float32 rounding may carry a position of this run, where the farthest is as far as `worst`.

    One perturbed run of few positions may have no flip at all, so others are made as long as it takes.
    """
    limit = EXACTNESS
    for seed in range(MOST_RUNS):
        if worst <= limit:
            break
        limit = max(limit, MULTIPLE * _spread(model, arithmetic, outputs, sample, seed))
    return limit


def _spread(
    model: Model, arithmetic: Arithmetic, outputs: Mapping[int, Doubles], sample: Sample, seed: int
) -> float:
    """How far float32 rounding carries the logits of this run in this arithmetic."""
    if arithmetic.stages == "f32":
        moved = _sampled(with_norms_moved(model, seed), arithmetic)
    else:
        moved = Moved.make(_sampled(model, arithmetic), seed)
    return max(
        float(np.max(relative_l2(expected, _oracle(moved, sample.prompts[number]))))
        for number, expected in outputs.items()
    )


def _sampled(model: Model, arithmetic: Arithmetic) -> Definition:
    """With as many rows of the head as are sampled."""
    return Definition.of(with_head_rows(model, sample_columns(model.hyper.n_vocab)), arithmetic)


def _oracle(definition: Definition, prompt: SampledPrompt) -> Doubles:
    """Sampled logits of the oracle, batched as the run was."""
    columns, decoder = sample_columns(definition.hyper.n_vocab), Decoder(definition)
    rows, first = [], 0
    for size in prompt.batches:
        rows.append(decoder.forward(prompt.tokens[first : first + size]))
        first += size
    logits = np.concatenate(rows).astype(np.float64)
    return logits if logits.shape[1] == len(columns) else logits[:, columns]
