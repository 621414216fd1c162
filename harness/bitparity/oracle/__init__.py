"""The oracle: float64 NumPy, one function a kind of stage, exact integers in the ternary matmuls.

    arithmetic.py which roundings an engine applies on top of the definition
    ops.py        the arithmetic of every stage, to be read beside the papers
    weights.py    weights as the oracle multiplies them
    definition.py the stages of an architecture evaluated, one method a kind of stage
    mistakes/     the mistakes that engines really make, a row each
    decoder.py    the whole forward pass with its KV cache
    engine.py     the oracle behind the engine contract

It is slow and short on purpose, and it shares no code with any engine.
"""
