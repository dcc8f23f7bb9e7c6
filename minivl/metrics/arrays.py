"""Inputs of the metrics as arrays, and shares in percent."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def as_array(values: ArrayLike) -> NDArray[np.float64]:
    """Numbers of numpy, torch or lists in double precision, which holds smaller types exactly: ties stay ties."""
    if hasattr(values, "detach"):  # a tensor, perhaps with a graph or on an accelerator
        values = values.detach().cpu().double()
    return np.asarray(values, dtype=np.float64)


def percent(shares: ArrayLike) -> float:
    """100 times the mean of shares from 0 to 1, or of truth values."""
    return float(100 * np.mean(np.asarray(shares)))
