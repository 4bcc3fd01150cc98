import pytest
import torch

from models.affinity.fast.boruvka import spanning_tree_edges
from models.affinity.fast.hierarchy import build_hierarchy, spread
from models.affinity.fast.traffic import traffic_bytes
from tests.models.affinity.fast.slow_trees import count, draw, num_grid_edges


@pytest.mark.parametrize(
    ("height", "width", "trees", "channels"), [(96, 96, 2, 1), (40, 50, 3, 8), (200, 150, 1, 3)]
)
def test_the_model_is_what_the_operations_move(height, width, trees, channels):
    weight_BM = draw("distinct", trees, num_grid_edges(height, width), torch.float32)
    edge_BE = spanning_tree_edges(weight_BM, height, width)
    weight_BE = draw("distinct", trees, height * width - 1, torch.float32)
    hierarchy = build_hierarchy(edge_BE, weight_BE, height, width)
    value_BCN = torch.rand(trees, channels, height * width)
    moved = {
        "spanning_tree": count(lambda: spanning_tree_edges(weight_BM, height, width)).bytes,
        "hierarchy": count(lambda: build_hierarchy(edge_BE, weight_BE, height, width)).bytes,
        "spread": count(lambda: spread(hierarchy, weight_BE, value_BCN)).bytes,
    }
    model = traffic_bytes(height, width, trees, channels)
    for phase, measured in moved.items():
        assert model[phase] == pytest.approx(measured, rel=0.03), phase


def test_nothing_is_below_the_floor_and_trees_add_up():
    one, many = traffic_bytes(96, 96, 1, 4), traffic_bytes(96, 96, 300, 4)
    assert many == {phase: 300 * moved for phase, moved in one.items()}
    assert one["spread_floor"] == 96 * 96 * (28 + 4 * 8) < one["spread"]


def test_one_pixel_moves_next_to_nothing():
    assert max(traffic_bytes(1, 1, 1, 1).values()) < 1000


def test_launches_do_not_grow_with_the_batch():
    launches = {}
    for trees in (2, 7):
        weight_BM = draw("ties", trees, num_grid_edges(20, 20), torch.float32)
        edge_BE = spanning_tree_edges(weight_BM, 20, 20)
        weight_BE = draw("ties", trees, 399)
        calls = count(lambda m=weight_BM: spanning_tree_edges(m, 20, 20)).calls
        calls += count(lambda e=edge_BE, w=weight_BE: build_hierarchy(e, w, 20, 20)).calls
        launches[trees] = calls.total()
    assert launches[2] == launches[7] < 1000
