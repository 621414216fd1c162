"""From a comparison that diverged to the smallest one that does in the same way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bitparity.blame.engines import BlameReport
from bitparity.compare.chunking import Chunking
from bitparity.compare.comparison import Comparison
from bitparity.compare.prompts import Prompt
from bitparity.compare.result import ComparisonResult
from bitparity.compare.run import compare_engines
from bitparity.errors import BadInput, NotCompared
from bitparity.model import open_model
from bitparity.model.types import Model
from bitparity.noise.criterion import DEFAULT_LIMIT
from bitparity.reduce.layers import write_layers
from bitparity.reduce.shrink import shrink
from bitparity.reduce.symptom import Symptom, find_symptom, tokens_of
from bitparity.report.words import headline
from bitparity.tokenizer import Tokenizer

Tell = Callable[[str], None]  # takes what is being done, a clause


@dataclass(frozen=True)
class Reduction:
    """What is left of a comparison.

    symptom     what shows in it
    comparison  the smallest one: a prompt of ids, and models that are open in temporary files
    layers      those of the model that are left, by their old numbers
    tokens      how many ids the prompt had before
    n_layer     how many layers the model had before
    notes       what could not be made smaller, and why, a sentence each
    trials      how many comparisons were run
    """

    symptom: Symptom
    comparison: Comparison
    layers: tuple[int, ...]
    tokens: int
    n_layer: int
    notes: tuple[str, ...]
    trials: int


@contextmanager
def reduced(
    comparison: Comparison, *, limit: float | None = None, tell: Tell | None = None
) -> Iterator[Reduction]:
    """Run a comparison and make what diverges in it as small as it gets.

    limit  as in compare_engines
    tell   called with what is being done
    The models of the reduction lie in a temporary folder, which is gone afterwards.

    Raises what compare_engines raises; BadInput when nothing diverges, and NotCompared when what diverged
    does not show again in a run of one prompt.
    """
    say = tell or (lambda what: None)
    result, symptom = _compared(comparison, limit, say)
    if symptom is None:
        raise BadInput(f"there is nothing to reduce: {headline(result)}")
    with TemporaryDirectory(prefix="bitparity-reduce-") as folder:
        yield _Search(Path(folder), say).run(symptom, _shown_alone(symptom, comparison, result, say))


def _compared(
    comparison: Comparison, limit: float | None, say: Tell
) -> tuple[ComparisonResult, Symptom | None]:
    """Compare, and find what is to be kept.

    Whether a stage is wrong needs no noise and no explanation, which take longest: they come when none is.
    """
    reports: list[BlameReport] = []
    say("judging stages")
    quick = DEFAULT_LIMIT if limit is None else limit
    result = compare_engines(comparison, limit=quick, blame=True, on_blame=reports.append)
    if limit is None and not (reports and reports[0].is_guilty):
        say("comparing")
        result = compare_engines(comparison)
    return result, find_symptom(result, reports[0] if reports else None)


def _shown_alone(symptom: Symptom, comparison: Comparison, result: ComparisonResult, say: Tell) -> Comparison:
    """The comparison of the prompt on which it shows alone, as the tokens that were run."""
    say("running the prompt alone")
    ids = [row.token for row in result.positions if row.prompt == symptom.prompt]
    if len(ids) < result.prompts[symptom.prompt].asked:  # an engine failed before they were all compared
        ids = _ids(comparison, symptom.prompt)
    for chunks in dict.fromkeys((comparison.chunking.name, "prefill", "decode")):
        alone = replace(
            comparison, prompts=[Prompt(tokens=tuple(ids))], steps=0, chunking=Chunking.parse(chunks)
        )
        if symptom.shows(alone):
            return alone
    raise NotCompared(
        f"what diverged does not show again in a run of prompt {symptom.prompt} alone, "
        f"so nothing can be left out: {symptom.sentence}"
    )


def _ids(comparison: Comparison, number: int) -> list[int]:
    """The ids of a prompt that was not run to its end, by the tokenizer of the model's own vocabulary."""
    prompt = comparison.prompts[number]
    if prompt.tokens is not None:
        return list(prompt.tokens)
    tokenizer = comparison.tokenizer or Tokenizer.from_gguf(comparison.meant.metadata)
    return tokenizer.encode(prompt.text or "", add_bos=True, parse_special=True)


