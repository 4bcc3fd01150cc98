"""Region samples -> what a model's processor takes: pixels, masks, and what is said."""

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.region_lm.batches import RegionExample
from models.region_lm.mentions import box_masks
from tasks.data.images import read_rgb
from tasks.data.region_prompts import to_utterances
from tasks.data.region_records import RegionSample, SampleRegion
from tasks.data.rle import decode_mask


def load_example(
    sample: RegionSample, folder: Path, *, shown: Literal["mask", "box"] = "mask", listed: bool | None = None
) -> RegionExample:
    """Read the image of a sample and draw its regions.

    Args:
        sample: The sample.
        folder: Of its dataset; ``sample.file`` lies below it.
        shown: What stands for a region: its mask, or, where it has none, its filled box; or always the box.
        listed: See ``tasks.data.region_prompts.to_utterances``.

    Returns:
        Pixels as they are, one mask a region in the order of the sample, None without regions.

    Raises:
        DataError: If the image cannot be read whole or does not have the size that the sample tells.
        ValueError: As ``to_utterances``.
    """
    turns = to_utterances(sample, listed=listed)
    if sample.file is None:
        return RegionExample(image=None, turns=turns)
    height, width = sample.size or (None, None)
    image = read_rgb(folder / sample.file, height=height, width=width)
    masks = None
    if sample.regions:
        size = (image.shape[0], image.shape[1])
        masks = np.stack([_drawn(region, size, shown) for region in sample.regions])
    return RegionExample(image=image, masks=masks, turns=turns)


def _drawn(region: SampleRegion, size: tuple[int, int], shown: Literal["mask", "box"]) -> NDArray[np.bool_]:
    if region.mask is not None and shown == "mask":
        return decode_mask(region.mask)
    filled: NDArray[np.bool_] = box_masks(np.array([region.box()]), height=size[0], width=size[1])[0]
    return filled
