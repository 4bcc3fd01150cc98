import pytest
import torch
from transformers import Mask2FormerConfig, SwinConfig

from models.segmentation.backbones import resnet_pyramid
from models.segmentation.box_supervision import BoxSupervision
from models.segmentation.condinst import CondInstHead
from models.segmentation.instance_models import (
    CondInstSegmenter,
    InstanceModel,
    QuerySegmenter,
    SoloSegmenter,
)
from models.segmentation.solo import SoloHead
from tests.models.segmentation.test_solo_objective import RANGES
from tests.models.segmentation.tiny import THRESHOLDS, tiny_batch


def solo() -> SoloSegmenter:
    head = SoloHead(
        channels=32, width=32, num_categories=3, mask_channels=8, num_convolutions=1, grids=(8, 7, 6, 5, 4)
    )
    return SoloSegmenter(pyramid=resnet_pyramid("resnet18", width=32, norm="group"), head=head, ranges=RANGES)


def condinst() -> CondInstSegmenter:
    head = CondInstHead(
        channels=32, num_categories=3, mask_channels=8, branch_width=16, num_convolutions=1,
        strides=(4, 8, 16, 32, 64),
    )  # fmt: skip
    return CondInstSegmenter(pyramid=resnet_pyramid("resnet18", width=32, norm="group"), head=head)


def query(**given: object) -> QuerySegmenter:
    backbone = SwinConfig(
        embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    shape = {
        "hidden_dim": 32, "feature_size": 32, "mask_feature_size": 32, "encoder_feedforward_dim": 32,
        "dim_feedforward": 32, "encoder_layers": 1, "decoder_layers": 2, "num_attention_heads": 2,
        "num_queries": 5, "num_labels": 3, "use_auxiliary_loss": True,
    }  # fmt: skip
    return QuerySegmenter(Mask2FormerConfig(backbone_config=backbone, **(shape | given)))


@pytest.mark.parametrize("build", [condinst, solo, query])
def test_every_model_learns_from_the_same_losses_and_predicts_the_same_records(build) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: InstanceModel = build()
    batch = tiny_batch()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    totals = []
    for step in range(4):
        losses = model.losses(batch, BoxSupervision(local_iterations=2), step=step)
        assert {"classification", "projection", "global", "local"} <= set(losses)
        total = sum(losses.values())
        totals.append(total.item())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    assert totals[-1] < totals[0]
    found = model.detect(batch.image_BCHW, [(64, 64), (40, 50)], THRESHOLDS)
    assert [item.masks.shape[1:] for item in found] == [(64, 64), (40, 50)]
    assert all(len(item.scores) <= THRESHOLDS.detections_per_image for item in found)


def test_a_decoder_whose_layers_are_hidden_is_refused() -> None:
    with pytest.raises(ValueError, match="use_auxiliary_loss must be on"):
        query(use_auxiliary_loss=False)
