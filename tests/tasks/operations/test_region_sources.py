"""Every form, read from the shapes world, which is written in all of them; and what does not fit."""

import json

import pytest

from tasks.data.shapes_facts import scene_dialogue, scene_facts
from tasks.data.shapes_world import WorldSettings, draw_scene
from tasks.errors import DataError, UsageError
from tasks.operations.region_sources import RegionSource, detect_kind, read_source
from tasks.operations.shapes_files import write_shapes_files
from tests.tasks.data.test_vcr import written

SETTINGS = WorldSettings(side=64, least=2, most=5, stripes=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world") / "shapes"
    write_shapes_files(folder, seed=7, num_train=3, num_val=2, settings=SETTINGS)
    return folder


def scenes():
    return [draw_scene(7, number, SETTINGS) for number in (1, 2, 3)]


def read(world, form, *names, **options):
    return read_source(RegionSource(form=form, files=tuple(world / name for name in names), **options))


def test_coco_and_lvis_have_categories(world):
    truth = [
        [fact.region.label for fact in scene_facts(scene, "train", say="caption").regions]
        for scene in scenes()
    ]
    coco = read(world, "coco", "annotations/instances_train.json", dataset="mine").facts
    lvis = read(world, "lvis", "lvis/lvis_v1_train.json").facts
    for found in (coco, lvis):
        assert [[fact.region.label for fact in image.regions] for image in found] == truth
        assert all(fact.region.mask is not None for image in found for fact in image.regions)
    assert {image.dataset for image in coco} == {"mine"}
    assert {image.split for image in lvis} == {"train"}
    assert lvis[0].file == "train/000001.png"


def test_expressions_of_all_splits_or_of_one(world):
    files = ("refcoco/refs(unc).p", "refcoco/instances.json")
    every = read(world, "refcoco", *files).facts
    assert {image.split for image in every} == {"train", "val"}
    some = read(world, "refcoco", *files, split="val").facts
    assert {image.split for image in some} == {"val"}
    assert all(fact.texts for image in some for fact in image.regions)
    with pytest.raises(UsageError, match="has no split 'testB'; it has train, val"):
        read(world, "refcoco", *files, split="testB")


def test_visual_genome_and_llava(world):
    names = ("visual_genome/region_descriptions.json", "visual_genome/image_data.json")
    assert len(read(world, "visual-genome", *names).facts) == 5
    mine = read(world, "visual-genome", *names, dataset="mine", split="val").facts
    assert {(image.dataset, image.split) for image in mine} == {("mine", "val")}
    found = read(world, "llava", "llava/train.json")
    assert len(found.samples) == 3
    assert found.facts == ()
    assert found.samples[0].size is None


def test_vcr(tmp_path):
    path, images = written(tmp_path)
    found = read_source(RegionSource(form="vcr", files=(path,), images=images, split="val"))
    assert [(sample.dataset, sample.split) for sample in found.samples] == [("vcr", "val")]
    found = read_source(RegionSource(form="vcr", files=(path,), images=images, dataset="mine"))
    assert [sample.dataset for sample in found.samples] == ["mine"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("conversation", "conversation"),
        ("short_form", "short_form"),
        ("part", "part"),
        ("lvis_positive_negative", "lvis"),
        ("description", "description"),
        ("categories", "categories"),
        ("captioned_regions", "captioned"),
        ("captioned_images", "expressions"),
    ],
)
def test_osprey_files_tell_what_they_are(world, name, kind):
    path = f"osprey/{name}_train.json"
    assert detect_kind(world / path) == kind
    found, said = read(world, "osprey", path), read(world, "osprey", path, kind=kind)
    assert found == said
    assert bool(found.samples) != bool(found.facts)
    assert found.detailed == (kind == "description")


def test_osprey_dialogues_are_what_was_written(world):
    found = read(world, "osprey", "osprey/conversation_train.json", "osprey/short_form_train.json")
    assert [sample.turns for sample in found.samples[:3]] == [
        scene_dialogue(scene, "train").turns for scene in scenes()
    ]
    assert {sample.dataset for sample in found.samples} == {"osprey-conversation", "osprey-short_form"}


