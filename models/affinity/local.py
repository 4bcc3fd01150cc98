"""Local propagation: every pixel averages its neighbours of similar colour, several times over.

Paper: Li et al., "Label-efficient Segmentation via Affinity Propagation" (APro),
https://arxiv.org/abs/2310.10533, local affinity.
Differences: neighbours outside the image are left out of the sums (the release shifts the image by ten so
that padding looks different); the affinity is computed once per image (the release: once per region).

Shape suffixes:
    B = images   R = regions   C = channels   H = height   W = width   K = places of the window, row-major
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.affinity.fast import windows
from models.affinity.grid import check_guidance


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPropagation:
    """Propagation inside a small window that follows colour."""

    kernel_size: int
    """Side of the window, in pixels. Odd."""
    zeta: float
    """Colour distance, in the unit of the guidance, at which the affinity has dropped to 1/e. Positive."""
    iterations: int
    """Number of sweeps, at least 0."""

    def __post_init__(self) -> None:
        """Refuse windows without a centre and bandwidths that divide by zero."""
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and positive, got {self.kernel_size}.")
        if not self.zeta > 0.0:
            raise ValueError(f"zeta must be positive, got {self.zeta}.")
        if self.iterations < 0:
            raise ValueError(f"iterations must not be negative, got {self.iterations}.")

    def affinity(self, guidance_BCHW: Tensor) -> Tensor:
        """Weigh each pixel's neighbours by colour similarity.

        Args:
            guidance_BCHW: Image with values in [0, 1], or any real field.

        Returns:
            Weights, float64, shape (B, H, W, K). They sum to one over K; neighbours outside the image weigh
            zero.

        Raises:
            ValueError: If the guidance is not four-dimensional, has no channel or pixel, or is not finite.
        """
        check_guidance(guidance_BCHW)
        guidance = guidance_BCHW.detach().cpu().double().numpy()
        batch, _, height, width = guidance.shape
        out = np.zeros((batch, height, width, self.kernel_size**2))
        for image in range(batch):
            windows.window_affinity(guidance[image], self.kernel_size // 2, self.zeta, out[image])
        return torch.from_numpy(out)

    def propagate(
        self, affinity_BHWK: Tensor, value_RHW: Tensor, inside_RHW: Tensor, image_R: Tensor
    ) -> Tensor:
        """Sweep the field of each region; it is zero outside the region's box before and after each sweep.

        Args:
            affinity_BHWK: What ``affinity`` returned.
            value_RHW: One field per region, any float type.
            inside_RHW: Share of each pixel that lies in the region's box, in [0, 1].
            image_R: Which image each region belongs to, int64 in [0, B).

        Returns:
            Propagated fields, detached, shape and type of ``value_RHW``.

        Raises:
            ValueError: If the sizes of the arguments differ, or a region has no image.
        """
        self._check_sizes(affinity_BHWK, value_RHW, inside_RHW, image_R)
        value, inside = (tensor.detach().cpu().double().numpy() for tensor in (value_RHW, inside_RHW))
        weights, out = affinity_BHWK.numpy(), np.empty_like(value)
        reach = self.kernel_size // 2
        for region, image in enumerate(image_R.tolist()):
            out[region] = windows.sweep(weights[image], reach, self.iterations, inside[region], value[region])
        return torch.from_numpy(out).to(value_RHW)

    def _check_sizes(
        self, affinity_BHWK: Tensor, value_RHW: Tensor, inside_RHW: Tensor, image_R: Tensor
    ) -> None:
        """Refuse what the compiled loop would read past its end."""
        expected = (*value_RHW.shape[1:], self.kernel_size**2)
        if affinity_BHWK.shape[1:] != expected:
            raise ValueError(
                f"affinity_BHWK must have shape (B, {', '.join(map(str, expected))}), "
                f"got {tuple(affinity_BHWK.shape)}."
            )
        if inside_RHW.shape != value_RHW.shape:
            raise ValueError(
                f"inside_RHW must have shape {tuple(value_RHW.shape)}, got {tuple(inside_RHW.shape)}."
            )
        if len(image_R) != len(value_RHW):
            raise ValueError(f"image_R must name the image of {len(value_RHW)} regions, got {len(image_R)}.")
