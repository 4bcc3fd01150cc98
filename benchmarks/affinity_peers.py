"""What ours is measured against: SciPy's spanning tree, the unfold formulation, and code of the reader's own.

Shape suffixes:
    B = images   R = regions   C = channels   K = window places   H = height   W = width   N = H * W
"""

import importlib.util
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor
from torch.nn.functional import unfold


class Published(Protocol):
    """A module made by the reader from the authors' release, given as a file.

    The release is no part of this project. A module with these two functions around it can be
    timed beside ours.
    """

    def spanning_tree(self, image_BCHW: Tensor) -> Tensor:
        """Build one tree per image: pixel ids of its edges, shape (B, N - 1, 2)."""

    def propagate(self, x_B1HW: Tensor, guidance_BCHW: Tensor, tree: Tensor, zeta: float) -> Tensor:
        """Propagate one channel over each tree, weighted by the guidance."""


def load_published(path: Path) -> Published:
    """Import the reader's module from a file.

    Raises:
        ValueError: If the file is no module or lacks a function.
    """
    spec = importlib.util.spec_from_file_location("published", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise ValueError(f"published must be a Python file, got {path}.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("spanning_tree", "propagate"):
        if not callable(getattr(module, name, None)):
            raise ValueError(f"{path} must define the function {name!r}: see benchmarks/affinity_peers.py.")
    return cast(Published, module)


def grid_graph(image_CHW: Tensor) -> csr_array:
    """Weigh the 4-connected grid by squared colour distance, for ``scipy.sparse.csgraph``.

    SciPy reads an explicit zero as no edge, so 1e-30 is added, which changes no weight but the zeros.
    """
    height, width = image_CHW.shape[1:]
    pixel_HW = np.arange(height * width, dtype=np.int32).reshape(height, width)
    ends = ((pixel_HW[:-1], pixel_HW[1:]), (pixel_HW[:, :-1], pixel_HW[:, 1:]))
    first, second = (np.concatenate([pair[end].ravel() for pair in ends]) for end in (0, 1))
    colour_CN = image_CHW.double().numpy().reshape(len(image_CHW), -1)
    weight = np.square(colour_CN[:, first] - colour_CN[:, second]).sum(axis=0) + 1e-30
    return csr_array((weight, (first, second)), shape=(pixel_HW.size, pixel_HW.size))


def unfold_propagation(
    x_RHW: Tensor, image_RCHW: Tensor, mask_RHW: Tensor, *, kernel_size: int, zeta: float, iterations: int
) -> Tensor:
    """Propagate locally with every window spelled out by ``unfold``, as the formula reads.

    Every region brings its own image; all K neighbours of all pixels stand in memory and are summed anew in
    every sweep, numerator and denominator.

    Returns:
        The propagated fields, shape of ``x_RHW``.
    """
    regions, channels, height, width = image_RCHW.shape
    places, reach = kernel_size**2, kernel_size // 2
    # Raised by ten, no colour is near the zeros that unfold puts beyond the border.
    raised = image_RCHW + 10
    window_RCKN = unfold(raised, kernel_size, padding=reach).view(regions, channels, places, -1)
    difference_RCKN = window_RCKN - raised.view(regions, channels, 1, -1)
    affinity_RKN = torch.exp(-difference_RCKN.square().sum(dim=1) / zeta**2)
    mask_RN = mask_RHW.flatten(1)
    x_RN = x_RHW.flatten(1) * mask_RN
    for _ in range(iterations):
        near_RKN = unfold(x_RN.view(regions, 1, height, width), kernel_size, padding=reach)
        x_RN = (near_RKN * affinity_RKN).sum(dim=1) / (affinity_RKN.sum(dim=1) + 1e-10) * mask_RN
    return x_RN.view(regions, height, width)
