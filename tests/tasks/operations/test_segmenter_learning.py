"""What the common trainer is told of a segmenter; the training itself is tested with ``training_recipes``."""

import pytest
import torch

from models.segmentation.instance_hub import memory_layout
from tests.tasks.operations.tiny_instances import tiny_training


def test_it_is_what_the_recipe_says(tmp_path):
    lesson = tiny_training(tmp_path / "images", tmp_path / "c").lesson
    learning, recipe = lesson.learning, lesson.recipe
    assert (learning.samples_per_step, learning.gradient_norm) == (4, 1.0)
    assert learning.words == ("image", "images_per_step", "optimizer.learning_rate")
    optimizer = learning.optimizer()
    assert isinstance(optimizer, torch.optim.SGD)
    rates = [learning.set_rates(optimizer, step) for step in (0, 1, 2, 4)]
    assert rates == pytest.approx([0.001, 0.0055, 0.01, 0.001])
    assert {group["lr"] for group in optimizer.param_groups} == {rates[-1]}
    assert learning.layout("cpu") == memory_layout(recipe.norm, "cpu")
    with learning.in_bfloat16(enabled=True, device_type="cpu"):
        assert lesson.network.network.model.pixel_level_module.encoder._forward_hooks
    assert lesson.amounts(0) == {}
