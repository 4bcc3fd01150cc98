import dataclasses

import pytest
import torch

from models.segmentation.box_losses import PredictedMasks, box_losses, distance_inside, share_outside
from models.segmentation.box_supervision import BoxSupervision, cover, guide

EVERY = BoxSupervision(
    projection_weight=3.0,
    global_weight=2.0,
    local_weight=1.0,
    pairwise_weight=1.0,
    level_set_weight=0.05,
    consistency_weight=0.2,
    local_iterations=2,
)
NAMES = {"projection", "global", "local", "pairwise", "level_set", "consistency"}


def scene(regions: int = 3, images: int = 2, size: int = 16) -> tuple[PredictedMasks, torch.Tensor]:
    generator = torch.Generator().manual_seed(regions)
    ramp = torch.linspace(0.2, 0.8, 2 * size)
    image = 0.02 * torch.rand(images, 3, 2 * size, 2 * size, generator=generator) + ramp
    corner = torch.rand(regions, 2, generator=generator) * size
    boxes = torch.cat((corner, corner + 6 + torch.rand(regions, 2, generator=generator) * size), dim=1)
    masks = PredictedMasks(
        logit_RHW=torch.randn(regions, size, size, generator=generator).requires_grad_(),
        image_R=torch.arange(regions) % images,
        inside_RHW=cover(boxes, size, size, stride=2.0),
    )
    return masks, image


def losses_of(masks, image, supervision, *, step):
    size = tuple(masks.logit_RHW.shape[1:])
    return box_losses(masks, guide(image, size, supervision), supervision, step=step)


def test_every_loss_is_there_finite_and_moves_the_logits() -> None:
    masks, image = scene()
    losses = losses_of(masks, image, EVERY, step=0)
    assert set(losses) == NAMES
    for name, value in losses.items():
        assert torch.isfinite(value), name
        (slope,) = torch.autograd.grad(value, masks.logit_RHW, retain_graph=True)
        assert slope.any(), name


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_weight_of_zero_switches_a_loss_off_and_leaves_the_others(name: str) -> None:
    masks, image = scene()
    everything = losses_of(masks, image, EVERY, step=0)
    off = losses_of(masks, image, dataclasses.replace(EVERY, **{f"{name}_weight": 0.0}), step=0)
    assert set(off) == NAMES - {name}
    for other, value in off.items():
        torch.testing.assert_close(value, everything[other])


def test_what_lies_outside_by_hand() -> None:
    """Boxes of 2 and 4 samples; 0.5 in two samples outside the first, 1 in two outside the second."""
    inside = torch.zeros(2, 3, 3)
    inside[0, 0, :2] = 1.0
    inside[1, :2, :2] = 1.0
    mask = inside.clone()
    mask[0, 2, :2] = 0.5
    mask[1, 2, :2] = 1.0
    torch.testing.assert_close(share_outside(mask, inside), torch.tensor((1.0 / 2 + 2.0 / 4) / 2))
    assert share_outside(inside, inside) == 0.0
    assert share_outside(inside[:0], inside[:0]) == 0.0


def test_outside_is_a_part_of_the_projection() -> None:
    masks, image = scene()
    spilt = dataclasses.replace(EVERY, outside_weight=2.0)
    with_it, without = (losses_of(masks, image, part, step=0) for part in (spilt, EVERY))
    more = 2.0 * share_outside(masks.logit_RHW.sigmoid(), masks.inside_RHW)
    torch.testing.assert_close(with_it["projection"], without["projection"] + more)
    (slope,) = torch.autograd.grad(with_it["projection"] - without["projection"], masks.logit_RHW)
    assert (slope[masks.inside_RHW == 0.0] > 0.0).all()


def test_a_weight_scales_its_loss() -> None:
    masks, image = scene()
    twice = dataclasses.replace(EVERY, global_weight=4.0)
    torch.testing.assert_close(
        losses_of(masks, image, twice, step=0)["global"],
        2 * losses_of(masks, image, EVERY, step=0)["global"],
    )


