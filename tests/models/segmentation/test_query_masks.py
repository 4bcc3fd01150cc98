import dataclasses

import pytest
import torch
from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinConfig

from models.segmentation.box_supervision import BoxSupervision
from models.segmentation.query_masks import (
    QueryOutput,
    detect_queries,
    mask_boxes,
    query_losses,
    read_outputs,
)
from tests.models.segmentation.tiny import THRESHOLDS, tiny_batch

SUPERVISION = BoxSupervision(
    projection_weight=5.0,
    global_weight=1.0,
    local_weight=1.0,
    zeta_image=0.03,
    zeta_label=0.03,
    local_kernel=5,
    local_iterations=2,
    propagation_side=12,
    average="samples",
)


@pytest.fixture(scope="module")
def network() -> Mask2FormerForUniversalSegmentation:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = SwinConfig(
            embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4,
            out_features=["stage1", "stage2", "stage3", "stage4"],
        )  # fmt: skip
        config = Mask2FormerConfig(
            backbone_config=backbone, hidden_dim=32, feature_size=32, mask_feature_size=32,
            encoder_feedforward_dim=32, dim_feedforward=32, encoder_layers=1, decoder_layers=3,
            num_attention_heads=2, num_queries=10, num_labels=3, use_auxiliary_loss=True,
        )  # fmt: skip
        return Mask2FormerForUniversalSegmentation(config)


def test_every_layer_of_the_network_is_taught(network: Mask2FormerForUniversalSegmentation) -> None:
    batch = tiny_batch()
    outputs = read_outputs(network(pixel_values=batch.image_BCHW, output_auxiliary_logits=True))
    assert len(outputs) == 3
    assert outputs[-1].class_logit_BQK1.shape == (2, 10, 4)
    losses = query_losses(outputs, batch, SUPERVISION, step=0)
    assert set(losses) == {"classification", "projection", "global", "local"}
    sum(losses.values()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name
    first = next(network.model.pixel_level_module.encoder.parameters())
    assert first.grad.any()
    found = detect_queries(outputs[-1], [(64, 64), (50, 70)], THRESHOLDS)
    assert [item.masks.shape[1:] for item in found] == [(64, 64), (50, 70)]
    assert all((item.scores.diff() <= 0).all() for item in found)


def test_losses_of_layers_add_up() -> None:
    generator = torch.Generator().manual_seed(0)
    batch = tiny_batch()
    first, second = (
        QueryOutput(torch.randn(2, 5, 4, generator=generator), torch.randn(2, 5, 16, 16, generator=generator))
        for _ in range(2)
    )
    both = query_losses([first, second], batch, SUPERVISION, step=0)
    alone = [query_losses([output], batch, SUPERVISION, step=0) for output in (first, second)]
    for name, value in both.items():
        torch.testing.assert_close(value, alone[0][name] + alone[1][name])


def test_a_perfect_answer_costs_next_to_nothing_in_class_and_projection() -> None:
    batch = tiny_batch()
    class_logit = torch.full((2, 5, 4), -20.0)
    class_logit[..., 3] = 20.0
    mask_logit = torch.full((2, 5, 64, 64), -30.0)
    for query, (box, category) in enumerate(zip(batch.boxes[0].int().tolist(), (0, 2), strict=True)):
        left, top, right, bottom = box
        mask_logit[0, query, top:bottom, left:right] = 30.0
        class_logit[0, query, 3], class_logit[0, query, category] = -20.0, 20.0
    only = dataclasses.replace(SUPERVISION, global_weight=0.0, local_weight=0.0)
    losses = query_losses([QueryOutput(class_logit, mask_logit)], batch, only, step=0)
    assert losses["classification"].item() < 1e-6
    assert losses["projection"].item() < 1e-4


def test_a_network_that_hides_its_layers_is_refused(network: Mask2FormerForUniversalSegmentation) -> None:
    with torch.no_grad():
        output = network(pixel_values=torch.zeros(1, 3, 64, 64), output_auxiliary_logits=False)
    with pytest.raises(ValueError, match="output_auxiliary_logits=True"):
        read_outputs(output)


def test_scores_and_boxes_by_hand() -> None:
    class_logit = torch.log(torch.tensor([[[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]]))
    mask_logit = torch.full((1, 2, 4, 4), -10.0)
    mask_logit[0, 0, 1:3, 2:4] = torch.logit(torch.tensor(0.75))
    config = dataclasses.replace(THRESHOLDS, score_threshold=0.3, mask_threshold=0.5)
    (found,) = detect_queries(QueryOutput(class_logit, mask_logit), [(4, 4)], config)
    assert found.categories.tolist() == [0]
    assert found.scores.item() == pytest.approx(0.7 * 0.75)
    assert found.boxes_xyxy.tolist() == [[2.0, 1.0, 4.0, 3.0]]
    assert found.masks.sum() == 4


def test_boxes_of_masks() -> None:
    masks = torch.zeros(2, 3, 5, dtype=torch.bool)
    masks[0, 2, 4] = True
    masks[1] = True
    assert mask_boxes(masks).tolist() == [[4.0, 2.0, 5.0, 3.0], [0.0, 0.0, 5.0, 3.0]]
    assert mask_boxes(masks[:0]).shape == (0, 4)
