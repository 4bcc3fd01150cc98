"""What is written in the formats of real datasets is what their readers read, and it is true."""

import json

import numpy as np
import pytest

from tasks.data.coco import category_names, read_split, to_records
from tasks.data.commit import verify_directory
from tasks.data.images import read_rgb
from tasks.data.importing import import_coco
from tasks.data.llava_files import read_llava_samples
from tasks.data.lvis import read_lvis
from tasks.data.osprey_annotations import read_captioned_images, read_captioned_regions
from tasks.data.osprey_files import read_category_list, read_osprey_descriptions, read_osprey_samples
from tasks.data.refcoco import read_references
from tasks.data.region_facts import facts_of_expressions, facts_of_images, facts_of_lvis, lvis_files
from tasks.data.region_records import RegionMark
from tasks.data.region_samples import SHORT_ANSWER, exists_samples
from tasks.data.rle import decode_mask
from tasks.data.shapes_facts import (
    scene_dialogue,
    scene_facts,
    scene_parts,
    scene_questions,
    scene_short_form,
)
from tasks.data.shapes_world import WorldSettings, draw_scene
from tasks.data.visual_genome import read_visual_genome
from tasks.operations.shapes_files import CATEGORIES, SCHEMA, osprey_text, write_shapes_files

SETTINGS = WorldSettings(side=64, least=2, most=5, stripes=True)
NUMBERS = {"train": (1, 2, 3, 4), "val": (5, 6)}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes") / "world"
    write_shapes_files(folder, seed=7, num_train=4, num_val=2, settings=SETTINGS)
    return folder


def scenes(split):
    return [draw_scene(7, number, SETTINGS) for number in NUMBERS[split]]


def places(facts):
    """Place and category of each region of each image."""
    return [
        [(fact.region.box_xyxy, fact.region.mask, fact.region.label) for fact in image.regions]
        for image in facts
    ]


def told(sample, *, suffix=""):
    """A conversation as an Osprey file tells it."""
    return [osprey_text(turn) + (suffix if turn.role == "user" else "") for turn in sample.turns]


@pytest.mark.parametrize("split", ["train", "val"])
def test_images_and_coco(world, split, tmp_path):
    manifest = import_coco(world, tmp_path / "dataset")
    table = read_split(tmp_path / "dataset", split)
    sha256 = {name: entry[0] for name, entry in manifest.files.items()}
    records = to_records(table, sha256, masks=True)
    assert category_names(table) == CATEGORIES
    truth = [scene_facts(scene, split, say="caption") for scene in scenes(split)]
    facts = facts_of_images(records, dataset="shapes", split=split)
    assert places(facts) == places(truth)
    assert [image.file for image in facts] == [image.file for image in truth]
    for image, scene in zip(facts, scenes(split), strict=True):
        np.testing.assert_array_equal(read_rgb(world / image.file, height=64, width=64), scene.image)
        for fact, shape in zip(image.regions, scene.objects, strict=True):
            np.testing.assert_array_equal(decode_mask(fact.region.mask), shape.mask)


def test_lvis(world):
    path = world / "lvis/lvis_v1_val.json"
    lvis = read_lvis(path)
    facts = facts_of_lvis(lvis, lvis_files(path), dataset="shapes", split="val")
    truth = [scene_facts(scene, "val", say="caption") for scene in scenes("val")]
    assert places(facts) == places(truth)
    assert [image.file for image in facts] == [image.file for image in truth]
    assert all(
        len(image.negative) == len(CATEGORIES) - len(set(image.truth.categories)) for image in lvis.images
    )


def test_refcoco(world):
    records = read_references(
        world / "refcoco/refs(unc).p", world / "refcoco/instances.json", source="shapes/unc"
    )
    facts = {image.image_id: image for image in facts_of_expressions(records)}
    for split in NUMBERS:
        for scene in scenes(split):
            truth = scene_facts(scene, split, say="expressions")
            found = facts[truth.image_id]
            assert found.split == split
            assert found.file == truth.file
            assert [fact.texts for fact in found.regions] == [fact.texts for fact in truth.regions]
            assert [place[:2] for place in places([found])[0]] == [place[:2] for place in places([truth])[0]]


