"""One sequence in a model object of transformers; runs inside a worker process (bitparity.worker)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any, cast

from bitparity.engine import Floats, ModelInfo
from bitparity.engines.forward import ForwardSession
from bitparity.model import Model, open_model
from bitparity.model.checkpoint import is_checkpoint
from bitparity.model.checkpoint.config import read_config
from bitparity_reference.transformers.arithmetic import arithmetic_of_model
from bitparity_reference.transformers.attention import Attention
from bitparity_reference.transformers.classes import class_of, has_norms_in_projections
from bitparity_reference.transformers.devices import torch_device
from bitparity_reference.transformers.taps import Hear, Taps, move_norms

# The compiler of PyTorch rounds otherwise than the source says, needs a C++ compiler and takes a minute.  On
# CUDA, float32 products are such (not of the ten bits of TF32) and add up in the same order every time.
_SETTINGS = {
    "TORCHDYNAMO_DISABLE": "1",
    "NVIDIA_TF32_OVERRIDE": "0",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}

_CACHE_ARGUMENTS = ("cache", "past_key_values")  # as it is named since 5.24, and before


def open_transformers(
    model: Path, *, threads: int, info: ModelInfo, device_id: int | None = None, seed: int | None = None
) -> ForwardSession:
    """Make the model object and open a session; called in the worker.

    seed  of the moves of all norms' outputs; None leaves them
    Raises BadInput for a model that no class of transformers can be, and for no device.
    """
    os.environ.update(_SETTINGS)
    import torch

    from bitparity_reference.transformers.build import has_quantising_projections
    from bitparity_reference.transformers.tokens import tokens_of

    torch.set_num_threads(threads)
    device = torch_device(torch, info.fingerprint.engine, device_id)
    opened = open_model(model)
    attention = Attention()
    built = _made(opened).to(device)
    if seed is not None:
        move_norms(built, opened.hyper, seed)
    taps = Taps(built, opened.hyper, attention)
    arithmetic = arithmetic_of_model(opened, quantises=has_quantising_projections(built))
    read_by = "transformers" if is_read_by_transformers(opened) else "bitparity"
    core = TransformersForward(taps, {"arithmetic": arithmetic.name, "weights read by": read_by})
    if is_checkpoint(model) and (tokens := tokens_of(model)) is not None:
        core.tokenize, core.detokenize = tokens.tokenize, tokens.detokenize
    return ForwardSession(core, info)


def _made(opened: Model) -> Any:
    """The model object, of weights that transformers reads itself where it can."""
    from bitparity_reference.transformers.build import build_model
    from bitparity_reference.transformers.load import load_checkpoint

    if is_read_by_transformers(opened):
        return load_checkpoint(opened.path, class_of(opened.hyper.architecture))
    return build_model(opened)


def is_read_by_transformers(model: Model) -> bool:
    """Whether it is a checkpoint of a class that transformers itself reads and computes in full.

    1bitLLM's class is no part of it, an embedding model has no head in it, and norms before projections have
    another name in it than in the checkpoints that there are.
    """
    architecture = model.hyper.architecture
    if not is_checkpoint(model.path) or has_norms_in_projections(architecture):
        return False
    return bool(read_config(model.path).values["architectures"] == [class_of(architecture).name])


def _compiler(built: str) -> str:
    """The first line of what torch says of its build that names a compiler: `GCC 13.3`."""
    found = re.search(r"(GCC|Clang|MSVC) [\w.]+", built)
    return found[0] if found else ""


class TransformersForward:
    """A bitparity.engines.forward.Forward.

    stated  what is known of the model object, for its fingerprint
    """

    tokenize: Callable[[str, bool, bool], list[int]] | None = None
    detokenize: Callable[[Sequence[int]], str] | None = None

    def __init__(self, taps: Taps, stated: Mapping[str, str]) -> None:
        import torch
        from transformers import DynamicCache

        self._torch, self._new_cache = torch, DynamicCache
        self._built, self._taps, self._stated = taps.built, taps, dict(stated)
        self._cache = DynamicCache()
        self._cache_argument = next(
            name for name in _CACHE_ARGUMENTS if name in signature(taps.built.forward).parameters
        )
        self.n_vocab = int(taps.built.config.vocab_size)

    def forward(self, ids: Sequence[int], position: int) -> Floats:
        return self._run(ids, position, last_only=False)

    def forward_last(self, ids: Sequence[int], position: int) -> Floats:
        return self._run(ids, position, last_only=True)

    def tap(self, hear: Hear | None) -> None:
        self._taps.hear(hear)

    def about(self) -> dict[str, str]:
        torch = self._torch
        return {
            "compiler": _compiler(torch.__config__.show()),
            "torch": torch.__version__,
            "class": type(self._built).__name__,
            **self._stated,
            **self._where(),
        }

    def close(self) -> None:
        """The process ends with it."""

    def _where(self) -> dict[str, str]:
        """Instruction set, and the device where it is not the CPU."""
        torch, device = self._torch, self._built.device
        if device.type == "cpu":
            return {"isa": torch.backends.cpu.get_cpu_capability().lower()}
        major, minor = torch.cuda.get_device_capability(device)
        return {"isa": f"sm_{major}{minor}", "device": f"{device}, {torch.cuda.get_device_name(device)}"}

    def _run(self, ids: Sequence[int], position: int, *, last_only: bool) -> Floats:
        self._forget(position)
        self._taps.position = position
        tokens = self._torch.tensor([list(ids)], device=self._built.device)
        with self._torch.inference_mode():
            given = {self._cache_argument: self._cache, "use_cache": True}
            out = self._built(tokens, **given, logits_to_keep=int(last_only))
        return cast(Floats, out.logits[0].float().cpu().numpy())

    def _forget(self, position: int) -> None:
        """Every cached position from this one on."""
        held = self._cache.get_seq_length()
        if position == 0:
            self._cache = self._new_cache()  # every layer keeps all positions, so that a window can go back
        elif position < held:
            self._cache.crop(position - held)
