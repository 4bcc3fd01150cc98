"""Masks for boxes without any trained model: colour alone decides, spread along trees and in small windows.

Paper: Li et al., "Label-efficient Segmentation via Affinity Propagation" (APro),
https://arxiv.org/abs/2310.10533, the two propagations.
Differences: there is no prediction to start from. Seeds are the middle of the box (object) and the ring
between the box and the border of its window (background); the global propagation of both gives a share of
the object at every sample, the local one smooths it within the box. It is a baseline: neighbours of the
object's own colour count as object, and a ring or a crescent is filled where its middle is seeded.

Shape suffixes:
    R = regions   C = colour channels   S = samples of a window
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.affinity.global_ import GlobalPropagation
from models.affinity.local import LocalPropagation
from models.affinity.spanning_tree import minimum_spanning_tree
from models.segmentation.affinity_loss import stretch_labels
from models.segmentation.box_carving import BoxMask, Reason, carve
from models.segmentation.preprocessing import contrast_range, stretch
from models.segmentation.windows import (
    box_coverage,
    region_windows,
    sample_windows,
    stretch_windows,
    window_positions,
)

_REGIONS = 128  # whose windows are held at once
_READINGS = 2  # averaged along each side of a sample
_LEAST_RING = 0.01  # of a window that must be seeded as background


@dataclass(frozen=True, slots=True, kw_only=True)
class PropagationConfig:
    """Every number of the baseline; those of colour were chosen on the training images of the sample."""

    window_size: int = 32
    """Samples along each side of a window."""
    window_margin: float = 0.3
    """The window reaches beyond the box by this fraction of the box's side, on each side."""
    core: float = 0.5
    """Radius of the seeded middle, as a share of half the box's side."""
    zeta_global: float = 0.1
    """Bandwidth of the global propagation; colours of a window span [0, 1]."""
    zeta_local: float = 0.1
    """Bandwidth of the local propagation; colours of a window span [0, 1]."""
    local_kernel: int = 3
    """Side of the local window, in samples. Odd."""
    local_iterations: int = 10
    """Sweeps of the local propagation."""
    threshold: float = 0.45
    """Smallest label of the mask, after the upper third of the labels in the box was set to one."""
    smallest_contrast: float = 0.005
    """Boxes whose seeds differ by less in their mean share of the object get no mask."""

    def __post_init__(self) -> None:
        """Refuse numbers that leave no ring or no seeds."""
        if not self.window_margin > 0.0:
            raise ValueError(f"window_margin must be positive, got {self.window_margin}.")
        if not 0.0 < self.core <= 1.0:
            raise ValueError(f"core must be in (0, 1], got {self.core}.")
        if self.window_size < 8:
            raise ValueError(f"window_size must be at least 8, got {self.window_size}.")


@torch.no_grad()
def masks_by_propagation(
    image: NDArray[np.uint8], boxes_R4: Tensor, config: PropagationConfig
) -> list[BoxMask | Reason]:
    """Cut each box's object out by colour.

    Args:
        image: RGB pixels, uint8, shape (height, width, 3).
        boxes_R4: Corners in pixels of the image, which no box leaves.
        config: Bandwidths and thresholds.

    Returns:
        For each box its mask or why there is none. The score of a mask is that of ``carve``, with the share
        of the object after the global propagation as probability.
    """
    pixels_CHW = torch.from_numpy(image).permute(2, 0, 1)
    colours_1CHW = stretch(pixels_CHW, contrast_range(pixels_CHW))[None]
    found: list[BoxMask | Reason] = []
    for start in range(0, len(boxes_R4), _REGIONS):
        part_R4 = boxes_R4[start : start + _REGIONS]
        label_RSS, share_RSS, contrast_R = propagate_seeds(colours_1CHW, part_R4, config)
        for label_SS, share_SS, contrast, box in zip(
            label_RSS, share_RSS, contrast_R.tolist(), part_R4.tolist(), strict=True
        ):
            if math.isnan(contrast) or contrast < config.smallest_contrast:
                found.append("bare" if math.isnan(contrast) else "flat")
                continue
            found.append(
                carve(
                    label_SS,
                    share_SS,
                    tuple(box),
                    margin=config.window_margin,
                    threshold=config.threshold,
                    size=(image.shape[0], image.shape[1]),
                )
            )
    return found


def propagate_seeds(
    colours_1CHW: Tensor, boxes_R4: Tensor, config: PropagationConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """Spread object and background from their seeds.

    Args:
        colours_1CHW: The image, in [0, 1].
        boxes_R4: Corners in pixels of the image.
        config: Bandwidths.

    Returns:
        Labels in [0, 1] that are zero outside the box, (R, S, S); the share of the object at each sample, in
        [0, 1], (R, S, S); and by how much the mean share of the object's seeds exceeds that of the
        background's, (R,), which is NaN where the image ends with the box on all sides.
    """
    size, margin = config.window_size, config.window_margin
    windows_R4 = region_windows(boxes_R4, margin)
    image_R = torch.zeros(len(boxes_R4), dtype=torch.int64)
    sampled = sample_windows(colours_1CHW, image_R, windows_R4, size=size, stride=1.0, samples=_READINGS)
    height, width = colours_1CHW.shape[2:]
    frame_R4 = torch.tensor([0.0, 0.0, width, height]).expand(len(boxes_R4), 4)
    shown_RSS = _cover(frame_R4, windows_R4, size)
    guidance_RCSS = stretch_windows(sampled, shown_RSS)
    inside_RSS = _cover(boxes_R4, windows_R4, size)
    core_SS = (window_positions(size, margin).square().sum(dim=0) <= config.core**2).float()
    object_RSS = core_SS.expand_as(inside_RSS)
    ring_RSS = (1.0 - inside_RSS) * shown_RSS
    seeds_R2SS = torch.stack((object_RSS, ring_RSS), dim=1)
    seeds_R2SS = seeds_R2SS / seeds_R2SS.sum(dim=(2, 3), keepdim=True).clamp(min=1e-6)
    trees = minimum_spanning_tree(guidance_RCSS)
    spread_R2SS = GlobalPropagation(zeta=config.zeta_global)(seeds_R2SS, trees)
    share_RSS = spread_R2SS[:, 0] / spread_R2SS.sum(dim=1).clamp(min=1e-12)
    mean_R2 = (share_RSS[:, None] * seeds_R2SS).sum(dim=(2, 3))
    contrast_R = mean_R2[:, 0] - mean_R2[:, 1]
    contrast_R[ring_RSS.mean(dim=(1, 2)) < _LEAST_RING] = torch.nan
    near = LocalPropagation(
        kernel_size=config.local_kernel, zeta=config.zeta_local, iterations=config.local_iterations
    )
    known_R1SS = (share_RSS * inside_RSS)[:, None]
    smooth_RSS = near(known_R1SS, guidance_RCSS, inside_RSS[:, None])[:, 0]
    return stretch_labels(smooth_RSS, inside_RSS), share_RSS, contrast_R


def _cover(boxes_R4: Tensor, windows_R4: Tensor, size: int) -> Tensor:
    """Return the share of each sample of a window that lies in a box, shape (R, S, S)."""
    column_RS, row_RS = box_coverage(boxes_R4, windows_R4, size)
    return column_RS[:, None, :] * row_RS[:, :, None]
