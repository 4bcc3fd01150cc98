import math

import pytest
import torch
from torch import nn

from benchmarks.region_mllm_parts import PartSettings, rise_and_fall, train_part


def test_the_rate_rises_and_falls():
    assert math.isclose(rise_and_fall(0, 100, warmup=10), 0.1)
    assert math.isclose(rise_and_fall(50, 100, warmup=10), 0.5)
    assert rise_and_fall(99, 100, warmup=10) < 0.001


@pytest.mark.parametrize("average", [0.0, 0.5])
def test_a_part_ends_with_the_mean_of_its_weights(average):
    """One weight whose gradient is 1: AdamW takes a step of the rate; the mean is behind unless it is off."""
    part = nn.Linear(1, 1, bias=False)
    nn.init.ones_(part.weight)
    settings = PartSettings(
        steps=3, per_step=1, learning_rate=0.1, warmup=1, average=average, weight_decay=0.0
    )
    cost = train_part(part, lambda _: {"weight": part.weight.sum()}, settings)
    weight, mean = 1.0, 1.0
    for step in range(3):
        weight -= 0.1 * rise_and_fall(step, 3, warmup=1)
        decay = min(average, (step + 1) / (step + 11))
        mean = decay * mean + (1 - decay) * weight
    assert torch.allclose(part.weight, torch.tensor(mean), atol=1e-5)
    assert set(cost) == {"wall_seconds", "processor_seconds"}
