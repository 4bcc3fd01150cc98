"""The training objective: detection, projection and affinity losses of one batch.

Shape suffixes:
    B = images   L = locations   K = categories   G = regions of one image   R = regions with a mask loss
    S = samples of a window
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

from models.affinity.cascade import AffinityCascade, GlobalCascade
from models.affinity.global_ import GlobalPropagation
from models.affinity.local import LocalPropagation
from models.segmentation.affinity_loss import affinity_losses
from models.segmentation.config import SegmenterTrainingConfig
from models.segmentation.network import STRIDES, Segmenter, SegmenterOutput, locations
from models.segmentation.projection_loss import projection_loss
from models.segmentation.targets import assign_locations, box_distances, centerness
from models.segmentation.windows import box_coverage, region_windows, sample_windows, stretch_windows


class TrainingBatch(NamedTuple):
    """Images and boxes; masks do not occur."""

    image_BCHW: Tensor
    """Values in [0, 1], float32."""
    boxes: tuple[Tensor, ...]
    """Per image the corners in pixels of the input, float32, shape (G, 4)."""
    categories: tuple[Tensor, ...]
    """Per image the category indices, int64, shape (G,)."""
    image_ids: tuple[int, ...]
    """Where the images come from, for messages."""


class Assignment(NamedTuple):
    """The locations that answer for a region, over the whole batch."""

    image_P: Tensor
    location_P: Tensor
    region_P: Tensor


def build_cascade(config: SegmenterTrainingConfig) -> AffinityCascade:
    """Build the propagations of the affinity loss."""
    return AffinityCascade(
        far=GlobalCascade(
            image_pass=GlobalPropagation(zeta=config.zeta_image),
            label_pass=GlobalPropagation(zeta=config.zeta_label),
        ),
        near=LocalPropagation(
            kernel_size=config.local_kernel, zeta=config.zeta_local, iterations=config.local_iterations
        ),
    )


def segmenter_losses(
    model: Segmenter,
    batch: TrainingBatch,
    config: SegmenterTrainingConfig,
    *,
    step: int,
    generator: torch.Generator,
    bfloat16: bool,
) -> dict[str, Tensor]:
    """Compute every loss of one batch, already weighted: their sum is the objective.

    Args:
        model: The network.
        batch: Images and boxes.
        config: Weights and bandwidths.
        step: Number of steps already taken; decides the warm-up of the affinity losses.
        generator: Draws the regions that get a mask loss and the jitter of their windows.
        bfloat16: Whether the convolutions run in bfloat16.

    Returns:
        Scalars by name: ``classification``, ``box``, ``centerness``, ``projection``, ``global``, ``local``.
    """
    output = model(batch.image_BCHW, bfloat16=bfloat16)
    assignment = assign_batch(batch)
    losses = detection_losses(output, batch, assignment)
    chosen = choose_regions(assignment, config.regions_per_image, generator)
    return losses | mask_losses(model, output, batch, chosen, config, step=step, generator=generator)


def assign_batch(batch: TrainingBatch) -> Assignment:
    """Assign locations to regions in every image."""
    height, width = batch.image_BCHW.shape[2:]
    point_L2, stride_L = locations([(height // stride, width // stride) for stride in STRIDES])
    region_BL = torch.stack([assign_locations(point_L2, stride_L, boxes_G4) for boxes_G4 in batch.boxes])
    image_P, location_P = torch.nonzero(region_BL >= 0, as_tuple=True)
    return Assignment(image_P, location_P, region_BL[image_P, location_P])


def detection_losses(
    output: SegmenterOutput, batch: TrainingBatch, assignment: Assignment
) -> dict[str, Tensor]:
    """Compute the losses of FCOS: focal, generalised IoU weighted by centre-ness, and centre-ness."""
    image_P, location_P, _ = assignment
    boxes_P4 = _of_region(batch.boxes, assignment)
    target_BLK = torch.zeros_like(output.class_logits_BLK)
    target_BLK[image_P, location_P, _of_region(batch.categories, assignment)] = 1.0
    height, width = batch.image_BCHW.shape[2:]
    point_L2, _ = locations([(height // stride, width // stride) for stride in STRIDES])
    centre_P = centerness(box_distances(point_L2[location_P], boxes_P4))
    focal = sigmoid_focal_loss(output.class_logits_BLK, target_BLK, reduction="sum") / max(1, len(image_P))
    iou_P = generalized_box_iou_loss(output.boxes_BL4[image_P, location_P], boxes_P4)
    logit_P = output.centerness_logits_BL[image_P, location_P]
    cross = functional.binary_cross_entropy_with_logits(logit_P, centre_P, reduction="sum")
    return {
        "classification": focal,
        "box": (iou_P * centre_P).sum() / centre_P.sum().clamp(min=1e-3),
        "centerness": cross / max(1, len(image_P)),
    }


def choose_regions(assignment: Assignment, limit: int, generator: torch.Generator) -> Assignment:
    """Draw one location of each of at most ``limit`` regions of every image."""
    shuffle_P = torch.randperm(len(assignment.image_P), generator=generator)
    seen: set[tuple[int, int]] = set()
    per_image: dict[int, int] = {}
    kept = []
    pairs = zip(assignment.image_P[shuffle_P].tolist(), assignment.region_P[shuffle_P].tolist(), strict=True)
    for position, (image, region) in enumerate(pairs):
        if (image, region) not in seen and per_image.get(image, 0) < limit:
            seen.add((image, region))
            per_image[image] = per_image.get(image, 0) + 1
            kept.append(position)
    kept_R = shuffle_P[torch.tensor(kept, dtype=torch.int64)]
    return Assignment(*(part[kept_R] for part in assignment))


def mask_losses(
    model: Segmenter,
    output: SegmenterOutput,
    batch: TrainingBatch,
    chosen: Assignment,
    config: SegmenterTrainingConfig,
    *,
    step: int,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Compute the projection and affinity losses of the chosen regions."""
    boxes_R4 = _of_region(batch.boxes, chosen)
    jittered_R4 = jitter_boxes(boxes_R4, config.box_jitter, generator)
    probability_RSS = model.masks(output, chosen.image_P, chosen.location_P, jittered_R4).sigmoid()
    windows_R4 = region_windows(jittered_R4, model.window_margin)
    column_RS, row_RS = box_coverage(boxes_R4, windows_R4, model.window_size)
    losses = {"projection": config.projection_weight * projection_loss(probability_RSS, column_RS, row_RS)}
    if config.global_weight == 0.0 and config.local_weight == 0.0:
        return losses
    with torch.no_grad():
        coloured_BCHW = torch.cat((batch.image_BCHW, torch.ones_like(batch.image_BCHW[:, :1])), dim=1)
        sampled = sample_windows(
            coloured_BCHW, chosen.image_P, windows_R4, size=model.window_size, stride=1, samples=2
        )
        guidance_RCSS = stretch_windows(sampled[:, :-1], sampled[:, -1])
    inside_RSS = column_RS[:, None, :] * row_RS[:, :, None]
    far, near = affinity_losses(build_cascade(config), guidance_RCSS, probability_RSS, inside_RSS)
    rise = min(1.0, (step + 1) / max(1, config.affinity_warmup))
    return losses | {"global": rise * config.global_weight * far, "local": rise * config.local_weight * near}


def jitter_boxes(boxes_R4: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    """Move and stretch boxes by up to a fraction of their sides, as predicted boxes are."""
    size_R2 = boxes_R4[:, 2:] - boxes_R4[:, :2]
    noise_R4 = (torch.rand(boxes_R4.shape, generator=generator) * 2.0 - 1.0) * amount
    return boxes_R4 + noise_R4 * torch.cat((size_R2, size_R2), dim=1)


def _of_region(per_image: tuple[Tensor, ...], assignment: Assignment) -> Tensor:
    """Look up a value of each assigned region."""
    start_B = torch.tensor([0, *(len(values) for values in per_image[:-1])]).cumsum(dim=0)
    return torch.cat(per_image)[start_B[assignment.image_P] + assignment.region_P]
