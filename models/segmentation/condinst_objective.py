"""CondInst taught by boxes: its losses and what it finds.

Papers: Tian et al., "FCOS", https://arxiv.org/abs/1904.01355; Tian et al., "BoxInst",
https://arxiv.org/abs/2012.02310; Li et al., "Label-efficient Segmentation via Affinity Propagation" (APro),
https://arxiv.org/abs/2310.10533.

Shape suffixes:
    B = images   L = locations   K = categories   G = boxes of an image   P = positive locations   R = regions
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import batched_nms, generalized_box_iou_loss, sigmoid_focal_loss

from models.segmentation.box_losses import PredictedMasks, box_losses
from models.segmentation.box_supervision import BoxSupervision, cover, guide
from models.segmentation.condinst import CondInstHead, CondInstOutput
from models.segmentation.config import PredictionConfig
from models.segmentation.decode import Detections
from models.segmentation.objective import TrainingBatch
from models.segmentation.targets import assign_locations, box_distances, centerness

REACH = 8.0
"""A level answers for regions whose farthest border is at most so many strides away: 64 pixels on P3."""
MASKS_PER_IMAGE = 64
"""At most so many positive locations of an image get a mask loss, spread over its boxes."""
_CANDIDATES = 1000


def condinst_losses(
    head: CondInstHead,
    output: CondInstOutput,
    batch: TrainingBatch,
    supervision: BoxSupervision,
    *,
    step: int,
) -> dict[str, Tensor]:
    """Compute every loss of one batch, already weighted.

    Args:
        head: Applies the mask networks.
        output: What it says.
        batch: Images and boxes.
        supervision: Losses of the masks.
        step: Number of steps already taken.

    Returns:
        Scalars by name: ``classification``, ``box``, ``centerness`` and what ``box_losses`` gives.
    """
    region_BL = torch.stack(
        [assign_locations(output.point_L2, output.stride_L, boxes, reach=REACH) for boxes in batch.boxes]
    )
    image_P, location_P = torch.nonzero(region_BL >= 0, as_tuple=True)
    region_P = region_BL[image_P, location_P]
    losses = _detection(output, batch, image_P, location_P, region_P)
    chosen_R = choose_masks(image_P, region_P)
    image_R, location_R = image_P[chosen_R], location_P[chosen_R]
    logit_RHW = head.masks(output, image_R, location_R)
    size = logit_RHW.shape[1], logit_RHW.shape[2]
    boxes_R4 = _look_up(batch.boxes, image_R, region_P[chosen_R])
    masks = PredictedMasks(logit_RHW, image_R, cover(boxes_R4, *size, stride=head.strides[0] / 2))
    guidance = guide(batch.image_BCHW, size, supervision)
    return losses | box_losses(masks, guidance, supervision, step=step)


def _detection(
    output: CondInstOutput, batch: TrainingBatch, image_P: Tensor, location_P: Tensor, region_P: Tensor
) -> dict[str, Tensor]:
    """Compute the losses of FCOS: focal, generalised IoU weighted by centre-ness, and centre-ness."""
    target_BLK = torch.zeros_like(output.class_logit_BLK)
    target_BLK[image_P, location_P, _look_up(batch.categories, image_P, region_P)] = 1.0
    count = max(1, len(image_P))
    boxes_P4 = _look_up(batch.boxes, image_P, region_P)
    centre_P = centerness(box_distances(output.point_L2[location_P], boxes_P4))
    iou_P = generalized_box_iou_loss(output.boxes()[image_P, location_P], boxes_P4)
    logit_P = output.centerness_logit_BL[image_P, location_P]
    return {
        "classification": sigmoid_focal_loss(output.class_logit_BLK, target_BLK, reduction="sum") / count,
        "box": (iou_P * centre_P).sum() / centre_P.sum().clamp(min=1e-3),
        "centerness": functional.binary_cross_entropy_with_logits(logit_P, centre_P, reduction="sum") / count,
    }


def choose_masks(image_P: Tensor, region_P: Tensor, *, limit: int = MASKS_PER_IMAGE) -> Tensor:
    """Choose the positive locations that get a mask loss: every box in turn, the first location first.

    Args:
        image_P: Image of each positive location.
        region_P: Its box in the image.
        limit: Most of one image.

    Returns:
        Places, by rising place, int64; without chance, so a step can be repeated.
    """
    turn: dict[tuple[int, int], int] = {}
    ranked = []
    for place, key in enumerate(zip(image_P.tolist(), region_P.tolist(), strict=True)):
        turn[key] = turn.get(key, -1) + 1
        ranked.append((key[0], turn[key], place))
    taken: dict[int, int] = {}
    chosen = []
    for image, _, place in sorted(ranked):
        if taken.get(image, 0) < limit:
            taken[image] = taken.get(image, 0) + 1
            chosen.append(place)
    return torch.tensor(sorted(chosen), dtype=torch.int64, device=image_P.device)


def _look_up(per_image: tuple[Tensor, ...], image_P: Tensor, region_P: Tensor) -> Tensor:
    start_B = torch.tensor([0, *(len(values) for values in per_image[:-1])]).cumsum(dim=0)
    return torch.cat(per_image)[start_B.to(image_P.device)[image_P] + region_P]


@torch.no_grad()
def detect_conditionally(
    head: CondInstHead,
    output: CondInstOutput,
    sizes: Sequence[tuple[int, int]],
    scales: Sequence[float],
    config: PredictionConfig,
) -> list[Detections]:
    """Read the regions of each image off the locations.

    Args:
        head: Applies the mask networks.
        output: What it says.
        sizes: Height and width of each original image.
        scales: Pixels of the input per pixel of each original image.
        config: Thresholds.

    Returns:
        Per image the detections, best first.
    """
    return [
        _detect(head, output, image, size, scale, config)
        for image, (size, scale) in enumerate(zip(sizes, scales, strict=True))
    ]


def _detect(
    head: CondInstHead,
    output: CondInstOutput,
    image: int,
    size: tuple[int, int],
    scale: float,
    config: PredictionConfig,
) -> Detections:
    centre_L1 = output.centerness_logit_BL[image].sigmoid()[:, None]
    score_LK = (output.class_logit_BLK[image].sigmoid() * centre_L1).sqrt()
    location_R, category_R = torch.nonzero(score_LK >= config.score_threshold, as_tuple=True)
    score_R = score_LK[location_R, category_R]
    order_R = score_R.argsort(descending=True, stable=True)[:_CANDIDATES]
    location_R, category_R, score_R = location_R[order_R], category_R[order_R], score_R[order_R]
    height, width = size
    limit_4 = torch.tensor([width, height, width, height]).to(score_R)
    boxes_R4 = torch.minimum((output.boxes()[image, location_R] / scale).clamp(min=0.0), limit_4)
    kept_R = batched_nms(boxes_R4, score_R, category_R, config.suppression_iou)[: config.detections_per_image]
    logit_RHW = head.masks(output, torch.full_like(location_R[kept_R], image), location_R[kept_R])
    stride = head.strides[0] / 2 / scale  # original pixels per sample: what was padded falls away
    full_RHW = _place(logit_RHW, size, stride)
    masks_RHW = full_RHW.sigmoid() >= config.mask_threshold
    seen_R = masks_RHW.flatten(1).any(dim=1)
    return Detections(
        boxes_xyxy=boxes_R4[kept_R][seen_R],
        scores=score_R[kept_R][seen_R],
        categories=category_R[kept_R][seen_R],
        masks=masks_RHW[seen_R],
    )


def _place(logit_RHW: Tensor, size: tuple[int, int], stride: float) -> Tensor:
    """Enlarge logits by a stride, and cut what lies beyond the image."""
    height, width = (max(length, round(count * stride)) for length, count in
                     zip(size, logit_RHW.shape[1:], strict=True))  # fmt: skip
    full = functional.interpolate(logit_RHW[:, None], size=(height, width), mode="bilinear")
    return full[:, 0, : size[0], : size[1]]
