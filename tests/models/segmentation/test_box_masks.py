import numpy as np
import pytest
import torch

from models.segmentation import box_masks
from models.segmentation.box_carving import BoxMask
from models.segmentation.box_masks import answering_locations, masks_from_model
from models.segmentation.hub import new_segmenter
from models.segmentation.network import STRIDES, locations
from models.segmentation.targets import assign_locations
from tests.models.segmentation.tiny import THRESHOLDS, TRAINING

SIZES = [(16, 24), (8, 12), (4, 6)]


def random_boxes(seed, count):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * torch.tensor([80.0, 50.0])
    side = torch.rand(count, 2, generator=generator).square() * 60 + 1
    return torch.cat((corner, torch.minimum(corner + side, torch.tensor([96.0, 64.0]))), dim=1)


def slowly(boxes):
    """One box after the other, in words."""
    points, strides = locations(SIZES)
    owner = assign_locations(points, strides, boxes)
    chosen = []
    for region, box in enumerate(boxes):
        centre = (box[:2] + box[2:]) / 2
        mine = [int(place) for place in (owner == region).nonzero()[:, 0]]
        if mine:
            chosen.append(
                min(mine, key=lambda place: (float((points[place] - centre).square().sum()), place))
            )
            continue
        farthest = float((box[2:] - box[:2]).max()) / 2
        level = next((i for i, stride in enumerate(STRIDES[:-1]) if farthest <= 6 * stride), 2)
        start = sum(height * width for height, width in SIZES[:level])
        column, row = (int(value // STRIDES[level]) for value in centre.tolist())
        chosen.append(start + row * SIZES[level][1] + column)
    return chosen


@pytest.mark.parametrize("seed", range(4))
def test_locations_match_the_slow_twin(seed, monkeypatch):
    boxes = random_boxes(seed, 30)
    expected = slowly(boxes)
    assert answering_locations(SIZES, boxes).tolist() == expected
    monkeypatch.setattr(box_masks, "_PAIRS", 700)  # in many parts
    assert answering_locations(SIZES, boxes).tolist() == expected


def test_boxes_that_nothing_answers_for_get_the_cell_of_their_centre():
    boxes = torch.tensor([[8.0, 8.0, 12.0, 12.0], [8.0, 8.0, 12.0, 12.0], [4.1, 4.1, 5.0, 5.0]])
    first, second, third = answering_locations(SIZES, boxes).tolist()
    assert first == second == 2 * 24 + 2
    assert third == 1 * 24 + 1
    assert answering_locations(SIZES, torch.zeros(0, 4)).tolist() == []


def test_a_model_answers_for_every_box():
    torch.manual_seed(0)
    model = new_segmenter(["a", "b"], TRAINING.architecture(2), THRESHOLDS).eval()
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    boxes = torch.tensor([[3.0, 4.0, 30.0, 44.0], [10.5, 10.5, 12.0, 12.0], [0.0, 0.0, 70.0, 50.0]])
    found = masks_from_model(model, image, boxes)
    assert len(found) == 3
    assert isinstance(found[0], BoxMask)  # heads start from a box with round corners
    assert found[0].mask_HW.shape == (40, 27)
    assert not found[0].mask_HW[0, 0]
    assert 0.0 < found[0].score <= 1.0
    assert masks_from_model(model, image, boxes[:0]) == []
