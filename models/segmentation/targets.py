"""Which location of the pyramid answers for which region.

Paper: Tian et al., "FCOS", https://arxiv.org/abs/1904.01355, with centre sampling.
Differences: the ranges of the levels fit small regions.

Shape suffixes:
    L = locations   G = regions of one image
"""

import torch
from torch import Tensor

CENTRE_RADIUS = 1.5
"""A region claims locations at most so many strides from its centre, along each axis."""
LEVEL_REACH = 6.0
"""A level answers for regions whose farthest border is at most so many strides away; the last, for more."""


def assign_locations(
    point_L2: Tensor, stride_L: Tensor, boxes_G4: Tensor, *, reach: float = LEVEL_REACH
) -> Tensor:
    """Give each location the region it answers for.

    Args:
        point_L2: Locations ``(x, y)`` in pixels.
        stride_L: Stride of each location's level.
        boxes_G4: Boxes of one image in the same pixels.
        reach: Strides to the farthest border of the largest region of a level; the paper has 8.

    Returns:
        Region in [0, G) or -1, int64, shape (L,).
    """
    if len(boxes_G4) == 0:
        return torch.full((len(point_L2),), -1, device=point_L2.device)
    distance_LG4 = box_distances(point_L2[:, None], boxes_G4[None])
    centre_G2 = (boxes_G4[:, :2] + boxes_G4[:, 2:]) / 2
    offset_LG = (point_L2[:, None] - centre_G2[None]).abs().amax(dim=2)
    farthest_LG = distance_LG4.amax(dim=2)
    low_L = torch.where(stride_L == stride_L.min(), 0.0, reach * stride_L / 2)
    high_L = torch.where(stride_L == stride_L.max(), torch.inf, reach * stride_L)
    claimed_LG = (distance_LG4.amin(dim=2) > 0) & (offset_LG <= CENTRE_RADIUS * stride_L[:, None])
    claimed_LG &= (farthest_LG > low_L[:, None]) & (farthest_LG <= high_L[:, None])
    area_G = (boxes_G4[:, 2:] - boxes_G4[:, :2]).prod(dim=1)
    smallest_L, region_L = torch.where(claimed_LG, area_G, torch.inf).min(dim=1)
    return torch.where(smallest_L < torch.inf, region_L, -1)


def box_distances(point: Tensor, boxes: Tensor) -> Tensor:
    """Measure how far the left, top, right and bottom borders are from points; negative outside.

    Args:
        point: ``(x, y)``, shape (..., 2).
        boxes: Corners, shape (..., 4).
    """
    return torch.cat((point - boxes[..., :2], boxes[..., 2:] - point), dim=-1)


def centerness(distance_R4: Tensor) -> Tensor:
    """Return 1 at the centre of a box and 0 at its border, shape (R,)."""
    low_R2 = torch.minimum(distance_R4[:, :2], distance_R4[:, 2:])
    high_R2 = torch.maximum(distance_R4[:, :2], distance_R4[:, 2:])
    return (low_R2 / high_R2.clamp(min=1e-6)).prod(dim=1).clamp(0.0, 1.0).sqrt()
