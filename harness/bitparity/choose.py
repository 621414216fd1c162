"""What a run is made of, by the names that people give: the model, prompts and the tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bitparity.compare.prompts import Prompt, parse_tokens, read_prompts, text_prompt
from bitparity.compare.recording import RecordedEngine
from bitparity.engine import Engine, ReadsCheckpoints
from bitparity.errors import BadInput, NotCompared
from bitparity.formats import FLOATS, MODEL_FORMATS
from bitparity.formats.codes import CODES
from bitparity.model import open_model
from bitparity.model.bundled import ARCHS, bundled_model
from bitparity.model.checkpoint import is_checkpoint
from bitparity.model.converted import in_weight_format
from bitparity.model.types import Model
from bitparity.runs import refusal_of
from bitparity.tokenizer import Tokenizer

DEFAULT_PROMPT = (
    "A list is a sequence of objects, and a tuple is a sequence that cannot be changed. "
    "The function returns the number of items in the list; if the list is empty, it raises an exception. "
    "To read a file line by line, open it and use a for loop. "
    "A dictionary maps keys to values, and the keys of a dictionary must be hashable. "
    "The class defines a method that takes two arguments and returns a string."
)


def choose_prompts(
    texts: Sequence[str], file: Path | None, tokens: str | None, engines: Sequence[Engine]
) -> list[Prompt]:
    """The prompts given in one of the three ways, else those of a recorded engine, else a text of our own."""
    given = [bool(texts), file is not None, tokens is not None]
    if sum(given) > 1:
        raise BadInput("give the prompt in one way: --prompt, --prompts or --tokens")
    if file is not None:
        return read_prompts(file)
    if tokens is not None:
        return [parse_tokens(tokens)]
    if texts:
        return [text_prompt(text) for text in texts]
    for engine in engines:
        if isinstance(engine, RecordedEngine) and (recorded := engine.recording.prompts()):
            return recorded
    return [text_prompt(DEFAULT_PROMPT)]


def choose_tokenizer(path: Path | None, model: Model) -> Tokenizer | None:
    """The external tokenizer, if one was named; where its file adds no BOS, it adds the model's."""
    if path is None:
        return None
    wants_bos = model.metadata.get("tokenizer.ggml.add_bos_token", True)
    return Tokenizer.from_file(
        path, bos=model.metadata.get("tokenizer.ggml.bos_token_id") if wants_bos else None
    )


def choose_model(name: str | None, engines: Sequence[Engine]) -> Path:
    """The path of a file, or of a bundled model when name is None or an architecture that is bundled.

    A checkpoint's folder is given to engines that all read checkpoints; for others it is converted once, to
    the first format that all run, and kept in the cache folder.
    Raises NotCompared when a checkpoint or no bundled model runs on all engines in any format.
    """
    choices = bundled_choices(name)
    if choices is None:
        path = Path(str(name))
        return _converted(path, engines) if is_checkpoint(path) else path

    refusals: list[str] = []
    for arch, weight_format in choices:
        refused = [r for r in (refuses(engine, arch, weight_format) for engine in engines) if r]
        if not refused:
            return bundled_model(arch, weight_format)
        refusals += refused
    raise NotCompared(f"no bundled model runs on these engines ({refusals[0]}); name a model file")


def choose_models(name: str | None, engines: Sequence[Engine]) -> list[Path]:
    """The path that each engine opens: one for all of them, unless the model is a checkpoint.

    An engine that is made for checkpoints opens the folder itself, whatever the others need.
    Raises as choose_model does.
    """
    if bundled_choices(name) is not None or not is_checkpoint(Path(str(name))):
        return [choose_model(name, engines)] * len(engines)
    others = [engine for engine in engines if not _is_made_for_checkpoints(engine)]
    shared = choose_model(name, others)
    return [Path(str(name)) if _is_made_for_checkpoints(engine) else shared for engine in engines]


def _is_made_for_checkpoints(engine: Engine) -> bool:
    return isinstance(engine, ReadsCheckpoints) and engine.is_made_for_checkpoints


def _converted(folder: Path, engines: Sequence[Engine]) -> Path:
    if all(isinstance(engine, ReadsCheckpoints) and engine.reads_checkpoints for engine in engines):
        return folder
    model = open_model(folder)
    formats = MODEL_FORMATS if CODES.name in model.format_counts() else FLOATS
    refusals: list[str] = []
    for weight_format in formats:
        refused = [r for r in (refuses(engine, model.hyper.arch, weight_format) for engine in engines) if r]
        if not refused:
            return in_weight_format(folder, weight_format)
        refusals += refused
    raise NotCompared(f"{folder} runs on these engines in no format ({refusals[0]})")


def bundled_choices(name: str | None) -> list[tuple[str, str]] | None:
    """Architecture and weight format of every bundled model of that name; None when it is a file's name."""
    if name is not None and name not in ARCHS:
        return None
    architectures = ARCHS if name is None else (name,)
    return [(arch, weight_format) for arch in architectures for weight_format in MODEL_FORMATS]


def refuses(engine: Engine, arch: str, weight_format: str) -> str | None:
    """Which engine does not run the bundled model, and why; None when it does."""
    formats = {weight_format, "F16", "F32"}  # the embedding is F16, norms are F32
    clause = refusal_of(engine, arch, formats)
    return f"{engine.name}: {clause}" if clause else None
