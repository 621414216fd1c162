"""Read a matrix: a TOML file that says what is compared with what.

    models = ["bitnet", "model.gguf"]       # names of bundled models, or files; "bitnet" if not given
    formats = ["F16", "TQ2_0"]              # each model is converted to them; as it is if not given
    threads = [1, 2]                        # all processors if not given
    chunks = ["prefill", "decode"]          # "prefill" if not given

    [references]
    "llama.cpp" = {}                        # its name is the engine, if nothing else is said

    [candidates]
    mine = { engine = "./libengine.so", stage_map = "engine.stages" }

    [candidates.native.builds]              # the same candidate, several times
    portable = { kernels = "portable" }
    avx2 = { kernels = "avx2" }

    [prompts]                               # a text of our own if not given
    lists = "A list is a sequence of objects"
    ids = [1, 2, 3]
    many = { file = "prompts.txt" }
    docs = { corpus = "text.txt", window = 512, stride = 256 }   # as --corpus; two numbers may be left out

    [limits]                                # each may be left out; these are the defaults
    require = "noise"                       # or "agree", "explained"
    blame = false                           # whether stages are judged
    steps = 0                               # positions to continue greedily
    time_limit = 600                        # seconds without a sign of life of an engine
    cell_time_limit = 3600                  # seconds that a cell may take

    [[skip]]                                # cells that are left out: where all of this is so
    candidate = "mine"
    format = ["TQ2_0"]

Every combination is a cell.  An engine, of either side or of a build, is set up by `engine`, `kernels`,
`arithmetic`, `stage_map` and `model` (another file for it), as the options of `bitparity compare` of these
names say, and by `environment`, a table of variables.  Files are looked for beside the matrix.
"""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

from bitparity.choose import DEFAULT_PROMPT
from bitparity.compare.chunking import Chunking
from bitparity.engines.program import PREFIX
from bitparity.errors import BadInput
from bitparity.formats import MODEL_FORMATS
from bitparity.model.bundled import ARCHS
from bitparity.noise.verdict import PASSES
from bitparity.records.columns import AXES
from bitparity.sweep.cell import Cell, EngineChoice, Limits, PromptChoice

_KEYS = {"models", "formats", "threads", "chunks", "references", "candidates", "prompts", "limits", "skip"}
_SETUP = {f.name for f in fields(EngineChoice)} - {"name"}


@dataclass(frozen=True)
class Matrix:
    """The file that it was read from, and its cells."""

    path: Path
    cells: tuple[Cell, ...]


def read_matrix(path: Path) -> Matrix:
    """Read the cells of a matrix.

    Raises BadInput for a file that is no matrix, says what bitparity does not know, or leaves no cell.
    """
    reader = _Reader(path)
    cells = tuple(cell for cell in reader.cells() if not any(_is_skipped(cell, s) for s in reader.skips()))
    if not cells:
        raise BadInput(f"{path} has no cell: every one is skipped")
    return Matrix(path, cells)


