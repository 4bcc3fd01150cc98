"""Box losses for the mask head of a Mask R-CNN: windows around boxes instead of the boxes themselves.

Papers: He et al., "Mask R-CNN", https://arxiv.org/abs/1703.06870; losses: see ``box_losses``.
Differences from Mask R-CNN: in a crop that ends where the box ends, "all of it" meets every box loss, for
nothing in the crop is known to be background. So a head sees its box with a margin, in training that of the
annotated box, moved a little, and in prediction that of the predicted one; the middle of what it says is the
mask of the box. A window counts as an image with one region. Nothing of detectron2 is imported.

Shape suffixes:
    B = images   R = regions   C = channels   H = height   W = width   K = categories   S = samples of a side
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from models.segmentation.box_losses import PredictedMasks, box_losses
from models.segmentation.box_supervision import BoxSupervision, guide
from models.segmentation.objective import jitter_boxes
from models.segmentation.windows import box_coverage, region_windows, sample_windows, stretch_windows


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowSettings:
    """How windows are laid around boxes."""

    margin: float = 0.3
    """The window reaches beyond the box by this fraction of the box's side, on each side."""
    jitter: float = 0.05
    """Windows of training boxes move and stretch by up to this fraction of the side."""
    regions_per_image: int = 64
    """At most so many boxes of an image, drawn at random, get a mask loss."""

    def __post_init__(self) -> None:
        """Refuse windows that show no background.

        Raises:
            ValueError: With the value.
        """
        if not self.margin > 0.0 or not 0.0 <= self.jitter < self.margin:
            raise ValueError(
                f"margin must be positive and above jitter, which is at least 0, "
                f"got {self.margin} and {self.jitter}."
            )
        if self.regions_per_image < 1:
            raise ValueError(f"regions_per_image must be at least 1, got {self.regions_per_image}.")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingWindows:
    """The boxes of a batch that get a mask loss, and their windows."""

    boxes: tuple[Tensor, ...]
    """Per image the corners in pixels of the input, shape (R, 4)."""
    windows: tuple[Tensor, ...]
    """Per image the corners of the windows, shape (R, 4)."""
    categories: tuple[Tensor, ...]
    """Per image, int64, shape (R,)."""


def draw_windows(
    boxes: Sequence[Tensor],
    categories: Sequence[Tensor],
    settings: WindowSettings,
    generator: torch.Generator,
) -> TrainingWindows:
    """Choose the boxes of each image that get a mask loss, and lay a window around each.

    Args:
        boxes: Per image the annotated corners in pixels of the input.
        categories: Per image the category indices.
        settings: Margin, jitter and how many.
        generator: Of the CPU; draws.
    """
    chosen = [
        torch.randperm(len(boxes_R4), generator=generator)[: settings.regions_per_image].sort().values
        for boxes_R4 in boxes
    ]
    kept = [boxes_R4[place_R.to(boxes_R4.device)] for boxes_R4, place_R in zip(boxes, chosen, strict=True)]
    moved = [jitter_boxes(kept_R4.cpu(), settings.jitter, generator).to(kept_R4) for kept_R4 in kept]
    return TrainingWindows(
        boxes=tuple(kept),
        windows=tuple(region_windows(moved_R4, settings.margin) for moved_R4 in moved),
        categories=tuple(
            category_R[place_R.to(category_R.device)]
            for category_R, place_R in zip(categories, chosen, strict=True)
        ),
    )


def window_losses(
    logit_RKSS: Tensor,
    drawn: TrainingWindows,
    image_BCHW: Tensor,
    sizes: Sequence[tuple[int, int]],
    supervision: BoxSupervision,
    *,
    step: int,
) -> dict[str, Tensor]:
    """Compute every loss that is switched on for the windows of a batch.

    Args:
        logit_RKSS: What the mask head says of all windows, images in order; K is 1 where it knows no
            category.
        drawn: From ``draw_windows``.
        image_BCHW: Colours in [0, 1], padded below and to the right.
        sizes: Height and width of each image in the batch, in pixels.
        supervision: Losses of the masks.
        step: Number of steps already taken.

    Returns:
        Scalars by name, as ``box_losses`` gives them. Without a region all are 0.
    """
    boxes_R4, windows_R4 = torch.cat(drawn.boxes), torch.cat(drawn.windows)
    category_R = torch.cat(drawn.categories)
    image_R = torch.cat([torch.full_like(part, number) for number, part in enumerate(drawn.categories)])
    region_R = torch.arange(len(logit_RKSS), device=logit_RKSS.device)
    logit_RSS = logit_RKSS[region_R, category_R if logit_RKSS.shape[1] > 1 else 0].float()
    side = logit_RSS.shape[-1]
    column_RS, row_RS = box_coverage(boxes_R4, windows_R4, side)
    with torch.no_grad():
        seen_B1HW = torch.zeros_like(image_BCHW[:, :1])
        for image, (height, width) in enumerate(sizes):
            seen_B1HW[image, :, :height, :width] = 1.0
        sampled = sample_windows(
            torch.cat((image_BCHW * seen_B1HW, seen_B1HW), dim=1),
            image_R, windows_R4, size=side, stride=1, samples=2,
        )  # fmt: skip
        share_RSS = sampled[:, -1]
        colour_RCSS = sampled[:, :-1] / share_RSS[:, None].clamp(min=1e-3)  # as if only the image were there
        guidance = guide(stretch_windows(colour_RCSS, share_RSS), (side, side), supervision)
    masks = PredictedMasks(logit_RSS, region_R, column_RS[:, None, :] * row_RS[:, :, None])
    return box_losses(masks, guidance, supervision, step=step)


def middle(field_RKSS: Tensor, margin: float) -> Tensor:
    """Cut what a window says of its box, at the same number of samples.

    Args:
        field_RKSS: Logits or probabilities of windows.
        margin: Of the windows, see ``WindowSettings``.

    Returns:
        Shape of ``field_RKSS``; the samples lie within the box, read bilinearly.
    """
    if len(field_RKSS) == 0:
        return field_RKSS
    side, reach = field_RKSS.shape[-1], 1.0 + 2.0 * margin
    position_S = ((torch.arange(side) + 0.5) / side * 2.0 - 1.0).to(field_RKSS) / reach
    grid_SS2 = torch.stack((position_S.expand(side, side), position_S[:, None].expand(side, side)), dim=-1)
    return functional.grid_sample(
        field_RKSS, grid_SS2.expand(len(field_RKSS), side, side, 2), mode="bilinear", align_corners=False
    )
