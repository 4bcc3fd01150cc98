import json

import numpy as np
import torch

from benchmarks.clip_scenes import (
    CLASSES,
    COLOURS,
    GROUNDS,
    SIZE,
    draw_scenes,
    new_clip,
    save_clip,
    teach,
    write_classes,
)
from tasks.data.class_words import read_class_words
from tasks.data.clip_weights import inspect_clip, load_clip


def test_scenes_are_what_their_captions_say():
    scenes = draw_scenes(3, 30)
    for scene, again in zip(scenes, draw_scenes(3, 20), strict=False):
        assert np.array_equal(scene.pixels, again.pixels)
    for scene in scenes:
        assert scene.pixels.shape == (SIZE, SIZE, 3)
        assert {CLASSES[value] for value in np.unique(scene.labels)} == {
            "background", *(colour for colour, _ in scene.things),
        }  # fmt: skip
        for colour, _ in scene.things:
            painted = scene.pixels[scene.labels == CLASSES.index(colour)].mean(axis=0) / 255
            assert np.abs(painted - COLOURS[colour]).max() < 0.35
        caption = scene.caption(np.random.default_rng(0))
        assert caption.endswith(f" on {scene.ground}.")
        assert all(f"a {colour} {shape}" in caption for colour, shape in scene.things)
    assert {scene.ground for scene in scenes} == set(GROUNDS)
    assert {len(scene.things) for scene in scenes} == {1, 2, 3}


def test_every_word_of_a_caption_is_one_token(tmp_path):
    model, tokenizer = new_clip(0, blocks=1)
    captions = [scene.caption(np.random.default_rng(0)) for scene in draw_scenes(0, 40)]
    for caption in captions:
        tokens = tokenizer.tokenize(caption)
        assert tokens == [f"{word}</w>" for word in caption.replace(".", " .").split()]
    again, _ = new_clip(0, blocks=1)
    torch.testing.assert_close(again.visual_projection.weight, model.visual_projection.weight)
    load_clip(inspect_clip(save_clip(model, tokenizer, tmp_path / "clip")))
    words = read_class_words(write_classes(tmp_path / "classes.txt"))
    assert words.classes.names == CLASSES
    assert words.words[0] == tuple(GROUNDS)


def test_teaching_lowers_the_loss_and_depends_on_the_seed_alone():
    scenes = draw_scenes(0, 32)
    runs = []
    for _ in range(2):
        model, tokenizer = new_clip(1, blocks=2)
        runs.append([loss for _, loss in teach(model, tokenizer, scenes, steps=12, seed=0, batch=16)])
    assert runs[0] == runs[1]
    assert np.mean(runs[0][-3:]) < np.mean(runs[0][:3])
    json.dumps(runs[0])
