"""Images and label maps for training: decoded once, checked against their records, kept while room is.

What stands at a place of a step follows from (seed, step, place) alone: neither micro-batches nor processes
change what a step sees.
"""

import threading
from collections.abc import Sequence

import torch
from torch import Tensor

from models.segmentation.semantic_objective import SemanticBatch
from models.segmentation.semantic_recipes import SemanticCropPolicy
from tasks.data.commit import hash_file
from tasks.data.datasets import generator_of, image_order
from tasks.data.semantic_datasets import CROP_STREAM, SemanticFolders, draw_semantic_crop, read_semantic
from tasks.data.semantic_records import SemanticRecord
from tasks.errors import DataError, IntegrityError

CACHE_BYTES = 2 << 30
"""Decoded images and label maps are kept up to this size, in the order in which they were asked for."""


class SemanticStore:
    """The images of a split with their label maps, decoded when they are asked for.

    Args:
        records: At least one.
        folders: Where the files lie and what their bytes mean.
        room: Bytes that are kept.

    Raises:
        DataError: If there is no record.
    """

    def __init__(
        self, records: Sequence[SemanticRecord], folders: SemanticFolders, *, room: int = CACHE_BYTES
    ) -> None:
        if not records:
            raise DataError(
                "there is no training image.",
                obj=str(folders.labels),
                hint="Name the --split of its records, or make labels with `groundwork data weaken`.",
            )
        self.records, self.folders = tuple(records), folders
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}
        self._room, self._lock = room, threading.Lock()

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, place: int) -> tuple[Tensor, Tensor]:
        """Read the pixels, uint8, shape (3, height, width), and the targets, int16, (height, width).

        Raises:
            DataError: If a file is missing, damaged, of another size, or holds a value that is no class.
            IntegrityError: If image or label map is not the one of the record.
        """
        with self._lock:
            kept = self._kept.get(place)
        if kept is not None:
            return kept
        record = self.records[place]
        pixels, targets = read_semantic(record, self.folders)
        path = self.folders.images / record.image
        if hash_file(path) != record.sha256:
            raise IntegrityError(
                "is not the image that was labelled: its sha256 differs.",
                obj=str(path),
                hint="Name the folder of the labelled images with --images, or make the labels again.",
            )
        pair = pixels, targets.to(torch.int16)
        size = sum(part.numel() * part.element_size() for part in pair)
        with self._lock:
            if place not in self._kept and size <= self._room:
                self._kept[place] = pair
                self._room -= size
        return pair


def images_of_step(store: SemanticStore, *, images_per_step: int, seed: int, step: int) -> tuple[int, ...]:
    """Return which image stands at each place of a step; every one occurs once in a pass."""
    first = step * images_per_step
    return tuple(image_order(seed, first + place, len(store)) for place in range(images_per_step))


def draw_semantic_places(
    store: SemanticStore,
    policy: SemanticCropPolicy,
    *,
    seed: int,
    images_per_step: int,
    step: int,
    places: range,
) -> SemanticBatch:
    """Make the batch of some places of a step; each crop follows from (seed, step, place) alone.

    Raises:
        DataError: If a file is missing or damaged.
        IntegrityError: If image or label map is not the one of its record.
    """
    images = images_of_step(store, images_per_step=images_per_step, seed=seed, step=step)
    drawn = [
        draw_semantic_crop(
            *store[images[place]], policy, generator_of(seed, step * images_per_step + place, CROP_STREAM)
        )
        for place in places
    ]
    return SemanticBatch(
        image_BCHW=torch.stack([pixels for pixels, _ in drawn]),
        label_BHW=torch.stack([targets for _, targets in drawn]),
    )
