"""Conversations that speak of regions, before it is known how a model is shown one.

Data says which region stands where; whether that is ``<mask>`` or ``<mask><pos>`` is the model's affair.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.region_lm.conversation import Part, Token, Turn
from models.region_lm.tokens import MASK


@dataclass(frozen=True, slots=True)
class Mention:
    """A region that stands in a text."""

    index: int
    """Of the region in its sample, from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """What one side says, with regions in it."""

    role: Literal["user", "assistant"]
    parts: tuple[Part | Mention, ...]


def place(
    utterances: Sequence[Utterance], slots: Sequence[str], *, num_regions: int
) -> tuple[tuple[Turn, ...], tuple[int, ...]]:
    """Put the placeholders of a model where regions are mentioned.

    Args:
        utterances: In order.
        slots: Placeholders that stand for one region, such as ``<mask>`` and ``<pos>``.
        num_regions: Of the sample.

    Returns:
        The turns, and for each mention in order of the text the index of its region. A region may be
        mentioned more than once, or never.

    Raises:
        ValueError: If a region is mentioned that is not there, the model sees no regions, the assistant
            mentions one, or a placeholder of regions stands without a region.
    """
    turns, order = [], []
    for utterance in utterances:
        parts: list[Part] = []
        for part in utterance.parts:
            if isinstance(part, Mention):
                _check(part, utterance, slots, num_regions)
                order.append(part.index)
                parts += [Token(slot) for slot in slots]
            elif isinstance(part, Token) and (part.name in slots or part.name == MASK):
                raise ValueError(f"placeholder {part.name!r} names no region: write Mention(index).")
            else:
                parts.append(part)
        turns.append(Turn(role=utterance.role, parts=tuple(parts)))
    return tuple(turns), tuple(order)


def box_masks(boxes_xyxy: NDArray[np.floating], *, height: int, width: int) -> NDArray[np.bool_]:
    """Fill boxes: regions of which only the box is known.

    Args:
        boxes_xyxy: Left, top, right, bottom in pixels, shape (R, 4).
        height: Of the image, in pixels.
        width: Of the image, in pixels.

    Returns:
        Masks of shape (R, height, width): every pixel that a box touches.

    Raises:
        ValueError: If a box is not finite, has no area, or reaches beyond the image.
    """
    boxes = np.asarray(boxes_xyxy, dtype=np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must have the shape (R, 4), got {boxes.shape}.")
    masks = np.zeros((len(boxes), height, width), dtype=np.bool_)
    for number, (left, top, right, bottom) in enumerate(boxes):
        inside = 0 <= left < right <= width and 0 <= top < bottom <= height  # NaN says no
        if not inside:
            raise ValueError(
                f"region {number}: box {[float(side) for side in boxes[number]]} must lie in the image of "
                f"{height} x {width} pixels and have an area."
            )
        rows = slice(int(np.floor(top)), int(np.ceil(bottom)))
        masks[number, rows, int(np.floor(left)) : int(np.ceil(right))] = True
    return masks


def _check(mention: Mention, utterance: Utterance, slots: Sequence[str], num_regions: int) -> None:
    if not slots:
        raise ValueError(f"region {mention.index} is mentioned, but this model sees no regions.")
    if utterance.role == "assistant":
        raise ValueError(f"region {mention.index} is mentioned by the assistant, who has only words.")
    if not 0 <= mention.index < num_regions:
        raise ValueError(f"region {mention.index} is mentioned, but the sample has {num_regions}.")
