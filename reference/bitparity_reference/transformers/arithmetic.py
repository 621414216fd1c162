"""What a model object of transformers computes in, in the words of bitparity.oracle.arithmetic.

In float32 nothing is rounded on the way: K and V stay float32, weights of any dense format are unpacked to
float32 and meet activations as they are.  AutoBitLinear makes int8 of a token's activations with one scale,
127 over the largest (1e-5 at least), rounded half to even and clipped to -128 and 127; it then divides by the
scale again, and the product is one of floats.
"""

from __future__ import annotations

from bitparity.formats import DENSE, FLOATS, is_ternary
from bitparity.model.types import Model, Tensor
from bitparity.oracle.arithmetic import PLAIN, Arithmetic


def arithmetic_of_model(model: Model, *, quantises: bool) -> Arithmetic:
    """The arithmetic in which transformers computes a model of these weight formats, in float32.

    quantises  whether the model object has projections that make int8 of their input: a checkpoint whose
               config.json does not say that it is quantised has none, ternary as its weights may be
    """
    matrices = [*_projections(model), model.weights.head]
    axes = {}
    if any(is_ternary(matrix.weight_format) for matrix in matrices):
        axes["activations"] = "token" if quantises else "none"
    if any(matrix.format in set(DENSE).difference(FLOATS) for matrix in matrices):
        axes["block_inputs"] = "f32"
    return PLAIN.having(**axes)


def _projections(model: Model) -> list[Tensor]:
    roles = [stage.weight for stage in model.hyper.architecture.block if stage.kind == "projection"]
    return [layer[role] for layer in model.weights.layers for role in roles]
