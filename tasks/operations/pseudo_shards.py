"""Masks for the boxes of a file, shard by shard, as ``tasks.operations.shards`` runs them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.segmentation.box_carving import BoxMask
from models.segmentation.box_propagation import PropagationConfig, masks_by_propagation
from tasks.data.box_table import BoxImage, BoxTable
from tasks.data.commit import hash_file
from tasks.data.images import Rgb, read_rgb
from tasks.data.rle import encode_mask

PART_SCHEMA = "groundwork.pseudo_labels_part/1"
CROWD = "crowd"
"""Reason of a box that stands for many objects."""
_DIGITS = 6  # of a score

Masks = Callable[[Rgb, torch.Tensor], Sequence[BoxMask | str]]
"""Image and boxes (corners in its pixels) -> a mask or a reason for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelJob:
    """Everything a worker must know."""

    key: str
    """Identity of the whole work; parts of another key are foreign."""
    database: Path
    """Made by ``tasks.data.box_table.index_boxes``."""
    images: Path
    """Folder that the file names of the images start from."""
    parts: Path
    """Folder of the finished shards."""
    model: Path | None
    """Directory of a segmenter; None: propagation alone."""
    propagation: PropagationConfig
    num_images: int
    shard_images: int

    @property
    def method(self) -> str:
        """Name how masks are made."""
        return "propagation" if self.model is None else "segmenter"

    @property
    def schema(self) -> str:
        """Name and version of what a line holds."""
        return PART_SCHEMA

    @property
    def num_shards(self) -> int:
        """Count the shards."""
        return -(-self.num_images // self.shard_images)

    def open(self) -> "Labeller":
        """Load what it takes to compute."""
        return Labeller(self)


class Labeller:
    """Makes the masks of shards; loads the model once.

    Args:
        job: What to do.
    """

    def __init__(self, job: LabelJob) -> None:
        self.job, self.table = job, BoxTable(job.database)
        self.masks: Masks
        if job.model is None:
            self.masks = partial(masks_by_propagation, config=job.propagation)
        else:
            self.masks = _answers_of(job.model)

    def lines(self, shard: int) -> Iterator[dict[str, Any]]:
        """Make the masks of one shard.

        Raises:
            DataError: If an image is damaged or has another size than the file says.
        """
        start = shard * self.job.shard_images
        for image in self.table.images(start, start + self.job.shard_images):
            yield self._line(image)

    def close(self) -> None:
        """Let go of the file of boxes."""
        self.table.close()

    def _line(self, image: BoxImage) -> dict[str, Any]:
        path = self.job.images / image.row["file_name"]
        pixels = read_rgb(path, height=image.row["height"], width=image.row["width"])
        rows = [row for row in image.annotations if not row.get("iscrowd", 0)]
        boxes = torch.tensor([image.box_xyxy(row) for row in rows], dtype=torch.float32).reshape(-1, 4)
        answers = dict(zip([row["id"] for row in rows], self.masks(pixels, boxes), strict=True))
        annotations = [
            self._annotation(image, row, answers.get(row["id"], CROWD)) for row in image.annotations
        ]
        return {"image_id": image.row["id"], "sha256": hash_file(path), "annotations": annotations}

    def _annotation(self, image: BoxImage, row: dict[str, Any], answer: BoxMask | str) -> dict[str, Any]:
        if isinstance(answer, str):
            left, top, right, bottom = image.box_xyxy(row)
            return row | {"area": (right - left) * (bottom - top), "reason": answer}
        part = answer.mask_HW.numpy()
        mask = np.zeros(image.size, np.bool_)
        mask[answer.top : answer.top + part.shape[0], answer.left : answer.left + part.shape[1]] = part
        return row | {
            "segmentation": encode_mask(mask).to_json(),
            "area": float(part.sum()),
            "score": round(answer.score, _DIGITS),
            "method": self.job.method,
        }


def _answers_of(model: Path) -> Masks:
    """Load a segmenter; only who has one imports what it needs."""
    from transformers.utils.logging import disable_progress_bar

    from models.segmentation.box_masks import masks_from_model
    from models.segmentation.hub import BoxSegmenter

    disable_progress_bar()  # type: ignore[no-untyped-call]
    segmenter = BoxSegmenter.from_pretrained(model, local_files_only=True, use_safetensors=True)
    return partial(masks_from_model, segmenter.train(mode=False).to(memory_format=torch.channels_last))
