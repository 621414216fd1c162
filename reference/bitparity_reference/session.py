"""A session over the compiled bridge.  It runs inside a worker process (bitparity.worker)."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from bitparity.architectures.ggml_nodes import Node, NodeTable
from bitparity.engine import Floats, ModelInfo, Sink, StageValue
from bitparity.engines.graph_order import GraphOrder
from bitparity.errors import BadInput
from bitparity.stages import StageFilter
from bitparity.worker.shared_memory import new_memory
from bitparity_reference.build import MODULE
from bitparity_reference.build_arithmetic import with_arithmetic
from bitparity_reference.debuggers import keep_debuggers_away
from bitparity_reference.devices import device_number, devices_of
from bitparity_reference.fused_sums import fuses_sums
from bitparity_reference.nodes import norm_nodes, wanted_nodes
from bitparity_reference.stacks import enlarge_stacks


def open_bridge(
    bridge: Path,
    model: Path,
    *,
    context: int,
    threads: int,
    info: ModelInfo,
    nodes: NodeTable,
    rounding: tuple[int, int] | None = None,
    device_id: int | None = None,
) -> BridgeSession:
    """Load the model by the compiled module in the folder `bridge` and open a session; called in the worker.

    rounding  seed, and float32 steps by which the outputs of all norms are moved at random; None leaves them
    device_id of a device that takes all layers; None is the CPU
    Raises BadInput with the library's own reason, or the devices that there are.
    """
    keep_debuggers_away()
    enlarge_stacks()
    sys.path.insert(0, str(bridge))
    module = import_module(MODULE)
    module.quiet_log()
    devices = devices_of(module.devices())
    device = device_number(info.fingerprint.engine, devices, device_id)
    try:
        core = module.Session(module.Model(str(model), device), context, threads)
    except module.LoadError as error:
        raise BadInput(f"{model}: {info.fingerprint.engine} cannot load it: {str(error).strip()}") from None
    if rounding is not None:
        core.round(norm_nodes(info.arch, nodes, info.n_layer), *rounding)
    isa = _instruction_sets(module.system_information())
    fingerprint = replace(info.fingerprint, isa=isa)
    if device < 0:
        linked = ctypes.CDLL(module.__file__)  # loaded already, and with it what it is linked with
        fingerprint = with_arithmetic(fingerprint, fuses_sums=fuses_sums(linked))
    else:  # whose roundings and sums are another build's
        fingerprint.details["device"] = f"{devices[device].name}, {devices[device].description}"
    return BridgeSession(core, replace(info, fingerprint=fingerprint), nodes)


def _instruction_sets(said: str) -> str:
    """The instruction sets that the library says it uses: `AVX2 = 1 | NEON = 0` becomes `avx2`."""
    pairs = (field.partition("=") for field in said.replace("CPU :", "").split("|"))
    return "+".join(name.strip().lower() for name, _, value in pairs if value.strip() == "1")


class BridgeSession:
    """One model, one sequence, of an unmodified llama.cpp."""

    def __init__(self, core: Any, info: ModelInfo, nodes: NodeTable) -> None:
        self._core, self._info, self._nodes = core, info, nodes
        self._sink: Sink | None = None
        self._wanted: list[tuple[int, str, str, Node]] = []
        self._decoded = 0  # decode steps so far, which numbers them in traces
        # One thread evaluates for the whole session, so that OpenMP keeps one team of threads.
        self._evaluator = ThreadPoolExecutor(1)

    @property
    def info(self) -> ModelInfo:
        return self._info

    @property
    def position(self) -> int:
        return cast(int, self._core.position)

    def tokenize(self, text: str, *, add_bos: bool, parse_special: bool) -> list[int]:
        return cast(list[int], self._core.tokenize(text, add_bos, parse_special))

    def detokenize(self, ids: Sequence[int]) -> str:
        self._check_ids(ids)
        return cast(bytes, self._core.detokenize(list(ids))).decode(errors="replace")

    def prefill(self, tokens: Sequence[int], *, logits: Literal["all", "last"] = "all") -> Floats:
        return self._evaluate(tokens, every=logits == "all", seq=0)

    def decode(self, token: int) -> Floats:
        rows = self._evaluate([token], every=True, seq=self._decoded + 1)
        self._decoded += 1
        return cast(Floats, rows[0])

    def rollback(self, to: int) -> None:
        if not 0 <= to <= self.position:
            raise BadInput(f"cannot roll back to position {to}; the session is at {self.position}")
        self._core.rollback(to)
        self._decoded = self._decoded if to else 0

    @contextmanager
    def tap(self, stages: StageFilter, sink: Sink) -> Iterator[None]:
        self._wanted = wanted_nodes(self._nodes, stages, self._info.n_layer)
        self._core.watch([(name, n.op, n.position_axis, n.is_softmax) for _, _, name, n in self._wanted])
        self._sink = sink
        try:
            yield
        finally:
            self._sink = None
            self._core.watch([])

    def close(self) -> None:
        self._evaluator.shutdown()

    def _evaluate(self, tokens: Sequence[int], *, every: bool, seq: int) -> Floats:
        self._check(tokens)
        if self._sink is None:
            return self._evaluator.submit(self._untapped, list(tokens), every).result()
        self._core.open_captures()
        running = self._evaluator.submit(self._tapped, list(tokens), every)
        try:
            ordered = GraphOrder(self._sink)
            for value in self._captures(seq):
                ordered(value)
            ordered.flush()
        finally:
            self._core.abandon_captures()
        return running.result()

    def _untapped(self, tokens: list[int], every: bool) -> Floats:
        rows, n_vocab = len(tokens) if every else 1, self._core.vocabulary_size
        memory = new_memory(rows * n_vocab * np.dtype(np.float32).itemsize)
        logits = np.ndarray((rows, n_vocab), np.float32, buffer=memory)
        self._core.evaluate(tokens, every, logits)
        return logits

    def _tapped(self, tokens: list[int], every: bool) -> Floats:
        try:
            return self._untapped(tokens, every)
        finally:
            self._core.close_captures()

    def _captures(self, seq: int) -> Iterator[StageValue]:
        while (capture := self._core.next_capture()) is not None:
            key, position, values = capture
            layer, stage, _, node = self._wanted[key]
            shaped = values if node.is_softmax else values.reshape(len(values), -1)
            yield StageValue(layer, stage, position, seq, shaped)

    def _check(self, tokens: Sequence[int]) -> None:
        if not tokens:
            raise BadInput("there are no tokens to run")
        self._check_ids(tokens)
        end = self.position + len(tokens)
        if end > self._info.context:
            raise BadInput(
                f"{len(tokens)} tokens at position {self.position} end at {end}, "
                f"beyond the session's context of {self._info.context}"
            )

    def _check_ids(self, tokens: Sequence[int]) -> None:
        for index, token in enumerate(tokens):
            if not 0 <= token < self._info.n_vocab:
                raise BadInput(f"token {index} has id {token}; the vocabulary has {self._info.n_vocab} ids")