@pytest.mark.parametrize(
    ("name", "kind", "make"),
    [
        ("conversation", "conversation", scene_dialogue),
        ("short_form", "short_form", scene_short_form),
        ("part", "part", scene_parts),
    ],
)
def test_osprey_conversations(world, name, kind, make):
    samples = read_osprey_samples(world / f"osprey/{name}_train.json", kind=kind, dataset="shapes")
    truth = [sample for scene in scenes("train") if (sample := make(scene, "train")) is not None]
    assert len(samples) == len(truth) > 0
    for sample, true in zip(samples, truth, strict=True):
        assert told(sample) == told(true, suffix="" if kind == "conversation" else SHORT_ANSWER)
        assert [turn.marks for turn in sample.turns] == [turn.marks for turn in true.turns]
        assert [region.mask for region in sample.regions] == [region.mask for region in true.regions]
        assert (sample.file, sample.size) == (true.file, true.size)


def test_osprey_existence(world):
    samples = read_osprey_samples(
        world / "osprey/lvis_positive_negative_train.json", kind="lvis", dataset="shapes"
    )
    facts = [scene_facts(scene, "train", say="caption") for scene in scenes("train")]
    truth = exists_samples(facts, seed=7, negative="nearest", categories=CATEGORIES)
    assert [told(sample) for sample in samples] == [told(sample) for sample in truth]
    answers = [turn.parts[0] for sample in samples for turn in sample.turns if turn.role == "assistant"]
    assert abs(answers.count("Yes.") - answers.count("No.")) <= 1


def test_osprey_descriptions_and_captions(world):
    truth = [scene_facts(scene, "val", say="caption") for scene in scenes("val")]
    described = read_osprey_descriptions(world / "osprey/description_val.json", dataset="shapes", split="val")
    captioned = read_captioned_regions(world / "osprey/captioned_regions_val.json", dataset="s", split="val")
    listed = read_category_list(world / "osprey/categories_val.json")
    for image, one, other, named in zip(truth, described, captioned, listed, strict=True):
        captions = [fact.texts[0] for fact in image.regions]
        assert [fact.texts[0] for fact in one.regions] == [f"A {caption}." for caption in captions]
        assert [fact.texts[0] for fact in other.regions] == captions
        assert places([other]) == places([image])
        assert [(region.mask, region.label) for region in named.regions] == [
            place[1:] for place in places([image])[0]
        ]
        assert one.file == other.file == named.file == image.file
    expressions = read_captioned_images(world / "osprey/captioned_images_val.json", dataset="s", split="val")
    facts = [fact for scene in scenes("val") for fact in scene_facts(scene, "val", say="expressions").regions]
    assert [image.regions[0].texts for image in expressions] == [
        (text,) for fact in facts for text in fact.texts
    ]
    assert [image.regions[0].region.mask for image in expressions] == [
        fact.region.mask for fact in facts for _ in fact.texts
    ]


def test_llava(world):
    samples = read_llava_samples(world / "llava/train.json", dataset="shapes")
    for sample, scene in zip(samples, scenes("train"), strict=True):
        assert sample.turns == scene_questions(scene, "train", seed=7).turns
        assert (world / sample.file).exists()


def test_visual_genome(world):
    names = ("region_descriptions.json", "image_data.json")
    facts = read_visual_genome(*(world / "visual_genome" / name for name in names), dataset="shapes")
    truth = [
        scene_facts(scene, split, say="caption") for split in ("train", "val") for scene in scenes(split)
    ]
    for image, true in zip(facts, truth, strict=True):
        assert image.file == true.file
        assert [(fact.region.box_xyxy, fact.texts) for fact in image.regions] == [
            (fact.region.box_xyxy, fact.texts) for fact in true.regions
        ]


def test_the_same_arguments_give_the_same_bytes(world, tmp_path):
    again = write_shapes_files(tmp_path / "again", seed=7, num_train=4, num_val=2, settings=SETTINGS)
    assert again == verify_directory(world, schema=SCHEMA)
    other = write_shapes_files(tmp_path / "other", seed=8, num_train=4, num_val=2, settings=SETTINGS)
    assert other.files != again.files
    assert (
        json.loads((world / "refcoco/instances.json").read_text())["images"][0]["file_name"]
        == "train/000001.png"
    )


def test_marks_are_counted_from_one_in_files():
    sample = scene_dialogue(draw_scene(7, 1, SETTINGS), "train")
    assert sample.turns[0].parts == ("What is ", RegionMark(0), "?")
    assert osprey_text(sample.turns[0]) == "What is <region1>?"


def test_a_split_needs_a_scene(tmp_path):
    with pytest.raises(ValueError, match="each split needs a scene, got 1 and 0"):
        write_shapes_files(tmp_path / "x", seed=0, num_train=1, num_val=0, settings=SETTINGS)
    assert not (tmp_path / "x").exists()
