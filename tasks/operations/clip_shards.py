"""Label maps of images by CLIP, shard by shard, as ``tasks.operations.shards`` runs them."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from models.segmentation.dense_labels import NO_LABEL, label_pixels, reading_size
from models.segmentation.mask_clip import class_probabilities, dense_features
from tasks.data.clip_weights import Clip, ClipFiles, load_clip
from tasks.data.commit import hash_file
from tasks.data.images import Rgb, read_rgb
from tasks.data.label_maps import UNLABELLED, encode_label_map

PART_SCHEMA = "groundwork.clip_labels_part/1"
_DIGITS = 6  # of a mean confidence


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipParameters:
    """How patches become labels. Defaults are those of MaskCLIP, with both of its refinements."""

    shortest: int = 512
    """What the shorter side of an image becomes, in pixels."""
    longest: int = 2048
    """What the longer side does not exceed, in pixels."""
    denoise: float = 0.5
    """Classes that no patch of an image reaches with this probability are left out of it; 0: none is."""
    smooth: float = 1.0
    """Patches less sure than this share what patches with like keys say; 1: every patch, 0: none."""
    confidence: float = 0.0
    """Pixels less sure than this stay unlabelled; 0: every pixel has a label."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing. Raises ValueError."""
        if not 1 <= self.shortest <= self.longest:
            raise ValueError(
                f"sides must be 1 <= shortest <= longest, got {self.shortest} and {self.longest}."
            )
        for name in ("denoise", "smooth", "confidence"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipJob:
    """Everything a worker must know."""

    key: str
    """Identity of the whole work; parts of another key are foreign."""
    images: Path
    """Folder that the names of the images start from."""
    listing: Path
    """File with these names, one a line."""
    parts: Path
    """Folder of the finished shards."""
    weights: ClipFiles
    text: Path
    """Made by ``save_text``."""
    values: tuple[int, ...]
    """Byte of each class."""
    parameters: ClipParameters
    num_images: int
    shard_images: int

    @property
    def schema(self) -> str:
        """Name and version of what a line holds."""
        return PART_SCHEMA

    @property
    def num_shards(self) -> int:
        """Count the shards."""
        return -(-self.num_images // self.shard_images)

    def open(self) -> "ClipLabeller":
        """Load the model."""
        return ClipLabeller(self, load_clip(self.weights))


class ClipLabeller:
    """Makes the label maps of shards.

    Args:
        job: What to do.
        clip: Of ``job.weights``.
    """

    def __init__(self, job: ClipJob, clip: Clip) -> None:
        self.job, self.clip = job, clip
        self.names = job.listing.read_bytes().decode().split("\n")[:-1]  # a name may hold U+2028
        with safe_open(job.text, framework="pt") as stored:
            self.words, self.owners = stored.get_tensor("words"), stored.get_tensor("owners")
        self.bytes = np.full(256, UNLABELLED, dtype=np.uint8)
        self.bytes[: len(job.values)] = job.values

    def lines(self, shard: int) -> Iterator[dict[str, Any]]:
        """Label the images of one shard.

        Raises:
            DataError: If an image is missing or damaged.
        """
        start = shard * self.job.shard_images
        for name in self.names[start : start + self.job.shard_images]:
            yield self._line(name)

    def close(self) -> None:
        """Nothing is open."""

    def _line(self, name: str) -> dict[str, Any]:
        path = self.job.images / name
        sha256 = hash_file(path)
        pixels = read_rgb(path)
        height, width = pixels.shape[:2]
        chances = self._patches(pixels)
        found = label_pixels(chances, height, width, at_least=self.job.parameters.confidence)
        indices = found.label_HW.numpy()
        counts = np.bincount(indices.ravel(), minlength=256)
        sure = (chances.amax(dim=0) * 255.0).round().to(torch.uint8).numpy()
        return {
            "image": name,
            "sha256": sha256,
            "height": height,
            "width": width,
            "confidence": round(found.confidence, _DIGITS),
            "pixels": counts[: len(self.job.values)].tolist(),
            "unlabelled": int(counts[NO_LABEL]),
            "label": base64.b64encode(encode_label_map(self.bytes[indices])).decode("ascii"),
            "sure": base64.b64encode(encode_label_map(sure)).decode("ascii"),
        }

    def _patches(self, pixels: Rgb) -> Tensor:
        """Return probabilities of shape (classes, rows, columns)."""
        files, wanted = self.job.weights, self.job.parameters
        height, width = reading_size(
            *pixels.shape[:2], patch=files.patch, shortest=wanted.shortest, longest=wanted.longest
        )
        # As the images that CLIP learnt from: bicubic, smoothed where it shrinks.
        resized = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
        image = torch.tensor(resized, dtype=torch.float32).permute(2, 0, 1)[None] / 255.0
        features = dense_features(self.clip.model, image, mean=files.mean, deviation=files.deviation)
        return class_probabilities(
            features, self.words, owner_V=self.owners, denoise=wanted.denoise, smooth=wanted.smooth
        )[0]
