"""The objective: names, gradients, empty batches, and what the weights switch off."""

import pytest
import torch

from models.segmentation.objective import (
    Assignment,
    assign_batch,
    choose_regions,
    jitter_boxes,
    segmenter_losses,
)
from tests.models.segmentation.tiny import TRAINING, tiny_batch, tiny_segmenter, training


def losses(model, batch, config=TRAINING, step=5):
    generator = torch.Generator().manual_seed(0)
    return segmenter_losses(model, batch, config, step=step, generator=generator, bfloat16=False)


def test_every_loss_is_finite_and_every_weight_learns():
    model = tiny_segmenter()
    parts = losses(model, tiny_batch())
    assert list(parts) == ["classification", "box", "centerness", "projection", "global", "local"]
    assert all(part.isfinite() for part in parts.values())
    torch.stack(list(parts.values())).sum().backward()
    idle = [name for name, value in model.named_parameters() if value.grad is None]
    assert [name for name in idle if "layer_blocks.3" not in name] == []


def test_a_batch_without_regions_has_a_loss_and_a_gradient():
    batch = tiny_batch()
    none = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    empty = batch._replace(boxes=(none[0], none[0]), categories=(none[1], none[1]))
    model = tiny_segmenter()
    parts = losses(model, empty)
    assert all(part.isfinite() for part in parts.values())
    assert parts["projection"].item() == parts["global"].item() == 0.0
    torch.stack(list(parts.values())).sum().backward()
    assert model.head.category.weight.grad.abs().sum() > 0


def test_without_weights_there_is_no_propagation():
    model, batch = tiny_segmenter(), tiny_batch()
    parts = losses(model, batch, training(global_weight=0.0, local_weight=0.0))
    assert "global" not in parts
    assert torch.equal(parts["projection"], losses(model, batch)["projection"])


def test_the_affinity_losses_rise():
    model, batch = tiny_segmenter(), tiny_batch()
    config = training(affinity_warmup=4)
    first, last = losses(model, batch, config, step=0), losses(model, batch, config, step=9)
    assert first["global"].item() == pytest.approx(last["global"].item() / 4, rel=1e-5)


def test_one_location_of_each_chosen_region():
    assignment = assign_batch(tiny_batch())
    chosen = choose_regions(assignment, 5, torch.Generator().manual_seed(1))
    assert sorted(chosen.region_P.tolist()) == [0, 1]
    assert chosen.image_P.tolist() == [0, 0]
    few = choose_regions(assignment, 1, torch.Generator().manual_seed(1))
    assert len(few.region_P) == 1
    nothing = Assignment(*(torch.zeros(0, dtype=torch.int64) for _ in range(3)))
    assert len(choose_regions(nothing, 5, torch.Generator()).region_P) == 0


def test_jitter_stays_within_its_fraction():
    boxes = torch.tensor([[10.0, 20.0, 30.0, 60.0]]).expand(100, 4)
    moved = (jitter_boxes(boxes, 0.1, torch.Generator().manual_seed(0)) - boxes).abs()
    assert (moved.amax(dim=0) <= torch.tensor([2.0, 4.0, 2.0, 4.0]) + 1e-4).all()
    assert (moved.amax(dim=0) > 1.0).all()
