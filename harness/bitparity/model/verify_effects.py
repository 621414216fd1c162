"""What a difference of two tensors does to the model, a clause each."""

from __future__ import annotations

from bitparity.words import factor_in_words

_ROUNDING = 2.0**-22  # two steps of float32
_WRONG = "its outputs are products with other weights, and so is all that follows"
_EFFECTS = {
    "signs are inverted": "its outputs have the opposite sign",
    "shape": "no engine can compute with it as the model is defined",
    "missing": "engines that need it do not load the file, and others compute another function",
    "tied head": "logits are products with another matrix, unless both hold the same values",
    "not ternary": "engines use the weights as they lie there, quantised in one file and not in the other",
}


def effect_of(kind: str, tensor: str) -> str:
    """Of other codes or values, and of what is seen without them; kind is what is known of the difference."""
    if kind in _EFFECTS:
        return _EFFECTS[kind]
    if "permuted for RoPE" in kind:
        return "RoPE turns rows of Q or K together that are no pair: attention is wrong from position 1 on"
    if "has the layout" in kind:
        return "engines that read only the usual layout multiply scrambled weights"
    if kind.startswith("holds the weights of"):
        return "a projection is computed with the weights of another"
    if kind.startswith("rows are shifted"):
        is_vocabulary = tensor.startswith(("token_embd", "output."))
        what = "every token is taken for a neighbour" if is_vocabulary else "its outputs change places"
        return f"{what}, and all that follows is wrong"
    return "what it norms is weighted wrongly" if "norm" in tensor else _WRONG


def effect_of_scale(expected: float, actual: float) -> str:
    """Of another scale of the same codes."""
    if not expected:
        return "its outputs are not zero"
    factor = actual / expected
    so = ", which is no more than rounding" if abs(factor - 1) <= _ROUNDING else ""
    return f"its outputs are {factor_in_words(factor)} times as large as they should be{so}"
