"""Windows around boxes for mask heads: where they lie, what they teach, what is cut out of them."""

import math

import pytest
import torch

from models.segmentation.box_supervision import BoxSupervision
from models.segmentation.detectron2_windows import (
    WindowSettings,
    draw_windows,
    middle,
    window_losses,
)

SUPERVISION = BoxSupervision(local_iterations=3, stretch=True)


def drawn(boxes, categories=None, **changes):
    given = [torch.tensor(part).reshape(-1, 4) for part in boxes]
    kinds = categories or [torch.zeros(len(part), dtype=torch.int64) for part in given]
    return draw_windows(given, kinds, WindowSettings(**changes), torch.Generator().manual_seed(0))


def disc(side=64):
    """A bright disc in a dark image, its box and its mask."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    inside = (x - 31.5).square() + (y - 31.5).square() <= 14.0**2
    image = torch.where(inside, 0.9, 0.1).expand(1, 3, side, side).clone()
    return image, [[18.0, 18.0, 46.0, 46.0]], inside


def test_windows_hold_their_boxes():
    boxes = [[[10.0, 20.0, 30.0, 60.0], [0.0, 0.0, 8.0, 8.0]], []]
    found = drawn(boxes, margin=0.3, jitter=0.05)
    assert [len(part) for part in found.windows] == [2, 0]
    size = (found.boxes[0][:, 2:] - found.boxes[0][:, :2]).repeat(1, 2)
    reach = (found.windows[0] - found.boxes[0]) * torch.tensor([-1.0, -1.0, 1.0, 1.0]) / size
    assert reach.min() >= 0.3 - 0.05 * 1.6
    assert reach.max() <= 0.3 + 0.05 * 1.6
    exact = drawn(boxes, margin=0.5, jitter=0.0)
    torch.testing.assert_close(
        exact.windows[0], torch.tensor([[0.0, 0.0, 40.0, 80.0], [-4.0, -4.0, 12.0, 12.0]])
    )


def test_at_most_so_many_boxes_of_an_image():
    boxes = [[[float(n), 0.0, n + 5.0, 5.0] for n in range(10)]]
    kinds = [torch.arange(10)]
    found = drawn(boxes, kinds, regions_per_image=4)
    assert len(found.boxes[0]) == 4
    assert torch.equal(found.boxes[0][:, 0].long(), found.categories[0])
    assert torch.equal(found.categories[0], drawn(boxes, kinds, regions_per_image=4).categories[0])


def losses_of(logit, image, boxes, supervision=SUPERVISION, sizes=((64, 64),)):
    return window_losses(logit, drawn(boxes, jitter=0.0), image, sizes, supervision, step=9)


def test_the_true_mask_costs_less_than_the_box_and_than_nothing():
    """In a crop without margin the whole box would cost nothing at all."""
    image, box, inside = disc()
    window = drawn([box], jitter=0.0).windows[0][0]
    side = 28
    place = window[0] + (torch.arange(side) + 0.5) * (window[2] - window[0]) / side
    true = inside[place.long()[:, None], place.long()[None]]
    in_box = (place > 18.0) & (place < 46.0)
    logits = {
        "true": torch.where(true, 6.0, -6.0),
        "box": torch.where(in_box[:, None] & in_box[None], 6.0, -6.0),
        "all": torch.full((side, side), 6.0),
        "nothing": torch.full((side, side), -6.0),
    }
    totals = {
        name: sum(losses_of(logit[None, None], image, [box]).values()).item()
        for name, logit in logits.items()
    }
    assert totals["true"] < 0.2
    assert totals["true"] < min(totals["box"], totals["all"], totals["nothing"]) - 0.05


def test_a_head_learns_the_disc_from_its_box():
    image, box, inside = disc()
    logit = torch.zeros(1, 1, 28, 28, requires_grad=True)
    optimizer = torch.optim.Adam([logit], lr=0.2)
    for _ in range(40):
        optimizer.zero_grad()
        sum(losses_of(logit, image, [box]).values()).backward()
        optimizer.step()
    mask = middle(logit.detach(), 0.3)[0, 0] > 0.0
    place = (18.0 + torch.arange(28) + 0.5).long()
    truth = inside[place[:, None], place[None]]
    iou = (mask & truth).sum() / (mask | truth).sum()
    assert iou > 0.87
    assert truth.float().mean() == pytest.approx(math.pi / 4, abs=0.03)  # the IoU of the whole box


def test_the_category_chooses_the_mask():
    image, box, _ = disc()
    logit = torch.randn(1, 3, 14, 14, generator=torch.Generator().manual_seed(0), requires_grad=True)
    found = drawn([box], [torch.tensor([2])])
    told = window_losses(logit, found, image, [(64, 64)], SUPERVISION, step=0)
    sum(told.values()).backward()
    assert logit.grad[0, 2].abs().sum() > 0.0
    assert logit.grad[0, :2].eq(0.0).all()


def test_padding_is_no_image():
    """What lies beyond an image's size teaches nothing, whatever stands there."""
    image, _, _ = disc()
    box = [[18.0, 18.0, 46.0, 46.0]]
    logit = torch.randn(1, 1, 14, 14, generator=torch.Generator().manual_seed(0))
    other = image.clone()
    other[:, :, 48:] = 0.7
    first, second = (losses_of(logit, part, [box], sizes=[(48, 64)]) for part in (image, other))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_without_a_region_all_losses_are_zero_and_have_their_names():
    image, box, _ = disc()
    names = losses_of(torch.zeros(1, 1, 14, 14), image, [box]).keys()
    logit = torch.zeros(0, 1, 14, 14, requires_grad=True)
    told = losses_of(logit, image, [[]])
    assert told.keys() == names
    assert all(value.item() == 0.0 for value in told.values())
    sum(told.values()).backward()


def test_the_middle_of_a_window_is_its_box():
    ramp = torch.linspace(-1.6, 1.6, 57)[1::2]  # where samples of a window of margin 0.3 lie, in half sides
    field = ramp.expand(1, 1, 28, 28)
    expected = (torch.arange(28) + 0.5) / 28 * 2.0 - 1.0
    torch.testing.assert_close(middle(field, 0.3)[0, 0], expected.expand(28, 28), rtol=0.0, atol=1e-5)
    torch.testing.assert_close(
        middle(field.mT, 0.3)[0, 0], expected[:, None].expand(28, 28), rtol=0.0, atol=1e-5
    )
    assert middle(torch.zeros(0, 1, 28, 28), 0.3).shape == (0, 1, 28, 28)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"margin": 0.0}, r"^margin must be positive and above jitter, .* got 0\.0 and 0\.05\.$"),
        ({"jitter": 0.3}, r"^margin must be positive and above jitter, .* got 0\.3 and 0\.3\.$"),
        ({"regions_per_image": 0}, r"^regions_per_image must be at least 1, got 0\.$"),
    ],
)
def test_windows_that_show_no_background_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        WindowSettings(**changes)
