"""Fields, the bandwidths that spread them, and the trees they belong to.

Shape suffixes:
    B = trees   R = regions   C = channels   H = height   W = width   N = H * W pixels
    X = R * C fields, those of a tree together
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.affinity.spanning_tree import Structure

_LARGEST_RATE = 1e300
"""Largest inverse square of a bandwidth: finite, and zero if the weight is."""


def check_bandwidth(name: str, value: float | Tensor) -> None:
    """Refuse a bandwidth that divides by zero.

    Raises:
        ValueError: If it is not a positive number.
    """
    if isinstance(value, Tensor) and value.ndim != 0:
        raise ValueError(
            f"{name} must be a number or a tensor without dimensions, got shape {tuple(value.shape)}."
        )
    if not value > 0.0:
        raise ValueError(f"{name} must be positive, got {float(value)}.")


@overload
def inverse_square(zeta: float) -> float: ...
@overload
def inverse_square(zeta: Tensor) -> Tensor: ...
def inverse_square(zeta: float | Tensor) -> float | Tensor:
    """Return ``1 / zeta**2``, finite for every positive bandwidth. Differentiable.

    Example:
        >>> inverse_square(0.5), inverse_square(1e-200)
        (4.0, 1e+300)
    """
    if isinstance(zeta, Tensor):
        return zeta.double().reciprocal().square().clamp(max=_LARGEST_RATE)
    return min((1.0 / zeta) * (1.0 / zeta), _LARGEST_RATE)


def check_fields(x_RCHW: Tensor, structure: Structure, weights: Tensor | None) -> None:
    """Refuse fields and weights that do not fit the trees.

    Raises:
        TypeError: If the fields are not of a float type.
        ValueError: If sizes differ.
    """
    if not x_RCHW.is_floating_point():
        raise TypeError(f"x_RCHW must be of a float type, got {x_RCHW.dtype}.")
    if x_RCHW.ndim != 4 or x_RCHW.shape[2:] != (structure.height, structure.width):
        size = f"{structure.height}x{structure.width}"
        raise ValueError(
            f"x_RCHW must have shape (R, C, H, W) with {size} pixels, got {tuple(x_RCHW.shape)}."
        )
    if weights is not None:
        regions, channels = x_RCHW.shape[:2]
        edges = structure.edge_BE.shape[1]
        if weights.shape not in ((regions, 1, edges), (regions, channels, edges)):
            raise ValueError(
                f"weights must have shape ({regions}, 1 or {channels}, {edges}), got {tuple(weights.shape)}."
            )


def divide_products(
    product: Callable[[Tensor], Tensor], x_RCN: Tensor, image_R: Tensor, num_trees: int
) -> Tensor:
    """Average fields by a product with the affinity matrices.

    Args:
        product: Multiplies fields (B, X, N) by the matrix of each tree.
        x_RCN: Fields.
        image_R: Tree of each region, on the CPU.
        num_trees: B.

    Returns:
        Weighted means, float64.
    """
    if np.array_equal(image_R, np.arange(num_trees)):
        mean_RCN = product(x_RCN) / product(torch.ones_like(x_RCN[:, :1]))
        # Rounding leaves a mean up to 1e-15 outside of what it averages. The step back has no gradient.
        inside_RCN = mean_RCN.detach().clamp(*x_RCN.detach().double().aminmax(dim=2, keepdim=True))
        return mean_RCN + (inside_RCN - mean_RCN.detach())
    slot_R, depth = _slots(image_R.numpy(), num_trees)
    place = image_R.to(x_RCN.device), torch.from_numpy(slot_R).to(x_RCN.device)
    x_BXN = x_RCN.new_zeros((num_trees, depth, *x_RCN.shape[1:])).index_put(place, x_RCN)
    mean_BXN = divide_products(product, x_BXN.flatten(1, 2), torch.arange(num_trees), num_trees)
    return mean_BXN.reshape(x_BXN.shape)[place]


def _slots(image_R: NDArray[np.int64], num_trees: int) -> tuple[NDArray[np.int64], int]:
    """Number the regions of each image from zero; return the numbers and the largest count of an image."""
    order_R = np.argsort(image_R, kind="stable")
    slot_R = np.empty_like(image_R)
    slot_R[order_R] = np.arange(len(image_R)) - np.searchsorted(image_R[order_R], image_R[order_R])
    return slot_R, int(np.bincount(image_R, minlength=num_trees).max())


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Fields as the compiled loops take them: one a row, those of one tree together."""

    value_XN: Tensor
    """The fields, float32 or float64, contiguous."""
    bounds_B1: NDArray[np.int64]
    """Tree b has the rows ``bounds_B1[b]`` to ``bounds_B1[b + 1] - 1``."""
    order_R: Tensor | None
    """Region at each place, None if they stand in the order of their trees already."""
    channels: int
    """Rows of a region."""

    def ungroup(self, value_XN: Tensor) -> Tensor:
        """Return rows in the order of the regions, shape (R, C, N)."""
        y_RCN = value_XN.reshape(-1, self.channels, value_XN.shape[1])
        return y_RCN if self.order_R is None else y_RCN[self.order_R.argsort()]


def group_rows(x_RCN: Tensor, image_R: Tensor, num_trees: int, weight_dtype: torch.dtype) -> Rows:
    """Bring the fields of each tree together. Differentiable.

    Args:
        x_RCN: Fields, any float type.
        image_R: Tree of each region.
        num_trees: Number of trees.
        weight_dtype: Type of the weights; the fields become float64 if they or the weights are.
    """
    channels, num_pixels = x_RCN.shape[1:]
    image = image_R.numpy()
    ordered = bool((image[1:] >= image[:-1]).all())
    order_R = None if ordered else torch.from_numpy(np.argsort(image, kind="stable"))
    value_XN = (x_RCN if order_R is None else x_RCN[order_R]).reshape(-1, num_pixels)
    dtype = torch.float64 if torch.float64 in (x_RCN.dtype, weight_dtype) else torch.float32
    bounds = np.concatenate(([0], np.bincount(image, minlength=num_trees).cumsum() * channels))
    return Rows(
        value_XN=value_XN.to(dtype).contiguous(), bounds_B1=bounds, order_R=order_R, channels=channels
    )
