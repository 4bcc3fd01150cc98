"""Locations answer for the right region."""

import torch

from models.segmentation.network import locations
from models.segmentation.targets import assign_locations, box_distances, centerness

POINT, STRIDE = locations([(16, 16), (8, 8), (4, 4)])


def assigned(boxes):
    region = assign_locations(POINT, STRIDE, torch.tensor(boxes).reshape(-1, 4))
    return {number: STRIDE[region == number].unique().tolist() for number in range(len(boxes))}


def test_no_region_claims_nothing():
    assert (assign_locations(POINT, STRIDE, torch.zeros(0, 4)) == -1).all()


def test_sizes_go_to_their_levels():
    assert assigned([[8.0, 8.0, 24.0, 24.0], [2.0, 2.0, 60.0, 60.0]])[0] == [4.0]
    assert assigned([[4.0, 4.0, 60.0, 60.0]])[0] == [8.0, 16.0]
    assert assigned([[9.0, 9.0, 12.0, 13.0]])[0] == [4.0]


def test_the_smaller_of_two_wins():
    boxes = torch.tensor([[8.0, 8.0, 28.0, 28.0], [12.0, 12.0, 24.0, 24.0]])
    region = assign_locations(POINT, STRIDE, boxes)
    centre = ((POINT - 18.0).abs().amax(dim=1) < 3) & (STRIDE == 4)
    assert (region[centre] == 1).all()


def test_claimed_locations_lie_in_the_box_near_its_centre():
    box = torch.tensor([[8.0, 16.0, 40.0, 30.0]])
    region = assign_locations(POINT, STRIDE, box)
    points, strides = POINT[region == 0], STRIDE[region == 0]
    assert len(points) > 0
    assert (box_distances(points, box) > 0).all()
    assert ((points - torch.tensor([24.0, 23.0])).abs() <= 1.5 * strides[:, None]).all()


def test_centerness():
    distance = torch.tensor([[5.0, 5.0, 5.0, 5.0], [1.0, 2.0, 4.0, 2.0], [0.0, 3.0, 6.0, 3.0]])
    torch.testing.assert_close(centerness(distance), torch.tensor([1.0, 0.5, 0.0]))
