"""The engine contract; registry.py finds engines by name.

An engine turns token ids into logits.  A session is one engine with one model open and the KV cache
of one sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bitparity.model.types import Model
from bitparity.stage_map import StageMap
from bitparity.stages import StageFilter

Floats: TypeAlias = NDArray[np.float32]
Role: TypeAlias = Literal["reference", "candidate", "oracle"]


@dataclass(frozen=True)
class Fingerprint:
    """What produced a result; equal fingerprints mean the same program with the same set-up."""

    engine: str  # registry name
    version: str  # release or commit
    compiler: str
    isa: str  # for example "avx2+fma+f16c"
    kernels: str  # kernel set that runs
    threads: int
    kv_type: str  # "f16"
    details: dict[str, str] = field(default_factory=dict)  # whatever else changes the numbers

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class ModelInfo:
    """What a session says of the model that it has open."""

    arch: str
    n_vocab: int
    n_layer: int
    n_embd: int
    n_head: int
    n_head_kv: int
    n_ff: int
    context: int  # positions that the session can hold
    weight_formats: dict[str, int]  # weight format -> number of tensors
    tied_head: bool
    fingerprint: Fingerprint
    # None: it gives logits of all tokens.  Else it gives log-probabilities of so many tokens, the most
    # probable ones, and minus infinity for the others.
    most_probable: int | None = None

    @classmethod
    def of(cls, model: Model, context: int, fingerprint: Fingerprint) -> ModelInfo:
        """What a session of so many positions says of a model that is open in it."""
        hyper = model.hyper
        return cls(
            arch=hyper.arch,
            n_vocab=hyper.n_vocab,
            n_layer=hyper.n_layer,
            n_embd=hyper.n_embd,
            n_head=hyper.n_head,
            n_head_kv=hyper.n_head_kv,
            n_ff=hyper.n_ff,
            context=context,
            weight_formats=model.format_counts(),
            tied_head=model.weights.head_is_tied,
            fingerprint=fingerprint,
        )


@dataclass(frozen=True)
class StageValue:
    """One stage's output for consecutive positions, as the engine computed it.

    position  first position covered
    seq       0 for prefill, then 1, 2, ... a decode step
    values    float32, (n positions, axes of the stage as in stages.py), C order
    """

    layer: int
    stage: str
    position: int
    seq: int
    values: Floats


Sink = Callable[[StageValue], None]


class Session(Protocol):
    """One model open, one sequence.  Positions are counted from 0; every call continues at `position`."""

    @property
    def info(self) -> ModelInfo: ...

    @property
    def position(self) -> int:
        """Number of tokens in the KV cache, which is the position of the next token."""
        ...

    def tokenize(self, text: str, *, add_bos: bool, parse_special: bool) -> list[int]: ...

    def detokenize(self, ids: Sequence[int]) -> str: ...

    def prefill(self, tokens: Sequence[int], *, logits: Literal["all", "last"] = "all") -> Floats:
        """Run tokens as one batch, causally; returns (n, n_vocab), or (1, n_vocab) for "last".

        Raises BadInput for no tokens, an id outside the vocabulary, or more tokens than the context holds.
        """
        ...

    def decode(self, token: int) -> Floats:
        """Run one token; returns (n_vocab,).  Raises as prefill does."""
        ...

    def rollback(self, to: int) -> None:
        """Forget every position >= to; 0 <= to <= position, else BadInput."""
        ...

    def tap(self, stages: StageFilter, sink: Sink) -> AbstractContextManager[None]:
        """Record matching stages while active.

        The sink gets them in graph order, each call's stages before that call returns its logits.
        A stage that the architecture or the engine does not have never arrives.
        """
        ...

    def close(self) -> None: ...


class Engine(Protocol):
    """How the harness opens sessions.  Constructing one is cheap and never fails.

    role  what it is for: to be trusted, to be tested, or to define what is right.  A command line that names
          its reference trusts that one whatever its role; the role decides where none is named.
    """

    name: str

    @property
    def role(self) -> Role: ...

    def availability(self) -> Availability: ...

    def refusal(self, arch: str, weight_formats: set[str]) -> str | None:
        """Why this engine cannot run such a model, in a clause; None when it can."""
        ...

    def open(self, model: Path, *, context: int, threads: int, device_id: int | None = None) -> Session:
        """Open a model.

        Raises EngineUnavailable, BadInput (the file, or a device that does not exist) or EngineFailed.
        """
        ...


def typed_name(engine: Engine) -> str:
    """What a user types for it: its name, unless it was made of something else (`given`), say of a file."""
    given: str = getattr(engine, "given", engine.name)
    return given


def role_of(engine: Engine) -> Role:
    """What the engine says that it is for; one that says nothing is a candidate, which nobody trusts."""
    role: Role = getattr(engine, "role", "candidate")
    return role


@runtime_checkable
class FollowsReference(Protocol):
    """An optional part of an engine that computes in several arithmetics (bitparity.oracle.arithmetic)."""

    def following(self, reference: Fingerprint) -> Engine:
        """The same engine, computing in the arithmetic that a reference states of itself.

        Itself when the reference states none, or one that the engine cannot compute, or when an arithmetic
        was chosen for the engine.
        """
        ...


@runtime_checkable
class TimeLimited(Protocol):
    """An optional part of an engine whose sessions live in processes of their own."""

    def with_time_limit(self, seconds: float) -> Engine:
        """The same engine, which counts as hung after so many seconds of one call without a sign of life."""
        ...


@runtime_checkable
class Perturbable(Protocol):
    """An optional part of an engine: its noise can then be measured without copying a model's file."""

    def perturbed(self, seed: int) -> Engine:
        """The same engine with the outputs of its norms moved (bitparity.noise.perturb); seed decides how."""
        ...


