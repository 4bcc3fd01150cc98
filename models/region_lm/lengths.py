"""How long a sample is before a pixel is read: what batches, rows and limits are planned from."""

from typing import NamedTuple

from models.region_lm.config import ModelSettings
from models.region_lm.conversation import IGNORED, Encoded
from models.region_lm.processing import RegionProcessor
from models.region_lm.tokens import IMAGE
from models.vision.tiles import TileLayout, layout_of

Size = tuple[int, int]


class SampleLength(NamedTuple):
    """Of one sample, cut to its limits."""

    positions: int
    """That the language model reads: text, image and regions."""
    learned: int
    """Tokens of which the loss is the mean."""
    lost: int
    """Ids that were cut off its end."""


class LengthLimits(NamedTuple):
    """How long samples may be."""

    ids: int
    """Before features are put in."""
    positions: int
    """With features."""


def image_layout(settings: ModelSettings, size: Size) -> TileLayout:
    """Return the canvases of an image of a height and width."""
    side, images = next(iter(settings.vision.sides.values())), settings.images
    if images.kind != "tiles":
        return TileLayout(rows=1, columns=1, tile=side, overview=False)
    return layout_of(
        *size,
        tile=side,
        most=images.most_tiles or 1,
        max_strip=images.max_strip,
        overlap_prescale=images.overlap_prescale,
    )


def image_positions(processor: RegionProcessor, size: Size, num_tokens: int) -> int:
    """Count the positions of an image in the language model's sequence.

    Args:
        processor: Of the model.
        size: Height and width of the image, in pixels.
        num_tokens: Of one canvas.
    """
    settings = processor.settings
    layout = image_layout(settings, size)
    if settings.images.kind != "tiles":
        return num_tokens
    columns = layout.rows * (layout.columns - 1) * len(processor.separator_ids["column"])
    rows = (layout.rows + layout.overview) * len(processor.separator_ids["row"])
    return num_tokens * layout.count + columns + rows


def sample_length(
    processor: RegionProcessor, encoded: Encoded, *, image: int, limits: LengthLimits
) -> SampleLength:
    """Measure a conversation as the model will read it.

    Args:
        processor: Of the model.
        encoded: The whole conversation.
        image: Positions of its image, see ``image_positions``; 0 without one.
        limits: What lies behind them is cut off; features never are.

    Raises:
        ValueError: If a placeholder, or everything that is learned, would be lost.
    """
    added = image - encoded.ids.count(processor.placeholder_ids[IMAGE])
    cut = processor.cut(encoded, max(0, min(limits.ids, limits.positions - added)))
    return SampleLength(
        positions=len(cut.ids) + added,
        learned=sum(label != IGNORED for label in cut.labels[1:]),
        lost=len(encoded.ids) - len(cut.ids),
    )
