"""Mask2Former taught by boxes: its losses and what it finds.

Papers: Cheng et al., "Masked-attention Mask Transformer for Universal Image Segmentation",
https://arxiv.org/abs/2112.01527; Li et al., "Box2Mask", https://arxiv.org/abs/2212.01579; Li et al.,
"Label-efficient Segmentation via Affinity Propagation" (APro), https://arxiv.org/abs/2310.10533.
Differences: the network is that of transformers; the trees are built once for all outputs of the decoder.

Shape suffixes:
    B = images   Q = queries   K = categories   G = boxes of one image   R = matched regions   H, W = masks
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from models.segmentation.box_losses import PredictedMasks, box_losses
from models.segmentation.box_matching import match_to_boxes
from models.segmentation.box_supervision import BoxSupervision, cover, guide
from models.segmentation.config import PredictionConfig
from models.segmentation.decode import Detections
from models.segmentation.objective import TrainingBatch

CLASS_WEIGHT = 2.0
NOTHING_WEIGHT = 0.1
"""Weight of the queries that answer for no box, in the mean of the cross-entropy."""


class QueryOutput(NamedTuple):
    """What one layer of the decoder says."""

    class_logit_BQK1: Tensor
    """The last is "nothing"."""
    mask_logit_BQHW: Tensor


def read_outputs(output: Any) -> list[QueryOutput]:  # noqa: ANN401 - what transformers returns has no stubs
    """Return what each layer of the decoder of transformers' Mask2Former says, the last one last.

    Raises:
        ValueError: If the intermediate layers were not returned.
    """
    if output.auxiliary_logits is None:
        raise ValueError("auxiliary_logits are missing: call the network with output_auxiliary_logits=True.")
    layers = [
        QueryOutput(layer["class_queries_logits"], layer["masks_queries_logits"])
        for layer in output.auxiliary_logits
    ]
    return [*layers, QueryOutput(output.class_queries_logits, output.masks_queries_logits)]


def query_losses(
    outputs: Sequence[QueryOutput], batch: TrainingBatch, supervision: BoxSupervision, *, step: int
) -> dict[str, Tensor]:
    """Sum every loss over the layers of the decoder, already weighted.

    Args:
        outputs: One or more layers, each matched by itself.
        batch: Images and boxes.
        supervision: Losses of the masks.
        step: Number of steps already taken.

    Returns:
        Scalars by name: ``classification`` and what ``box_losses`` gives.
    """
    total: dict[str, Tensor] = {}
    height, width = outputs[-1].mask_logit_BQHW.shape[2:]
    stride = batch.image_BCHW.shape[3] / width
    inside = [cover(boxes_G4, height, width, stride=stride) for boxes_G4 in batch.boxes]
    guidance = guide(batch.image_BCHW, (height, width), supervision)
    for output in outputs:
        matches = [
            match_to_boxes(class_logit, mask_logit, inside_GHW, category_G)
            for class_logit, mask_logit, inside_GHW, category_G in zip(
                output.class_logit_BQK1, output.mask_logit_BQHW, inside, batch.categories, strict=True
            )
        ]
        image_R = torch.cat([torch.full_like(query_M, image) for image, (query_M, _) in enumerate(matches)])
        query_R = torch.cat([query_M for query_M, _ in matches])
        masks = PredictedMasks(
            logit_RHW=output.mask_logit_BQHW[image_R, query_R],
            image_R=image_R,
            inside_RHW=torch.cat([part[box_M] for part, (_, box_M) in zip(inside, matches, strict=True)]),
        )
        category_R = torch.cat(
            [part[box_M] for part, (_, box_M) in zip(batch.categories, matches, strict=True)]
        )
        losses = box_losses(masks, guidance, supervision, step=step)
        losses["classification"] = _classification(output.class_logit_BQK1, image_R, query_R, category_R)
        for name, value in losses.items():
            total[name] = total[name] + value if name in total else value
    return total


def _classification(class_logit_BQK1: Tensor, image_R: Tensor, query_R: Tensor, category_R: Tensor) -> Tensor:
    nothing = class_logit_BQK1.shape[2] - 1
    target_BQ = torch.full(class_logit_BQK1.shape[:2], nothing, device=class_logit_BQK1.device)
    target_BQ[image_R, query_R] = category_R
    weight_K1 = torch.ones(nothing + 1, device=class_logit_BQK1.device)
    weight_K1[nothing] = NOTHING_WEIGHT
    return CLASS_WEIGHT * functional.cross_entropy(
        class_logit_BQK1.flatten(0, 1).float(), target_BQ.flatten(), weight=weight_K1
    )


@torch.no_grad()
def detect_queries(
    output: QueryOutput, sizes: Sequence[tuple[int, int]], config: PredictionConfig
) -> list[Detections]:
    """Read the regions of each image off the queries.

    Args:
        output: Of the last layer.
        sizes: Height and width of each original image.
        config: Thresholds; ``suppression_iou`` is not used, queries do not repeat each other.

    Returns:
        Per image the detections, best first. A score is the probability of the category times the mean
        probability of the mask's pixels; the box is that of the mask.
    """
    found = []
    for class_logit_QK1, mask_logit_QHW, (height, width) in zip(
        output.class_logit_BQK1, output.mask_logit_BQHW, sizes, strict=True
    ):
        probability_QK = class_logit_QK1.float().softmax(dim=1)[:, :-1]
        count = min(config.detections_per_image, probability_QK.numel())
        score_R, place_R = probability_QK.flatten().topk(count)
        query_R = place_R // probability_QK.shape[1]
        category_R = place_R % probability_QK.shape[1]
        mask_RHW = functional.interpolate(
            mask_logit_QHW[query_R, None].float(), size=(height, width), mode="bilinear"
        )[:, 0].sigmoid()
        inside_RHW = mask_RHW >= config.mask_threshold
        area_R = inside_RHW.sum(dim=(1, 2))
        score_R = score_R * (mask_RHW * inside_RHW).sum(dim=(1, 2)) / area_R.clamp(min=1)
        found.append(_keep(inside_RHW, score_R, category_R, area_R, config))
    return found


def _keep(
    inside_RHW: Tensor, score_R: Tensor, category_R: Tensor, area_R: Tensor, config: PredictionConfig
) -> Detections:
    order_R = score_R.argsort(descending=True, stable=True)
    kept_R = order_R[((area_R > 0) & (score_R >= config.score_threshold))[order_R]]
    masks = inside_RHW[kept_R]
    return Detections(
        boxes_xyxy=mask_boxes(masks),
        scores=score_R[kept_R],
        categories=category_R[kept_R],
        masks=masks,
    )


def mask_boxes(masks_RHW: Tensor) -> Tensor:
    """Return the corners of masks that have a pixel each, in pixels, float32, shape (R, 4)."""
    sides = []
    for axis in (1, 2):  # columns first: left and right
        seen_RS = masks_RHW.any(dim=axis).float()
        low_R = seen_RS.argmax(dim=1)
        high_R = seen_RS.shape[1] - seen_RS.flip(1).argmax(dim=1)
        sides.append((low_R, high_R))
    (left_R, right_R), (top_R, bottom_R) = sides
    return torch.stack((left_R, top_R, right_R, bottom_R), dim=1).float()
