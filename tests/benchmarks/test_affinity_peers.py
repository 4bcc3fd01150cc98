import numpy as np
import pytest
import torch
from scipy.sparse.csgraph import minimum_spanning_tree as scipy_tree

from benchmarks.affinity_peers import grid_graph, load_published, unfold_propagation
from tests.models.affinity.dense import golden


@pytest.mark.parametrize("number", [0, 1, 2])
def test_unfold_gives_what_was_published(number):
    file = golden(f"apro_local_{number}")
    settings = {name: file[name].item() for name in ("kernel_size", "zeta", "iterations")}
    mask_RHW = file.get("mask", torch.ones_like(file["x"]))
    out = unfold_propagation(file["x"], file["image"], mask_RHW, **settings)
    torch.testing.assert_close(out, file["y"], rtol=0, atol=2e-5)


def test_the_grid_graph_keeps_equal_colours_connected():
    image_CHW = torch.tensor([[[0.0, 0.0, 2.0], [1.0, 0.0, 2.0]]])
    graph = grid_graph(image_CHW)
    assert graph.nnz == 7
    tree = scipy_tree(graph)
    assert tree.nnz == 5
    assert tree.sum() == pytest.approx(0 + 0 + 1 + 0 + 4)
    assert np.array_equal(graph.toarray()[1, [2, 4]], [4.0, 1e-30])


def test_a_module_of_the_reader_is_loaded(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "def spanning_tree(image):\n    return 'tree'\ndef propagate(x, image, tree, zeta):\n    return x\n"
    )
    peer = load_published(path)
    assert peer.spanning_tree(torch.zeros(1)) == "tree"


def test_a_module_that_is_none_or_lacks_a_function_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"published must be a Python file, got .*nothing\.py"):
        load_published(tmp_path / "nothing.py")
    path = tmp_path / "half.py"
    path.write_text("def spanning_tree(image):\n    return image\n")
    with pytest.raises(ValueError, match=r"half\.py must define the function 'propagate'"):
        load_published(path)
