"""What the affinity benchmark runs on: one photograph, boxes and soft masks, the same on every machine.

Small images are crops of the photograph at its own resolution; what reaches beyond its border is mirrored.

Shape suffixes:
    B = images   R = instances   C = channels   H = height   W = width
"""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import conv2d, pad

PHOTO = Path(__file__).resolve().parents[1] / "docs" / "affinity-photo.jpg"
MEAN, DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Of ImageNet's channels, in grey levels, as the paper normalises its images."""


@cache
def photograph() -> Tensor:
    """Read the photograph, normalised, float32, shape (3, H, W)."""
    with Image.open(PHOTO) as image:
        levels_HWC = np.asarray(image.convert("RGB"), np.float32)
    colours = (levels_HWC - np.asarray(MEAN, np.float32)) / np.asarray(DEVIATION, np.float32)
    return torch.from_numpy(np.ascontiguousarray(colours.transpose(2, 0, 1)))


def guidance(images: int, height: int, width: int, channels: int = 3) -> Tensor:
    """Cut images out of the photograph: the first from its middle, the others from places drawn once.

    Args:
        images: How many.
        height: Rows, any number.
        width: Columns, any number.
        channels: 3 for colours; any other number gives responses to that many random 5x5 filters.

    Returns:
        Float32, shape (images, channels, height, width).
    """
    source_CHW = photograph()
    rows, columns = source_CHW.shape[1:]
    draw = np.random.default_rng(0)
    out = torch.empty(images, 3, height, width)
    for item in range(images):
        middle = (max(0, (rows - height) // 2), max(0, (columns - width) // 2))
        top, left = middle if item == 0 else draw.integers(0, (rows, columns)).tolist()
        row_H, column_W = _mirror(top, height, rows), _mirror(left, width, columns)
        out[item] = source_CHW[:, row_H][:, :, column_W]
    return out if channels == 3 else _features(out, channels)


def _mirror(start: int, length: int, size: int) -> Tensor:
    """Walk from ``start``, turning at both borders."""
    place = torch.arange(start, start + length) % (2 * size)
    return torch.minimum(place, 2 * size - 1 - place)


def _features(image_BCHW: Tensor, channels: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    filters = torch.randn(channels, 3, 5, 5, generator=generator) / 75**0.5
    return torch.cat([conv2d(pad(item[None], (2, 2, 2, 2), "reflect"), filters) for item in image_BCHW])


def instances(count: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Draw soft masks as a network predicts them, and the boxes around them.

    Args:
        count: How many ellipses; half axes are 8 to 30 % of the sides.
        height: Rows.
        width: Columns.

    Returns:
        Probabilities (sigmoid of the distance to the outline over 3 pixels, with noise) and box masks
        (1 inside, else 0), both float32, shape (count, height, width).
    """
    draw = np.random.default_rng(1)
    generator = torch.Generator().manual_seed(1)
    soft, box = torch.empty(count, height, width), torch.zeros(count, height, width)
    for item in range(count):
        y, x = draw.uniform(0.25, 0.75, 2) * (height, width)
        tall, wide = draw.uniform(0.08, 0.3, 2) * (height, width)
        row_H1 = ((torch.arange(height) - y) / tall)[:, None]
        column_1W = ((torch.arange(width) - x) / wide)[None]
        distance = (1 - torch.hypot(row_H1, column_1W)) * min(tall, wide)
        noise = 0.02 * torch.randn(height, width, generator=generator)
        soft[item] = (torch.sigmoid(distance / 3) + noise).clamp(0, 1)
        rows = slice(max(0, round(y - tall)), round(y + tall) + 1)
        box[item, rows, max(0, round(x - wide)) : round(x + wide) + 1] = 1
    return soft, box
