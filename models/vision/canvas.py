"""From the pixels of an image to what an encoder takes: fitted, normalised, in tiles where they help.

Shape suffixes:
    T = canvases   C = channels   H = height   W = width
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.blocks.image_transform import ImageTransform, Size, fitted
from models.blocks.pixels import channels_first
from models.vision.tiles import TileLayout, cut, layout_of

Colours = Literal["clip", "imagenet"]
Image = NDArray[np.uint8] | Tensor
"""RGB, uint8, of shape (height, width, 3)."""

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_STATISTICS = {"clip": (CLIP_MEAN, CLIP_STD), "imagenet": (IMAGENET_MEAN, IMAGENET_STD)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """One image as an encoder takes it."""

    pixels_T3HW: Tensor
    """Normalised, float32: tiles row by row, the overview last."""
    transform: ImageTransform
    """From the image to the tiles put together; the overview has no part in it."""
    layout: TileLayout


def stretch(image: Image, side: int, *, colours: Colours = "clip") -> Canvas:
    """Stretch an image to a square, bilinearly, smoothing where it shrinks; the aspect is lost.

    Raises:
        TypeError: If the image is not uint8.
        ValueError: If it does not have the shape (height, width, 3), or no pixels.
    """
    image_3HW = channels_first(image).float()
    resized = _resized(image_3HW, (side, side), mode="bilinear", antialias=True)
    transform = ImageTransform.stretched(_size(image_3HW), (side, side))
    return _single(_normalised(resized, colours), transform)


def pad_square(image: Image, side: int, *, colours: Colours = "clip") -> Canvas:
    """Pad an image to a square around it with the mean colour, then resize it bicubically.

    Raises:
        TypeError: If the image is not uint8.
        ValueError: If it does not have the shape (height, width, 3), or no pixels.
    """
    image_3HW = channels_first(image).float()
    height, width = _size(image_3HW)
    square = max(height, width)
    top, left = (square - height) // 2, (square - width) // 2
    # The long side first: the square around a strip of thousands of pixels would not fit into memory.
    long_first = (side, width) if height > width else (height, side)
    strip = _resized(image_3HW, long_first, mode="bicubic", antialias=True)
    # Whole numbers, as an image file would have them.
    mean = (255.0 * torch.tensor(_STATISTICS[colours][0])).floor()[:, None, None]
    padded = mean.repeat(1, *((side, square) if height > width else (square, side)))
    if height > width:
        padded[:, :, left : left + width] = strip
    else:
        padded[:, top : top + height] = strip
    resized = _resized(padded, (side, side), mode="bicubic", antialias=True)
    return _single(_normalised(resized, colours), ImageTransform.centred((height, width), side))


def tiles(
    image: Image,
    side: int,
    *,
    most: int,
    max_strip: int | None = None,
    overlap_prescale: float = 1.4,
    beta: float = 0.1,
    colours: Colours = "clip",
) -> Canvas:
    """Cut an image into tiles, with an overview behind them if there is more than one.

    The image keeps its aspect and lies top left; what it does not cover is zero after normalisation. It is
    resized bilinearly without smoothing, as the published models were trained.

    Args:
        image: RGB, uint8, of shape (height, width, 3).
        side: Of a tile, in pixels.
        most: Tiles, the overview not counted.
        max_strip: See ``candidate_grids``.
        overlap_prescale: See ``choose_grid``.
        beta: See ``choose_grid``.
        colours: Statistics that the encoder was trained with.

    Raises:
        TypeError: If the image is not uint8.
        ValueError: If it does not have the shape (height, width, 3), or no pixels.
    """
    image_3HW = channels_first(image).float()
    size = _size(image_3HW)
    layout = layout_of(
        *size, tile=side, most=most, max_strip=max_strip, overlap_prescale=overlap_prescale, beta=beta
    )
    pieces = [cut(_fitted_canvas(image_3HW, layout.canvas, colours), layout)]
    if layout.overview:
        pieces.append(_fitted_canvas(image_3HW, (side, side), colours)[None])
    transform = ImageTransform.letterboxed(size, layout.canvas)
    return Canvas(pixels_T3HW=torch.cat(pieces), transform=transform, layout=layout)


def _fitted_canvas(image_3HW: Tensor, canvas: Size, colours: Colours) -> Tensor:
    height, width = fitted(_size(image_3HW), canvas)
    resized = _resized(image_3HW, (height, width), mode="bilinear", antialias=False)
    bottom, right = canvas[0] - height, canvas[1] - width
    return functional.pad(_normalised(resized, colours), (0, right, 0, bottom))


def _single(pixels_3HW: Tensor, transform: ImageTransform) -> Canvas:
    layout = TileLayout(rows=1, columns=1, tile=pixels_3HW.shape[1], overview=False)
    return Canvas(pixels_T3HW=pixels_3HW[None], transform=transform, layout=layout)


def _size(image_3HW: Tensor) -> Size:
    return image_3HW.shape[1], image_3HW.shape[2]


def _resized(image_3HW: Tensor, size: Size, *, mode: str, antialias: bool) -> Tensor:
    resized: Tensor = functional.interpolate(
        image_3HW[None], size=size, mode=mode, align_corners=False, antialias=antialias
    )[0]
    return resized.clamp(0.0, 255.0)  # a cubic overshoots


def _normalised(image_3HW: Tensor, colours: Colours) -> Tensor:
    mean, std = (torch.tensor(values)[:, None, None] for values in _STATISTICS[colours])
    return (image_3HW / 255.0 - mean) / std
