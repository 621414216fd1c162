"""A session made of the little that an engine gives: forward at a position.

Prefill, decode and rollback are ways to call it.  What the engine has besides is found by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal, Protocol, cast

import numpy as np

from bitparity.engine import Fingerprint, Floats, ModelInfo, Sink, StageValue
from bitparity.engines.graph_order import GraphOrder
from bitparity.errors import BadInput, CannotTokenize
from bitparity.stage_map import StageMap
from bitparity.stages import StageFilter, stage_named

_FINGERPRINT_KEYS = ("version", "compiler", "isa", "kernels", "kv_type")


class Forward(Protocol):
    """What is called when a session is used; engine.h says the same in C.

    It has one of these two:
    forward(ids, position)                   forget what stands at `position` and later, run the ids there as
                                             one batch, causally; returns float32 (n, n_vocab)
    forward_last(ids, position)              the same, but the logits of the last id alone, (1, n_vocab);
                                             without `forward`, every position is run by itself

    and it may have:
    about() -> dict[str, str]                the keys of bitparity_about
    tokenize(text, add_bos, parse_special)   token ids
    detokenize(ids)                          text
    tap(hear)                                from now on call hear(stage, layer, position, values) at every
                                             stage, values float32 (n, width); None ends it
    """

    @property
    def n_vocab(self) -> int: ...

    def close(self) -> None: ...


class ForwardSession:
    """All of `bitparity.engine.Session` over a Forward.

    info       of the model, with a fingerprint that is right as far as it is known; `about` says the rest
    stage_map  from the names of its stages to bitparity's
    """

    def __init__(self, core: Forward, info: ModelInfo, stage_map: StageMap | None = None) -> None:
        self._core: Any = core
        self._map = stage_map or StageMap()
        fingerprint = described(info.fingerprint, self._about())
        if not self._has("tokenize"):
            fingerprint = replace(fingerprint, details={**fingerprint.details, "tokenizer": "none"})
        self._info = replace(info, n_vocab=core.n_vocab, fingerprint=fingerprint)
        self._position = 0
        self._decoded = 0  # decode steps so far, which number them in traces
        self._tap: tuple[StageFilter, Sink] | None = None

    @property
    def info(self) -> ModelInfo:
        return self._info

    @property
    def position(self) -> int:
        return self._position

    def tokenize(self, text: str, *, add_bos: bool, parse_special: bool) -> list[int]:
        self._require_tokenizer("tokenize")
        return [int(token) for token in self._core.tokenize(text, add_bos, parse_special)]

    def detokenize(self, ids: Sequence[int]) -> str:
        self._require_tokenizer("detokenize")
        self._check_ids(ids)
        return str(self._core.detokenize(list(ids)))

    def prefill(self, tokens: Sequence[int], *, logits: Literal["all", "last"] = "all") -> Floats:
        return self._run(tokens, only_last=logits == "last", seq=0)

    def decode(self, token: int) -> Floats:
        rows = self._run([token], only_last=False, seq=self._decoded + 1)
        self._decoded += 1
        return cast(Floats, rows[0])

    def rollback(self, to: int) -> None:
        if not 0 <= to <= self._position:
            raise BadInput(f"cannot roll back to position {to}; the session is at {self._position}")
        self._position = to
        self._decoded = self._decoded if to else 0

    @contextmanager
    def tap(self, stages: StageFilter, sink: Sink) -> Iterator[None]:
        if not self._has("tap"):  # then no stage ever arrives
            yield
            return
        self._tap = (stages, sink)
        try:
            yield
        finally:
            self._tap = None

    def close(self) -> None:
        self._core.close()

    def _about(self) -> Mapping[str, str]:
        return self._core.about() if self._has("about") else {}

    def _has(self, name: str) -> bool:
        return getattr(self._core, name, None) is not None

    def _run(self, tokens: Sequence[int], *, only_last: bool, seq: int) -> Floats:
        self._check(tokens)
        if self._tap is None:
            rows = self._forward(list(tokens), only_last)
        else:
            rows = self._tapped(list(tokens), only_last, seq, *self._tap)
        self._position += len(tokens)
        return rows

    def _forward(self, tokens: list[int], only_last: bool) -> Floats:
        core, position = self._core, self._position
        if only_last and self._has("forward_last"):
            return cast(Floats, core.forward_last(tokens, position))
        if self._has("forward"):
            rows = core.forward(tokens, position)
            return cast(Floats, rows[-1:] if only_last else rows)
        each = [core.forward_last([token], position + i) for i, token in enumerate(tokens)]
        return each[-1] if only_last else np.concatenate(each)

    def _tapped(
        self, tokens: list[int], only_last: bool, seq: int, stages: StageFilter, sink: Sink
    ) -> Floats:
        """Run, and pass on the stages; what that raises is raised when the engine has returned."""
        ordered, trouble = GraphOrder(sink), []

        def hear(stage: str, layer: int, position: int, values: Floats) -> None:
            try:
                known = self._map.find(stage)
                if known is None:
                    return
                stage, layer = known.stage, layer if known.layer is None else known.layer
                if stages.matches(layer, stage):
                    ordered(StageValue(layer, stage, position, seq, self._shaped(stage, values)))
            except Exception as error:
                trouble.append(error)

        self._core.tap(hear)
        try:
            rows = self._forward(tokens, only_last)
        finally:
            self._core.tap(None)
        if trouble:
            raise trouble[0]
        ordered.flush()
        return rows

    def _shaped(self, stage: str, values: Floats) -> Floats:
        if len(stage_named(stage).axes) == 1:
            return values
        return values.reshape(len(values), self._info.n_head, -1)

    def _require_tokenizer(self, method: str) -> None:
        if not self._has(method):
            raise CannotTokenize(
                f"{self._info.fingerprint.engine} cannot {method}; give --tokens or --tokenizer"
            )

    def _check(self, tokens: Sequence[int]) -> None:
        if len(tokens) == 0:
            raise BadInput("there are no tokens to run")
        self._check_ids(tokens)
        end = self._position + len(tokens)
        if end > self._info.context:
            raise BadInput(
                f"{len(tokens)} tokens at position {self._position} end at {end}, "
                f"beyond the session's context of {self._info.context}"
            )

    def _check_ids(self, tokens: Sequence[int]) -> None:
        for index, token in enumerate(tokens):
            if not 0 <= token < self._info.n_vocab:
                raise BadInput(f"token {index} has id {token}; the vocabulary has {self._info.n_vocab} ids")


def described(fingerprint: Fingerprint, about: Mapping[str, str]) -> Fingerprint:
    """The fingerprint with what an engine says of itself, as bitparity_about has it."""
    said = dict(about)
    known: dict[str, Any] = {key: said.pop(key) for key in _FINGERPRINT_KEYS if key in said}
    engine = said.pop("name", "") or fingerprint.engine
    return replace(fingerprint, engine=engine, **known, details={**fingerprint.details, **said})
