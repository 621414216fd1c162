"""A model with a few rows of its head, for those logits that are looked at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bitparity.formats import FLOATS
from bitparity.model.types import Model


def with_head_rows(model: Model, rows: NDArray[np.int64]) -> Model:
    """The model with these rows of its head only; the model itself where rows cannot be taken apart."""
    weights, head = model.weights, model.weights.head
    is_transposed = weights.head_is_tied and weights.embedding_is_transposed
    if is_transposed or head.format not in FLOATS:
        return model
    count, cols = head.shape
    size = head.weight_format.size(1, cols)
    data = head.data.reshape(count, size)[rows].reshape(-1)
    sampled = replace(head, shape=(len(rows), cols)).holding(data)
    return replace(model, weights=replace(weights, head=sampled, head_is_tied=False))
