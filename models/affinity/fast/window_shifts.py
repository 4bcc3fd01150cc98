"""Sweeps of the colour window in plain PyTorch, on any device and with gradients: whole images are shifted.

Shape suffixes:
    B = images   R = regions   C = channels   H = height   W = width   N = H * W pixels, row-major
    K = places of the window, row-major   L = 1 or C channels of a mask
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

Slices = tuple[slice, slice]


def propagate(
    x_RCHW: Tensor,
    guidance_BCHW: Tensor,
    mask_RLHW: Tensor,
    image_R: Tensor,
    reach: int,
    factor: float | Tensor,
    iterations: int,
) -> Tensor:
    """Average each field over its window again and again; the mask multiplies before and after each sweep.

    Gradients reach every tensor. For them one field per sweep is kept; what lies between two sweeps is
    computed again.

    Args:
        x_RCHW: Fields, float32 or float64.
        guidance_BCHW: Finite images of the same type.
        mask_RLHW: Share of each pixel in the region, of the same type; R may be 1.
        image_R: Image of each region, int64 in [0, B).
        reach: Half of ``kernel_size - 1``, at least 0.
        factor: One over the squared colour distance at which the affinity has dropped to 1/e.
        iterations: Number of sweeps, at least 0.

    Returns:
        Swept fields, shape and type of ``x_RCHW``.
    """
    weights = list(_later_affinities(guidance_BCHW, reach, factor))
    total_B1HW = torch.ones_like(guidance_BCHW[:, :1])
    for near, far, weight_B1hw in weights:
        total_B1HW[(..., *near)] += weight_B1hw
        total_B1HW[(..., *far)] += weight_B1hw
    scale_RLHW = mask_RLHW / _of_region(total_B1HW, image_R)
    value_RCHW = x_RCHW * mask_RLHW
    for _ in range(iterations):
        if torch.is_grad_enabled():
            value_RCHW = checkpoint(
                _sweep,
                value_RCHW,
                weights,
                scale_RLHW,
                image_R,
                use_reentrant=False,
                preserve_rng_state=False,
            )
        else:
            value_RCHW = _sweep(value_RCHW, weights, scale_RLHW, image_R)
    return value_RCHW


def window_affinity(guidance_BCHW: Tensor, reach: int, factor: float | Tensor) -> Tensor:
    """Weigh each pixel's neighbours by colour similarity.

    Args:
        guidance_BCHW: Finite images, float32 or float64.
        reach: Half of ``kernel_size - 1``, at least 0.
        factor: One over the squared colour distance at which the affinity has dropped to 1/e.

    Returns:
        Weights of the type of the guidance, shape (B, H, W, K) with K = (2 reach + 1)**2. They sum to one
        over K; neighbours outside the image weigh zero.
    """
    batch, _, height, width = guidance_BCHW.shape
    centre = 2 * reach * (reach + 1)
    weight_BHWK = guidance_BCHW.new_zeros(batch, height, width, 2 * centre + 1)
    weight_BHWK[..., centre] = 1.0
    for step, (near, far, weight_B1hw) in zip(
        _later_places(reach, height, width), _later_affinities(guidance_BCHW, reach, factor), strict=True
    ):
        place = step[0] * (2 * reach + 1) + step[1]
        weight_BHWK[(slice(None), *near, centre + place)] = weight_B1hw[:, 0]
        weight_BHWK[(slice(None), *far, centre - place)] = weight_B1hw[:, 0]
    return weight_BHWK / weight_BHWK.sum(dim=3, keepdim=True)


def dense_propagate(
    x_RCHW: Tensor,
    guidance_BCHW: Tensor,
    mask_RLHW: Tensor,
    image_R: Tensor,
    reach: int,
    factor: float | Tensor,
    iterations: int,
) -> Tensor:
    """Do what ``propagate`` does with one matrix of N x N affinities an image, straight from the formula."""
    height, width = guidance_BCHW.shape[2:]
    row_N = torch.arange(height, device=x_RCHW.device).repeat_interleave(width)
    column_N = torch.arange(width, device=x_RCHW.device).repeat(height)
    apart_NN = torch.maximum((row_N[:, None] - row_N).abs(), (column_N[:, None] - column_N).abs())
    colour_BCN = guidance_BCHW.flatten(2)
    squared_BNN = (colour_BCN[:, :, :, None] - colour_BCN[:, :, None, :]).square().sum(dim=1)
    affinity_BNN = torch.exp(-squared_BNN * factor) * (apart_NN <= reach)
    mean_RNN = (affinity_BNN / affinity_BNN.sum(dim=2, keepdim=True))[image_R]
    mask_RNL = mask_RLHW.flatten(2).mT
    value_RNC = x_RCHW.flatten(2).mT * mask_RNL
    for _ in range(iterations):
        value_RNC = (mean_RNN @ value_RNC) * mask_RNL
    return value_RNC.mT.reshape(x_RCHW.shape)


def _later_places(reach: int, height: int, width: int) -> list[tuple[int, int]]:
    """List the places (down, right) after the centre in row-major order that some pixel has in the image."""
    return [
        (down, right)
        for down in range(min(reach, height - 1) + 1)
        for right in range(-min(reach, width - 1), min(reach, width - 1) + 1)
        if down > 0 or right > 0
    ]


def _later_affinities(
    guidance_BCHW: Tensor, reach: int, factor: float | Tensor
) -> Iterator[tuple[Slices, Slices, Tensor]]:
    """Yield for each later place the pixels that have it, the pixels that are it, and their affinity."""
    height, width = guidance_BCHW.shape[2:]
    for down, right in _later_places(reach, height, width):
        near = slice(0, height - down), slice(max(0, -right), width - max(0, right))
        far = slice(down, height), slice(max(0, right), width - max(0, -right))
        difference_BChw = guidance_BCHW[(..., *near)] - guidance_BCHW[(..., *far)]
        yield near, far, torch.exp(-difference_BChw.square().sum(dim=1, keepdim=True) * factor)


def _sweep(
    value_RCHW: Tensor,
    weights: list[tuple[Slices, Slices, Tensor]],
    scale_RLHW: Tensor,
    image_R: Tensor,
) -> Tensor:
    """Sum every pixel's neighbours by affinity and scale the sums."""
    total_RCHW = value_RCHW.clone()
    for near, far, weight_B1hw in weights:
        weight_R1hw = _of_region(weight_B1hw, image_R)
        total_RCHW[(..., *near)].addcmul_(weight_R1hw, value_RCHW[(..., *far)])
        total_RCHW[(..., *far)].addcmul_(weight_R1hw, value_RCHW[(..., *near)])
    return total_RCHW * scale_RLHW


def _of_region(field_BCHW: Tensor, image_R: Tensor) -> Tensor:
    """Take each region's image; with one image nothing is copied."""
    return field_BCHW if len(field_BCHW) == 1 else field_BCHW[image_R]
