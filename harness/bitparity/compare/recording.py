"""Logits that are kept in a file, and an engine that answers from it.

A recording is made from a reference.  The file is an .npz: `header` is JSON as bytes, `logits_0`, `logits_1`,
... are the float32 logits of each sequence with byte k of every value together (uint8 (4, positions,
n_vocab)), which compresses better and loses nothing.  Every prompt is kept twice, as prefill and as decode,
so that a recording has a noise floor; recorder.py makes it.

Numbers that somebody saved (numbers.py) are a recording of which less is known.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from bitparity.compare.numbers import read_numbers
from bitparity.compare.prompts import Prompt
from bitparity.engine import Availability, Fingerprint, Floats, ModelInfo, Role, Session, Sink
from bitparity.errors import BadInput, NotCompared
from bitparity.model import open_model
from bitparity.model.types import Model
from bitparity.noise.floor import NoiseFloor
from bitparity.output import writing
from bitparity.runs import file_digest
from bitparity.stages import StageFilter

FORMAT = 1
CHUNKS = ("prefill", "decode")


@dataclass(frozen=True)
class RecordedSequence:
    """One run over one prompt; logits are (positions, n_vocab).

    tokens  None if it is not known what was run: the rows then answer for any tokens
    chunks  None if it is not known how it was run: the rows then answer for prefill and decode
    """

    text: str | None
    tokens: tuple[int, ...] | None
    chunks: str | None
    logits: Floats

    def holds(self, tokens: tuple[int, ...], chunks: str) -> bool:
        """Whether it has the logits of these tokens, run in this way."""
        is_this = self.tokens is None or self.tokens[: len(tokens)] == tokens
        return is_this and self.chunks in (chunks, None) and len(tokens) <= len(self.logits)


@dataclass(frozen=True)
class Recording:
    """What an engine gave; of somebody's numbers only the sequences are known.

    info           of the session that was recorded, with its fingerprint
    weights_blake3 of the model's hyperparameters and packed tensors, see weights_digest
    noise          of the reference on these prompts
    """

    info: ModelInfo | None
    weights_blake3: str | None
    sequences: tuple[RecordedSequence, ...]
    noise: NoiseFloor | None

    def prompts(self) -> list[Prompt]:
        """The recorded prompts, each once, as far as it is known what they were."""
        return [
            Prompt(text=s.text) if s.text is not None else Prompt(tokens=s.tokens)
            for s in self.sequences
            if s.chunks in (CHUNKS[0], None) and s.tokens is not None
        ]


def weights_digest(model: Model) -> str:
    """BLAKE3, hex, of all that decides the logits; other metadata may change without changing it."""
    digest = blake3(json.dumps(model.hyper.as_dict(), sort_keys=True).encode())
    for name, tensor in sorted(model.tensors.items()):
        digest.update(f"{name} {tensor.shape} {tensor.format}\n".encode())
        digest.update(tensor.data.data)
    return digest.hexdigest()


def save_recording(recording: Recording, path: Path) -> None:
    """Write a recording of which all is known; raises BadInput when the file cannot be written."""
    assert recording.info is not None
    assert recording.noise is not None
    header = {
        "format": FORMAT,
        "info": asdict(recording.info),
        "weights_blake3": recording.weights_blake3,
        "noise": recording.noise.as_dict(),
        "sequences": [{"text": s.text, "tokens": s.tokens, "chunks": s.chunks} for s in recording.sequences],
    }
    arrays = {f"logits_{i}": _split_bytes(s.logits) for i, s in enumerate(recording.sequences)}
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    with writing(path), path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_recording(path: Path) -> Recording:
    """Read a recording, or somebody's numbers; raises BadInput for a file that is missing or is neither."""
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                if "header" in arrays:
                    return _from_arrays(arrays)
    except FileNotFoundError:
        raise BadInput(f"{path}: there is no such recording") from None
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise BadInput(f"{path} is not a whole recording ({error}); make it again with --record") from None
    logits, tokens = read_numbers(path)
    return Recording(None, None, (RecordedSequence(None, tokens, None, logits),), None)


