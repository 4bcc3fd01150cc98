"""Masks for boxes that are given, from a trained segmenter.

Where to look is known, what is asked is which pixels: the head of the location that would have answered for
such a box in training draws the mask.

Shape suffixes:
    R = regions   L = locations   P = locations that answer for some region   S = samples of a window
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.blocks.precision import has_fast_bfloat16
from models.segmentation.box_carving import BoxMask, Reason, carve
from models.segmentation.hub import BoxSegmenter
from models.segmentation.network import STRIDES, locations
from models.segmentation.preprocessing import contrast_range, pad_to_stride, resize, stretch
from models.segmentation.targets import LEVEL_REACH, assign_locations

_PAD = 32  # the network's input has sides that are multiples of this
_PAIRS = 1 << 22  # locations times boxes that are compared at once
_REGIONS = 256  # whose heads run at once


@torch.no_grad()
def masks_from_model(
    segmenter: BoxSegmenter, image: NDArray[np.uint8], boxes_R4: Tensor
) -> list[BoxMask | Reason]:
    """Ask a trained segmenter for the mask of each box; categories play no part.

    Args:
        segmenter: In evaluation mode. Its own mask threshold decides.
        image: RGB pixels, uint8, shape (height, width, 3).
        boxes_R4: Corners in pixels of the image, which no box leaves.

    Returns:
        For each box its mask or why there is none.
    """
    network, config = segmenter.network, segmenter.config
    pixels_CHW = torch.from_numpy(image).permute(2, 0, 1)
    height, width = image.shape[:2]
    scale = config.segmenter().image_scale
    inner = max(1, round(height * scale)), max(1, round(width * scale))
    enlarged = resize(stretch(pixels_CHW, contrast_range(pixels_CHW)), *inner)
    padded_CHW = pad_to_stride(enlarged, _PAD)
    output = network(padded_CHW[None], bfloat16=has_fast_bfloat16())
    scaled_R4 = boxes_R4 * torch.tensor([inner[1] / width, inner[0] / height] * 2)
    sizes = [(padded_CHW.shape[1] // stride, padded_CHW.shape[2] // stride) for stride in STRIDES]
    location_R = answering_locations(sizes, scaled_R4)
    found: list[BoxMask | Reason] = []
    for start in range(0, len(boxes_R4), _REGIONS):
        part = slice(start, start + _REGIONS)
        image_R = torch.zeros_like(location_R[part])
        logits_RSS = network.masks(output, image_R, location_R[part], scaled_R4[part])
        for probability_SS, box in zip(logits_RSS.sigmoid(), boxes_R4[part].tolist(), strict=True):
            found.append(
                carve(
                    probability_SS,
                    probability_SS,
                    tuple(box),
                    margin=network.window_margin,
                    threshold=config.thresholds().mask_threshold,
                    size=(height, width),
                )
            )
    return found


def answering_locations(sizes: list[tuple[int, int]], boxes_R4: Tensor) -> Tensor:
    """Choose the location whose head draws the mask of each box.

    Of the locations that would answer for the box in training it is the one nearest to the box's centre.
    Where none would, because smaller boxes took them or the box fits between them, it is the cell that holds
    the box's centre, on the finest level that reaches the box's borders.

    Args:
        sizes: Height and width of each level, the finest first.
        boxes_R4: Corners in pixels of the network's input.

    Returns:
        Locations in [0, L), int64, shape (R,); two boxes may share one.
    """
    point_L2, stride_L = locations(sizes)
    centre_R2 = (boxes_R4[:, :2] + boxes_R4[:, 2:]) / 2
    location_R = _cells(sizes, boxes_R4, centre_R2)
    if len(boxes_R4) == 0:
        return location_R
    step = max(1, _PAIRS // len(boxes_R4))
    finest, coarsest = stride_L.min(), stride_L.max()
    region_L = torch.cat(
        [
            # The ends of the range of strides decide which level is the last: every part gets both.
            assign_locations(
                torch.cat((point_L2[start : start + step], point_L2[:1], point_L2[-1:])),
                torch.cat((stride_L[start : start + step], finest[None], coarsest[None])),
                boxes_R4,
            )[:-2]
            for start in range(0, len(point_L2), step)
        ]
    )
    place_P = (region_L >= 0).nonzero()[:, 0]
    owner_P = region_L[place_P]
    distance_P = (point_L2[place_P] - centre_R2[owner_P]).square().sum(dim=1)
    order_P = distance_P.argsort(stable=True)
    order_P = order_P[owner_P[order_P].argsort(stable=True)]
    owner_P, place_P = owner_P[order_P], place_P[order_P]
    first_P = torch.ones_like(owner_P, dtype=torch.bool)
    first_P[1:] = owner_P[1:] != owner_P[:-1]
    location_R[owner_P[first_P]] = place_P[first_P]
    return location_R


def _cells(sizes: list[tuple[int, int]], boxes_R4: Tensor, centre_R2: Tensor) -> Tensor:
    """Return the cell that holds the centre of each box, on the level that fits the box."""
    farthest_R = (boxes_R4[:, 2:] - boxes_R4[:, :2]).amax(dim=1) / 2
    reach = torch.tensor([LEVEL_REACH * stride for stride in STRIDES[:-1]])
    level_R = torch.bucketize(farthest_R, reach)
    size_R2 = torch.tensor(sizes)[level_R]
    cell_R2 = (centre_R2 / torch.tensor(STRIDES)[level_R][:, None]).long()
    column_R = torch.minimum(cell_R2[:, 0].clamp(min=0), size_R2[:, 1] - 1)
    row_R = torch.minimum(cell_R2[:, 1].clamp(min=0), size_R2[:, 0] - 1)
    start_R = torch.tensor([0, *np.cumsum([height * width for height, width in sizes])])[level_R]
    return start_R + row_R * size_R2[:, 1] + column_R