class _Reader:
    """Takes the parts of a matrix apart; every error names the file and the part."""

    def __init__(self, path: Path) -> None:
        self.path, self.folder = path, path.parent
        try:
            self.data = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise BadInput(f"{path} cannot be read: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BadInput(f"{path} is not TOML: {error}") from None
        self._only(self.data, _KEYS, "")

    def cells(self) -> Iterator[Cell]:
        """Every combination, in the order of the file; the last axis changes first."""
        limits = self._limits()
        engines = product(self._engines("references"), self._engines("candidates"))
        files = product(self._models(), self._formats())
        rest = list(product(self._threads(), self._chunks(), self._prompts()))
        for ((model, path), weight_format), (reference, candidate) in product(files, list(engines)):
            for build, chosen in self._builds(candidate):
                for threads, chunks, prompt in rest:
                    yield Cell(
                        model,
                        path,
                        weight_format,
                        reference,
                        chosen,
                        build,
                        threads,
                        chunks,
                        prompt,
                        limits,
                    )

    def skips(self) -> list[dict[str, Any]]:
        """Conditions on axes, by the names that reports give them."""
        skips = self.data.get("skip", [])
        if not isinstance(skips, list) or not all(isinstance(skip, dict) and skip for skip in skips):
            raise self._wrong("skip", "write [[skip]] and an axis a line below it")
        for skip in skips:
            self._only(skip, set(AXES.values()), "skip: ")
        return skips

    def _models(self) -> list[tuple[str, str | None]]:
        """Name and path of each; a bundled model has none."""
        models = self._strings("models", [ARCHS[0]])
        for model in models:
            if model not in ARCHS and not Path(self._located(model)).exists():
                raise self._wrong("models", f"{model!r} is no bundled model and no file beside the matrix")
        return [(model, None if model in ARCHS else self._located(model)) for model in models]

    def _formats(self) -> Sequence[str | None]:
        if "formats" not in self.data:
            return [None]
        formats = self._strings("formats", [])
        for name in formats:
            if name not in MODEL_FORMATS:
                raise self._wrong("formats", f"{name!r} is none of {', '.join(MODEL_FORMATS)}")
        return formats

    def _threads(self) -> Sequence[int | None]:
        threads = self.data.get("threads", [None])
        whole = isinstance(threads, list) and threads
        if not whole or not all(n is None or (type(n) is int and n > 0) for n in threads):
            raise self._wrong("threads", "write a list of whole numbers from 1")
        return list(threads)

    def _chunks(self) -> list[str]:
        chunks = self.data.get("chunks", ["prefill"])
        if not isinstance(chunks, list) or not chunks:
            raise self._wrong("chunks", "write a list")
        return [Chunking.parse(str(name)).name for name in chunks]

    def _engines(self, side: str) -> list[EngineChoice]:
        tables = self._table(side)
        if not tables:
            raise self._wrong(side, f'name an engine at least: [{side}] and "llama.cpp" = {{}} below it')
        return [
            self._engine(EngineChoice(name, name), setup, f"{side}.{name}") for name, setup in tables.items()
        ]

    def _builds(self, candidate: EngineChoice) -> list[tuple[str, EngineChoice]]:
        """The builds of a candidate by name; the candidate itself, without a name, where it has none."""
        builds = self.data["candidates"][candidate.name].get("builds", {})
        where = f"candidates.{candidate.name}.builds"
        if not isinstance(builds, dict):
            raise self._wrong(where, "write a table of builds")
        named = [(name, self._engine(candidate, setup, f"{where}.{name}")) for name, setup in builds.items()]
        return named or [("", candidate)]

    def _engine(self, engine: EngineChoice, setup: Any, where: str) -> EngineChoice:
        """The engine with what a table says of it."""
        if not isinstance(setup, dict):
            raise self._wrong(where, "write a table, which may be empty: {}")
        self._only(setup, _SETUP | {"builds"}, f"{where}: ")
        said = {key: value for key, value in setup.items() if key in _SETUP}
        environment = said.pop("environment", {})
        if not isinstance(environment, dict) or not all(isinstance(v, str) for v in environment.values()):
            raise self._wrong(where, "write the environment as a table of texts")
        for key, value in said.items():
            if not isinstance(value, str):
                raise self._wrong(where, f"{key} is {value!r}; write a text")
        for key in said.keys() & {"stage_map", "model"}:
            said[key] = self._located(said[key])
        if "engine" in said:
            said["engine"] = self._located_engine(said["engine"])
        return replace(engine, **said, environment={**engine.environment, **environment})

    def _prompts(self) -> list[PromptChoice]:
        prompts = self._table("prompts") or {"default": DEFAULT_PROMPT}
        return [self._prompt(name, value) for name, value in prompts.items()]

    def _prompt(self, name: str, value: Any) -> PromptChoice:
        if isinstance(value, str) and value:
            return PromptChoice(name, text=value)
        if isinstance(value, list) and value and all(type(v) is int for v in value):
            return PromptChoice(name, tokens=tuple(value))
        if isinstance(value, dict) and set(value) == {"file"} and isinstance(value["file"], str):
            return PromptChoice(name, file=self._located(value["file"]))
        if isinstance(value, dict) and isinstance(value.get("corpus"), str):
            return self._corpus(name, value)
        raise self._wrong(f"prompts.{name}", 'write a text, a list of token ids, or { file = "prompts.txt" }')

    def _corpus(self, name: str, value: Mapping[str, Any]) -> PromptChoice:
        self._only(value, {"corpus", "window", "stride"}, f"prompts.{name}: ")
        cut = {key: value[key] for key in ("window", "stride") if key in value}
        if not all(type(size) is int and size > 0 for size in cut.values()):
            raise self._wrong(f"prompts.{name}", "window and stride are whole numbers from 1")
        return PromptChoice(name, corpus=self._located(value["corpus"]), **cut)

    def _limits(self) -> Limits:
        said = self._table("limits")
        self._only(said, {f.name for f in fields(Limits)}, "limits: ")
        for key, value in said.items():
            kind = type(getattr(Limits(), key))
            fits = type(value) is kind or (kind is float and type(value) is int)
            if not fits or (kind in (int, float) and value < 0):
                raise self._wrong(f"limits.{key}", f"{value!r} is no {_KINDS[kind]}")
        limits = Limits(**said)
        if limits.require not in [verdict.value for verdict in PASSES]:
            raise self._wrong("limits.require", f"{limits.require!r} is none of agree, explained, noise")
        return limits

    def _strings(self, key: str, default: list[str]) -> list[str]:
        values = self.data.get(key, default)
        if not isinstance(values, list) or not values or not all(isinstance(v, str) for v in values):
            raise self._wrong(key, "write a list of texts")
        return values

    def _table(self, key: str) -> dict[str, Any]:
        table = self.data.get(key, {})
        if not isinstance(table, dict):
            raise self._wrong(key, f"write a table, [{key}]")
        return table

    def _located(self, name: str) -> str:
        """The path of a file that is named beside the matrix."""
        return str((self.folder / name).absolute())

    def _located_engine(self, engine: str) -> str:
        """The engine with the files in it as paths; other words are left as they are."""
        if engine.startswith(PREFIX):
            words = shlex.split(engine.removeprefix(PREFIX))
            return PREFIX + shlex.join(map(self._located_if_there, words))
        return self._located_if_there(engine)

    def _located_if_there(self, word: str) -> str:
        return self._located(word) if (self.folder / word).is_file() else word

    def _only(self, table: Mapping[str, Any], known: set[str], where: str) -> None:
        for key in table:
            if key not in known:
                raise BadInput(
                    f"{self.path}: {where}{key!r} means nothing; there are {', '.join(sorted(known))}"
                )

    def _wrong(self, where: str, what: str) -> BadInput:
        return BadInput(f"{self.path}: {where}: {what}")


_KINDS = {str: "text", bool: "true or false", int: "whole number from 0", float: "number of seconds"}


def _is_skipped(cell: Cell, skip: Mapping[str, Any]) -> bool:
    """Whether every axis that is named has the value, or one of the values, that stand there."""
    values = {name: cell.axes[column] for column, name in AXES.items()}
    return all(
        values[name] in (wanted if isinstance(wanted, list) else [wanted]) for name, wanted in skip.items()
    )
