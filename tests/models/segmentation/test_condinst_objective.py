import dataclasses

import pytest
import torch

from models.segmentation.box_supervision import BoxSupervision
from models.segmentation.condinst_objective import choose_masks, condinst_losses, detect_conditionally
from tests.models.segmentation.test_condinst import tiny_head
from tests.models.segmentation.test_solo import pyramid
from tests.models.segmentation.tiny import THRESHOLDS, tiny_batch

SUPERVISION = BoxSupervision(local_iterations=2)


def test_the_head_is_taught_by_every_loss() -> None:
    head, batch = tiny_head(), tiny_batch()
    losses = condinst_losses(head, head(pyramid(64, 64, channels=32)), batch, SUPERVISION, step=0)
    assert set(losses) == {"classification", "box", "centerness", "projection", "global", "local"}
    sum(losses.values()).backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    assert head.controller.weight.grad.any()


def test_a_batch_without_a_box_teaches_no_mask() -> None:
    head, batch = tiny_head(), tiny_batch()
    empty = batch._replace(
        boxes=(torch.zeros(0, 4),) * 2, categories=(torch.zeros(0, dtype=torch.int64),) * 2
    )
    losses = condinst_losses(head, head(pyramid(64, 64, channels=32)), empty, SUPERVISION, step=0)
    sum(losses.values()).backward()
    assert losses["classification"] > 0
    assert losses["box"] == losses["projection"] == losses["global"] == losses["local"] == 0
    assert not head.controller.weight.grad.any()


def test_every_box_has_its_turn_before_a_second_mask() -> None:
    image = torch.tensor([0, 0, 0, 0, 1, 1])
    region = torch.tensor([0, 0, 0, 1, 0, 0])
    assert choose_masks(image, region, limit=2).tolist() == [0, 3, 4, 5]
    assert choose_masks(image, region, limit=3).tolist() == [0, 1, 3, 4, 5]
    assert choose_masks(image, region).tolist() == [0, 1, 2, 3, 4, 5]
    assert choose_masks(image[:0], region[:0]).tolist() == []


def test_detections_lie_in_the_image_and_come_best_first() -> None:
    head = tiny_head()
    output = head(pyramid(64, 64, channels=32))
    config = dataclasses.replace(THRESHOLDS, score_threshold=0.0)
    found = detect_conditionally(head, output, [(64, 64), (40, 32)], [1.0, 2.0], config)
    for item, (height, width) in zip(found, [(64, 64), (40, 32)], strict=True):
        assert item.masks.shape[1:] == (height, width)
        assert (item.scores.diff() <= 0).all()
        assert (item.boxes_xyxy >= 0).all()
        assert (item.boxes_xyxy <= torch.tensor([width, height, width, height])).all()
        assert item.masks.flatten(1).any(dim=1).all()


def test_nothing_above_the_threshold_is_nothing_found() -> None:
    head = tiny_head()
    output = head(pyramid(64, 64, channels=32))
    config = dataclasses.replace(THRESHOLDS, score_threshold=1.0)
    (found,) = detect_conditionally(head, output, [(50, 60)], [1.0], config)
    assert found.masks.shape == (0, 50, 60)
    assert found.scores.numel() == 0


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5])
def test_masks_keep_their_place_at_any_scale(scale: float) -> None:
    """A mask of the left half of the input is one of the left half of the original image."""
    from models.segmentation.condinst_objective import _place

    side = int(64 * scale)
    logits = torch.full((1, side // 2, side // 2), -5.0)
    logits[:, :, : side // 4] = 5.0
    full = _place(logits, (64, 64), 2 / scale) > 0
    assert full[0, :, :31].all()
    assert not full[0, :, 33:].any()
