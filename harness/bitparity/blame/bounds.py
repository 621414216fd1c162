"""How far a correct float32 engine may be from the oracle at one stage, element by element.

Every bound counts the roundings of the stage's own arithmetic; u = 2^-24 is the relative error of one float32
rounding.  Inputs are what the engine recorded, so nothing is inherited.  Integers are exact: a ternary dot or
an int8 code that is off by one is beyond every bound here, unless the code is at a tie, in an engine that is
no build of ggml (_codes_at_ties).

Sums of float32 products are the one place where a worst case (k * u) would be useless: rounding errors have
random signs.  Adding k terms one by one, the error is a random walk with steps u * |partial sum| / sqrt(3).
With partial sums growing like sqrt(i / k) * |terms| its standard deviation is sqrt(k / 6) * u * |terms|,
where |terms| is the Euclidean norm of the terms; with partial sums that grow straight to the result it is
sqrt(k / 9) * u * |result|.  Engines that add in vector lanes do better.  SIGMAS of it are allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bitparity.architectures.graph import GraphStage, Kind
from bitparity.oracle import ops
from bitparity.oracle.arithmetic import AS_STORED, BY_FORMAT, GENERATIONS
from bitparity.oracle.definition import Definition, Place
from bitparity.oracle.ops import Doubles
from bitparity.oracle.weights import PER_TOKEN, Dense, Ternary, operand, quantiser_of, round_dense_input

U = 2.0**-24
SMALLEST = 2.0**-126  # below it float32 loses digits, and fast exponentials give zero
SIGMAS = 6.0  # 1e9 normal draws stay within six standard deviations
LANES = 8  # floats in a register that take partial sums
ROWS_AT_ONCE = 1024  # of a ternary matrix that are held as float64
# Two steps of the type that outputs are rounded to: they fall the other way at a tie, and norms round twice.
_STEPS = {"f32": 0.0, "f16": 2 * 2.0**-10, "bf16": 2 * 2.0**-7}
ANGLE_ROUNDINGS = 8  # power 2 units in the last place (4 u), its inverse, scaling, blending, times position
EXP_ROUNDINGS = 4  # ggml_v_expf states 1.95 units in the last place, which is 3.9 u


@dataclass(frozen=True)
class Evaluated:
    """A stage that the oracle has evaluated.

    inputs    in the order of the stage's inputs
    expected  what it gave, in the shape of the bound
    """

    definition: Definition
    stage: GraphStage
    place: Place
    inputs: tuple[Any, ...]
    expected: Doubles


def allowed_error(
    definition: Definition, name: str, place: Place, inputs: Mapping[str, Any], expected: Doubles
) -> Doubles:
    """Largest error of every element of `expected`, the oracle's output of a stage on these inputs."""
    stage = definition.stages[name]
    ordered = tuple(inputs[need] for need in stage.inputs)
    allowed = _BOUNDS[stage.kind](Evaluated(definition, stage, place, ordered, expected))
    coarse = _STEPS[definition.arithmetic.stages]
    return allowed + coarse * np.abs(expected) if coarse else allowed


def sum_error(k: int, terms: Doubles, result: Doubles) -> Doubles:
    """SIGMAS standard deviations of a float32 sum of k products (see above), and 2 roundings of the result.

    terms   Euclidean norm of the terms, in the shape of result
    """
    walk = np.sqrt(k / 6) * terms + np.sqrt(k / 9) * np.abs(result)
    allowed: Doubles = U * (SIGMAS * walk + 2 * np.abs(result)) + SMALLEST
    return allowed


def _roundings(count: int) -> Callable[[Evaluated], Doubles]:
    def bound(of: Evaluated) -> Doubles:
        return (count * U) * np.abs(of.expected) + SMALLEST

    return bound


def _rows(of: Evaluated) -> Doubles:
    """Read as they are stored they are exact; a product with the root of the width, or with the scale of
    another type, is rounded."""
    is_scaled = of.definition.hyper.architecture.scales_embeddings
    if of.definition.arithmetic.embeddings == AS_STORED and not is_scaled:
        return np.zeros_like(of.expected)
    return U * np.abs(of.expected)


def _residual(of: Evaluated) -> Doubles:
    return U * np.abs(of.expected)  # one addition, correctly rounded


