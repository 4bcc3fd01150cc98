import math

import numpy as np
import pytest
import torch

from models.segmentation.pairwise_loss import colour_similarity, neighbours, pairwise_loss, rgb_to_lab

DILATION = 2


def logit(probability: float) -> float:
    return math.log(probability / (1.0 - probability))


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((1.0, 1.0, 1.0), (100.0, 0.0, 0.0)),
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
        ((1.0, 0.0, 0.0), (53.24, 80.09, 67.20)),
        ((0.0, 1.0, 0.0), (87.73, -86.18, 83.18)),
        ((0.0, 0.0, 1.0), (32.30, 79.19, -107.86)),
    ],
)
def test_lab_of_the_primaries(rgb: tuple, lab: tuple) -> None:
    """Figures of the CIE tables for sRGB under D65."""
    found = rgb_to_lab(torch.tensor(rgb, dtype=torch.float64).reshape(1, 3, 1, 1)).flatten()
    np.testing.assert_allclose(found.numpy(), lab, atol=0.03)


def test_two_samples_that_agree_cost_what_the_paper_says() -> None:
    """P(same) of 0.9 and 0.8 is 0.74."""
    logits = torch.full((1, 1, 3), -20.0)
    logits[0, 0, 0], logits[0, 0, 2] = logit(0.9), logit(0.8)
    similarity = torch.zeros(1, 8, 1, 3)
    similarity[0, :, 0, 0] = 1.0  # only the pairs of the first sample
    inside = torch.ones(1, 1, 3)
    around = neighbours(torch.ones(1, 1, 1, 3), DILATION)[0, :, 0, 0, 0]
    found = pairwise_loss(logits, similarity * around[None, :, None, None], inside)
    assert found.item() == pytest.approx(0.301105, abs=1e-5)


def test_neighbours_beyond_the_border_are_zero() -> None:
    field = torch.arange(25.0).reshape(1, 1, 5, 5) + 1.0
    found = neighbours(field, DILATION)[0, :, 0]
    assert found[:, 2, 2].tolist() == [1.0, 3.0, 5.0, 11.0, 15.0, 21.0, 23.0, 25.0]
    assert found[:, 0, 0].tolist() == [0.0, 0.0, 0.0, 0.0, 3.0, 0.0, 11.0, 13.0]


def test_similarity_is_one_for_equal_colours_and_symmetric() -> None:
    image = torch.rand(2, 3, 7, 6, generator=torch.Generator().manual_seed(0))
    image[:, :, 2:5] = 0.3
    similarity = colour_similarity(image)
    assert similarity.shape == (2, 8, 7, 6)
    assert similarity[0, 1, 4, 3] == 1.0  # straight above, at a distance of 2
    # Neighbour k of i is i's opposite neighbour 7 - k of k.
    assert torch.equal(similarity[:, 1, 2:], similarity[:, 6, :-2])


def test_padding_is_like_nothing() -> None:
    valid = torch.ones(1, 6, 6)
    valid[:, :, 4:] = 0.0
    similarity = colour_similarity(torch.full((1, 3, 6, 6), 0.5), valid)
    assert not similarity[0, 4, :, 2:].any()
    assert similarity[0, 4, :, :2].all()


def test_only_like_pairs_in_the_box_count() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(1, 8, 8, generator=generator)
    similarity = torch.rand(1, 8, 8, 8, generator=generator)
    similarity *= neighbours(torch.ones(1, 1, 8, 8), DILATION)[:, :, 0]
    inside = torch.zeros(1, 8, 8)
    inside[:, 2:6, 3:7] = 1.0
    total, count = 0.0, 0
    probability = logits[0].sigmoid().double()
    offsets = [(y, x) for y in (-2, 0, 2) for x in (-2, 0, 2) if (y, x) != (0, 0)]
    for y in range(2, 6):
        for x in range(3, 7):
            for k, (dy, dx) in enumerate(offsets):
                if similarity[0, k, y, x] >= 0.3:
                    first, second = probability[y, x], probability[y + dy, x + dx]
                    total -= math.log(first * second + (1 - first) * (1 - second))
                    count += 1
    assert pairwise_loss(logits, similarity, inside).item() == pytest.approx(total / count, rel=1e-5)


def test_a_flat_mask_costs_nothing_and_extreme_logits_stay_finite() -> None:
    similarity = neighbours(torch.ones(1, 1, 6, 6), DILATION)[:, :, 0]
    logits = torch.full((1, 6, 6), 80.0, requires_grad=True)
    loss = pairwise_loss(logits, similarity, torch.ones(1, 6, 6))
    loss.backward()
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    assert torch.isfinite(logits.grad).all()
    mixed = torch.where(torch.arange(6) % 4 < 2, 80.0, -80.0).expand(1, 6, 6)
    assert pairwise_loss(mixed, similarity, torch.ones(1, 6, 6)).item() > 20.0


def test_no_pair_is_no_loss() -> None:
    empty = torch.zeros(0, 5, 5, requires_grad=True)
    loss = pairwise_loss(empty, torch.zeros(0, 8, 5, 5), torch.zeros(0, 5, 5))
    loss.backward()
    assert loss.item() == 0.0


def test_the_gradient_is_that_of_the_loss() -> None:
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(2, 5, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    similarity = torch.rand(2, 8, 5, 5, generator=generator, dtype=torch.float64)
    inside = torch.rand(2, 5, 5, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: pairwise_loss(x, similarity, inside), logits)


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ValueError, match=r"image must have shape \(B, 3, H, W\), got \(1, 4, 2, 2\)"):
        colour_similarity(torch.zeros(1, 4, 2, 2))
    with pytest.raises(ValueError, match=r"valid must have shape \(1, 2, 2\), got \(1, 3, 2\)"):
        colour_similarity(torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2))
    with pytest.raises(ValueError, match="dilation must be at least 1, got 0"):
        colour_similarity(torch.zeros(1, 3, 2, 2), dilation=0)