@dataclass
class _Search:
    """Makes one comparison smaller; files go into `folder`."""

    folder: Path
    say: Tell
    trials: int = 0
    notes: list[str] = field(default_factory=list)

    def run(self, symptom: Symptom, comparison: Comparison) -> Reduction:
        tokens, n_layer = len(tokens_of(comparison)), comparison.meant.hyper.n_layer
        comparison = self._shorter(symptom, comparison)
        layers, symptom, comparison = self._shallower(symptom, comparison)
        if len(layers) < n_layer:
            comparison = self._shorter(symptom, comparison)
        return Reduction(symptom, comparison, layers, tokens, n_layer, tuple(self.notes), self.trials)

    def _shorter(self, symptom: Symptom, comparison: Comparison) -> Comparison:
        def with_tokens(ids: Sequence[int]) -> Comparison:
            return replace(comparison, prompts=[Prompt(tokens=tuple(ids))])

        def shows(ids: tuple[int, ...]) -> bool:
            self._count(f"{len(ids)} tokens")
            return symptom.shows(with_tokens(ids))

        ids = tuple(tokens_of(comparison))
        likely = (part for part in symptom.likely_prompts(ids) if len(part) < len(ids))
        return with_tokens(shrink(next((part for part in likely if shows(part)), ids), shows))

    def _shallower(
        self, symptom: Symptom, comparison: Comparison
    ) -> tuple[tuple[int, ...], Symptom, Comparison]:
        """The layers that are left, the symptom in the model that has only those, and that comparison."""
        every = tuple(range(comparison.meant.hyper.n_layer))
        models = _models(comparison)
        for model in models:
            if reason := _why_whole(model):
                self.notes.append(reason)
                return every, symptom, comparison
        needed = symptom.needed_layers

        def shows(others: tuple[int, ...]) -> bool:
            layers = tuple(sorted({*others, *needed}))
            self._count(f"{len(layers)} layers")
            return symptom.moved(layers).shows(self._with_layers(comparison, layers))

        others = tuple(layer for layer in every if layer not in needed)
        if needed and shows(()):
            layers = needed
        else:
            layers = tuple(sorted({*shrink(others, shows), *needed})) if others else every
        if layers == every:
            return every, symptom, comparison
        return layers, symptom.moved(layers), self._with_layers(comparison, layers)

    def _with_layers(self, comparison: Comparison, layers: Sequence[int]) -> Comparison:
        """The comparison with models of these layers, written into the folder."""
        written: dict[Path, Model] = {}
        for number, model in enumerate(_models(comparison)):
            path = self.folder / str(number) / "model.gguf"
            path.parent.mkdir(exist_ok=True)
            write_layers(model.path, path, layers)
            written[model.path] = open_model(path)
        return replace(
            comparison,
            model=written[comparison.meant.path],
            reference=replace(comparison.reference, model=written[comparison.reference.model.path]),
            candidate=replace(comparison.candidate, model=written[comparison.candidate.model.path]),
        )

    def _count(self, what: str) -> None:
        self.trials += 1
        self.say(f"trying {what}, run {self.trials}")


def _models(comparison: Comparison) -> list[Model]:
    """The files of a comparison, each once, that which was meant first."""
    sides = (comparison.meant, comparison.reference.model, comparison.candidate.model)
    return list({model.path: model for model in sides}.values())


def _why_whole(model: Model) -> str | None:
    """Why a model's layers cannot be taken apart; None where they can."""
    if model.path.is_dir():
        return (
            f"{model.path} is a checkpoint folder, of which no layer was left out; convert it to GGUF first"
        )
    if not model.tensors:
        return f"only its engine can read {model.path}, so no layer was left out"
    return None
