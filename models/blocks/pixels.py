"""Images as people hold them, as tensors."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def channels_first(image: NDArray[np.uint8] | Tensor) -> Tensor:
    """Return RGB pixels of shape (height, width, 3) as (3, height, width), uint8.

    Raises:
        TypeError: If they are not uint8.
        ValueError: If they have another shape, or none.
    """
    pixels = torch.as_tensor(image)
    if pixels.dtype != torch.uint8:
        raise TypeError(f"images must be uint8, got {pixels.dtype}.")
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.numel() == 0:
        raise ValueError(f"images must have shape (height, width, 3), got {tuple(pixels.shape)}.")
    return pixels.permute(2, 0, 1).contiguous()
