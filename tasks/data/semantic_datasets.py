"""Semantic records to model inputs: crops of image and label map, decided by seed and position alone.

The recipe is that of point and scribble supervision on PASCAL VOC (Liang et al., "Tree Energy Loss", arXiv
2203.10739): enlargement 0.5 to 2, another aspect ratio, mirroring, brightness, a square crop. What lies
outside the image has a target of its own, PADDED, so that no loss can take it for an unlabelled pixel.
Difference: the aspect ratio changes by a factor between 1/1.1 and 1.1, as likely to wide as to tall, instead
of 0.9 to 1.1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from models.segmentation.preprocessing import contrast_range, resize, stretch
from models.segmentation.semantic_recipes import SemanticCropPolicy
from tasks.data.commit import hash_file
from tasks.data.datasets import generator_of, image_order
from tasks.data.images import read_rgb
from tasks.data.label_maps import PADDED, read_label_map, target_table
from tasks.data.semantic_records import SemanticClasses, SemanticRecord
from tasks.errors import DataError, IntegrityError

CROP_STREAM = 2
"""Of ``generator_of``: 0 orders images, 1 draws boxed crops."""


class SemanticSample(NamedTuple):
    """One crop; the default collation of a DataLoader stacks such samples."""

    pixels: Tensor
    """RGB in [0, 1], float32, shape (3, size, size)."""
    targets: Tensor
    """Class index, IGNORED or PADDED, int64, shape (size, size)."""
    record: int
    """Place of the image among the records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticFolders:
    """Where files lie and what their bytes mean."""

    images: Path
    """Folder that the records' images are relative to."""
    labels: Path
    """Folder that the records' label maps are relative to."""
    classes: SemanticClasses


class SemanticCrops(Dataset[SemanticSample]):
    """An endless row of crops, of which the first ``length`` are offered.

    Item n is the same in every process and after every restart: it depends on the seed and on n. Every pass
    over the records visits each image once, in another order. Files are read when an item is asked for.
    """

    def __init__(
        self,
        records: Sequence[SemanticRecord],
        folders: SemanticFolders,
        policy: SemanticCropPolicy,
        *,
        length: int,
        seed: int,
    ) -> None:
        """Keep the records; no file is opened.

        Args:
            records: Of the training split.
            folders: Where the files lie.
            policy: How crops are drawn.
            length: Number of items, e.g. steps times batch size.
            seed: Decides order and crops.

        Raises:
            DataError: If there is no record.
            ValueError: If ``length`` is not positive.
        """
        if not records:
            raise DataError(
                "there is no training image.",
                obj=str(folders.labels),
                hint="Make labels with `groundwork data weaken`.",
            )
        if length < 1:
            raise ValueError(f"length must be at least 1, got {length}.")
        self._records, self._folders, self._policy = tuple(records), folders, policy
        self._length, self._seed = length, seed

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, position: int) -> SemanticSample:
        """Return one crop.

        Raises:
            DataError: If a file is missing, damaged, of another size, or holds a value that is no class.
            IntegrityError: If the label map is not the one of the record.
            IndexError: If there is no such position.
        """
        if not 0 <= position < self._length:
            raise IndexError(f"position must be 0 to {self._length - 1}, got {position}.")
        index = image_order(self._seed, position, len(self._records))
        pixels, targets = read_semantic(self._records[index], self._folders)
        generator = generator_of(self._seed, position, CROP_STREAM)
        return SemanticSample(*draw_semantic_crop(pixels, targets, self._policy, generator), index)


def read_semantic(record: SemanticRecord, folders: SemanticFolders) -> tuple[Tensor, Tensor]:
    """Read a whole image and its targets, for training or for scoring.

    Returns:
        Pixels, uint8, shape (3, height, width), and targets, int64, shape (height, width).

    Raises:
        DataError: If a file is missing, damaged, of another size, or holds a value that is no class.
        IntegrityError: If the label map is not the one of the record.
    """
    height, width, classes = record.height, record.width, folders.classes
    path = folders.labels / record.label
    labels = read_label_map(path, values=(*classes.values, *classes.void), height=height, width=width)
    if hash_file(path) != record.label_sha256:
        raise IntegrityError(
            "is not the label map of the record: its sha256 differs.",
            obj=str(path),
            hint="Make the labels again with `groundwork data weaken`.",
        )
    pixels = read_rgb(folders.images / record.image, height=height, width=width)
    targets = torch.from_numpy(target_table(classes.values)[labels])
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous(), targets


def draw_semantic_crop(
    pixels: Tensor, targets: Tensor, policy: SemanticCropPolicy, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Enlarge, crop, mirror and brighten an image together with its targets.

    Args:
        pixels: RGB, uint8, shape (3, height, width).
        targets: Integers, shape (height, width).
        policy: How.
        generator: Decides everything.

    Returns:
        Pixels in [0, 1] of shape (3, size, size), and targets of shape (size, size). Targets are those of the
        nearest pixel centre; an image smaller than the crop lies in its top left corner.
    """
    scale = _uniform(generator, policy.smallest_scale, policy.largest_scale)
    wider = math.exp(_uniform(generator, -math.log(policy.aspect), math.log(policy.aspect)))
    height = max(1, round(pixels.shape[1] * scale / math.sqrt(wider)))
    width = max(1, round(pixels.shape[2] * scale * math.sqrt(wider)))
    top, left = (int(_uniform(generator, 0, max(0, side - policy.size) + 1)) for side in (height, width))
    window = (slice(top, top + policy.size), slice(left, left + policy.size))
    contrast = contrast_range(pixels) if policy.stretch_contrast else (0.0, 255.0)
    image = resize(stretch(pixels, contrast), height, width)[:, *window]
    numbers = functional.interpolate(targets[None, None].float(), size=(height, width), mode="nearest-exact")
    marks = numbers[0, 0].long()[window]
    if policy.mirror and _uniform(generator, 0, 1) < 0.5:
        image, marks = image.flip(2), marks.flip(1)
    image = (image + _uniform(generator, -policy.brightness, policy.brightness)).clamp(0.0, 1.0)
    crop = torch.tensor(policy.fill).view(3, 1, 1).repeat(1, policy.size, policy.size)
    crop[:, : image.shape[1], : image.shape[2]] = image
    answer = torch.full((policy.size, policy.size), PADDED, dtype=torch.int64)
    answer[: marks.shape[0], : marks.shape[1]] = marks
    return crop, answer


def _uniform(generator: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))
