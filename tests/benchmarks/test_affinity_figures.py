import numpy as np
import torch
from PIL import Image

from benchmarks.affinity_figures import along_paths, draw, window_reach
from benchmarks.affinity_inputs import photograph
from models.affinity.local import LocalPropagation
from models.affinity.spanning_tree import minimum_spanning_tree

IMAGE_BCHW = torch.tensor([[0.0, 2, 10, 12], [1, 4, 11, 18], [0, 6, 7, 20]])[None, None]


def test_paths_of_the_worked_example():
    structure = minimum_spanning_tree(IMAGE_BCHW)
    largest_HW, total_HW = along_paths(structure, (0, 0))
    assert largest_HW.ravel().tolist() == [0, 4, 16, 16, 1, 4, 16, 36, 1, 4, 4, 36]
    # Down the first column, and to the second pixel of each row.
    assert total_HW[:, 0].tolist() == [0, 1, 2]
    assert total_HW[:, 1].tolist() == [4, 8, 12]


def test_a_walk_gives_the_weights_of_the_sweeps():
    """One pixel of the operator, against the operator applied to a field."""
    share_HW = window_reach((20, 30), zeta=0.5, kernel_size=3, iterations=2)
    assert abs(share_HW.sum() - 1) < 1e-12
    image_BCHW = photograph()[None].double()
    x_BCHW = torch.rand(1, 1, *image_BCHW.shape[2:], generator=torch.Generator().manual_seed(0)).double()
    y_BCHW = LocalPropagation(kernel_size=3, zeta=0.5, iterations=2)(x_BCHW, image_BCHW)
    assert abs(float((x_BCHW[0, 0].numpy() * share_HW).sum() - y_BCHW[0, 0, 20, 30])) < 1e-6


def test_a_figure_is_drawn(tmp_path):
    shares = {f"kernel {index}": np.eye(342, 512) for index in range(3)}
    draw(shares, tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as figure:
        assert figure.width > 600
