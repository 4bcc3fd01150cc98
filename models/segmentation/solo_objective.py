"""SOLOv2 taught by boxes: its losses and what it finds.

Papers: Wang et al., "SOLOv2", https://arxiv.org/abs/2003.10152 (focal loss, matrix suppression); Li et al.,
"Label-efficient Segmentation via Affinity Propagation" (APro), https://arxiv.org/abs/2310.10533 (masks).
Differences: one tree an image and size of mask, where the release builds one for each positive cell.

Shape suffixes:
    B = images   K = categories   S = cells along a side   P = positive cells of a level   R = candidates
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from models.segmentation.box_losses import PredictedMasks, box_losses
from models.segmentation.box_supervision import BoxSupervision, cover, guide
from models.segmentation.config import PredictionConfig
from models.segmentation.decode import Detections
from models.segmentation.objective import TrainingBatch
from models.segmentation.query_masks import mask_boxes
from models.segmentation.solo import MASK_STRIDES, SoloOutput, solo_masks
from models.segmentation.solo_targets import SCALE_RANGES, assign_cells

_CANDIDATES = 500
_SIGMA = 2.0


def solo_losses(
    output: SoloOutput,
    batch: TrainingBatch,
    supervision: BoxSupervision,
    *,
    step: int,
    ranges: Sequence[tuple[float, float]] = SCALE_RANGES,
) -> dict[str, Tensor]:
    """Compute every loss of one batch, already weighted.

    Args:
        output: What the head says.
        batch: Images and boxes.
        supervision: Losses of the masks; their means are over the positive cells of all levels.
        step: Number of steps already taken.
        ranges: Sizes of boxes that each level answers for.

    Returns:
        Scalars by name: ``classification`` and what ``box_losses`` gives.
    """
    grids = [logit.shape[2] for logit in output.category_logit_BKSS]
    height, width = batch.image_BCHW.shape[2:]
    assigned = [assign_cells(boxes, (height, width), grids=grids, ranges=ranges) for boxes in batch.boxes]
    device = output.feature_BMHW.device
    focal, positives = output.feature_BMHW.sum() * 0.0, 0
    sums: dict[str, Tensor] = {}
    guidance = {}
    for level, logit_BKSS in enumerate(output.category_logit_BKSS):
        cells = [image[level] for image in assigned]
        image_P = torch.cat([torch.full_like(cell, number) for number, (cell, _) in enumerate(cells)])
        image_P, cell_P = image_P.to(device), torch.cat([cell for cell, _ in cells]).to(device)
        category_P = torch.cat([batch.categories[n][box] for n, (_, box) in enumerate(cells)]).to(device)
        target_BKN = torch.zeros_like(logit_BKSS).flatten(2)
        target_BKN[image_P, category_P, cell_P] = 1.0
        focal = focal + sigmoid_focal_loss(logit_BKSS.flatten(2), target_BKN, reduction="sum")
        logit_PHW = solo_masks(output, level, image_P, cell_P)
        size = logit_PHW.shape[1], logit_PHW.shape[2]
        if size not in guidance:
            guidance[size] = guide(batch.image_BCHW, size, supervision)
        boxes_P4 = torch.cat([batch.boxes[n][box] for n, (_, box) in enumerate(cells)]).to(device)
        inside_PHW = cover(boxes_P4, *size, stride=MASK_STRIDES[level])
        masks = PredictedMasks(logit_PHW, image_P, inside_PHW)
        for name, value in box_losses(masks, guidance[size], supervision, step=step).items():
            sums[name] = sums.get(name, torch.zeros_like(value)) + len(cell_P) * value
        positives += len(cell_P)
    losses = {name: value / max(1, positives) for name, value in sums.items()}
    return losses | {"classification": focal / (positives + 1)}


@torch.no_grad()
def detect_cells(
    output: SoloOutput, sizes: Sequence[tuple[int, int]], config: PredictionConfig
) -> list[Detections]:
    """Read the regions of each image off the grids.

    Args:
        output: What the head says.
        sizes: Height and width of each original image; the network saw the whole of it.
        config: Thresholds; suppression is by matrix decay, so ``suppression_iou`` is not used.

    Returns:
        Per image the detections, best first. A score is the probability of the category times the mean
        probability of the mask's pixels, decayed by better masks of the category that it overlaps.
    """
    return [_detect(output, image, size, config) for image, size in enumerate(sizes)]


def _detect(output: SoloOutput, image: int, size: tuple[int, int], config: PredictionConfig) -> Detections:
    scores, categories, masks = [], [], []
    for level, logit_BKSS in enumerate(output.category_logit_BKSS):
        score_NK = _peaks(logit_BKSS[image]).flatten(1).T
        cell_R, category_R = torch.nonzero(score_NK >= config.score_threshold, as_tuple=True)
        score_R = score_NK[cell_R, category_R]
        best_R = score_R.argsort(descending=True, stable=True)[:_CANDIDATES]
        logit_RHW = solo_masks(output, level, torch.full_like(cell_R[best_R], image), cell_R[best_R])
        full = functional.interpolate(logit_RHW[:, None], size=size, mode="bilinear")[:, 0]
        scores.append(score_R[best_R])
        categories.append(category_R[best_R])
        masks.append(full.sigmoid())
    score_R, category_R, probability_RHW = torch.cat(scores), torch.cat(categories), torch.cat(masks)
    inside_RHW = probability_RHW >= config.mask_threshold
    area_R = inside_RHW.sum(dim=(1, 2))
    score_R = score_R * (probability_RHW * inside_RHW).sum(dim=(1, 2)) / area_R.clamp(min=1)
    order_R = score_R.argsort(descending=True, stable=True)
    order_R = order_R[area_R[order_R] > 0][:_CANDIDATES]
    decayed_R = score_R[order_R] * matrix_decay(inside_RHW[order_R], category_R[order_R])
    kept_R = decayed_R.argsort(descending=True, stable=True)[: config.detections_per_image]
    kept_R = kept_R[decayed_R[kept_R] >= config.score_threshold]
    chosen = inside_RHW[order_R][kept_R]
    return Detections(
        boxes_xyxy=mask_boxes(chosen),
        scores=decayed_R[kept_R],
        categories=category_R[order_R][kept_R],
        masks=chosen,
    )


def _peaks(logit_KSS: Tensor) -> Tensor:
    """Return the probabilities of cells that no neighbour to the right or below exceeds; 0 for the others."""
    probability_KSS = logit_KSS.sigmoid()
    highest = functional.max_pool2d(probability_KSS[None], 2, stride=1, padding=1)[0, :, :-1, :-1]
    return probability_KSS * (highest == probability_KSS)


def matrix_decay(masks_RHW: Tensor, category_R: Tensor) -> Tensor:
    """Return by how much better masks of the category lower each score.

    Source: SOLOv2, section 3.4, Gaussian decay with sigma 2.

    Args:
        masks_RHW: Bool, best first.
        category_R: Category of each.

    Returns:
        Factors in (0, 1], shape (R,).
    """
    if not len(masks_RHW):
        return torch.ones(0)
    flat_RN = masks_RHW.flatten(1).float()
    overlap_RR = flat_RN @ flat_RN.T
    area_R = flat_RN.sum(dim=1)
    iou_RR = overlap_RR / (area_R[:, None] + area_R[None] - overlap_RR).clamp(min=1.0)
    iou_RR = (iou_RR * (category_R[:, None] == category_R[None])).triu(diagonal=1)
    hidden_R = iou_RR.amax(dim=0)  # how much each is itself overlapped by a better one
    decay_RR = torch.exp(-_SIGMA * (iou_RR.square() - hidden_R[:, None].square()))
    upper_RR = torch.ones_like(decay_RR).triu(diagonal=1) > 0
    return torch.where(upper_RR, decay_RR, 1.0).amin(dim=0).clamp(max=1.0)
