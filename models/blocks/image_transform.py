"""Where a pixel of an image lies on the canvas that a network sees, and back.

A canvas is the image scaled along each axis and moved; nothing else may compute with both coordinate systems.
Coordinate ``x`` lies in pixel ``floor(x)``: pixel i covers [i, i + 1].

Shape suffixes:
    R = regions or points   H = height   W = width   4 = left, top, right, bottom   2 = x, y
"""

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

Size = tuple[int, int]
"""Height and width, in pixels."""
_TINY = 1e-9
"""Share of a pixel that rounding may leave over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageTransform:
    """A canvas coordinate is ``scale * coordinate of the image + offset``, along x and y."""

    source: Size
    """Of the image."""
    canvas: Size
    """Of what the network sees, padding included."""
    scale: tuple[float, float]
    """Canvas pixels a pixel of the image, along x and y."""
    offset: tuple[float, float] = (0.0, 0.0)
    """Left and top of the image on the canvas, in canvas pixels; not always a whole number."""

    def __post_init__(self) -> None:
        """Refuse sizes and scales that are not positive.

        Raises:
            ValueError: With the values.
        """
        for name in ("source", "canvas"):
            if min(getattr(self, name)) < 1:
                raise ValueError(
                    f"{name} must be at least 1 pixel along each side, got {getattr(self, name)}."
                )
        if not min(self.scale) > 0.0:
            raise ValueError(f"scale must be positive, got {self.scale}.")

    @classmethod
    def stretched(cls, source: Size, canvas: Size) -> Self:
        """Fill the canvas; the aspect is lost."""
        return cls(source=source, canvas=canvas, scale=_ratios(canvas, source))

    @classmethod
    def letterboxed(cls, source: Size, canvas: Size) -> Self:
        """Keep the aspect, to a pixel; the image lies top left, padding right or below."""
        return cls(source=source, canvas=canvas, scale=_ratios(fitted(source, canvas), source))

    @classmethod
    def centred(cls, source: Size, side: int) -> Self:
        """Pad to a square around the image, in whole pixels of the image, then scale it to ``side``."""
        square = max(source)
        top, left = ((square - length) // 2 for length in source)
        factor = side / square
        return cls(
            source=source,
            canvas=(side, side),
            scale=(factor, factor),
            offset=(left * factor, top * factor),
        )

    @property
    def inverse(self) -> "ImageTransform":
        """The way back: its source is this canvas."""
        (scale_x, scale_y), (left, top) = self.scale, self.offset
        return ImageTransform(
            source=self.canvas,
            canvas=self.source,
            scale=(1.0 / scale_x, 1.0 / scale_y),
            offset=(-left / scale_x, -top / scale_y),
        )

    def map_points(self, points_R2: Tensor) -> Tensor:
        """Take points (..., 2) from the image to the canvas; float32 unless they are floating already.

        Raises:
            ValueError: If the last dimension is not 2.
        """
        return self._affine(points_R2, name="points", width=2)

    def map_boxes(self, boxes_R4: Tensor) -> Tensor:
        """Take boxes (..., 4) from the image to the canvas; float32 unless they are floating already.

        Raises:
            ValueError: If the last dimension is not 4.
        """
        return self._affine(boxes_R4, name="boxes", width=4)

    def map_masks(self, mask_RHW: Tensor) -> Tensor:
        """Take masks from the image to the canvas.

        A canvas pixel belongs to a region that covers at least half of it. A region that covers half of none
        keeps the pixels of which it covers most: a mask is never lost to a small canvas.

        Args:
            mask_RHW: Bool, in pixels of the image.

        Returns:
            Bool, of shape (R, canvas height, canvas width).

        Raises:
            TypeError: If the masks are not bool.
            ValueError: If they do not have the size of the image.
        """
        if mask_RHW.dtype != torch.bool:
            raise TypeError(f"masks must be bool, got {mask_RHW.dtype}.")
        if mask_RHW.ndim != 3 or tuple(mask_RHW.shape[1:]) != self.source:
            raise ValueError(
                f"masks must have shape (regions, {self.source[0]}, {self.source[1]}), "
                f"got {tuple(mask_RHW.shape)}."
            )
        mapped_RHW = mask_RHW.new_zeros((len(mask_RHW), *self.canvas))
        for mask_HW, mapped_HW in zip(mask_RHW, mapped_RHW, strict=True):
            if mask_HW.any():
                self._draw(mask_HW, mapped_HW)
        return mapped_RHW

    def unmap_points(self, points_R2: Tensor) -> Tensor:
        """Take points (..., 2) from the canvas to the image; see ``map_points``."""
        return self.inverse.map_points(points_R2)

    def unmap_boxes(self, boxes_R4: Tensor) -> Tensor:
        """Take boxes (..., 4) from the canvas to the image; see ``map_boxes``."""
        return self.inverse.map_boxes(boxes_R4)

    def unmap_masks(self, mask_RHW: Tensor) -> Tensor:
        """Take masks from the canvas to the image; see ``map_masks``. What lies on padding alone is empty."""
        return self.inverse.map_masks(mask_RHW)

    def _affine(self, values: Tensor, *, name: str, width: int) -> Tensor:
        if values.ndim == 0 or values.shape[-1] != width:
            raise ValueError(
                f"{name} must have a last dimension of {width}, got shape {tuple(values.shape)}."
            )
        dtype = values.dtype if values.is_floating_point() else torch.float32
        scale, offset = (
            torch.tensor(pair * (width // 2), dtype=torch.float64, device=values.device)
            for pair in (self.scale, self.offset)
        )
        return (values.double() * scale + offset).to(dtype)

    def _draw(self, mask_HW: Tensor, mapped_HW: Tensor) -> None:
        """Fill in the pixels of a mask that is not empty; only the part around it is computed."""
        shares, places = mask_HW.double(), []
        for dim, axis in ((0, 1), (1, 0)):
            found = mask_HW.any(dim=1 - dim).nonzero()
            first, last = int(found[0]), int(found[-1]) + 1
            scale, offset = self.scale[axis], self.offset[axis]
            # One more on each side: a product may be a digit off.
            start = max(math.floor(first * scale + offset) - 1, 0)
            stop = min(math.ceil(last * scale + offset) + 1, self.canvas[dim])
            if start >= stop:
                return
            edges = (
                torch.arange(start, stop + 1, dtype=torch.float64, device=shares.device) - offset
            ) / scale
            rows = shares.movedim(dim, 0)[first:last]
            shares = (_integrals(rows, edges - first) * scale).movedim(0, dim)
            places.append(slice(start, stop))
        # Shares are sums of products: equal ones differ in the last digits.
        least = min(0.5, float(shares.max()))
        mapped_HW[places[0], places[1]] = (shares >= least - _TINY) & (shares > _TINY)


def fitted(source: Size, canvas: Size) -> Size:
    """Return the largest size with the aspect of ``source`` that fits ``canvas``; each side has a pixel."""
    factor = min(canvas[0] / source[0], canvas[1] / source[1])
    height, width = (
        min(max(round(length * factor), 1), limit) for length, limit in zip(source, canvas, strict=True)
    )
    return height, width


def _ratios(to: Size, source: Size) -> tuple[float, float]:
    # An empty image meets its error in the constructor.
    return to[1] / max(source[1], 1), to[0] / max(source[0], 1)


def _integrals(rows: Tensor, edges: Tensor) -> Tensor:
    """Add up rows, each of length 1, between neighbouring edges; outside the rows there is nothing."""
    edges = edges.clamp(0.0, len(rows))
    whole = edges.floor().long().clamp(max=len(rows) - 1)
    sums = torch.cat([torch.zeros_like(rows[:1]), rows.cumsum(dim=0)])
    integral = sums[whole] + (edges - whole)[:, None] * rows[whole]
    return integral.diff(dim=0)