def _rope(of: Evaluated) -> Doubles:
    """cos and sin 1 unit in the last place (2 u), product u, difference u: 4 u of each of the two terms.

    YaRN multiplies cos and sin, u.  What the engine's own angle is off by turns the pair as a whole.
    """
    hyper, out = of.definition.hyper, of.definition.split_heads(of.expected)
    first, second = ops.pair_dimensions(hyper.rope_dim // 2, hyper.rope_pairs)
    allowed = np.zeros_like(out)
    length = np.hypot(out[..., first], out[..., second])
    scaling = hyper.rope_scaling
    each = 5 if scaling is not None and scaling.kind == "yarn" else 4
    turned = each * np.sqrt(2) * U + _angle_error(of)[:, np.newaxis]
    allowed[..., first] = allowed[..., second] = turned * length + SMALLEST
    return allowed.reshape(of.expected.shape)


def _angle_error(of: Evaluated) -> Doubles:
    """Of every position and pair, in radians, (n, rope_dim / 2).

    ggml's angles are known to the bit, but for YaRN's: the sum of two products, one of which may stay
    unrounded, up to 2 u.  In another engine base^(-2i / rope_dim) has the rounding of its exponent, times
    ln(base), and ANGLE_ROUNDINGS of float32.
    """
    definition, hyper = of.definition, of.definition.hyper
    angles = np.abs(definition.angles(of.place))
    if definition.arithmetic.generation in GENERATIONS:
        is_yarn = hyper.rope_scaling is not None and hyper.rope_scaling.kind == "yarn"
        return angles * (2 * U * is_yarn)
    exponents = np.arange(0, hyper.rope_dim, 2) / hyper.rope_dim
    rounded = np.abs(exponents.astype(np.float32) - exponents) * np.log(
        max(hyper.rope_base, hyper.windowed_rope_base)
    )
    error: Doubles = angles * (ANGLE_ROUNDINGS * U + rounded)
    return error


def _probs(of: Evaluated) -> Doubles:
    """Score errors d multiply a weight p_j by 1 + d_j - sum(p d) = 1 + (1 - p_j) d_j - sum of the others.

    dots    errors of the dots, independent of each other, so those of the other columns add in quadrature
    others  scaling, the scale's own rounding and subtracting the maximum: 4 u of the score, u of the maximum;
            these may have a common sign, so they add up
    """
    definition, expected, (queries, keys) = of.definition, of.expected, of.inputs
    hyper = definition.hyper
    q, k = definition.heads_of_product(of.place, queries), definition.cached_heads(keys)
    scores = definition.scores(of.place, queries, keys)
    divisor = 1 if hyper.architecture.divides_queries else hyper.head_dim
    terms = np.sqrt(ops.dot_products(q * q, k * k) / divisor)
    dots = sum_error(hyper.head_dim, terms, scores)
    largest = np.max(np.where(expected > 0, np.abs(scores), 0), axis=-1, keepdims=True)
    others = U * (4 * np.abs(scores) + largest)
    by_dots = np.sqrt(_sum_of_others((expected * dots) ** 2))
    by_others = _sum_of_others(expected * others)
    rounding = U * (2 * EXP_ROUNDINGS + 4 + np.log2(expected.shape[-1] + 1))
    own = (1 - expected) * (dots + others)
    allowed: Doubles = expected * (own + by_dots + by_others + rounding)
    return allowed + SMALLEST * (expected > 0)


def _sum_of_others(columns: Doubles) -> Doubles:
    """For every column the sum of the other columns, of values that are not negative."""
    others: Doubles = np.maximum(np.sum(columns, axis=-1, keepdims=True) - columns, 0)
    return others


def _ctx(of: Evaluated) -> Doubles:
    probs = of.definition.round_probs(of.place, of.inputs[0])
    v = of.definition.cached_heads(of.inputs[1])
    terms = np.sqrt(ops.attention_context(probs * probs, v * v))
    return sum_error(v.shape[0], terms, of.expected)


def _product(of: Evaluated) -> Doubles:
    """exp, 1 +, /, x up; ReLU^2 x up takes two.

    A sigmoid below SMALLEST may be zero: float32's e^-x is infinite there.
    """
    allowed: Doubles = _roundings(EXP_ROUNDINGS + 4)(of)
    gate, up = of.inputs
    if of.definition.hyper.activation == "silu":
        allowed += SMALLEST * np.abs(gate * up)
    if of.definition.hyper.activation == "gelu":
        allowed += _gelu(of)
    return allowed


def _gelu(of: Evaluated) -> Doubles:
    """1 + tanh is small where x is negative, and has the error of tanh, 2 u.

    What is looked up may be the F16 number beside, where float32 rounds the table's entry to it.
    """
    gate, up = of.inputs
    by_table = of.definition.arithmetic.gelu == "f16"
    x = ops.to_f16(gate) if by_table else gate
    exact = ops.gelu(x)
    error = U * (np.abs(x) + (EXP_ROUNDINGS + 4) * np.abs(exact))
    distance = np.abs(ops.to_f16(exact + error) - ops.to_f16(exact - error)) if by_table else error
    allowed: Doubles = distance * np.abs(up)
    return allowed


def _matmul(of: Evaluated) -> Doubles:
    matrix = of.definition.matrix(of.stage, of.place.layer)
    if isinstance(matrix, Dense):
        return _dense(matrix, of)
    arithmetic = of.definition.arithmetic
    if arithmetic.generation not in GENERATIONS or arithmetic.activations != BY_FORMAT:
        return _ternary_in_floats(matrix, of) + _codes_at_ties(matrix, of)
    if matrix.activations == PER_TOKEN:  # integers are exact; / s and * scale round, or scale / s does before
        return 3 * U * np.abs(of.expected) + SMALLEST
    if matrix.activations == "Q8_0":  # a block's integers are exact, and added in LANES floats at most
        return _ternary_in_floats(matrix, of, floats_of=ops.Q8_0_BLOCK // LANES)
    return _q8_k(matrix, of)


def _ternary_in_floats(matrix: Ternary, of: Evaluated, floats_of: int = 1) -> Doubles:
    """Engines that are no build of ggml may multiply and add in float32: activations, weights, or both.

    Each term is then rounded three times, two of them in making its factors.
    floats_of  products that are summed exactly before they are added as one float
    """
    values = operand(matrix, of.inputs[0], of.definition.arithmetic, of.place.rows)
    terms = np.empty_like(of.expected)
    for first in range(0, matrix.rows, ROWS_AT_ONCE):
        rows = list(range(first, min(first + ROWS_AT_ONCE, matrix.rows)))
        terms[:, rows] = np.sqrt((values * values) @ (matrix.select(rows) ** 2).T)
    return sum_error(values.shape[1] // floats_of, terms, of.expected) + 3 * U * terms


def _codes_at_ties(matrix: Ternary, of: Evaluated) -> Doubles:
    """What codes next to a tie are worth, of engines that are no build of ggml.

    How they come by the scale is not known: PyTorch multiplies 127 by the inverse of the largest value, so
    its scale is one float beside the quotient for a quarter of all rows.
    """
    steps = quantiser_of(matrix, of.definition.arithmetic).steps_at_ties(of.inputs[0].astype(np.float32))
    allowed = np.zeros_like(of.expected)
    columns = np.flatnonzero(steps.any(axis=0))
    if columns.size:
        for first in range(0, matrix.rows, ROWS_AT_ONCE):
            rows = list(range(first, min(first + ROWS_AT_ONCE, matrix.rows)))
            allowed[:, rows] = steps[:, columns] @ np.abs(matrix.select(rows)[:, columns]).T
    return allowed


def _dense(matrix: Dense, of: Evaluated) -> Doubles:
    (x,) = of.inputs
    squares = round_dense_input(matrix, x, of.definition.arithmetic, of.place.rows) ** 2
    allowed = np.empty_like(of.expected)
    for rows, values in matrix.chunks():
        terms = np.sqrt(squares @ (values * values).T)
        allowed[:, rows] = sum_error(x.shape[1], terms, of.expected[:, rows])
    return allowed


def _q8_k(matrix: Ternary, of: Evaluated) -> Doubles:
    """A block's integers are exact; ggml adds them, in LANES floats a block, to the blocks before.

    It multiplies codes 0, 1, 2 and subtracts the sum of the activations, and the lanes of the two do not hold
    the same elements: what is added up is as large as (code + 1) * v and v, not as their difference.
    Two scales round each of the sums: 2 u, and the conversion of a whole sum once more: 3 u.
    """
    codes, d = ops.quantise_q8_k(of.inputs[0].astype(np.float32))
    blocks = d.shape[1]
    scales = np.broadcast_to(matrix.scales, (matrix.rows, blocks)).astype(np.float64)
    terms = np.zeros_like(of.expected)
    for b in range(blocks):
        cols = slice(b * ops.Q8_K_BLOCK, (b + 1) * ops.Q8_K_BLOCK)
        shifted = matrix.codes[:, cols].astype(np.float64) + 1
        squares = codes[:, cols].astype(np.float64) ** 2
        added = squares @ (shifted * shifted + 1).T
        terms += added * np.square(d[:, b, None].astype(np.float64) * scales[:, b])
    return sum_error(LANES * blocks, np.sqrt(terms), of.expected) + 3 * U * np.sqrt(terms)


NORM_ROUNDINGS = 8
"""x^2, mean and + eps are 3, halved by the root; root, reciprocal, times x and times weight are 4.  The sum
itself is in float64 in ggml; what remains allows for one in float32 lanes."""

_BOUNDS: dict[Kind, Callable[[Evaluated], Doubles]] = {
    "rows": _rows,
    "norm": _roundings(NORM_ROUNDINGS),
    "projection": _matmul,
    "rotation": _rope,
    "softmax": _probs,
    "context": _ctx,
    "product": _product,
    "sum": _residual,
    "direction": _roundings(NORM_ROUNDINGS),  # x^2, sum, root, divided
}
