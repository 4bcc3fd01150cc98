"""What a model is given: samples as people have them, and the tensors made from them.

Shape suffixes:
    T = canvases of all images   H, W = pixels of a canvas   R = regions of an image
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.blocks.image_transform import ImageTransform
from models.region_lm.conversation import IGNORED, Encoded
from models.region_lm.mentions import Utterance
from models.vision.tiles import TileLayout


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegionExample:
    """A conversation about an image and its regions."""

    image: NDArray[np.uint8] | None
    """RGB, of shape (height, width, 3); None: there is only text."""
    masks: NDArray[np.bool_] | None = None
    """Regions, of shape (R, height, width), in pixels of the image; none of them is empty."""
    turns: tuple[Utterance, ...]
    """``Token(IMAGE)`` stands where the image goes, ``Mention(i)`` where region i goes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegionBatch:
    """Samples as a model reads them. Samples may share an image, which then is seen once."""

    encoded: tuple[Encoded, ...]
    """Of each sample, with one position for each placeholder."""
    image_of: tuple[int | None, ...]
    """Of each sample, the index of its image; None: there is only text."""
    mentions: tuple[tuple[int, ...], ...]
    """Of each sample, the regions of its image in the order of the text."""
    pixels: Mapping[str, Tensor]
    """Canvases of all images, one image after the other, (T, 3, side, side), by encoder."""
    layouts: tuple[TileLayout, ...]
    """Of each image: how many canvases are its own."""
    transforms: tuple[ImageTransform, ...]
    """Of each image, to the canvas on which its masks lie."""
    masks: tuple[Tensor, ...]
    """Of each image: bool (R, H, W), on its tiles put together."""

    def __post_init__(self) -> None:
        """Refuse parts that do not count the same samples and images.

        Raises:
            ValueError: With the counts.
        """
        samples = (len(self.encoded), len(self.image_of), len(self.mentions))
        images = (len(self.layouts), len(self.transforms), len(self.masks))
        if len(set(samples)) > 1 or len(set(images)) > 1:
            raise ValueError(f"parts must be of the same samples and images, got {samples} and {images}.")
        canvases = sum(layout.count for layout in self.layouts)
        for name, pixels in self.pixels.items():
            if len(pixels) != canvases:
                raise ValueError(f"pixels[{name!r}] must be {canvases} canvases, got {len(pixels)}.")
        if wrong := [index for index in self.image_of if index is not None and index >= images[0]]:
            raise ValueError(f"a sample is of image {wrong[0]}, but there are {images[0]}.")

    @property
    def num_learned(self) -> int:
        """Tokens of which the loss is the mean; the first of a sequence has nothing before it."""
        return sum(label != IGNORED for sample in self.encoded for label in sample.labels[1:])

    def select(self, samples: Sequence[int]) -> Self:
        """Return some of the samples, beside all images: what was seen of the batch serves them as well."""
        return replace(
            self,
            encoded=tuple(self.encoded[number] for number in samples),
            image_of=tuple(self.image_of[number] for number in samples),
            mentions=tuple(self.mentions[number] for number in samples),
        )

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Self:
        """Return the batch on a device, its pixels in a floating type."""
        return replace(
            self,
            pixels={name: pixels.to(device, dtype) for name, pixels in self.pixels.items()},
            masks=tuple(mask.to(device) for mask in self.masks),
        )


def join_batches(batches: Sequence[RegionBatch]) -> RegionBatch:
    """Put batches behind each other: images are seen together, samples keep theirs.

    Args:
        batches: At least one, all on one device and of one processor.
    """
    image_of: list[int | None] = []
    num_images = 0
    for batch in batches:
        image_of += [None if image is None else image + num_images for image in batch.image_of]
        num_images += len(batch.layouts)
    with_images = [batch.pixels for batch in batches if batch.pixels]
    names = with_images[0] if with_images else ()
    return RegionBatch(
        encoded=tuple(chain.from_iterable(batch.encoded for batch in batches)),
        image_of=tuple(image_of),
        mentions=tuple(chain.from_iterable(batch.mentions for batch in batches)),
        pixels={name: torch.cat([pixels[name] for pixels in with_images]) for name in names},
        layouts=tuple(chain.from_iterable(batch.layouts for batch in batches)),
        transforms=tuple(chain.from_iterable(batch.transforms for batch in batches)),
        masks=tuple(chain.from_iterable(batch.masks for batch in batches)),
    )
