"""Stage 0: an encoder that knows shapes, as published systems start from an encoder that knows the world.

A small ConvNeXt learns, without any language, to name the shape, colour and size of a region whose maps are
averaged under its mask, and of whatever lies in each cell of the level that gives the tokens. What named is
thrown away; the encoder stays as it is from then on.

Shape suffixes:
    I = images   R = regions   N = cells of the token level   C = channels   H, W = pixels
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.region_mllm_parts import PartSettings, train_part
from models.region_lm.build import Vision, build_vision
from models.region_lm.config import VisionSettings
from models.region_lm.regions.mask_pooling import mask_pool
from models.vision.canvas import stretch
from models.vision.features import VisionFeatures
from tasks.data.shapes_world import COLOURS, RADII, SHAPES, Scene

_NAMES = (SHAPES, tuple(COLOURS), tuple(RADII))
_ATTRIBUTES = ("shape", "colour", "size")
_SEEN = 0.15
"""Smallest share of a cell that a region covers for the cell to name it."""
_HIDDEN = 128


class Lesson(NamedTuple):
    """What stage 0 reads, and should say."""

    pixels: Tensor
    """(I, 3, H, W)."""
    masks: Tensor
    """(R, H, W)."""
    names: Tensor
    """(R, 3): numbers of shape, colour and size."""
    images: Tensor
    """(R,): image of each region."""
    cells: Tensor
    """(I, N): region that covers most of a cell, -1 where none does."""


class Namer(nn.Module):
    """What stands on the encoder while it is taught."""

    def __init__(self, encoder: Vision) -> None:
        super().__init__()
        self.encoder = encoder
        num_names = sum(map(len, _NAMES))
        channels = sum(encoder.level_channels)
        self.region = nn.Sequential(nn.Linear(channels, _HIDDEN), nn.GELU(), nn.Linear(_HIDDEN, num_names))
        self.cell = nn.Sequential(nn.LayerNorm(encoder.channels), nn.Linear(encoder.channels, num_names + 1))

    def forward(self, lesson: Lesson) -> tuple[Tensor, Tensor]:
        """Return scores of the names of each region, and those of each cell with that of being a region."""
        features: VisionFeatures = self.encoder({"convnext": lesson.pixels})
        counts = torch.bincount(lesson.images, minlength=len(lesson.pixels)).tolist()
        pooled_RC = torch.cat(
            [
                torch.cat([mask_pool(level[image], part) for level in features.levels], dim=1)
                for image, part in enumerate(lesson.masks.split(counts))
            ]
        )
        return self.region(pooled_RC), self.cell(features.tokens_TNC)


def prepare(scenes: Sequence[Scene], side: int, grid: tuple[int, int]) -> Lesson:
    """Turn scenes into one lesson, of which batches are parts."""
    pixels, masks, names, images, cells = [], [], [], [], []
    for image, scene in enumerate(scenes):
        mask_RHW = torch.from_numpy(np.stack([part.mask for part in scene.objects]))
        cover_RN = functional.adaptive_avg_pool2d(mask_RHW[:, None].float(), grid).flatten(1)
        share_N, best_N = cover_RN.max(dim=0)
        cells.append(torch.where(share_N > _SEEN, best_N + sum(map(len, masks)), -1))
        pixels.append(stretch(scene.image, side).pixels_T3HW)
        masks.append(mask_RHW)
        images += [image] * len(mask_RHW)
        names += [
            [
                known.index(getattr(part, attribute))
                for known, attribute in zip(_NAMES, _ATTRIBUTES, strict=True)
            ]
            for part in scene.objects
        ]
    return Lesson(
        torch.cat(pixels), torch.cat(masks), torch.tensor(names), torch.tensor(images), torch.stack(cells)
    )


def part_of(lesson: Lesson, images: Sequence[int], *, mirrored: bool) -> Lesson:
    """Take some images out of a lesson, left and right exchanged or not."""
    place_I = torch.tensor(images)
    rows = [(lesson.images == image).nonzero().flatten() for image in images]
    row_R = torch.cat(rows)
    renumbered = torch.full((len(lesson.masks) + 1,), -1)  # the last one stands for no region
    renumbered[row_R] = torch.arange(len(row_R))
    pixel_I3HW, mask_RHW = lesson.pixels[place_I], lesson.masks[row_R]
    cell_IN = renumbered[lesson.cells[place_I]]
    if mirrored:
        side = math.isqrt(cell_IN.shape[1])
        pixel_I3HW, mask_RHW = pixel_I3HW.flip(3), mask_RHW.flip(2)
        cell_IN = cell_IN.unflatten(1, (side, side)).flip(2).flatten(1)
    image_R = torch.repeat_interleave(torch.arange(len(images)), torch.tensor([len(row) for row in rows]))
    return Lesson(pixel_I3HW, mask_RHW, lesson.names[row_R], image_R, cell_IN)


def losses(namer: Namer, lesson: Lesson) -> dict[str, Tensor]:
    """Return what naming cost, for regions and for cells."""
    score_RK, score_INK = namer(lesson)
    is_region_IN = lesson.cells >= 0
    return {
        "region": _naming(score_RK, lesson.names),
        "cell": _naming(score_INK[is_region_IN][:, :-1], lesson.names[lesson.cells[is_region_IN]]),
        "there": functional.binary_cross_entropy_with_logits(score_INK[..., -1], is_region_IN.float()),
    }


def _naming(score_RK: Tensor, name_R3: Tensor) -> Tensor:
    parts = score_RK.split([len(known) for known in _NAMES], dim=1)
    return torch.stack(
        [functional.cross_entropy(part, name_R3[:, place]) for place, part in enumerate(parts)]
    ).sum()


def teach(
    vision: VisionSettings, settings: PartSettings, scenes: Sequence[Scene], *, seed: int
) -> tuple[Vision, dict[str, float]]:
    """Teach a new encoder; returns it with what it cost."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        namer = Namer(build_vision(vision))
    lesson = prepare(scenes, vision.sides["convnext"], namer.encoder.grid)
    batches = _batches(len(scenes), settings.per_step, generator)

    def losses_of(_: int) -> dict[str, Tensor]:
        mirrored = bool(torch.rand((), generator=generator) < 0.5)
        return losses(namer, part_of(lesson, next(batches), mirrored=mirrored))

    cost = train_part(namer, losses_of, settings)
    return namer.encoder.eval().requires_grad_(False), cost


@torch.no_grad()
def named_right(namer: Namer, lesson: Lesson) -> float:
    """Return the share of regions whose shape, colour and size are all named right."""
    parts = namer(lesson)[0].split([len(known) for known in _NAMES], dim=1)
    named_R3 = torch.stack([part.argmax(dim=1) for part in parts], dim=1)
    return (named_R3 == lesson.names).all(dim=1).float().mean().item()


def _batches(count: int, size: int, generator: torch.Generator) -> Iterator[list[int]]:
    while True:
        order = torch.randperm(count, generator=generator).tolist()
        yield from (order[first : first + size] for first in range(0, count - size + 1, size))
