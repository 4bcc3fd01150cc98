"""A text for each of many regions: the image is encoded once, answers are generated in batches."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from models.region_lm.conversation import Part, Token
from models.region_lm.generation import generate
from models.region_lm.hub import RegionMLLM
from models.region_lm.mentions import Mention, Utterance
from models.region_lm.processing import RegionProcessor
from models.region_lm.regions.mask_pooling import check_masks
from models.region_lm.tokens import IMAGE

ASK: tuple[Part | Mention, ...] = (Token(IMAGE), "\nWhat is ", Mention(0), "? Answer in a few words.")
"""The image, and the one region that is asked about, as ``Mention(0)``."""


@torch.no_grad()
def describe_all(
    model: RegionMLLM,
    processor: RegionProcessor,
    image: NDArray[np.uint8],
    masks: NDArray[np.bool_],
    *,
    question: Sequence[Part | Mention] = ASK,
    max_new_tokens: int = 64,
    at_once: int = 16,
) -> list[str]:
    """Describe every region of an image.

    Args:
        model: Sees regions.
        processor: Of the model.
        image: RGB, of shape (height, width, 3).
        masks: Of shape (R, height, width), none of them empty; any number, perhaps none.
        question: What is asked of each region, ``Mention(0)``.
        max_new_tokens: Longest answer, at least 1.
        at_once: Regions that are answered in one batch; only memory and speed depend on it.

    Returns:
        One text a mask, in their order: the likeliest words, the same for a region whatever others there are.

    Raises:
        TypeError: If the image is not uint8 or masks are not bool.
        ValueError: If masks do not have the size of the image, one is empty (it is named by its place), the
            model sees no regions, or the question mentions another region; no regions excuse none of it.
    """
    if at_once < 1:
        raise ValueError(f"at_once must be at least 1, got {at_once}.")
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be at least 1, got {max_new_tokens}.")
    mask_RHW = torch.from_numpy(np.ascontiguousarray(masks))
    check_masks(mask_RHW)
    turns = (Utterance(role="user", parts=tuple(question)),)
    # Without regions, one that fills the image stands for them: image, size and question are checked as ever.
    shown = masks[:1] if len(masks) else np.ones((1, *masks.shape[1:]), dtype=np.bool_)
    first = processor.ask(image, shown, [turns])
    if not len(masks):
        return []
    mapped_RHW = first.transforms[0].map_masks(mask_RHW)
    first = replace(first, masks=(mapped_RHW,)).to(model.device, model.dtype)
    seen = model.see(first)
    texts: list[str] = []
    for start in range(0, len(masks), at_once):
        places = range(start, min(start + at_once, len(masks)))
        batch = replace(
            first,
            encoded=first.encoded * len(places),
            image_of=(0,) * len(places),
            mentions=tuple((place,) * len(first.mentions[0]) for place in places),
        )
        answers = generate(model, batch, max_new_tokens=max_new_tokens, seen=seen)
        texts += [processor.decode(ids) for ids in answers]
    return texts