@runtime_checkable
class NamesStages(Protocol):
    """An optional part of an engine whose stages have names of its own."""

    def with_stage_map(self, stage_map: StageMap) -> Engine:
        """The same engine, whose stages are recorded under the names that the map leads to."""
        ...


@runtime_checkable
class ReadsCheckpoints(Protocol):
    """What an engine has besides that opens the folder of a checkpoint as well as a GGUF file.

    is_made_for_checkpoints  whether it opens the folder even where another engine runs a conversion of it
    """

    reads_checkpoints: bool
    is_made_for_checkpoints: bool


@runtime_checkable
class Informed(Protocol):
    """What an engine has besides that says nothing of models itself, so that the harness does."""

    def informed_of(self, model: Model) -> Engine:
        """The same engine, told what it is going to open: a file that the harness may be unable to read."""
        ...


@dataclass(frozen=True)
class Device:
    """An accelerator that an engine can compute on; its place in the engine's list is its number.

    name         as the engine calls it: "CUDA0"
    description  "NVIDIA H100"
    memory       bytes
    """

    name: str
    description: str
    memory: int


@runtime_checkable
class HasDevices(Protocol):
    """What an engine may have besides, which can say on which devices it computes."""

    def devices(self) -> Sequence[Device] | None:
        """All that are there, in the order in which `device_id` counts them; None when not known yet."""
        ...


@runtime_checkable
class Examinable(Protocol):
    """What an engine may have besides, that can say more of its build when it runs it."""

    def examined(self) -> dict[str, str]:
        """What `doctor` prints besides the details of `availability`; may take seconds."""
        ...


@runtime_checkable
class Configurable(Protocol):
    """An optional part of an engine: choices that a user makes by name; `registry.configure` makes them."""

    def choices(self) -> Mapping[str, Sequence[str]]:
        """What can be chosen on this machine: choice -> its names, first the one that "auto" stands for.

        kernels     kernel sets that this CPU runs
        arithmetic  as bitparity.oracle.arithmetic names them

        Raises EngineUnavailable when the engine is not there to be asked.
        """
        ...

    def configured(self, **chosen: str) -> Engine:
        """The same engine with these names chosen, or "auto"; the other choices stay as they are."""
        ...


@dataclass(frozen=True)
class Availability:
    """found; where it lies and what it is; when not found, what to type; details for `doctor` to print."""

    found: bool
    what: str
    advice: str = ""
    details: dict[str, str] = field(default_factory=dict)
