import numpy as np
import pytest
import torch

from benchmarks.weak_problems import world_problem
from benchmarks.weak_training import Setup, build, per_record, score, train
from models.segmentation.decode import Detections
from tasks.data.rle import decode_mask


@pytest.fixture
def problem(tmp_path):
    return world_problem(tmp_path, seeds=(1, 2), counts=(2, 3))


def test_a_training_repeats_itself(problem):
    """The same seed gives the same weights; masks play no part in them."""
    changes = ("images.crop=64", "schedule.length=2", "schedule.drops=[]", "images_per_step=2")
    setup = Setup(recipe="tiny_condinst", changes=changes, arms={"both": ()})
    models = []
    for _ in range(2):
        model, settings = build(setup, problem, seed=3, arm="both")
        before = torch.cat([weight.detach().flatten().clone() for weight in model.segmenter.parameters()])
        cost = train(model, settings, problem)
        models.append(torch.cat([weight.detach().flatten() for weight in model.segmenter.parameters()]))
        assert not torch.equal(models[-1], before)
        assert cost["processor_seconds"] > 0.0
    torch.testing.assert_close(models[0], models[1])


class _Knows:
    """Answers with the true masks, but never sees the last shape of an image."""

    def __init__(self, problem) -> None:
        self.problem, self.asked = problem, 0

    def predict(self, images):
        record = self.problem.asked[self.asked]
        self.asked += 1
        kept = record.regions[:-1]
        masks = np.stack([decode_mask(region.mask) for region in kept] or [np.zeros((64, 64), np.bool_)])
        return [
            Detections(
                boxes_xyxy=torch.tensor([region.box_xyxy for region in kept]).reshape(-1, 4),
                scores=torch.ones(len(kept)),
                categories=torch.tensor(
                    [self.problem.categories.index(region.category) for region in kept], dtype=torch.int64
                ),
                masks=torch.from_numpy(masks[: len(kept)]),
            )
        ]


def test_true_masks_have_full_score(problem):
    records = per_record(score(_Knows(problem), problem), problem)
    objects, matched, iou = (
        np.array([records[f"{name}.{kind}"] for kind in problem.categories]).sum(axis=0)
        for name in ("objects", "matched", "iou")
    )
    assert objects.tolist() == [len(record.regions) for record in problem.asked]
    assert matched.tolist() == [len(record.regions) - 1 for record in problem.asked]
    assert iou == pytest.approx(matched)
