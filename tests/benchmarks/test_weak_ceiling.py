import pytest
import torch

from benchmarks.weak_ceiling import NAMES, handed_over, iou_inside, lasting, watch
from benchmarks.weak_problems import world_problem
from benchmarks.weak_training import PROJECTION, PROPAGATION, Setup
from models.segmentation import solo_objective


def test_the_iou_of_a_box():
    inside = torch.zeros(2, 4, 4)
    inside[:, :2] = 1.0
    true = torch.zeros(2, 4, 4, dtype=torch.bool)
    true[:, 0] = True
    field = torch.stack([torch.ones(4, 4), true[0].float()])
    assert iou_inside(field, true, inside).tolist() == [0.5, 1.0]


@pytest.mark.parametrize("head", ["condinst", "solo"])
def test_masks_and_labels_are_held_against_the_truth(tmp_path, head):
    problem = world_problem(tmp_path, seeds=(1, 2), counts=(2, 1))
    setup = Setup(
        recipe=f"tiny_{head}",
        changes=("images.crop=64", "images_per_step=2"),
        arms={PROJECTION: ("supervision.global_weight=0", "supervision.local_weight=0"), PROPAGATION: ()},
    )
    losses = solo_objective.box_losses
    found = watch(lasting(setup, 2), problem, 0, steps=(1, 2))
    assert list(found) == [1, 2]
    assert all(0.0 <= found[2][name] <= 1.0 for name in NAMES)
    assert len(set(found[2].values())) > 1
    assert solo_objective.box_losses is losses


def test_losses_come_back_after_an_error():
    losses = solo_objective.box_losses
    keeping = handed_over()
    keeping.__enter__()
    assert solo_objective.box_losses is not losses
    assert keeping.__exit__(RuntimeError, RuntimeError("stop"), None) is False
    assert solo_objective.box_losses is losses
