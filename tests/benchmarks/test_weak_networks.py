import pytest
import torch

from benchmarks.weak_networks import HEADS, narrow_model
from models.segmentation.box_supervision import BoxSupervision
from models.segmentation.objective import TrainingBatch


@pytest.mark.parametrize("head", HEADS)
def test_a_narrow_model_learns_from_every_box(head):
    """Boxes of a fifth and of four fifths of the side both reach the masks."""
    torch.manual_seed(0)
    model = narrow_model(head, num_categories=2, num_queries=6, side=64)
    assert sum(weight.numel() for weight in model.parameters()) < 2_000_000
    for share in (0.2, 0.8):
        box = torch.tensor([[4.0, 4.0, 4.0 + 64 * share, 4.0 + 56 * share]])
        batch = TrainingBatch(torch.rand(1, 3, 64, 64), (box,), (torch.tensor([1]),), (0,))
        losses = model.losses(batch, BoxSupervision(local_iterations=1), step=0)
        assert losses["projection"] > 0.0
        assert losses["local"] > 0.0
