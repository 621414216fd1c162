"""The native engine behind the engine contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bitparity.architectures import ARCHITECTURES
from bitparity.architectures.graph import Architecture
from bitparity.architectures.llama import LLAMA
from bitparity.engine import Availability, Fingerprint, Floats, ModelInfo, Role, Sink, StageValue
from bitparity.engines.loaded import digests
from bitparity.errors import BadInput, EngineUnavailable
from bitparity.formats import ROWS
from bitparity.model import open_model
from bitparity.model.rope_scaling import RopeScaling
from bitparity.model.types import Model
from bitparity.noise.perturb import with_norms_moved
from bitparity.oracle.arithmetic import BITNET_CPP, LLAMA_CPP, Arithmetic, arithmetic_named, arithmetic_names
from bitparity.oracle.weights import PER_TOKEN
from bitparity.stages import StageFilter
from bitparity.tokenizer import Tokenizer

try:
    from bitparity_native import _core
    from bitparity_native.tensors import layers_of, output_matrices, runnable_formats, vector_of

    _problem = ""
except ImportError as error:  # this source tree was never built
    _problem = str(error)


class NativeEngine:
    """Opens models in the C++ core.

    arithmetic  which roundings and order of float sums to follow, by its name (bitparity.oracle.arithmetic);
                "auto" takes bitnet.cpp for the weight formats and architectures that only it runs, else
                llama.cpp, both as built for AVX2
    kernels     name of a kernel set, or "auto" for the best that this CPU runs
    alter       changes the model between reading and running it, to plant a deliberate fault
    faults      deliberate faults that no model can express
    """

    name = "native"
    role: Role = "candidate"
    reads_checkpoints = True
    is_made_for_checkpoints = False

    def __init__(
        self,
        *,
        arithmetic: str = "auto",
        kernels: str = "auto",
        alter: Callable[[Model], Model] | None = None,
        faults: _core.Faults | None = None,
    ) -> None:
        self._arithmetic = arithmetic
        self._kernels = kernels
        self._alter = alter
        self._faults = faults

    def choices(self) -> dict[str, list[str]]:
        """As bitparity.engine.Configurable says."""
        available = self.availability()
        if not available.found:
            raise EngineUnavailable(f"native was not found: {available.what}; {available.advice}")
        return {"kernels": _kernel_sets(), "arithmetic": arithmetic_names()}

    def configured(self, **chosen: str) -> NativeEngine:
        """As bitparity.engine.Configurable says."""
        return self._changed(**chosen)

    def with_faults(
        self, alter: Callable[[Model], Model] | None, switches: Mapping[str, Any]
    ) -> NativeEngine:
        """The same engine made faulty on purpose (bitparity.faults); switches are fields of _core.Faults."""
        return self._changed(alter=alter, faults=_core.Faults(**switches))

    def perturbed(self, seed: int) -> NativeEngine:
        """As bitparity.engine.Perturbable says."""
        alter = self._alter or (lambda model: model)
        return self._changed(alter=lambda model: with_norms_moved(alter(model), seed))

    def following(self, reference: Fingerprint) -> NativeEngine:
        """As bitparity.engine.FollowsReference says."""
        stated = reference.details.get("arithmetic")
        if self._arithmetic != "auto" or stated is None or not arithmetic_named(stated).is_a_ggml_build:
            return self
        return self._changed(arithmetic=stated)

    def availability(self) -> Availability:
        if _problem:
            return Availability(
                False, f"the compiled core is missing ({_problem})", "run `pip install .` in the project"
            )
        return Availability(True, f"part of bitparity; kernel sets {', '.join(_kernel_sets())}")

    def refusal(self, arch: str, weight_formats: set[str]) -> str | None:
        if arch not in (runs := [a.name for a in ARCHITECTURES.values() if _computes(a)]):
            return f"native runs {', '.join(runs)}, not {arch!r}"
        if not _problem and (strange := sorted(weight_formats.difference(runnable_formats()))):
            return f"native has no kernels for weights in {', '.join(strange)}"
        return None

    def open(self, model: Path, *, context: int, threads: int, device_id: int | None = None) -> NativeSession:
        if device_id is not None:
            raise BadInput(f"native: device {device_id} was asked for, but this engine runs on the CPU only")
        if context < 1 or threads < 1:
            raise BadInput(
                f"native: a session needs a context and threads of at least 1, not {context} and {threads}"
            )
        opened = open_model(model)
        if refused := self.refusal(opened.hyper.arch, set(opened.format_counts())):
            raise BadInput(f"{model}: {refused}")
        if self._alter:
            opened = self._alter(opened)
        arithmetic = self._arithmetic_for(opened)
        core = self._open_core(opened, arithmetic, context, threads)
        return NativeSession(opened, core, arithmetic, threads)

    def _arithmetic_for(self, model: Model) -> Arithmetic:
        if self._arithmetic != "auto":
            return arithmetic_named(self._arithmetic)
        only_bitnet_cpp = set(model.hyper.architecture.nodes) == {"bitnet.cpp"}
        only_there = [name for name, row in ROWS.items() if row.activations == PER_TOKEN]
        is_bitnet_cpp = only_bitnet_cpp or set(only_there).intersection(model.format_counts())
        return BITNET_CPP if is_bitnet_cpp else LLAMA_CPP

    def _changed(self, **changes: Any) -> NativeEngine:
        own = {
            "arithmetic": self._arithmetic,
            "kernels": self._kernels,
            "alter": self._alter,
            "faults": self._faults,
        }
        return NativeEngine(**own | changes)

    def _open_core(self, model: Model, arithmetic: Arithmetic, context: int, threads: int) -> _core.Session:
        hyper, weights = model.hyper, model.weights
        token_embd, head = output_matrices(weights)
        try:
            return _core.Session(
                hyper=_core.HyperParameters(
                    n_vocab=hyper.n_vocab,
                    n_layer=hyper.n_layer,
                    n_embd=hyper.n_embd,
                    n_head=hyper.n_head,
                    n_head_kv=hyper.n_head_kv,
                    head_dim=hyper.head_dim,
                    n_ff=hyper.n_ff,
                    rope_dim=hyper.rope_dim,
                    norm_eps=hyper.norm_eps,
                    rope_base=hyper.rope_base,
                    rope_pairs=hyper.rope_pairs,
                    rope_scaling=_rope_scaling(hyper.rope_scaling),
                    activation=hyper.activation,
                    scales_embeddings=hyper.architecture.scales_embeddings,
                    divides_queries=hyper.architecture.divides_queries,
                    sliding_window=hyper.sliding_window,
                    windowed_rope_base=hyper.windowed_rope_base,
                    pools_last_token="pooled" in hyper.architecture.by_name,
                ),
                token_embd=token_embd,
                head=head,
                output_norm=vector_of(weights.output_norm),
                rope_factors=None if weights.rope_factors is None else vector_of(weights.rope_factors),
                layers=layers_of(model),
                context=context,
                threads=threads,
                arithmetic=_core.Arithmetic(
                    generation=arithmetic.generation,
                    order=arithmetic.order,
                    compiler=arithmetic.compiler,
                    fuses_sums=arithmetic.fuses_sums,
                ),
                kernels=self._kernels,
                faults=self._faults or _core.Faults(),
            )
        except ValueError as error:
            raise BadInput(f"native: {model.path}: {error}") from None


class NativeSession:
    """One sequence in the C++ core.

    The core keeps references to the tensors, which are views of the memory-mapped file.
    """

    def __init__(self, model: Model, core: _core.Session, arithmetic: Arithmetic, threads: int) -> None:
        self._metadata = model.metadata
        self._core: _core.Session | None = core
        self._tokenizer: Tokenizer | None = None
        self._taps: list[tuple[StageFilter, Sink]] = []
        self._seq = 0
        self._info = _describe(model, core, arithmetic, threads)

    @property
    def info(self) -> ModelInfo:
        return self._info

    @property
    def position(self) -> int:
        return self._open_core().position

    def tokenize(self, text: str, *, add_bos: bool, parse_special: bool) -> list[int]:
        return self._tokens().encode(text, add_bos=add_bos, parse_special=parse_special)

    def detokenize(self, ids: Sequence[int]) -> str:
        return self._tokens().decode(list(ids))

    def prefill(self, tokens: Sequence[int], *, logits: Literal["all", "last"] = "all") -> Floats:
        """As the contract says; "last" is, to the bit, the last row of "all"."""
        return self._run(tokens, only_last=logits == "last", seq=0)

    def decode(self, token: int) -> Floats:
        logits: Floats = self._run([token], only_last=False, seq=self._seq + 1)[0]
        self._seq += 1
        return logits

    def rollback(self, to: int) -> None:
        core = self._open_core()
        if not 0 <= to <= core.position:
            raise BadInput(f"native: rollback to {to}, but the sequence holds {core.position} positions")
        core.rollback(to)
        self._seq = self._seq if to else 0

    @contextmanager
    def tap(self, stages: StageFilter, sink: Sink) -> Iterator[None]:
        entry = (stages, sink)
        self._taps.append(entry)
        self._select_stages()
        try:
            yield
        finally:
            self._taps.remove(entry)
            if self._core is not None:
                self._select_stages()

    def close(self) -> None:
        """Release the core and the memory map of the file, of which the vocabulary is a view too."""
        self._core, self._metadata, self._tokenizer = None, {}, None

    def _run(self, tokens: Sequence[int], *, only_last: bool, seq: int) -> Floats:
        core = self._open_core()
        ids = self._checked(tokens, core.position)
        return core.run(ids, only_last, partial(self._deliver, seq) if self._taps else None)

    def _checked(self, tokens: Sequence[int], position: int) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
        if len(tokens) == 0:
            raise BadInput("native: no tokens to run; give at least one")
        n_vocab, context = self._info.n_vocab, self._info.context
        for offset, token in enumerate(tokens):
            if not 0 <= token < n_vocab:
                raise BadInput(
                    f"native: token id {token} at offset {offset} is outside the vocabulary of {n_vocab}"
                )
        if len(tokens) > context - position:
            raise BadInput(
                f"native: {len(tokens)} tokens at position {position} do not fit the context of {context}"
            )
        return np.array(tokens, dtype=np.int32)

    def _deliver(self, seq: int, layer: int, stage: str, position: int, values: Floats) -> None:
        value = StageValue(layer, stage, position, seq, self._shaped(stage, values))
        for stages, sink in tuple(self._taps):
            if stages.matches(layer, stage):
                sink(value)

    def _shaped(self, stage: str, values: Floats) -> Floats:
        if stage != "attn_probs":
            return values
        return values.reshape(len(values), self._info.n_head, -1)

    def _select_stages(self) -> None:
        pairs = {pair for stages, _ in self._taps for pair in stages.pairs(self._info.n_layer)}
        self._open_core().select_stages(sorted(pairs))

    def _open_core(self) -> _core.Session:
        if self._core is None:
            raise BadInput("native: the session is closed")
        return self._core

    def _tokens(self) -> Tokenizer:
        self._open_core()
        if self._tokenizer is None:
            self._tokenizer = Tokenizer.from_gguf(self._metadata)
        return self._tokenizer


def _computes(architecture: Architecture) -> bool:
    """Whether the core has its graph: Llama's, with norms before some of its stages (session.cpp)."""
    readers = _core.readers_of_inner_norms()
    norms = [norm for norm in architecture.inner_norms if architecture.reader_of(norm) in readers]
    return architecture.without(norms).stages == LLAMA.without(LLAMA.inner_norms).stages


def _rope_scaling(scaling: RopeScaling | None) -> _core.RopeScaling:
    if scaling is None:
        return _core.RopeScaling()
    return _core.RopeScaling(
        yarn=scaling.kind == "yarn", factor=scaling.factor, original_context=scaling.original_context
    )


def _kernel_sets() -> list[str]:
    """Those that this CPU runs, best first."""
    return [name for name, _, runs_here in _core.kernels.kernel_sets() if runs_here]


@cache
def _core_digest() -> str:
    """What tells one build of the core from another."""
    return digests([Path(str(_core.__file__))])


def _describe(model: Model, core: _core.Session, arithmetic: Arithmetic, threads: int) -> ModelInfo:
    fingerprint = Fingerprint(
        engine=NativeEngine.name,
        version=version("bitparity"),
        compiler=_core.compiler(),
        isa=core.isa,
        kernels=core.kernels,
        threads=threads,
        kv_type="f16",
        details={"arithmetic": arithmetic.name, "libraries": _core_digest()},
    )
    return ModelInfo.of(model, core.context, fingerprint)
