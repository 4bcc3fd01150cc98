"""Conversations about scenes are true, and their regions are the objects."""

import numpy as np

from tasks.data.region_records import RegionMark
from tasks.data.rle import decode_mask
from tasks.data.shapes_facts import (
    scene_dialogue,
    scene_facts,
    scene_file,
    scene_parts,
    scene_questions,
    scene_short_form,
)
from tasks.data.shapes_world import WorldSettings, draw_scene, expressions

SETTINGS = WorldSettings(side=64, least=2, most=4, stripes=True)
SCENES = [draw_scene(1, number, SETTINGS) for number in range(1, 9)]


def rounds(sample):
    return list(zip(sample.turns[::2], sample.turns[1::2], strict=True))


def test_facts_are_the_objects():
    for scene in SCENES:
        captions = scene_facts(scene, "val", say="caption")
        told = scene_facts(scene, "val", say="expressions")
        assert captions.file == scene_file(scene, "val") == f"val/{scene.number:06d}.png"
        for index, (fact, other, shape) in enumerate(
            zip(captions.regions, told.regions, scene.objects, strict=True)
        ):
            np.testing.assert_array_equal(decode_mask(fact.region.mask), shape.mask)
            assert fact.region.box_xyxy == shape.box_xyxy
            assert fact.region.label == shape.category
            assert fact.texts == (shape.caption,)
            assert other.texts == expressions(scene, index)


def test_dialogues_are_true():
    for scene in SCENES:
        for ask, answer in rounds(scene_dialogue(scene, "train")):
            if len(ask.marks) == 1:
                assert answer.parts[0] == RegionMark(ask.marks[0])
                assert answer.parts[1] == f" is a {scene.objects[ask.marks[0]].caption}."
            else:
                leftmost = min(ask.marks, key=lambda index: scene.objects[index].centre[0])
                assert answer.parts == (RegionMark(leftmost), ".")


def test_short_answers_are_true():
    for scene in SCENES:
        for ask, answer in rounds(scene_short_form(scene, "train")):
            name = ask.parts[0].split()[3]
            assert answer.parts == (getattr(scene.objects[ask.marks[0]], name),)


def test_parts_are_the_stripes():
    found = [scene_parts(scene, "train") for scene in SCENES]
    assert any(found)
    for scene, sample in zip(SCENES, found, strict=True):
        striped = [shape for shape in scene.objects if shape.stripe]
        assert (sample is None) == (not striped)
        if sample is not None:
            for region, shape in zip(sample.regions, striped, strict=True):
                np.testing.assert_array_equal(decode_mask(region.mask), shape.stripe_mask)
                assert region.label == f"{shape.shape}:stripe"
            answers = [answer.parts[0] for _, answer in rounds(sample)]
            assert answers[::2] == [f"stripe of a {shape.category}" for shape in striped]
            assert answers[1::2] == [shape.stripe for shape in striped]


def test_questions_about_the_whole():
    sample = scene_questions(SCENES[0], "train", seed=0)
    assert sample.regions == ()
    assert len(rounds(sample)) == 4
    assert sample == scene_questions(SCENES[0], "train", seed=0)
    assert sample != scene_questions(SCENES[0], "train", seed=1)