def test_two_files_of_facts_are_imported_one_by_one(world):
    with pytest.raises(UsageError, match="2 of the files have no questions of their own"):
        read(world, "osprey", "osprey/description_train.json", "osprey/categories_train.json")


def test_a_name_that_does_not_tell(world, tmp_path):
    (tmp_path / "x.json").write_bytes((world / "osprey/conversation_train.json").read_bytes())
    with pytest.raises(UsageError, match="Say --kind conversation, part, short_form or lvis"):
        detect_kind(tmp_path / "x.json")
    (tmp_path / "partial_conversation.json").write_bytes((tmp_path / "x.json").read_bytes())
    assert detect_kind(tmp_path / "partial_conversation.json") == "conversation"
    (tmp_path / "partial.json").write_bytes((tmp_path / "x.json").read_bytes())
    with pytest.raises(UsageError, match="Say --kind"):
        detect_kind(tmp_path / "partial.json")
    for name, kind in (("osprey_part_level.json", "part"), ("all-conversations.json", "conversation")):
        (tmp_path / name).write_bytes((tmp_path / "x.json").read_bytes())
        assert detect_kind(tmp_path / name) == kind
    (tmp_path / "y.json").write_text(json.dumps([{"id": 1}]))
    with pytest.raises(DataError, match=r"is none of Osprey's files: its first entry has \['id'\]"):
        detect_kind(tmp_path / "y.json")


def test_lines_need_a_split(world, tmp_path):
    path = tmp_path / "refcoco.jsonl"
    row = {
        "img_id": "COCO_train2014_000000000009_0", "image_id": 9, "sent": "the cup",
        "bbox": [1, 1, 4, 4], "width": 20, "height": 10,
    }  # fmt: skip
    path.write_text(json.dumps(row) + "\n")
    (image,) = read(tmp_path, "refcoco", path.name, split="testA").facts
    assert (image.split, image.regions[0].texts) == ("testA", ("the cup",))
    with pytest.raises(UsageError, match="does not say of which split it is"):
        read(tmp_path, "refcoco", path.name)


@pytest.mark.parametrize(
    ("form", "count", "options", "message"),
    [
        ("coco", 2, {}, "--from coco reads a file in COCO form, got 2 files"),
        ("visual-genome", 1, {}, "reads region_descriptions.json and image_data.json, got 1"),
        ("refcoco", 3, {}, r"reads refs\(...\).p and instances.json, or one file, got 3"),
        ("osprey", 0, {}, "reads at least one file, got 0"),
        ("vcr", 1, {}, "outlines of VCR lie beside its images"),
        ("coco", 1, {"kind": "part"}, "--kind: belongs to --from osprey"),
        ("coco", 1, {"cut": True}, "--cut: belongs to --from visual-genome"),
        ("lvis", 1, {"coco_2017": True}, "--coco-2017: belongs to --from osprey"),
    ],
)
def test_what_does_not_fit_together(tmp_path, form, count, options, message):
    with pytest.raises(UsageError, match=message):
        read(tmp_path, form, *(["x.json"] * count), **options)


@pytest.mark.parametrize("name", ["captioned_regions", "captioned_images", "conversation"])
def test_files_over_several_lines(world, tmp_path, name):
    path = tmp_path / f"{name}_train.json"
    document = json.loads((world / f"osprey/{path.name}").read_text())
    path.write_text(json.dumps(document, indent=2))
    assert detect_kind(path) == detect_kind(world / f"osprey/{path.name}")
    assert read(tmp_path, "osprey", path.name) == read(world, "osprey", f"osprey/{path.name}")
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    with pytest.raises(DataError, match=r"invalid JSON at byte \d{3,}") as caught:
        detect_kind(path)
    assert caught.value.obj == str(path)
