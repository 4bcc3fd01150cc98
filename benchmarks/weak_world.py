"""A synthetic world with the whole truth: ellipses and rectangles of many colours on a textured background.

A colour says nothing about a class; a shape differs from what lies around it, as objects of photographs do.
Every scene follows from (seed, its number) alone, so the first scenes of a longer world are the same.

``Scene.labels`` is what a benchmark of points or scribbles learns: ``BACKGROUND``, ``ELLIPSE``,
``RECTANGLE``. ``Scene.categories`` is what a benchmark of boxes learns: places in ``CATEGORIES``.

Shape suffixes:
    R = regions   H = height   W = width
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

CATEGORIES = ("ellipse", "rectangle")
CLASSES = ("background", *CATEGORIES)
BACKGROUND, ELLIPSE, RECTANGLE = range(3)
LARGEST_COUNT = 4
"""Shapes of a scene, at most; the least is 1."""
SMALLEST_CONTRAST = 0.3
"""By which the colour of a shape differs from the background's, in the channel where it differs most."""
NOISE = 0.02
"""Standard deviation of each pixel's colour."""
TEXTURE = 0.04
"""Amplitude of each of three waves that run through a surface."""
_TRIES = 40


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    """One image and everything that is true of it."""

    pixels: NDArray[np.uint8]
    """RGB, shape (H, W, 3)."""
    boxes_xyxy: NDArray[np.float32]
    """Corners ``(left, top, right, bottom)`` in pixels, tight, the last pixel included; (R, 4)."""
    categories: NDArray[np.int64]
    """Places in ``CATEGORIES``, shape (R,)."""
    masks: NDArray[np.bool_]
    """Of each shape; they do not touch; shape (R, H, W)."""
    labels: NDArray[np.uint8]
    """Places in ``CLASSES``, shape (H, W)."""


def draw_world(seed: int, count: int, size: int = 64) -> tuple[Scene, ...]:
    """Draw scenes.

    Args:
        seed: Of the world; worlds of different seeds have nothing in common.
        count: How many scenes.
        size: Height and width of each in pixels, at least 32; shapes grow with it.

    Raises:
        ValueError: If scenes would be too small for shapes.
    """
    if size < 32:
        raise ValueError(f"size must be at least 32 pixels, got {size}.")
    return tuple(_scene(np.random.default_rng((seed, number)), size) for number in range(count))


def _scene(draw: np.random.Generator, size: int) -> Scene:
    ground = draw.uniform(0.1, 0.9, 3)
    image_HW3 = _surface(draw, ground, size)
    taken_HW = np.zeros((size, size), np.bool_)
    masks, categories = [], []
    for _ in range(int(draw.integers(1, LARGEST_COUNT + 1))):
        category = int(draw.integers(len(CATEGORIES)))
        mask_HW = _place(draw, category, taken_HW)
        if mask_HW is None:
            continue
        image_HW3[mask_HW] = _surface(draw, _colour(draw, ground), size)[mask_HW]
        taken_HW |= binary_dilation(mask_HW, iterations=2)
        masks.append(mask_HW)
        categories.append(category)
    mask_RHW = np.stack(masks)
    semantic_HW = np.zeros((size, size), np.uint8)
    for mask_HW, category in zip(masks, categories, strict=True):
        semantic_HW[mask_HW] = 1 + category
    return Scene(
        pixels=np.round(image_HW3.clip(0.0, 1.0) * 255.0).astype(np.uint8),
        boxes_xyxy=np.array([_box(mask_HW) for mask_HW in masks], np.float32),
        categories=np.array(categories, np.int64),
        masks=mask_RHW,
        labels=semantic_HW,
    )


def _surface(draw: np.random.Generator, colour: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Paint a square of one colour with noise and three faint waves, as long as shapes or longer."""
    row_HW, column_HW = np.mgrid[:size, :size] * (64.0 / size)
    surface_HW3 = np.broadcast_to(colour, (size, size, 3)).copy()
    for _ in range(3):
        along, down = draw.uniform(-0.5, 0.5, 2)
        wave_HW = np.sin(along * column_HW + down * row_HW + draw.uniform(0.0, 2 * np.pi))
        surface_HW3 += TEXTURE * wave_HW[..., None] * draw.uniform(-1.0, 1.0, 3)
    return surface_HW3 + draw.normal(0.0, NOISE, surface_HW3.shape)


def _colour(draw: np.random.Generator, ground: NDArray[np.float64]) -> NDArray[np.float64]:
    while True:
        colour = draw.uniform(0.05, 0.95, 3)
        if np.abs(colour - ground).max() >= SMALLEST_CONTRAST:
            return colour


def _place(draw: np.random.Generator, category: int, taken_HW: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """Find a shape, turned by any angle, that fits between the others; None after many tries."""
    size = len(taken_HW)
    row_HW, column_HW = np.mgrid[:size, :size] + 0.5
    for _ in range(_TRIES):
        half_1, half_2 = draw.uniform(0.09, 0.24, 2) * size
        angle = draw.uniform(0.0, np.pi)
        x, y = draw.uniform(0.15, 0.85, 2) * size
        along_HW = (column_HW - x) * np.cos(angle) + (row_HW - y) * np.sin(angle)
        across_HW = (row_HW - y) * np.cos(angle) - (column_HW - x) * np.sin(angle)
        if category == 0:
            mask_HW: NDArray[np.bool_] = (along_HW / half_1) ** 2 + (across_HW / half_2) ** 2 <= 1.0
        else:
            mask_HW = (np.abs(along_HW) <= half_1) & (np.abs(across_HW) <= half_2)
        if not (mask_HW & taken_HW).any():
            return mask_HW
    return None


def _box(mask_HW: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask_HW.any(axis=1)), np.flatnonzero(mask_HW.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
