"""An arithmetic in words: what an engine does at each axis, as clauses with the engine as their subject."""

from __future__ import annotations

from bitparity.oracle.arithmetic import AXES, IN_ONE_ROW, Arithmetic

_TYPES = {"f32": "float32", "f16": "F16", "bf16": "BF16", "q8_0": "Q8_0", "int8": "int8"}
_ROUNDED = {
    "q": "Q",
    "probs": "softmax rows",
    "f16_inputs": "inputs of products with F16 weights",
    "bf16_inputs": "inputs of products with BF16 weights",
}
_BLOCKS = "weights of several bits"
_ROUNDINGS = {
    "even": "half to even",
    "away": "half away from zero",
    "zero": "towards zero",
    "down": "down",
}


def clause(axis: str, option: str) -> str:
    """What an engine does at one axis: "keeps K and V in float32"."""
    if axis in _ROUNDED:
        when = " in batches of one row" if option.endswith(IN_ONE_ROW) else ""
        kind = option.removesuffix(IN_ONE_ROW)
        return f"{'does not round' if kind == 'f32' else 'rounds'} {_ROUNDED[axis]}" + (
            "" if kind == "f32" else f" to {_TYPES[kind]}{when}"
        )
    match axis:
        case "kv":
            return f"keeps K and V in {_TYPES[option]}"
        case "activations":
            return _activations(option)
        case "block_inputs":
            return (
                f"{'does not quantise' if option == 'f32' else 'quantises'} inputs of products with {_BLOCKS}"
            )
        case "gelu":
            return (
                "computes GELU in float32" if option == "f32" else "looks GELU up in a table of F16 numbers"
            )
        case "largest":
            return f"gives the largest activation the code {option}"
        case "rounding":
            return f"rounds int8 activations {_ROUNDINGS[option]}"
        case "head" | "embeddings":
            what = "the head" if axis == "head" else "embeddings"
            kind, *only = option.split()
            return f"has {what} as stored" if option == "as stored" else _kept_in(what, kind, only)
        case _:
            return f"rounds the output of every stage to {_TYPES[option]}"


def option_words(axis: str, option: str) -> str:
    """An option of an axis beside the others, without a verb: "F16"."""
    kind = option.removesuffix(IN_ONE_ROW)
    named = _TYPES.get(kind) or (_ROUNDINGS.get(kind) if axis == "rounding" else None) or kind
    return f"{named}{IN_ONE_ROW}" if option.endswith(IN_ONE_ROW) else named


def clauses(arithmetic: Arithmetic, other: Arithmetic) -> list[str]:
    """What an arithmetic does where it differs from another one."""
    differing = [a.name for a in AXES if arithmetic.option(a.name) != other.option(a.name)]
    unrounded = [a for a in _ROUNDED if a in differing and arithmetic.option(a) == "f32"]
    said = [clause(a, arithmetic.option(a)) for a in differing if a not in unrounded]
    if len(unrounded) > 1 and all(arithmetic.option(a) == "f32" for a in _ROUNDED):
        kinds = dict.fromkeys(_TYPES[other.option(a).removesuffix(IN_ONE_ROW)] for a in unrounded)
        return [*said, f"rounds nothing to {' or '.join(kinds)}"]
    return said + [clause(a, "f32") for a in unrounded]


def joined(parts: list[str]) -> str:
    """a, b and c."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _activations(option: str) -> str:
    if option == "none":
        return "does not quantise activations"
    if option == "by format":
        return "quantises activations as the weight format says"
    share = "each token" if option == "token" else f"each {option.removeprefix('block ')} values"
    return f"quantises activations with a scale for {share}"


def _kept_in(what: str, kind: str, only: list[str]) -> str:
    too = " and rounds its input so, too" if what == "the head" and only != ["weights"] else ""
    away = ", both half away from zero" if only == ["away"] else ""
    return f"has {what} in {_TYPES[kind]}{too}{away}"
