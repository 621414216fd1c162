"""The shapes for which a build of bitnet.cpp has kernels of TL1 or TL2.

They were generated before it was built, and others give garbage or divide by zero.
"""

from __future__ import annotations

from bitparity.formats.table_lookup import TableLookupFormat, Tiling, read_kernel_config
from bitparity.model.types import Model, Tensor
from bitparity_reference.discover import Library

_CONFIG = "include/kernel_config.ini"  # which codegen_tl1.py and codegen_tl2.py write beside the kernels


def shape_without_kernel(library: Library, model: Model) -> str | None:
    """What is missing to a build that should run this model, in words; None where nothing is.

    The tiles count, too: a weight that is packed for others is read as other weights.
    """
    looked_up = [t for t in model.tensors.values() if isinstance(t.weight_format, TableLookupFormat)]
    if not looked_up:
        return None
    config = library.root / _CONFIG
    if not config.is_file():
        return f"the shapes that {library.engine} has kernels for are not known: {config} is missing"
    built = read_kernel_config(config)
    for tensor in looked_up:
        rows, cols = tensor.shape
        if (rows, cols) not in built:
            known = ", ".join(f"{m} x {k}" for m, k in sorted(built))
            return (
                f"{library.engine} was built with kernels of {tensor.format} for weights of {known}, and "
                f"{tensor.name} is {rows} x {cols}; generate kernels for it and build again"
            )
        if _tiles(tensor) != built[rows, cols]:
            return (
                f"{tensor.name} was packed for {_tiles(tensor) or 'tiles that are not known'}, and "
                f"{library.engine} was built with {built[rows, cols]}; pack it again with "
                f"--kernel-config {config}"
            )
    return None


def _tiles(tensor: Tensor) -> Tiling | None:
    form = tensor.weight_format
    assert isinstance(form, TableLookupFormat)
    rows, cols = tensor.shape
    return form.tilings.get((rows, cols))
