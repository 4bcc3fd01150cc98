"""The means of a whole batch are those of its parts, weighed by what each is a mean of."""

from dataclasses import replace

import pytest
import torch

from models.segmentation.box_supervision import BoxSupervision
from models.segmentation.loss_counts import loss_counts
from models.segmentation.objective import TrainingBatch
from tests.models.segmentation.test_instance_models import condinst, query, solo

EVERY = BoxSupervision(
    pairwise_weight=1.0,
    level_set_weight=0.01,
    consistency_weight=1.0,
    local_iterations=2,
    pairwise_threshold=0.5,
)


def three_images():
    """Two boxes of different sizes, none, and one."""
    image = torch.rand(3, 3, 64, 128, generator=torch.Generator().manual_seed(1))
    boxes = (
        torch.tensor([[10.0, 8.0, 30.0, 24.0], [36.0, 20.0, 110.0, 60.0]]),
        torch.zeros(0, 4),
        torch.tensor([[4.0, 30.0, 27.0, 58.0]]),
    )
    categories = (torch.tensor([0, 2]), torch.zeros(0, dtype=torch.int64), torch.tensor([1]))
    return TrainingBatch(image, boxes, categories, (1, 2, 3))


def places(batch, chosen):
    return TrainingBatch(batch.image_BCHW[chosen], *(part[chosen] for part in batch[1:]))


@pytest.mark.parametrize(
    ("build", "supervision"),
    [
        (condinst, EVERY),
        (condinst, replace(EVERY, average="samples")),
        (query, EVERY),
        (query, replace(EVERY, average="samples", propagation_side=12)),
        (solo, replace(EVERY, pairwise_weight=0.0)),
    ],
)
def test_parts_weigh_as_much_as_they_hold(build, supervision):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build().eval()
    batch = three_images()
    with torch.no_grad():
        whole = model.losses(batch, supervision, step=3)
        total = loss_counts(model, batch, supervision)
        assert total.keys() == whole.keys()
        sums, amounts = dict.fromkeys(whole, 0.0), dict.fromkeys(whole, 0.0)
        for chosen in (slice(0, 1), slice(1, 2), slice(2, 3)):
            part = places(batch, chosen)
            counts = loss_counts(model, part, supervision)
            for name, value in model.losses(part, supervision, step=3).items():
                count = counts[name]
                sums[name] += value.item() * count.divisor(count.amount) / count.divisor(total[name].amount)
                amounts[name] += count.amount
    assert amounts == pytest.approx({name: count.amount for name, count in total.items()})
    assert sums == pytest.approx({name: value.item() for name, value in whole.items()}, rel=2e-5, abs=1e-6)


def test_the_weights_matter():
    """An equal mean of the parts is another loss."""
    model = solo()
    counts = [loss_counts(model, places(three_images(), slice(n, n + 1)), BoxSupervision()) for n in range(3)]
    assert counts[0]["projection"].amount > counts[2]["projection"].amount > 0.0
    assert {count.amount for count in counts[1].values()} == {0.0}
    assert [counts[1][name].divisor(0.0) for name in ("projection", "classification")] == [1.0, 1.0]
    assert [counts[1][name].divisor(4.0) for name in ("projection", "classification")] == [4.0, 5.0]
