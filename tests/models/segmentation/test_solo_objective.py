import dataclasses
import math

import pytest
import torch

from models.segmentation.box_supervision import BoxSupervision
from models.segmentation.solo import SoloOutput
from models.segmentation.solo_objective import detect_cells, matrix_decay, solo_losses
from tests.models.segmentation.test_solo import pyramid, tiny_head
from tests.models.segmentation.tiny import THRESHOLDS, tiny_batch

SUPERVISION = BoxSupervision(local_iterations=2)
RANGES = ((1, 24), (12, 48), (24, 96), (48, 192), (96, 512))


def test_the_head_is_taught_by_every_loss() -> None:
    head, batch = tiny_head(), tiny_batch()
    losses = solo_losses(head(pyramid(64, 64)), batch, SUPERVISION, step=0, ranges=RANGES)
    assert set(losses) == {"classification", "projection", "global", "local"}
    sum(losses.values()).backward()
    for name, parameter in head.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
    assert head.kernel.weight.grad.any()
    assert head.category.weight.grad.any()


def test_a_batch_without_a_box_teaches_only_what_is_nothing() -> None:
    head, batch = tiny_head(), tiny_batch()
    empty = batch._replace(
        boxes=(torch.zeros(0, 4),) * 2, categories=(torch.zeros(0, dtype=torch.int64),) * 2
    )
    losses = solo_losses(head(pyramid(64, 64)), empty, SUPERVISION, step=0, ranges=RANGES)
    sum(losses.values()).backward()
    assert losses["classification"] > 0
    assert losses["projection"] == losses["global"] == losses["local"] == 0
    assert not head.kernel.weight.grad.any()


def test_means_are_over_the_cells_of_all_levels() -> None:
    """A batch whose boxes fall on one level costs what its cells cost on average, however many levels."""
    head, batch = tiny_head(), tiny_batch()
    output = head(pyramid(64, 64))
    alone = solo_losses(output, batch, SUPERVISION, step=0, ranges=((1, 99),) + ((500, 600),) * 4)
    twice = solo_losses(output, batch, SUPERVISION, step=0, ranges=((1, 99),) * 2 + ((500, 600),) * 3)
    second = solo_losses(output, batch, SUPERVISION, step=0, ranges=((500, 600), (1, 99)) + ((500, 600),) * 3)
    low, high = sorted((alone["projection"].item(), second["projection"].item()))
    assert low <= twice["projection"].item() <= high


def perfect(categories: int = 2) -> SoloOutput:
    """One cell speaks of a square of the first image, at the first level; everything else is silent."""
    logits = [torch.full((1, categories, side, side), -20.0) for side in (4, 3, 2, 2, 2)]
    logits[0][0, 1, 1, 2] = math.log(0.8 / 0.2)
    kernels = [torch.zeros(1, 2, side, side) for side in (4, 3, 2, 2, 2)]
    kernels[0][0, 0, 1, 2] = 1.0
    feature = torch.full((1, 2, 16, 16), -40.0)
    feature[0, 0, 4:8, 6:12] = 40.0
    return SoloOutput(tuple(logits), tuple(kernels), feature)


def test_one_cell_gives_one_region() -> None:
    config = dataclasses.replace(THRESHOLDS, score_threshold=0.3)
    (found,) = detect_cells(perfect(), [(16, 16)], config)
    assert found.categories.tolist() == [1]
    assert found.scores.item() == pytest.approx(0.8, abs=1e-4)
    assert found.boxes_xyxy.tolist() == [[6.0, 4.0, 12.0, 8.0]]


def test_a_neighbour_that_says_the_same_is_no_second_region() -> None:
    output = perfect()
    output.category_logit_BKSS[0][0, 1, 1, 1] = math.log(0.7 / 0.3)
    output.kernel_BMSS[0][0, 0, 1, 1] = 1.0
    (found,) = detect_cells(output, [(16, 16)], dataclasses.replace(THRESHOLDS, score_threshold=0.3))
    assert len(found.scores) == 1


def test_silence_gives_nothing() -> None:
    output = perfect()
    output.category_logit_BKSS[0][:] = -20.0
    (found,) = detect_cells(output, [(20, 30)], dataclasses.replace(THRESHOLDS, score_threshold=0.3))
    assert found.masks.shape == (0, 20, 30)


def test_decay_by_hand() -> None:
    """IoU of 1/2 with a better one of the category: exp(-2 / 4); of another category: none."""
    masks = torch.zeros(3, 1, 4, dtype=torch.bool)
    masks[0, 0, :2], masks[1, 0, :1], masks[2, 0, :2] = True, True, True
    decay = matrix_decay(masks, torch.tensor([0, 0, 1]))
    assert decay.tolist() == pytest.approx([1.0, math.exp(-0.5), 1.0])


def test_a_mask_hidden_by_a_hidden_one_is_lowered_less() -> None:
    """The second equals the first; what it does to the third is divided by what was done to it."""
    masks = torch.zeros(3, 1, 8, dtype=torch.bool)
    masks[0, 0, :4], masks[1, 0, :4], masks[2, 0, 2:6] = True, True, True
    decay = matrix_decay(masks, torch.zeros(3, dtype=torch.int64))
    third = 2 / 6
    assert decay[1].item() == pytest.approx(math.exp(-2.0))
    assert decay[2].item() == pytest.approx(math.exp(-2 * third**2))
    assert matrix_decay(masks[:0], torch.zeros(0, dtype=torch.int64)).shape == (0,)
