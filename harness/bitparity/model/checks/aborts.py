"""What a reference is known to abort on, or to leave out without a word: told before it is started.

Everything here was seen; reference/UPSTREAM.md says with which versions.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bitparity.model.checks.finding import Finding, Severity
from bitparity.model.types import Model

LLAMAS = ("bitnet.cpp", "llama.cpp")


def half_norms(model: Model) -> Iterator[Finding]:
    """Norm weights that are not float32, which the product after a norm does not take.

    The BitNet embedding models, whose architectures neither reference has, are published with F16 norms.
    """
    if not model.hyper.architecture.nodes:
        return
    halves = [t for t in model.tensors.values() if len(t.shape) == 1 and t.format != "F32"]
    if not halves:
        return
    first = halves[0]
    yield Finding(
        Severity.STOP,
        first.name,
        f"tensor {first.name} is {first.format} ({len(halves)} of the norms are not F32): "
        f"{' and '.join(LLAMAS)} abort at the product of a norm with its weight; write norms as F32",
        LLAMAS,
    )


def lookup_in_batches(model: Model) -> Iterator[Finding]:
    """TL2 in batches of eight tokens and more, of which bitnet.cpp's generated kernels keep one row."""
    tensor = next((t for t in model.tensors.values() if t.format == "TL2"), None)
    if tensor is not None:
        yield Finding(
            Severity.WARNING,
            tensor.name,
            f"tensor {tensor.name} is TL2: bitnet.cpp writes batches of eight tokens and more into one row "
            "(utils/codegen_tl2.py), so prompts of that length mean nothing; compare with --chunks decode",
            ("bitnet.cpp",),
        )


def own_head(model: Model) -> Iterator[Finding]:
    """A head that differs from the embedding, in an architecture whose graph multiplies by the embedding."""
    head, embedding = model.weights.head, model.weights.token_embd
    if model.weights.head_is_tied or not model.hyper.architecture.has_no_own_head:
        return
    is_copy = head.format == embedding.format and np.array_equal(head.data, embedding.data)
    if is_copy and model.hyper.arch != "bitnet":
        return
    name, arch, engines = model.weights.head.name, model.hyper.arch, tuple(model.hyper.architecture.nodes)
    do = (
        "do not load such a file"
        if arch == "bitnet"
        else "loads it and multiplies by the embedding all the same"
    )
    sentence = f"tensor {name}: of the architecture {arch!r} {' and '.join(engines)} {do}"
    yield Finding(Severity.STOP, name, sentence, engines)
