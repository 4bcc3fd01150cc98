"""Images as detectron2 hands them over, and as our segmenters see them.

Nothing of detectron2 is imported.

Shape suffixes:
    B = images   C = channels   H = height   W = width
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.segmentation.instance_hub import pad_to, padded_size
from models.segmentation.preprocessing import contrast_range, stretch


def colours(image_CHW: Tensor, *, order: str, stretched: bool) -> Tensor:
    """Bring an image of detectron2 to RGB with values in [0, 1].

    Args:
        image_CHW: Values in [0, 255], uint8 or float.
        order: "RGB" or "BGR".
        stretched: Whether its contrast is stretched, as recipes for microscopes ask.

    Returns:
        float32, of the same shape.

    Raises:
        ValueError: If there are not three channels.
    """
    if image_CHW.ndim != 3 or len(image_CHW) != 3:
        raise ValueError(f"an image needs the shape (3, height, width), got {tuple(image_CHW.shape)}.")
    ordered_CHW = image_CHW.flip(0) if order == "BGR" else image_CHW
    if not stretched:
        return ordered_CHW.float() / 255.0
    counted_CHW = ordered_CHW.round().clamp(0, 255).to(torch.uint8)
    return stretch(ordered_CHW, contrast_range(counted_CHW))


def contrast_stretcher(image: NDArray[np.uint8]) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    """Return what spreads the colours of an image over [0, 255], by the extremes of the image given.

    Args:
        image: Of any shape.
    """
    limits = contrast_range(torch.from_numpy(image.copy()[None]))

    def spread(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        found = stretch(torch.from_numpy(pixels.copy()), limits) * 255.0
        spread_pixels: NDArray[np.uint8] = found.round().to(torch.uint8).numpy()
        return spread_pixels

    return spread


def padded_batch(images: Sequence[Tensor], stride: int) -> Tensor:
    """Stack images of different sizes, with grey below and to the right; sides are multiples of a stride.

    Returns:
        Shape (B, 3, H, W).
    """
    rows, columns = (max(image.shape[axis] for image in images) for axis in (1, 2))
    height, width = padded_size((rows, columns), stride)
    return torch.stack([pad_to(image_CHW, height, width) for image_CHW in images])
