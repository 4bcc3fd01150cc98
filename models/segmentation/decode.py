"""From network output to detections in the pixels of the original image.

Shape suffixes:
    L = locations   K = categories   R = regions   H = height   W = width   S = samples of a window
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import batched_nms

from models.segmentation.config import PredictionConfig
from models.segmentation.network import Segmenter, SegmenterOutput
from models.segmentation.preprocessing import contrast_range, pad_to_stride, resize, stretch
from models.segmentation.windows import region_windows

_STRIDE = 32
_CANDIDATES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """What the model found in one image, best first."""

    boxes_xyxy: Tensor
    """Corners in pixels of the original image, float32, shape (R, 4)."""
    scores: Tensor
    """Confidence in [0, 1], float32, shape (R,)."""
    categories: Tensor
    """Category indices, int64, shape (R,)."""
    masks: Tensor
    """Bool, shape (R, height, width); every mask has at least one pixel."""


@torch.no_grad()
def detect(
    model: Segmenter, image_CHW: Tensor, config: PredictionConfig, *, image_scale: float, bfloat16: bool
) -> Detections:
    """Find the regions of one image.

    Args:
        model: The network, in evaluation mode.
        image_CHW: RGB pixels, uint8, any size.
        config: Thresholds.
        image_scale: Enlargement the network was trained with.
        bfloat16: Whether convolutions run in bfloat16.

    Returns:
        Detections in the pixels of ``image_CHW``; none gives empty tensors.
    """
    height, width = image_CHW.shape[1:]
    size = max(1, round(height * image_scale)), max(1, round(width * image_scale))
    enlarged = resize(stretch(image_CHW, contrast_range(image_CHW)), *size)
    output = model(pad_to_stride(enlarged, _STRIDE)[None], bfloat16=bfloat16)
    scale = torch.tensor([size[1] / width, size[0] / height] * 2)
    limit = torch.tensor([size[1], size[0]] * 2).float()
    location_R, boxes_R4, scores_R, categories_R = select(output, limit, config)
    image_R = torch.zeros_like(location_R)
    logits_RSS = model.masks(output, image_R, location_R, boxes_R4)
    boxes_R4 = boxes_R4 / scale
    windows_R4 = region_windows(boxes_R4, model.window_margin)
    masks_RHW = paste(logits_RSS.sigmoid(), windows_R4, height, width, config.mask_threshold)
    seen_R = masks_RHW.flatten(1).any(dim=1)
    return Detections(
        boxes_xyxy=boxes_R4[seen_R],
        scores=scores_R[seen_R],
        categories=categories_R[seen_R],
        masks=masks_RHW[seen_R],
    )


def select(
    output: SegmenterOutput, limit_4: Tensor, config: PredictionConfig
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Choose the detections of the first image of a batch.

    Args:
        output: What the network says.
        limit_4: Width, height, width, height of the image in pixels of the input.
        config: Thresholds.

    Returns:
        Locations, boxes in pixels of the input, scores and categories, best first.
    """
    centre_L1 = output.centerness_logits_BL[0].sigmoid()[:, None]
    score_LK = (output.class_logits_BLK[0].sigmoid() * centre_L1).sqrt()
    location_R, category_R = torch.nonzero(score_LK >= config.score_threshold, as_tuple=True)
    score_R = score_LK[location_R, category_R]
    score_R, order_R = score_R.sort(descending=True, stable=True)
    location_R, category_R = location_R[order_R][:_CANDIDATES], category_R[order_R][:_CANDIDATES]
    score_R = score_R[:_CANDIDATES]
    boxes_R4 = torch.minimum(output.boxes_BL4[0, location_R].clamp(min=0.0), limit_4)
    large_R = (boxes_R4[:, 2:] - boxes_R4[:, :2] > 0.5).all(dim=1)
    location_R, category_R, score_R, boxes_R4 = (
        part[large_R] for part in (location_R, category_R, score_R, boxes_R4)
    )
    kept_R = batched_nms(boxes_R4, score_R, category_R, config.suppression_iou)[: config.detections_per_image]
    return location_R[kept_R], boxes_R4[kept_R], score_R[kept_R], category_R[kept_R]


def paste(probability_RSS: Tensor, windows_R4: Tensor, height: int, width: int, threshold: float) -> Tensor:
    """Draw the windows into images of the original size.

    Args:
        probability_RSS: Mask probabilities.
        windows_R4: Corners of the windows in pixels of the image.
        height: Rows of the image.
        width: Columns of the image.
        threshold: Smallest probability that belongs to the mask.

    Returns:
        Bool, shape (R, height, width).
    """
    masks_RHW = torch.zeros((len(probability_RSS), height, width), dtype=torch.bool)
    for region, (left, top, right, bottom) in enumerate(windows_R4.tolist()):
        x0, y0 = max(0, int(left)), max(0, int(top))
        x1, y1 = min(width, int(right) + 1), min(height, int(bottom) + 1)
        if x1 <= x0 or y1 <= y0:
            continue
        x = ((torch.arange(x0, x1) + 0.5 - left) / (right - left)) * 2.0 - 1.0
        y = ((torch.arange(y0, y1) + 0.5 - top) / (bottom - top)) * 2.0 - 1.0
        grid = torch.stack((x.expand(len(y), -1), y[:, None].expand(-1, len(x))), dim=-1)[None]
        value = functional.grid_sample(
            probability_RSS[region][None, None],
            grid,
            mode="bilinear",
            padding_mode="zeros",
            align_corners=False,
        )
        masks_RHW[region, y0:y1, x0:x1] = value[0, 0] >= threshold
    return masks_RHW