def test_all_but_the_projection_rise() -> None:
    masks, image = scene()
    slow = dataclasses.replace(EVERY, warmup_steps=4)
    early, late = (losses_of(masks, image, slow, step=step) for step in (0, 9))
    torch.testing.assert_close(early["projection"], late["projection"])
    for name in NAMES - {"projection"}:
        torch.testing.assert_close(4 * early[name], late[name])


def test_a_batch_without_a_region_gives_zeros_that_can_be_summed() -> None:
    masks, image = scene()
    empty = PredictedMasks(masks.logit_RHW[:0], masks.image_R[:0], masks.inside_RHW[:0])
    total = sum(losses_of(empty, image, EVERY, step=0).values())
    total.backward()
    assert total.item() == 0.0
    assert not masks.logit_RHW.grad.any()


def test_regions_of_one_image_give_what_each_gives_with_an_image_of_its_own() -> None:
    """One tree an image, whoever asks: the published code builds one for each region."""
    masks, image = scene(regions=4)
    together = losses_of(masks, image, EVERY, step=0)
    apart = losses_of(
        PredictedMasks(masks.logit_RHW, torch.arange(4), masks.inside_RHW),
        image[masks.image_R],
        EVERY,
        step=0,
    )
    for name, value in together.items():
        torch.testing.assert_close(value, apart[name], rtol=1e-5, atol=1e-6)


def test_a_mask_that_fills_its_box_has_no_projection_loss() -> None:
    inside = cover(torch.tensor([[4.0, 4.0, 20.0, 24.0]]), 16, 16, stride=2.0)
    masks = PredictedMasks(torch.where(inside > 0, 40.0, -40.0), torch.zeros(1, dtype=torch.int64), inside)
    only = BoxSupervision(global_weight=0.0, local_weight=0.0)
    assert losses_of(masks, torch.zeros(1, 3, 8, 8), only, step=0)["projection"].item() < 1e-5


def test_the_squashed_global_branch_runs_at_its_own_size() -> None:
    masks, image = scene()
    squashed = dataclasses.replace(EVERY, propagation_side=8, average="samples")
    losses = losses_of(masks, image, squashed, step=0)
    (slope,) = torch.autograd.grad(losses["global"], masks.logit_RHW)
    assert slope.any()


def test_large_boxes_count_more_only_where_samples_are_averaged() -> None:
    inside = torch.zeros(2, 4, 4)
    inside[0, :, :], inside[1, 0, 0] = 1.0, 1.0
    first, second = torch.zeros(2, 4, 4), torch.stack((torch.ones(4, 4), torch.zeros(4, 4)))
    assert distance_inside(first, second, inside, "regions").item() == 0.5
    assert distance_inside(first, second, inside, "samples").item() == pytest.approx(16 / 17)


def test_masks_that_do_not_fit_are_named() -> None:
    masks, image = scene()
    with pytest.raises(ValueError, match="a mask is of image 1, there are 1"):
        losses_of(masks, image[:1], EVERY, step=0)
    with pytest.raises(
        ValueError, match=r"masks of size \(16, 16\) need guidance of that size, got \(8, 8\)"
    ):
        box_losses(masks, guide(image, (8, 8), EVERY), EVERY, step=0)
    with pytest.raises(ValueError, match=r"need boxes of that shape and one image each"):
        losses_of(masks._replace(image_R=masks.image_R[:1]), image, EVERY, step=0)


def test_stretched_labels_pull_a_faint_mask_up() -> None:
    """Without it the label of a mask that is 0.3 all over its box is 0.3, and nothing moves."""
    inside = cover(torch.tensor([[4.0, 4.0, 28.0, 28.0]]), 16, 16, stride=2.0)
    image = torch.full((1, 3, 16, 16), 0.5)
    only = BoxSupervision(projection_weight=0.0, local_weight=0.0)
    for stretch, sign in ((False, 0.0), (True, -1.0)):
        logit = torch.full((1, 16, 16), -0.85).requires_grad_()
        masks = PredictedMasks(logit, torch.zeros(1, dtype=torch.int64), inside)
        rules = dataclasses.replace(only, stretch=stretch)
        losses_of(masks, image, rules, step=0)["global"].backward()
        assert logit.grad[0, 8, 8].sign() == sign
