"""A model object of transformers, read from a checkpoint by transformers itself; for a worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

from bitparity.errors import BadInput
from bitparity_reference.transformers import attention
from bitparity_reference.transformers.classes import ModelClass


def load_checkpoint(folder: Path, kind: ModelClass) -> Any:
    """The model in float32, on the CPU.

    Its attention function has to be registered already (attention.py).
    Raises BadInput when it leaves tensors of the checkpoint out, or draws some that the checkpoint lacks.
    """
    try:
        built, found = getattr(transformers, kind.name).from_pretrained(
            folder,
            dtype=torch.float32,
            attn_implementation=attention.NAME,
            local_files_only=True,
            output_loading_info=True,
        )
    except (ValueError, KeyError, OSError, RuntimeError, ImportError) as error:
        raise BadInput(
            f"{folder.name}: transformers cannot load it: {' '.join(str(error).split())}"
        ) from None
    for what in ("unexpected", "missing", "mismatched"):
        if names := sorted(map(str, found[f"{what}_keys"])):
            said = f"{len(names)} tensors are {what}, the first is {names[0]}"
            raise BadInput(f"{folder.name}: to transformers {said}")
    _widen(built)
    return built.eval().requires_grad_(False)


def _widen(built: Any) -> None:
    """Make every float32; loading leaves some of a quantised model in the type in which they are stored."""
    for values in (*built.parameters(), *built.buffers()):
        if values.is_floating_point():
            values.data = values.data.float()
