"""Losses of few labelled pixels: switched by weight, equal in parts, and by hand where a hand can follow."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from models.segmentation.deeplab import SemanticOutput
from models.segmentation.semantic_losses import PADDING, UNLABELLED
from models.segmentation.semantic_objective import (
    SemanticBatch,
    SemanticSupervision,
    propagated_labels,
    semantic_counts,
    semantic_losses,
    shrink_labels,
)

EVERY = SemanticSupervision(
    tree_energy_weight=0.4, global_weight=0.3, local_weight=0.2, zeta_image=0.1, local_iterations=2
)


class Fixed(nn.Module):
    """Answers with what it was given for each image, whatever the image shows."""

    def __init__(self, logit_BKHW: torch.Tensor, embedding_BFHW: torch.Tensor | None) -> None:
        super().__init__()
        self.logit, self.embedding = nn.Parameter(logit_BKHW), embedding_BFHW

    def forward(self, image_BCHW: torch.Tensor) -> SemanticOutput:
        chosen = (image_BCHW[:, 0, 0, 0] * 10).round().long()
        return SemanticOutput(self.logit[chosen], None if self.embedding is None else self.embedding[chosen])


def world(*, embedding: bool = True) -> tuple[Fixed, SemanticBatch]:
    """Three images of 16 x 16 with unequal numbers of labels; the last has padding and none."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(3, 3, 16, 16, generator=generator)
    image[:, 0, 0, 0] = torch.tensor([0.0, 0.1, 0.2])
    label = torch.full((3, 16, 16), UNLABELLED)
    label[0, 2:7, 3], label[0, 9, 9], label[1, 12, 1] = 0, 1, 2
    label[2, :, 8:] = PADDING
    logit = torch.randn(3, 3, 4, 4, generator=generator)
    features = torch.rand(3, 5, 4, 4, generator=generator) if embedding else None
    return Fixed(logit, features), SemanticBatch(image, label)


def test_labels_shrink_cell_by_cell() -> None:
    label = torch.tensor(
        [
            [-1, -1, 3, -1, -2, -2],
            [-1, 2, -1, -1, -2, -1],
            [1, -1, -1, -1, -2, -2],
            [-1, 5, 0, 0, -2, -2],
        ]
    )[None]
    # One label; one label; unlabelled beside padding; two that differ; two that agree; padding alone.
    assert shrink_labels(label, (2, 3)).tolist() == [[[2, 3, -1], [-1, 0, -2]]]
    assert torch.equal(shrink_labels(label, (4, 6)), label)
    everything = replace(EVERY, unlabelled="all", propagation_stride=2)
    assert propagated_labels(label, everything).tolist() == [[[-1, -1, -1], [-1, -1, -2]]]


def test_cross_entropy_is_at_the_size_of_the_image() -> None:
    network, batch = world(embedding=False)
    losses = semantic_losses(network, batch, SemanticSupervision(label_weight=2.0), step=0)
    full = functional.interpolate(network.logit, size=(16, 16), mode="bilinear")
    known = batch.label_BHW >= 0
    picked = full.movedim(1, -1)[known]
    assert losses.keys() == {"labels"}
    torch.testing.assert_close(
        losses["labels"], 2.0 * functional.cross_entropy(picked, batch.label_BHW[known])
    )


def test_every_loss_reaches_the_logits_and_has_its_weight() -> None:
    network, batch = world()
    losses = semantic_losses(network, batch, EVERY, step=0)
    assert set(losses) == {"labels", "tree_energy", "global", "local"} == set(semantic_counts(batch, EVERY))
    for value in losses.values():
        slope = torch.autograd.grad(value, network.logit, retain_graph=True)[0]
        assert slope.isfinite().all()
        assert slope.abs().sum() > 0
    doubled = semantic_losses(network, batch, replace(EVERY, global_weight=0.6), step=0)
    assert doubled["global"].item() == pytest.approx(2.0 * losses["global"].item())
    assert doubled["local"].item() == losses["local"].item()
    trusting = semantic_losses(network, batch, replace(EVERY, prediction_trust=0.1), step=0)
    assert trusting["local"].item() != losses["local"].item()
    alone = semantic_losses(network, batch, replace(EVERY, label_weight=0.0, tree_energy_weight=0.0), step=0)
    assert set(alone) == {"global", "local"}


