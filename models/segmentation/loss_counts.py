"""Over how many things each loss is a mean, from the boxes alone.

A step that is taken in parts, one after the other or in several processes, is the step of the whole batch if
each part counts as much as it holds: losses are means over positive locations, cells, boxes or samples, and
parts do not hold equally many.

Shape suffixes:
    B = images   L = locations   P = positive locations   R = regions with a mask loss
"""

from typing import assert_never

import torch
from torch import Tensor
from torch.nn import functional

from models.blocks.accumulation import Count
from models.segmentation.box_supervision import BoxSupervision, cover
from models.segmentation.condinst_objective import REACH, choose_masks
from models.segmentation.instance_models import CondInstSegmenter, QuerySegmenter, SoloSegmenter
from models.segmentation.network import locations
from models.segmentation.objective import TrainingBatch
from models.segmentation.pairwise_loss import colour_similarity
from models.segmentation.query_masks import NOTHING_WEIGHT
from models.segmentation.solo_targets import assign_cells
from models.segmentation.targets import assign_locations, box_distances, centerness

Counts = dict[str, Count]


@torch.no_grad()
def loss_counts(
    model: CondInstSegmenter | SoloSegmenter | QuerySegmenter,
    batch: TrainingBatch,
    supervision: BoxSupervision,
) -> Counts:
    """Say of each loss that ``model.losses`` gives for this batch what it is a mean of, by its name.

    The losses of a batch are the means of those of its parts with these weights; to the last digits, with two
    exceptions: SOLOv2 with ``average: samples`` or a pairwise weight divides level by level, and Mask2Former
    with more boxes than queries leaves open which boxes count. Their weights are close, not equal.

    Args:
        model: Says how boxes become targets.
        batch: Images and boxes, anywhere.
        supervision: Says which losses there are.
    """
    batch = batch._replace(boxes=tuple(boxes.cpu() for boxes in batch.boxes))
    match model:
        case CondInstSegmenter():
            return _condinst(model, batch, supervision)
        case SoloSegmenter():
            return _solo(model, batch, supervision)
        case QuerySegmenter():
            return _query(model, batch, supervision)
        case _:
            assert_never(model)


def _condinst(model: CondInstSegmenter, batch: TrainingBatch, supervision: BoxSupervision) -> Counts:
    height, width = batch.image_BCHW.shape[2:]
    strides = model.head.strides
    point_L2, stride_L = locations([(-(-height // s), -(-width // s)) for s in strides], strides)
    region_BL = torch.stack(
        [assign_locations(point_L2, stride_L, boxes, reach=REACH) for boxes in batch.boxes]
    )
    image_P, location_P = torch.nonzero(region_BL >= 0, as_tuple=True)
    region_P = region_BL[image_P, location_P]
    boxes_P4 = _look_up(batch.boxes, image_P, region_P)
    centre_P = centerness(box_distances(point_L2[location_P], boxes_P4))
    chosen_R = choose_masks(image_P, region_P)
    positives = Count(float(len(image_P)))
    counts = {
        "classification": positives,
        "centerness": positives,
        "box": Count(float(centre_P.sum()), least=1e-3),
    }
    size = 2 * -(-height // strides[0]), 2 * -(-width // strides[0])
    return counts | _masks(boxes_P4[chosen_R], image_P[chosen_R], size, strides[0] / 2, batch, supervision)


def _query(model: QuerySegmenter, batch: TrainingBatch, supervision: BoxSupervision) -> Counts:
    queries = int(model.network.config.num_queries)
    height, width = batch.image_BCHW.shape[2:]
    matched = float(sum(min(queries, len(boxes)) for boxes in batch.boxes))
    idle = len(batch.boxes) * queries - matched
    image_R = torch.cat(
        [torch.full((len(boxes),), image, dtype=torch.int64) for image, boxes in enumerate(batch.boxes)]
    )
    size = -(-height // 4), -(-width // 4)
    return {"classification": Count(matched + NOTHING_WEIGHT * idle, least=0.0)} | _masks(
        torch.cat(batch.boxes), image_R, size, width / size[1], batch, supervision
    )


def _solo(model: SoloSegmenter, batch: TrainingBatch, supervision: BoxSupervision) -> Counts:
    height, width = batch.image_BCHW.shape[2:]
    positives = sum(
        len(cells)
        for boxes in batch.boxes
        for cells, _ in assign_cells(boxes, (height, width), grids=model.head.grids, ranges=model.ranges)
    )
    masks = dict.fromkeys(_names(supervision), Count(float(positives)))
    return masks | {"classification": Count(float(positives), extra=1.0)}


def _masks(
    boxes_R4: Tensor,
    image_R: Tensor,
    size: tuple[int, int],
    stride: float,
    batch: TrainingBatch,
    supervision: BoxSupervision,
) -> Counts:
    """Count regions, samples in boxes, or pairs, as ``box_losses`` does; image by image, for their size."""
    counts = dict.fromkeys(_names(supervision), Count(float(len(boxes_R4))))
    samples, pairs = 0.0, 0.0
    if supervision.average == "samples" or supervision.pairwise_weight:
        for image in range(len(batch.boxes)):
            inside_RHW = cover(boxes_R4[image_R == image], *size, stride=stride)
            samples += float(inside_RHW.sum())
            if supervision.pairwise_weight and len(inside_RHW):
                pairs += float((_alike(batch.image_BCHW[image], size, supervision) * inside_RHW).sum())
    if supervision.average == "samples":
        counts |= {name: Count(samples) for name in ("global", "local") if name in counts}
    if supervision.pairwise_weight:
        counts["pairwise"] = Count(pairs)
    return counts


def _alike(image_CHW: Tensor, size: tuple[int, int], supervision: BoxSupervision) -> Tensor:
    """Count the neighbours of like colour of each sample, shape (H, W)."""
    small_1CHW = functional.interpolate(image_CHW[None], size=list(size), mode="bilinear", antialias=True)
    similarity_1KHW = colour_similarity(small_1CHW.cpu(), dilation=supervision.pairwise_dilation)
    return (similarity_1KHW >= supervision.pairwise_threshold).sum(dim=1)[0]


def _names(supervision: BoxSupervision) -> list[str]:
    kinds = ("projection", "global", "local", "pairwise", "level_set", "consistency")
    return [kind for kind in kinds if getattr(supervision, f"{kind}_weight")]


def _look_up(per_image: tuple[Tensor, ...], image_P: Tensor, region_P: Tensor) -> Tensor:
    start_B = torch.tensor([0, *(len(values) for values in per_image[:-1])]).cumsum(dim=0)
    return torch.cat(per_image)[start_B[image_P] + region_P]
