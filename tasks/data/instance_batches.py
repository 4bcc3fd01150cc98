"""Records to batches for recipes: large-scale jitter or whole images, flipped by chance; never a mask.

What stands at a place of a step follows from (seed, step, place) alone: a resumed run repeats nothing, and
neither micro-batches nor processes change what a step sees.

Source of the jitter: Ghiasi et al., "Simple Copy-Paste", https://arxiv.org/abs/2012.07177.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from models.segmentation.instance_hub import fitted, pad_to, padded_size, scaled
from models.segmentation.objective import TrainingBatch
from models.segmentation.preprocessing import resize, stretch
from models.segmentation.recipes import ImageSizes
from tasks.data.datasets import TrainingImage, generator_of, image_order, load_training_images
from tasks.data.records import ImageRecord
from tasks.errors import DataError

SMALLEST_SIDE = 2.0
"""Pixels of the crop: a box that shows less along an axis is left out."""
SMALLEST_SHARE = 0.25
"""A box of which the crop shows less than this share of its area is left out."""
CACHE_BYTES = 2 << 30
"""Decoded images are kept up to this size, in the order in which they were first asked for."""
_FIRST_STREAM = 16
"""Of the draws of a place; lower streams are those of ``datasets``."""


class ImageStore:
    """The images of a split, decoded when they are asked for and kept while there is room.

    Args:
        records: At least one.
        dataset: Directory that the files of the records are relative to.
        categories: Names by index.
        room: Bytes of pixels that are kept.

    Raises:
        DataError: If there is no record, or a region's category is unknown.
    """

    def __init__(
        self,
        records: Sequence[ImageRecord],
        dataset: Path,
        categories: Sequence[str],
        *,
        room: int = CACHE_BYTES,
    ) -> None:
        known = set(categories)
        for record in records:
            unknown = sorted({part.category for part in record.regions if not part.is_crowd} - known)
            if unknown:
                raise DataError(
                    f"image {record.image_id} has unknown categories {unknown}.",
                    obj=record.file,
                    hint="Prepare the data again, so that records and dataset.json fit together.",
                )
        if not records:
            raise DataError(
                "there is no training image.", obj=str(dataset), hint="Name a split that has images."
            )
        self.records, self._dataset, self._categories = tuple(records), dataset, tuple(categories)
        self._kept: dict[int, TrainingImage] = {}
        self._room, self._lock = room, threading.Lock()

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, place: int) -> TrainingImage:
        """Decode the image at a place of the split.

        Raises:
            DataError: If its file is missing, damaged, or of another size than its record.
        """
        with self._lock:
            kept = self._kept.get(place)
        if kept is not None:
            return kept
        image = load_training_images([self.records[place]], self._dataset, self._categories)[0]
        with self._lock:
            if place not in self._kept and image.pixels.numel() <= self._room:
                self._kept[place] = image
                self._room -= image.pixels.numel()
        return image


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """What happens to the image at one place of a step; sizes are (height, width)."""

    image: int
    """Its place in the split."""
    size: tuple[int, int]
    """To which the whole image is scaled."""
    offset: tuple[int, int]
    """Top and left corner of the crop in the scaled image; (0, 0) where nothing is cut."""
    shown: tuple[int, int]
    """How much of the scaled image the crop shows."""
    flipped: bool
    """Whether left and right are exchanged before padding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """Everything that chance decides of a step, before a pixel is read."""

    draws: tuple[Draw, ...]
    """By place in the batch."""
    size: tuple[int, int]
    """Height and width to which every image of the step is padded, in pixels."""
    image_ids: tuple[int, ...]
    """By place in the batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPolicy:
    """How steps are drawn."""

    images: ImageSizes
    images_per_step: int
    stride: int
    """Sides of what the network sees are multiples of it."""
    seed: int


def plan_step(records: Sequence[ImageRecord], policy: BatchPolicy, step: int) -> StepPlan:
    """Decide what stands at every place of a step, and the size that fits all of it.

    Args:
        records: The split; every image occurs once in a pass, in an order of its own.
        policy: How steps are drawn.
        step: Number of steps already taken.
    """
    draws = []
    for place in range(policy.images_per_step):
        image = image_order(policy.seed, step * policy.images_per_step + place, len(records))
        size = records[image].height, records[image].width
        generator = generator_of(policy.seed, step, _FIRST_STREAM + place)
        draws.append(draw_place(image, size, policy.images, generator))
    if policy.images.crop is not None:
        largest = policy.images.crop, policy.images.crop
    else:
        largest = max(draw.shown[0] for draw in draws), max(draw.shown[1] for draw in draws)
    return StepPlan(
        draws=tuple(draws),
        size=padded_size(largest, policy.stride),
        image_ids=tuple(records[draw.image].image_id for draw in draws),
    )


def draw_place(image: int, size: tuple[int, int], images: ImageSizes, generator: torch.Generator) -> Draw:
    """Draw scale, crop and flip of one image.

    With a crop the scale is uniform in ``jitter``, where 1 just fits the whole image into the crop, and the
    crop lies anywhere in what is larger; without one the shorter side is uniform in ``short_sides`` as long
    as the longer one does not exceed ``long_side``.

    Args:
        image: Place of the image in the split.
        size: Height and width of the image.
        images: What of an image the network sees.
        generator: Gives four numbers, whatever happens.
    """
    amount, down, along, side = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
    if images.crop is None:
        low, high = images.short_sides
        new = fitted(size, low + int(amount * (high - low + 1)), images.long_side or max(size))
        return Draw(image=image, size=new, offset=(0, 0), shown=new, flipped=side < 0.5)
    smallest, largest = images.jitter
    scale = smallest + amount * (largest - smallest)
    new = scaled(size, scale * images.crop / max(size))
    shown = min(new[0], images.crop), min(new[1], images.crop)
    offset = int(down * (new[0] - shown[0] + 1)), int(along * (new[1] - shown[1] + 1))
    return Draw(image=image, size=new, offset=offset, shown=shown, flipped=side < 0.5)


def draw_places(store: ImageStore, plan: StepPlan, images: ImageSizes, places: range) -> TrainingBatch:
    """Make the batch of some places of a step.

    Raises:
        DataError: If an image is missing or damaged.
    """
    drawn = [apply_draw(store[plan.draws[place].image], plan.draws[place], images) for place in places]
    return TrainingBatch(
        image_BCHW=torch.stack([pad_to(pixels, *plan.size) for pixels, _, _ in drawn]),
        boxes=tuple(boxes for _, boxes, _ in drawn),
        categories=tuple(categories for _, _, categories in drawn),
        image_ids=tuple(plan.image_ids[place] for place in places),
    )


def apply_draw(image: TrainingImage, draw: Draw, images: ImageSizes) -> tuple[Tensor, Tensor, Tensor]:
    """Scale, cut and flip an image with its boxes.

    A box that the crop cuts keeps what is visible of it. It is left out where that is less than
    ``SMALLEST_SHARE`` of its area or, along an axis, less than ``SMALLEST_SIDE`` pixels.

    Returns:
        Pixels in [0, 1] of shape (3, shown height, shown width), corners of boxes in their pixels, and the
        categories of these boxes.
    """
    contrast = image.contrast if images.stretch_contrast else (0.0, 255.0)
    (top, left), (rows, columns) = draw.offset, draw.shown
    pixels = resize(stretch(image.pixels, contrast), *draw.size)[:, top : top + rows, left : left + columns]
    height, width = image.pixels.shape[1:]
    factor = torch.tensor([draw.size[1] / width, draw.size[0] / height] * 2)
    boxes = image.boxes_xyxy * factor - torch.tensor([left, top] * 2)
    whole = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    boxes = torch.minimum(boxes.clamp(min=0.0), torch.tensor([columns, rows] * 2))
    sides = boxes[:, 2:] - boxes[:, :2]
    kept = (sides.amin(dim=1) >= SMALLEST_SIDE) & (sides.prod(dim=1) >= SMALLEST_SHARE * whole)
    boxes = boxes[kept]
    if draw.flipped:
        pixels = pixels.flip(2)
        boxes = torch.stack((columns - boxes[:, 2], boxes[:, 1], columns - boxes[:, 0], boxes[:, 3]), dim=1)
    return pixels.contiguous(), boxes, image.categories[kept]