def test_all_but_the_labels_warm_up() -> None:
    network, batch = world()
    whole = semantic_losses(network, batch, EVERY, step=0)
    slow = replace(EVERY, warmup_steps=4)
    early = semantic_losses(network, batch, slow, step=0)
    late = semantic_losses(network, batch, slow, step=9)
    assert early["labels"].item() == whole["labels"].item()
    for name in ("tree_energy", "global", "local"):
        assert early[name].item() == pytest.approx(0.25 * whole[name].item())
        assert late[name].item() == pytest.approx(whole[name].item())


@pytest.mark.parametrize("unlabelled", ["rest", "all"])
@pytest.mark.parametrize("stride", [1, 2, 4])
def test_parts_weigh_what_they_are_a_mean_of(unlabelled: str, stride: int) -> None:
    supervision = replace(EVERY, unlabelled=unlabelled, propagation_stride=stride)
    network, batch = world()
    whole = semantic_losses(network, batch, supervision, step=0)
    counts = semantic_counts(batch, supervision)
    for name in whole:
        added = 0.0
        for place in range(3):
            part = SemanticBatch(*(value[place : place + 1] for value in batch))
            count = semantic_counts(part, supervision)[name]
            value = semantic_losses(network, part, supervision, step=0)[name].item()
            added += value * count.divisor(count.amount) / count.divisor(counts[name].amount)
        assert added == pytest.approx(whole[name].item(), rel=1e-5)


def test_with_all_the_labels_change_no_propagation() -> None:
    network, batch = world()
    supervision = replace(EVERY, unlabelled="all")
    other = batch._replace(label_BHW=torch.where(batch.label_BHW >= 0, 1, batch.label_BHW))
    first = semantic_losses(network, batch, supervision, step=0)
    second = semantic_losses(network, other, supervision, step=0)
    assert first["labels"].item() != second["labels"].item()
    assert all(first[name].item() == second[name].item() for name in ("tree_energy", "global", "local"))
    rest = [semantic_losses(network, labels, EVERY, step=0)["global"].item() for labels in (batch, other)]
    assert rest[0] != rest[1]


def test_the_embedding_guides_the_second_pass_and_learns_from_the_tree_energy() -> None:
    network, batch = world()
    network.embedding.requires_grad_()
    wide = replace(EVERY, zeta_label=2.0)
    losses = semantic_losses(network, batch, replace(wide, guidance="features"), step=0)
    assert torch.autograd.grad(losses["tree_energy"], network.embedding, retain_graph=True)[0].any()
    assert losses["global"].item() != semantic_losses(network, batch, wide, step=0)["global"].item()
    bare, batch = world(embedding=False)
    with pytest.raises(ValueError, match="the tree energy loss needs a network with an embedding"):
        semantic_losses(bare, batch, EVERY, step=0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"label_weight": -1.0}, r"label_weight must be finite and at least 0, got -1\.0"),
        ({"global_weight": float("nan")}, "global_weight must be finite"),
        ({"warmup_steps": -1}, "warmup_steps must be at least 0, got -1"),
        ({"guidance": "features", "global_weight": 1.0}, r"needs global_weight and tree_energy_weight"),
        ({"zeta_image": 0.0}, "zeta must be positive"),
        ({"tree_energy_sigma": -2.0}, "sigma must be positive"),
        ({"local_weight": 1.0, "local_kernel": 4}, "kernel_size must be odd"),
        ({"guidance": "image"}, "guidance2 must be"),
        ({"prediction_trust": 0.0}, r"prediction_trust must be in \(0, 1\], got 0\.0"),
        ({"prediction_trust": 0.5, "unlabelled": "all"}, "it must be 1 without them, got 0.5"),
    ],
)
def test_what_nothing_can_be_computed_with_is_refused(given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SemanticSupervision(**given)
