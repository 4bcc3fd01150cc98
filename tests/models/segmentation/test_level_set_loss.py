import pytest
import torch

from models.segmentation.level_set_loss import consistency_loss, level_set_loss


def test_the_energy_of_two_flat_sides_is_zero() -> None:
    mask = torch.zeros(1, 6, 6)
    mask[:, 1:4, 2:5] = 1.0
    image = 0.2 + 0.5 * mask[:, None].expand(-1, 3, -1, -1)
    assert level_set_loss(mask, image, torch.ones(1, 6, 6)).item() == pytest.approx(0.0, abs=1e-9)


def test_the_energy_by_hand() -> None:
    """Values 0, 1 | 4: inside mean 0.5 and outside mean 4: 0.25 + 0.25 + 0 over 3 samples."""
    field = torch.tensor([0.0, 1.0, 4.0]).reshape(1, 1, 1, 3)
    mask = torch.tensor([1.0, 1.0, 0.0]).reshape(1, 1, 3)
    assert level_set_loss(mask, field, torch.ones(1, 1, 3)).item() == pytest.approx(0.5 / 3)


def test_what_lies_outside_the_box_does_not_matter() -> None:
    generator = torch.Generator().manual_seed(0)
    mask, field = torch.rand(2, 5, 5, generator=generator), torch.rand(2, 3, 5, 5, generator=generator)
    inside = torch.zeros(2, 5, 5)
    inside[:, 1:4, 1:4] = 1.0
    other = torch.where(inside[:, None] > 0, field, torch.rand(2, 3, 5, 5, generator=generator))
    assert torch.equal(level_set_loss(mask, field, inside), level_set_loss(mask, other, inside))


def test_the_gradient_moves_a_pixel_to_the_side_that_it_resembles() -> None:
    image = torch.zeros(1, 3, 4, 4)
    image[..., 2:] = 1.0
    logits = torch.where(torch.arange(4) < 2, -1.0, 1.0).repeat(1, 4, 1)
    logits[0, 0, 0] = 1.0  # on the wrong side
    logits.requires_grad_()
    level_set_loss(logits.sigmoid(), image, torch.ones(1, 4, 4)).backward()
    assert logits.grad[0, 0, 0] > 0
    assert (logits.grad[..., 3] < 0).all()


def test_gradients_are_those_of_the_losses() -> None:
    generator = torch.Generator().manual_seed(3)
    mask = torch.rand(2, 4, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    field = torch.rand(2, 2, 4, 4, generator=generator, dtype=torch.float64)
    inside = torch.rand(2, 4, 4, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: level_set_loss(x, field, inside), mask)


def test_a_flat_mask_is_consistent_everywhere_but_an_odd_pixel_is_not() -> None:
    image = torch.rand(1, 3, 7, 7, generator=torch.Generator().manual_seed(1))
    inside = torch.ones(1, 7, 7)
    flat = torch.full((1, 7, 7), 0.4)
    assert consistency_loss(flat, image, inside).item() == pytest.approx(0.0, abs=1e-6)
    odd = flat.clone().requires_grad_()
    with torch.no_grad():
        odd[0, 3, 3] = 0.9
    loss = consistency_loss(odd, image, inside)
    loss.backward()
    assert loss.item() > 0.009
    assert odd.grad[0, 3, 3] > 0


def test_no_region_is_no_loss() -> None:
    empty = torch.zeros(0, 4, 4, requires_grad=True)
    loss = level_set_loss(empty, torch.zeros(0, 3, 4, 4), torch.zeros(0, 4, 4))
    loss = loss + consistency_loss(empty, torch.zeros(0, 3, 4, 4), torch.zeros(0, 4, 4))
    loss.backward()
    assert loss.item() == 0.0