class RecordedEngine:
    """Answers from a recording as the recorded engine did, for the tokens that were recorded.

    Numbers of unknown origin are named after their file, and no run trusts them unless it is told to.
    """

    def __init__(self, path: Path) -> None:
        self.recording = read_recording(path)
        info = self.recording.info
        self.role: Role = "candidate" if info is None else "reference"
        self.name = path.name if info is None else info.fingerprint.engine
        self.given, self._path = str(path), path

    def availability(self) -> Availability:
        return Availability(True, f"recording {self._path} of {self.name}")

    def refusal(self, arch: str, weight_formats: set[str]) -> str | None:
        info = self.recording.info
        if info is None:
            return None
        if arch != info.arch:
            return f"{self._path} was recorded from a {info.arch} model, not {arch}"
        unknown = sorted(weight_formats.difference(info.weight_formats))
        return f"{self._path} was recorded from a model without {', '.join(unknown)}" if unknown else None

    def open(self, model: Path, *, context: int, threads: int, device_id: int | None = None) -> Session:
        digest = self.recording.weights_blake3
        opened = open_model(model)
        if digest is not None and weights_digest(opened) != digest:
            raise BadInput(f"{self._path} was recorded from other weights than {model} has; record it again")
        return RecordedSession(self.recording, self._info(opened, context), self._path)

    def _info(self, model: Model, context: int) -> ModelInfo:
        info = self.recording.info
        if info is not None:
            fingerprint = info.fingerprint
            return replace(
                info,
                fingerprint=replace(
                    fingerprint, details=fingerprint.details | {"recording": self._path.name}
                ),
            )
        fingerprint = Fingerprint(self.name, "", "", "", "", 0, "", {"blake3": file_digest(self._path)[:16]})
        n_vocab = self.recording.sequences[0].logits.shape[1]
        return replace(ModelInfo.of(model, context, fingerprint), n_vocab=n_vocab)


class RecordedSession:
    """One sequence; a decode is answered from the recorded decode, a prefill from the recorded prefill."""

    def __init__(self, recording: Recording, info: ModelInfo, path: Path) -> None:
        self._recording, self._info, self._path = recording, info, path
        self._tokens: list[int] = []

    @property
    def info(self) -> ModelInfo:
        return self._info

    @property
    def position(self) -> int:
        return len(self._tokens)

    def tokenize(self, text: str, *, add_bos: bool, parse_special: bool) -> list[int]:
        for sequence in self._recording.sequences:
            if sequence.text == text and sequence.tokens is not None:
                return list(sequence.tokens)
        if not self._recording.prompts():
            raise BadInput(
                f"{self._path} does not say which tokens its rows belong to; give them with --tokens, or in "
                f"the file {self._path.with_suffix('.tokens').name} beside it"
            )
        raise NotCompared(
            f"{self._path} has no recording of this text; leave the prompt out to run what it has"
        )

    def detokenize(self, ids: Sequence[int]) -> str:
        return " ".join(map(str, ids))

    def prefill(self, tokens: Sequence[int], *, logits: Literal["all", "last"] = "all") -> Floats:
        if not tokens:
            raise BadInput("no tokens to run; give at least one")
        rows = self._rows(list(tokens), "prefill")
        return rows if logits == "all" else rows[-1:]

    def decode(self, token: int) -> Floats:
        row: Floats = self._rows([token], "decode")[0]
        return row

    def rollback(self, to: int) -> None:
        if not 0 <= to <= self.position:
            raise BadInput(f"rollback to {to}: the sequence holds positions 0 to {self.position}")
        del self._tokens[to:]

    @contextmanager
    def tap(self, stages: StageFilter, sink: Sink) -> Iterator[None]:
        """A recording has no stages, so none arrives."""
        yield

    def close(self) -> None:
        """Nothing is open."""

    def _rows(self, tokens: list[int], chunks: str) -> Floats:
        wanted = (*self._tokens, *tokens)
        for sequence in self._recording.sequences:
            if sequence.holds(wanted, chunks):
                first = len(self._tokens)
                self._tokens += tokens
                return sequence.logits[first : first + len(tokens)]
        if not self._recording.prompts():
            rows = len(self._recording.sequences[0].logits)
            raise NotCompared(
                f"{self._path} has {rows} rows, too few for these {len(wanted)} tokens; give fewer"
            )
        raise NotCompared(
            f"{self._path} has not recorded these {len(wanted)} tokens; "
            "leave the prompt out to run what it has"
        )


def _split_bytes(values: Floats) -> NDArray[np.uint8]:
    little = np.ascontiguousarray(values, "<f4")
    return np.ascontiguousarray(np.moveaxis(little.view(np.uint8).reshape(*values.shape, 4), -1, 0))


def _join_bytes(split: NDArray[np.uint8]) -> Floats:
    together = np.ascontiguousarray(np.moveaxis(split, 0, -1))
    return together.view("<f4")[..., 0].astype(np.float32)


def _from_arrays(arrays: Any) -> Recording:
    header = json.loads(arrays["header"].tobytes())
    if header["format"] != FORMAT:
        raise ValueError(f"format {header['format']!r}, not {FORMAT}")
    info = header["info"]
    fingerprint = Fingerprint(**info.pop("fingerprint"))
    sequences = tuple(
        RecordedSequence(s["text"], tuple(s["tokens"]), s["chunks"], _join_bytes(arrays[f"logits_{i}"]))
        for i, s in enumerate(header["sequences"])
    )
    return Recording(
        ModelInfo(**info, fingerprint=fingerprint),
        header["weights_blake3"],
        sequences,
        NoiseFloor.from_dict(header["noise"]),
    )
