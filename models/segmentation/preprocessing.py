"""What happens to an image before the network sees it, in training and prediction alike.

Microscopes leave images dark or pale: the colours of each image are stretched so that all but the extreme
thousandths span [0, 1].
"""

import torch
from torch import Tensor
from torch.nn import functional

_TAIL = 0.002
"""Share of the values that may be clipped at each end."""


def contrast_range(image_CHW: Tensor) -> tuple[float, float]:
    """Find the values between which the image's contrast lies.

    Args:
        image_CHW: Pixels, uint8.

    Returns:
        Values in [0, 255], the first smaller than the second.

    Raises:
        TypeError: If the image is not uint8.
    """
    if image_CHW.dtype != torch.uint8:
        raise TypeError(f"image_CHW must be uint8, got {image_CHW.dtype}.")
    share = torch.bincount(image_CHW.flatten().int(), minlength=256).cumsum(dim=0) / image_CHW.numel()
    low = int((share <= _TAIL).sum())
    high = int((share < 1.0 - _TAIL).sum())
    return float(min(low, high)), float(max(high, min(low, high) + 1))


def stretch(image_CHW: Tensor, contrast: tuple[float, float]) -> Tensor:
    """Map a contrast range to [0, 1], float32."""
    low, high = contrast
    return ((image_CHW.float() - low) / (high - low)).clamp(0.0, 1.0)


def resize(image_CHW: Tensor, height: int, width: int) -> Tensor:
    """Resize bilinearly, smoothing where the image shrinks."""
    resized: Tensor = functional.interpolate(
        image_CHW[None], size=(height, width), mode="bilinear", align_corners=False, antialias=True
    )[0].clamp(0.0, 1.0)
    return resized


def pad_to_stride(image_CHW: Tensor, stride: int) -> Tensor:
    """Repeat the last row and column until both sides are multiples of ``stride``."""
    height, width = image_CHW.shape[1:]
    right, bottom = -width % stride, -height % stride
    return functional.pad(image_CHW[None], (0, right, 0, bottom), mode="replicate")[0]
