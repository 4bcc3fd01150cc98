"""The affinity losses pull a mask to the colours, and never push the labels."""

import torch

from models.affinity.cascade import AffinityCascade, GlobalCascade
from models.affinity.global_ import GlobalPropagation
from models.affinity.local import LocalPropagation
from models.segmentation.affinity_loss import affinity_losses, stretch_labels

CASCADE = AffinityCascade(
    far=GlobalCascade(image_pass=GlobalPropagation(zeta=0.05), label_pass=GlobalPropagation(zeta=0.05)),
    near=LocalPropagation(kernel_size=3, zeta=0.1, iterations=5),
)


def disc_and_box():
    y, x = torch.meshgrid(torch.arange(16) - 7.5, torch.arange(16) - 7.5, indexing="ij")
    disc = ((x**2 + y**2) < 25).float()
    inside = ((x.abs() < 5) & (y.abs() < 5)).float()
    return disc[None], inside[None]


def test_a_mask_that_follows_the_colours_costs_nothing():
    disc, inside = disc_and_box()
    far, near = affinity_losses(CASCADE, disc[:, None].expand(-1, 3, -1, -1), disc * inside, inside)
    assert far < 1e-5
    assert near < 1e-5


def test_the_gradient_carves_the_corners_out_of_the_box():
    disc, inside = disc_and_box()
    mask = (inside * 0.9).requires_grad_()
    far, near = affinity_losses(CASCADE, disc[:, None].expand(-1, 3, -1, -1), mask, inside)
    (far + near).backward()
    corner = (inside[0] > 0) & (disc[0] == 0)
    assert (mask.grad[0][corner] > 0).all()
    assert (mask.grad[0][(disc[0] > 0) & (inside[0] > 0)] <= 0).all()
    assert (mask.grad[0][inside[0] == 0] == 0).all()


def test_no_region_costs_nothing():
    empty = torch.zeros(0, 16, 16)
    far, near = affinity_losses(CASCADE, torch.zeros(0, 3, 16, 16), empty, empty)
    assert far.item() == near.item() == 0.0


def test_labels_are_stretched_to_one():
    label = torch.linspace(0, 0.5, 16).reshape(1, 4, 4)
    stretched = stretch_labels(label, torch.ones(1, 4, 4))
    assert stretched.max() == 1.0
    torch.testing.assert_close(stretched[0, 0, 3] / stretched[0, 0, 1], torch.tensor(3.0))
    assert (stretch_labels(torch.zeros(1, 4, 4), torch.ones(1, 4, 4)) == 0).all()
