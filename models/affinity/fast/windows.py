"""Sweeps of the colour window over one field, compiled.

Letters:
    C = channels   H = height   W = width   K = places of the window
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@njit(cache=True, nogil=True)
def window_affinity(guidance_CHW: Floats, reach: int, zeta: float, out_HWK: Floats) -> None:
    """Fill ``out_HWK`` with row-normalised colour affinities; places outside the image get zero."""
    channels, height, width = guidance_CHW.shape
    side = 2 * reach + 1
    for y in range(height):
        for x in range(width):
            total = 0.0
            for v in range(max(0, y - reach), min(height, y + reach + 1)):
                for u in range(max(0, x - reach), min(width, x + reach + 1)):
                    distance = 0.0
                    for c in range(channels):
                        difference = guidance_CHW[c, v, u] - guidance_CHW[c, y, x]
                        distance += difference * difference
                    weight = np.exp(-distance / (zeta * zeta))
                    out_HWK[y, x, (v - y + reach) * side + u - x + reach] = weight
                    total += weight
            for k in range(side * side):
                out_HWK[y, x, k] /= total


@njit(cache=True, nogil=True)
def sweep(affinity_HWK: Floats, reach: int, iterations: int, inside_HW: Floats, value_HW: Floats) -> Floats:
    """Average ``value_HW`` over its window ``iterations`` times; multiply by ``inside_HW`` each time."""
    height, width = value_HW.shape
    side = 2 * reach + 1
    before, after = value_HW * inside_HW, np.zeros((height, width))
    for _ in range(iterations):
        for y in range(height):
            for x in range(width):
                if inside_HW[y, x] == 0.0:
                    continue
                total = 0.0
                for v in range(max(0, y - reach), min(height, y + reach + 1)):
                    for u in range(max(0, x - reach), min(width, x + reach + 1)):
                        total += affinity_HWK[y, x, (v - y + reach) * side + u - x + reach] * before[v, u]
                after[y, x] = total * inside_HW[y, x]
        before, after = after, before
    return before
