"""Masks from boxes in the common trainer; training itself is tested with ``training_recipes``."""

import torch

from tests.tasks.operations.tiny_instances import tiny_training


def test_what_it_says_of_a_step_is_what_it_draws(tmp_path):
    lesson = tiny_training(tmp_path / "images", tmp_path / "c").lesson
    assert lesson.num_images == 5
    assert lesson.recipe.images_per_step == 4
    names = lesson.names(2)
    batch, counts = lesson.draw(2, range(1, 3))
    assert batch.image_ids == names[1:3]
    assert set(counts) == {"classification", "projection", "global", "local"}
    losses = lesson.losses(batch, 2, torch.device("cpu"), torch.channels_last)
    assert losses.keys() == counts.keys()
