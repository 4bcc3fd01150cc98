"""Pictures of what one pixel averages over, for docs/affinity.md.

    python -m benchmarks.affinity_figures

Shape suffixes:
    B = images   C = channels   H = height   W = width   N = H * W pixels   E = N - 1 tree edges
"""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order

from benchmarks.affinity_inputs import PHOTO, photograph
from models.affinity.spanning_tree import Structure, minimum_spanning_tree

DOCS = PHOTO.parent
SEED = (232, 150)
"""Row and column of a pixel on the flank of the standing cow."""
ZETAS = (0.05, 0.1, 0.2, 0.3)
SHARES = (1e-7, 1e-2)
"""Range of the colours; a pixel beyond it is drawn as one at its end."""
Field = NDArray[np.float64]


def main() -> None:
    """Draw both figures."""
    structure = minimum_spanning_tree(photograph()[None])
    largest_HW, total_HW = along_paths(structure, SEED)
    bottleneck = {f"zeta = {zeta}": np.exp(-largest_HW / zeta**2) for zeta in ZETAS}
    draw(bottleneck, DOCS / "affinity-zeta.png")
    kernels = {
        "largest step, zeta = 0.1": bottleneck["zeta = 0.1"],
        "sum of steps, sigma = 0.04": np.exp(-total_HW / 0.04),
        "window, zeta = 0.15": window_reach(SEED, zeta=0.15, kernel_size=5, iterations=20),
    }
    draw(kernels, DOCS / "affinity-kernels.png")


def along_paths(structure: Structure, seed: tuple[int, int]) -> tuple[Field, Field]:
    """Follow the tree from a pixel to all others: the largest weight on each path, and the sum of weights."""
    height, width = structure.height, structure.width
    pixels, root = height * width, seed[0] * width + seed[1]
    code_E = structure.edge_BE[0].numpy()
    first_E = code_E % pixels
    second_E = first_E + np.where(code_E < pixels, width, 1)
    # One more than the weight: an explicit zero is no edge for SciPy.
    weight_E = structure.weight_BE[0].double().numpy()
    graph = csr_array((weight_E + 1, (first_E, second_E)), shape=(pixels, pixels))
    order_N, before_N = breadth_first_order(graph, root, directed=False)
    both = graph + graph.T
    largest_N, total_N = np.zeros(pixels), np.zeros(pixels)
    step_N = np.zeros(pixels)
    step_N[order_N[1:]] = both[before_N[order_N[1:]], order_N[1:]] - 1
    for pixel in order_N[1:].tolist():
        before = before_N[pixel]
        largest_N[pixel] = max(largest_N[before], step_N[pixel])
        total_N[pixel] = total_N[before] + step_N[pixel]
    return largest_N.reshape(height, width), total_N.reshape(height, width)


def window_reach(seed: tuple[int, int], *, zeta: float, kernel_size: int, iterations: int) -> Field:
    """Walk at random from a pixel, a step a sweep: where is the walk in the end?"""
    colour_CHW = photograph().double().numpy()
    reach = kernel_size // 2
    shifts = [(y, x) for y in range(-reach, reach + 1) for x in range(-reach, reach + 1)]
    kernels = []
    for shift in shifts:
        distance_HW = np.square(colour_CHW - _moved(colour_CHW, shift, np.inf)).sum(axis=0)
        kernels.append(np.exp(-distance_HW / zeta**2))
    total_HW: Field = sum(kernels, start=np.zeros_like(kernels[0]))
    place_HW = np.zeros_like(total_HW)
    place_HW[seed] = 1
    for _ in range(iterations):
        leaving_HW = place_HW / total_HW
        place_HW = np.zeros_like(total_HW)
        for kernel_HW, shift in zip(kernels, shifts, strict=True):
            place_HW += kernel_HW * _moved(leaving_HW, shift, 0.0)
    return place_HW


def _moved(field: Field, shift: tuple[int, int], beyond: float) -> Field:
    """Let every pixel see its neighbour at a distance of ``shift`` (rows, columns)."""
    rows, columns = shift
    reach = max(abs(rows), abs(columns))
    sides = [(0, 0)] * (field.ndim - 2) + [(reach, reach)] * 2
    wide: Field = np.pad(field, sides, constant_values=beyond)
    height, width = field.shape[-2:]
    return wide[..., reach + rows : reach + rows + height, reach + columns : reach + columns + width]


def draw(affinities: dict[str, Field], path: Path) -> None:
    """Draw the photograph and, for each kernel, the share of every pixel in the seed's average."""
    count = len(affinities) + 1
    columns = 3 if count > 4 else 2
    figure = Figure(figsize=(3.9 * columns + 1, 5.6 if columns == 3 else 5.8), layout="constrained")
    axes: list[Axes] = list(figure.subplots(2, columns).ravel())
    with Image.open(PHOTO) as photo:
        axes[0].imshow(photo.convert("RGB"))
    axes[0].set_title("photograph and seed", fontsize=10)
    norm = LogNorm(*SHARES)
    for axis, (title, affinity_HW) in zip(axes[1:], affinities.items(), strict=False):
        share_HW = affinity_HW / affinity_HW.sum()
        axis.imshow(share_HW.clip(*SHARES), norm=norm, cmap="magma", interpolation="nearest")
        axis.set_title(f"{title}: {1 / np.square(share_HW).sum():,.0f} pixels", fontsize=10)
    for axis in axes:
        axis.set_axis_off()
    for axis in axes[:count]:
        for colour, thickness in (("black", 3.0), ("#00e5ff", 1.5)):
            axis.plot(SEED[1], SEED[0], "o", ms=8, mfc="none", mec=colour, mew=thickness)
    figure.colorbar(ScalarMappable(norm, "magma"), ax=axes, label="share in the average", shrink=0.8)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
