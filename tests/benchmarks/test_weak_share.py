import pytest
import torch

from benchmarks.weak_networks import narrow_pyramid
from benchmarks.weak_share import BOXES, IMAGES, SIDE, count_masks, make_batch, tree_for_each_region
from models.segmentation.box_supervision import BoxSupervision
from models.segmentation.condinst import CondInstHead
from models.segmentation.instance_models import CondInstSegmenter
from models.segmentation.objective import TrainingBatch


def test_the_batch_is_what_was_asked_for():
    batch = make_batch()
    assert batch.image_BCHW.shape == (IMAGES, 3, SIDE, SIDE)
    assert 0.0 <= batch.image_BCHW.min() < batch.image_BCHW.max() <= 1.0
    for boxes in batch.boxes:
        assert boxes.shape == (BOXES, 4)
        assert (boxes >= 0.0).all()
        assert (boxes <= SIDE).all()


def test_a_tree_for_each_region_gives_the_same_losses():
    """It costs more and says nothing else."""
    torch.manual_seed(0)
    head = CondInstHead(
        channels=32, num_categories=1, branch_width=16, num_convolutions=1, strides=(4, 8, 16, 32, 64)
    )
    model = CondInstSegmenter(pyramid=narrow_pyramid(32), head=head)
    boxes = torch.tensor([[4.0, 4.0, 30.0, 40.0], [20.0, 10.0, 60.0, 50.0]])
    batch = TrainingBatch(torch.rand(2, 3, 64, 64), (boxes, boxes[:1]), (torch.zeros(2).long(),) * 1
                          + (torch.zeros(1).long(),), (0, 1))  # fmt: skip
    supervision = BoxSupervision(local_iterations=2, stretch=True)
    shared = model.losses(batch, supervision, step=0)
    with tree_for_each_region():
        each = model.losses(batch, supervision, step=0)
    assert shared.keys() == each.keys() >= {"global", "local", "projection"}
    for name, value in shared.items():
        assert each[name].item() == pytest.approx(value.item(), rel=1e-5), name
    assert 2 < count_masks(model, batch, supervision) < 200
    assert model.losses(batch, supervision, step=0)["global"] > 0.0
