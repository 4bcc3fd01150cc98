"""Records to model inputs: images decoded once into memory, crops drawn by (seed, step) alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.segmentation.objective import TrainingBatch
from models.segmentation.preprocessing import contrast_range, resize, stretch
from tasks.data.images import read_rgb
from tasks.data.records import ImageRecord
from tasks.errors import DataError

_SMALLEST_SIDE = 2.0
_SMALLEST_SHARE = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingImage:
    """One image and its boxes, ready to crop."""

    image_id: int
    pixels: Tensor
    """RGB, uint8, shape (3, height, width)."""
    contrast: tuple[float, float]
    """What ``contrast_range`` says of the whole image."""
    boxes_xyxy: Tensor
    """Corners in pixels, float32, shape (regions, 4)."""
    categories: Tensor
    """Category indices, int64, shape (regions,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CropPolicy:
    """How a crop is drawn."""

    size: int
    """Side of the crop."""
    image_scale: float
    """Enlargement of the image before zoom."""
    smallest_zoom: float
    """Lower end of the zoom."""
    largest_zoom: float
    """Upper end of the zoom."""


def read_pixels(record: ImageRecord, dataset: Path) -> Tensor:
    """Decode an image to RGB pixels, uint8, shape (3, height, width).

    Raises:
        DataError: If the file is missing, cannot be decoded, or has another size than its record.
    """
    pixels = read_rgb(dataset / record.file, height=record.height, width=record.width)
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def load_training_images(
    records: Sequence[ImageRecord], dataset: Path, categories: Sequence[str]
) -> list[TrainingImage]:
    """Decode every image once; crowd regions are no training targets.

    Raises:
        DataError: If there is no image, an image is damaged, or a region's category is unknown.
    """
    if not records:
        raise DataError("there is no training image.", obj=str(dataset), hint="Run `dvc repro prepare_coco`.")
    index = {name: position for position, name in enumerate(categories)}
    images = []
    for record in records:
        regions = [region for region in record.regions if not region.is_crowd]
        unknown = sorted({region.category for region in regions} - index.keys())
        if unknown:
            raise DataError(
                f"image {record.image_id} has unknown categories {unknown}.",
                obj=record.file,
                hint="Run `dvc repro prepare_coco`.",
            )
        pixels = read_pixels(record, dataset)
        images.append(
            TrainingImage(
                image_id=record.image_id,
                pixels=pixels,
                contrast=contrast_range(pixels),
                boxes_xyxy=torch.tensor([region.box_xyxy for region in regions]).float().reshape(-1, 4),
                categories=torch.tensor([index[region.category] for region in regions], dtype=torch.int64),
            )
        )
    return images


def generator_of(seed: int, step: int, stream: int) -> torch.Generator:
    """Make the generator of one step; equal arguments give equal draws."""
    words = np.random.SeedSequence([seed, step, stream]).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(words[0]) << 32 | int(words[1]))


def image_order(seed: int, position: int, num_images: int) -> int:
    """Return which image stands at a position of an endless sequence of shuffled passes."""
    generator = generator_of(seed, position // num_images, 0)
    return int(torch.randperm(num_images, generator=generator)[position % num_images])


def draw_batch(
    images: Sequence[TrainingImage], policy: CropPolicy, *, batch_size: int, seed: int, step: int
) -> TrainingBatch:
    """Draw the crops of one step."""
    generator = generator_of(seed, step, 1)
    chosen = [
        images[image_order(seed, step * batch_size + place, len(images))] for place in range(batch_size)
    ]
    crops = [draw_crop(image, policy, generator) for image in chosen]
    return TrainingBatch(
        image_BCHW=torch.stack([crop[0] for crop in crops]),
        boxes=tuple(crop[1] for crop in crops),
        categories=tuple(crop[2] for crop in crops),
        image_ids=tuple(image.image_id for image in chosen),
    )


def draw_crop(
    image: TrainingImage, policy: CropPolicy, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Cut a random square, zoom, turn, mirror and recolour it.

    Returns:
        Pixels in [0, 1] of shape (3, size, size), boxes and categories. A region cut by the border keeps its
        visible box; one that shows less than a quarter is left out.
    """
    height, width = image.pixels.shape[1:]
    zoom = math.exp(_uniform(generator, math.log(policy.smallest_zoom), math.log(policy.largest_zoom)))
    side = max(1, min(round(policy.size / (policy.image_scale * zoom)), height, width))
    top = int(torch.randint(height - side + 1, (), generator=generator))
    left = int(torch.randint(width - side + 1, (), generator=generator))
    pixels = stretch(image.pixels[:, top : top + side, left : left + side], image.contrast)
    pixels = recolour(resize(pixels, policy.size, policy.size), generator)
    boxes = (image.boxes_xyxy - torch.tensor([left, top, left, top])) * (policy.size / side)
    whole = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    boxes = boxes.clamp(0.0, float(policy.size))
    sides = boxes[:, 2:] - boxes[:, :2]
    kept = (sides.amin(dim=1) >= _SMALLEST_SIDE) & (sides.prod(dim=1) >= _SMALLEST_SHARE * whole)
    pixels, boxes = turn(pixels, boxes[kept], int(torch.randint(8, (), generator=generator)))
    return pixels, boxes, image.categories[kept]


def turn(pixels: Tensor, boxes_xyxy: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Apply one of the eight symmetries of the square to an image and its boxes."""
    size = float(pixels.shape[-1])
    if number & 1:
        pixels = pixels.flip(2)
        boxes_xyxy = torch.stack(
            (size - boxes_xyxy[:, 2], boxes_xyxy[:, 1], size - boxes_xyxy[:, 0], boxes_xyxy[:, 3]), dim=1
        )
    if number & 2:
        pixels = pixels.flip(1)
        boxes_xyxy = torch.stack(
            (boxes_xyxy[:, 0], size - boxes_xyxy[:, 3], boxes_xyxy[:, 2], size - boxes_xyxy[:, 1]), dim=1
        )
    if number & 4:
        pixels, boxes_xyxy = pixels.transpose(1, 2), boxes_xyxy[:, [1, 0, 3, 2]]
    return pixels.contiguous(), boxes_xyxy


def recolour(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Bend the brightness curve and weigh the channels a little differently."""
    gamma = math.exp(_uniform(generator, math.log(0.6), math.log(1.5)))
    gain = 1.0 + (torch.rand((3, 1, 1), generator=generator) - 0.5) * 0.2
    return (pixels.clamp(min=1e-4) ** gamma * gain).clamp(0.0, 1.0)


def _uniform(generator: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))
