"""The oracle behind the engine contract, so that it can be compared, traced and blamed like any engine."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np

from bitparity.architectures import ARCHITECTURES
from bitparity.engine import Availability, Fingerprint, Floats, ModelInfo, Role, Sink, StageValue
from bitparity.errors import BadInput
from bitparity.formats import MULTIPLIED
from bitparity.model import open_model
from bitparity.model.types import Model
from bitparity.noise.perturb import with_norms_moved
from bitparity.oracle.arithmetic import BITNET_CPP, Arithmetic
from bitparity.oracle.decoder import Decoder, Record
from bitparity.oracle.definition import Definition, Place
from bitparity.stages import StageFilter
from bitparity.tokenizer import Tokenizer

MakeDefinition = Callable[[Model, Arithmetic], Definition]


class OracleEngine:
    """Opens models in the oracle.

    arithmetic       which engine's roundings it takes on
    make_definition  another definition of the stages; the fault catalogue plants its faults here
    """

    name = "oracle"
    role: Role = "oracle"
    reads_checkpoints = True
    is_made_for_checkpoints = False

    def __init__(
        self, arithmetic: Arithmetic = BITNET_CPP, make_definition: MakeDefinition = Definition.of
    ) -> None:
        self._arithmetic = arithmetic
        self._make_definition = make_definition

    def perturbed(self, seed: int) -> OracleEngine:
        """As bitparity.engine.Perturbable says."""
        make = self._make_definition

        def make_perturbed(model: Model, arithmetic: Arithmetic) -> Definition:
            return make(with_norms_moved(model, seed), arithmetic)

        return OracleEngine(self._arithmetic, make_perturbed)

    def availability(self) -> Availability:
        return Availability(True, f"part of bitparity; NumPy {np.__version__}, float64")

    def refusal(self, arch: str, weight_formats: set[str]) -> str | None:
        if arch not in ARCHITECTURES:
            return f"the oracle defines {', '.join(ARCHITECTURES)}, not {arch!r}"
        unknown = sorted(weight_formats.difference(MULTIPLIED))
        return f"the oracle has no arithmetic for {', '.join(unknown)}" if unknown else None

    def open(self, model: Path, *, context: int, threads: int, device_id: int | None = None) -> OracleSession:
        if device_id is not None:
            raise BadInput(f"device {device_id} was asked for, but the oracle runs on the CPU only")
        opened = open_model(model)
        refused = self.refusal(opened.hyper.arch, set(opened.format_counts()))
        if refused:
            raise BadInput(f"{model}: {refused}")
        return OracleSession(opened, self._make_definition(opened, self._arithmetic), context, threads)


class OracleSession:
    """One sequence in the oracle."""

    def __init__(self, model: Model, definition: Definition, context: int, threads: int) -> None:
        self._model = model
        self._decoder = Decoder(definition)
        self._tokenizer: Tokenizer | None = None
        self._seq = 0
        self._taps: list[tuple[StageFilter, Sink]] = []
        self._info = _describe(model, definition, context, threads)

    @property
    def info(self) -> ModelInfo:
        return self._info

    @property
    def position(self) -> int:
        return self._decoder.position

    def tokenize(self, text: str, *, add_bos: bool, parse_special: bool) -> list[int]:
        return self._tokens().encode(text, add_bos=add_bos, parse_special=parse_special)

    def detokenize(self, ids: Sequence[int]) -> str:
        return self._tokens().decode(list(ids))

    def prefill(self, tokens: Sequence[int], *, logits: Literal["all", "last"] = "all") -> Floats:
        self._check(tokens)
        return self._decoder.forward(tokens, last_only=logits == "last", record=self._recorder(0))

    def decode(self, token: int) -> Floats:
        self._check([token])
        self._seq += 1
        out: Floats = self._decoder.forward([token], record=self._recorder(self._seq))[0]
        return out

    def rollback(self, to: int) -> None:
        if not 0 <= to <= self.position:
            raise BadInput(f"rollback to {to}: the sequence holds positions 0 to {self.position}")
        self._decoder.rollback(to)
        self._seq = self._seq if to else 0

    @contextmanager
    def tap(self, stages: StageFilter, sink: Sink) -> Iterator[None]:
        tap = (stages, sink)
        self._taps.append(tap)
        try:
            yield
        finally:
            self._taps.remove(tap)

    def close(self) -> None:
        """There is nothing to release that Python does not release."""

    def _tokens(self) -> Tokenizer:
        if self._tokenizer is None:
            self._tokenizer = Tokenizer.from_gguf(self._model.metadata)
        return self._tokenizer

    def _check(self, tokens: Sequence[int]) -> None:
        if len(tokens) == 0:
            raise BadInput("no tokens to run; give at least one")
        free = self._info.context - self.position
        if len(tokens) > free:
            raise BadInput(
                f"{len(tokens)} tokens do not fit: the context of {self._info.context} has {free} left"
            )
        outside = [t for t in tokens if not 0 <= t < self._info.n_vocab]
        if outside:
            raise BadInput(f"token {outside[0]} is outside the vocabulary of {self._info.n_vocab}")

    def _recorder(self, seq: int) -> Record | None:
        if not self._taps:
            return None
        taps = tuple(self._taps)

        def record(stage: str, place: Place, values: Floats) -> None:
            value = StageValue(place.layer, stage, int(place.positions[0]), seq, values)
            for stages, sink in taps:
                if stages.matches(place.layer, stage):
                    sink(value)

        return record


def _describe(model: Model, definition: Definition, context: int, threads: int) -> ModelInfo:
    fingerprint = Fingerprint(
        engine=OracleEngine.name,
        version=version("bitparity"),
        compiler=f"Python {platform.python_version()}, NumPy {np.__version__}",
        isa="float64",
        kernels="numpy",
        threads=threads,
        kv_type=definition.arithmetic.kv,
        details={"arithmetic": definition.arithmetic.name},
    )
    return ModelInfo.of(model, context, fingerprint)
