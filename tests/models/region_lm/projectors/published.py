"""Parameters and inputs of published modules, filled from their names; see ``tests/golden/README.md``."""

import zlib

import numpy as np
import torch


def filled(name: str, shape: tuple[int, ...], scale: float) -> torch.Tensor:
    """Values in [-scale, scale), float32."""
    count = int(np.prod(shape))
    with np.errstate(over="ignore"):
        start = np.arange(count, dtype=np.uint64) + np.uint64(zlib.crc32(name.encode()))
        mixed = start * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
    values = (2.0 * ((mixed >> np.uint64(40)) / 2**24) - 1.0) * scale
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


def parameter(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """A norm's weight is about 1; everything else falls with its last dimension."""
    if len(shape) == 1 and name.endswith("weight") and ("ln" in name or "norm" in name):
        return 1.0 + filled(name, shape, 0.1)
    return filled(name, shape, shape[-1] ** -0.5)
