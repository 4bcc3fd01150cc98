import pytest
import torch

from models.segmentation.box_supervision import BoxSupervision, cover, guide


def test_cover_by_hand() -> None:
    box = torch.tensor([[1.0, 2.0, 6.0, 8.0]])  # in samples of stride 2: 0.5 to 3, 1 to 4
    expected = torch.zeros(5, 4)
    expected[1:4] = torch.tensor([0.5, 1.0, 1.0, 0.0])
    assert torch.equal(cover(box, 5, 4, stride=2.0)[0], expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"global_weight": -1.0}, "global_weight must be finite and at least 0, got -1.0"),
        ({"outside_weight": -1.0}, "outside_weight must be finite and at least 0, got -1.0"),
        (
            {"outside_weight": 1.0, "projection_weight": 0.0},
            "outside_weight is a part of the projection loss and needs projection_weight, got 1.0 and 0.0",
        ),
        ({"level_set_weight": float("nan")}, "level_set_weight must be finite"),
        ({"propagation_side": 0}, "propagation_side must be at least 1, got 0"),
        ({"average": "pixels"}, "average must be 'regions' or 'samples', got 'pixels'"),
        ({"warmup_steps": -1}, "warmup_steps must be at least 0, got -1"),
    ],
)
def test_values_that_nothing_can_be_computed_with_are_named(given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BoxSupervision(**given)


def test_only_what_is_asked_for_is_prepared() -> None:
    image = torch.rand(2, 3, 16, 16)
    plain = guide(image, (8, 8), BoxSupervision(global_weight=0.0))
    assert plain.image_BCHW.shape == (2, 3, 8, 8)
    assert plain.trees is None
    assert plain.similarity_BKHW is None
    full = guide(image, (8, 8), BoxSupervision(pairwise_weight=1.0, propagation_side=4))
    assert (full.trees.height, full.trees.width, len(full.trees)) == (4, 4, 2)
    assert full.similarity_BKHW.shape == (2, 8, 8, 8)
