"""Published files become directories; the same seed gives the same bytes; nothing to ask is an error."""

import json

import pytest

from tasks.data.commit import verify_directory
from tasks.data.region_directory import REGION_SAMPLES_SCHEMA, SUMMARY, read_region_directory
from tasks.data.region_questions import questions_of
from tasks.errors import DataError, UsageError
from tasks.operations.importing_regions import RegionImport, import_regions
from tasks.operations.region_sources import RegionSource
from tests.tasks.operations.test_region_sources import world  # noqa: F401 - a fixture

COCO = ("annotations/instances_train.json",)


def bring(world, out, form="coco", names=COCO, source=None, **options):  # noqa: F811
    files = tuple(world / name for name in names)
    wanted = RegionImport(source=RegionSource(form=form, files=files, **(source or {})), out=out, **options)
    return import_regions(wanted)


def test_categories_are_asked_for_by_name_and_by_yes_or_no(world, tmp_path):  # noqa: F811
    document = bring(world, tmp_path / "out", ask=("name", "exists"), seed=3)
    found = read_region_directory(tmp_path / "out")
    assert document["manifest_sha256"] == found.sha256
    kinds = document["counts"]["kinds"]
    assert set(kinds) == {"describe-label", "exists-nearest"}
    assert kinds["describe-label"] == kinds["exists-nearest"] == document["counts"]["questions"] / 2
    assert len(questions_of(found.samples)) == document["counts"]["questions"]
    written = json.loads((tmp_path / "out" / SUMMARY).read_text())
    assert written == {name: value for name, value in document.items() if name != "manifest_sha256"}
    again = bring(world, tmp_path / "again", ask=("name", "exists"), seed=3)
    assert again["manifest_sha256"] == document["manifest_sha256"]
    other = bring(world, tmp_path / "other", ask=("name", "exists"), seed=4)
    assert other["manifest_sha256"] != document["manifest_sha256"]


def test_what_is_asked_if_nothing_is_said(world, tmp_path):  # noqa: F811
    assert set(bring(world, tmp_path / "a")["counts"]["kinds"]) == {"describe-label"}
    phrases = ("refcoco/refs(unc).p", "refcoco/instances.json")
    document = bring(world, tmp_path / "b", "refcoco", phrases)
    assert set(document["counts"]["kinds"]) == {"describe-text"}
    document = bring(world, tmp_path / "c", "refcoco", phrases, ask=("choose",))
    assert set(document["counts"]["kinds"]) == {"choose"}


def test_conversations_are_taken_as_they_are(world, tmp_path):  # noqa: F811
    names = ("osprey/conversation_train.json",)
    document = bring(world, tmp_path / "out", "osprey", names)
    assert (document["ask"], document["counts"]["samples"]) == ([], 3)
    assert set(document["counts"]["kinds"]) == {"dialogue"}
    with pytest.raises(UsageError, match="these files have questions of their own"):
        bring(world, tmp_path / "x", "osprey", names, ask=("describe",))


def test_descriptions_are_asked_for_in_detail(world, tmp_path):  # noqa: F811
    bring(world, tmp_path / "out", "osprey", ("osprey/description_train.json",))
    questions = questions_of(read_region_directory(tmp_path / "out").samples)
    assert any("detail" in question.text or "thorough" in question.text for question in questions)
    assert not any("short" in question.text for question in questions)


def test_the_first_images_and_a_few_regions_of_each(world, tmp_path):  # noqa: F811
    document = bring(world, tmp_path / "out", limit=2, most=1)
    assert (document["counts"]["images"], document["counts"]["regions"]) == (2, 2)


def test_a_place_that_is_taken(world, tmp_path):  # noqa: F811
    bring(world, tmp_path / "out")
    bring(world, tmp_path / "out", seed=1)  # its own
    verify_directory(tmp_path / "out", schema=REGION_SAMPLES_SCHEMA)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter").write_text("x")
    with pytest.raises(UsageError, match="holds files that this command did not write"):
        bring(world, tmp_path / "mine")


def test_nothing_to_ask_about(world, tmp_path):  # noqa: F811
    with pytest.raises(DataError, match="no region has a phrase of its own"):
        bring(world, tmp_path / "out", ask=("describe",))
    empty = json.loads((world / COCO[0]).read_text()) | {"annotations": []}
    (tmp_path / "empty.json").write_text(json.dumps(empty))
    with pytest.raises(DataError, match="hold nothing to ask about"):
        bring(tmp_path, tmp_path / "out", names=("empty.json",))
    one = json.loads((world / COCO[0]).read_text())
    one["annotations"] = one["annotations"][:1]
    (tmp_path / "one.json").write_text(json.dumps(one))
    with pytest.raises(DataError, match="at least 2 categories are needed to say no"):
        bring(tmp_path, tmp_path / "out", names=("one.json",), ask=("exists",))
    assert not (tmp_path / "out").exists()


def test_files_that_repeat_an_id(world, tmp_path):  # noqa: F811
    with pytest.raises(DataError, match="is in them twice"):
        bring(world, tmp_path / "out", "osprey", ("osprey/conversation_train.json",) * 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"most": 0}, "--most: must be at least 1, got 0"),
        ({"limit": 0}, "--limit: must be at least 1, got 0"),
        ({"draws": 0}, "--draws: must be at least 1, got 0"),
        ({"seed": -1}, "--seed: must not be negative"),
        ({"ask": ("guess",)}, "is none of describe, name, exists, choose: 'guess'"),
        ({"ask": ("name", "name")}, "repeats"),
    ],
)
def test_options_that_ask_nothing(world, tmp_path, options, message):  # noqa: F811
    with pytest.raises(UsageError, match=message):
        bring(world, tmp_path / "out", **options)


def test_an_image_with_more_regions_than_a_sample_may_have(world, tmp_path):  # noqa: F811
    document = json.loads((world / COCO[0]).read_text())
    first = document["annotations"][0]
    document["annotations"] = [first | {"id": number} for number in range(1, 102)]
    (tmp_path / "many.json").write_text(json.dumps(document))
    wanted = {"names": ("many.json",), "ask": ("name",)}
    with pytest.raises(
        DataError, match=r"has 101 regions to ask about with --most 200; .* may have 100"
    ) as caught:
        bring(tmp_path, tmp_path / "out", most=200, **wanted)
    image = next(image for image in document["images"] if image["id"] == first["image_id"])
    assert caught.value.obj == f"image {image['id']} ({image['file_name']})"
    assert caught.value.hint == "Say --most 100: so many of them are drawn."
    assert bring(tmp_path, tmp_path / "out", most=100, **wanted)["counts"]["regions"] == 100
    with pytest.raises(DataError, match="no region has a phrase of its own"):  # so there are not too many
        bring(tmp_path, tmp_path / "out", most=200, names=("many.json",), ask=("describe",))


def test_several_draws_ask_anew_about_the_same_images(world, tmp_path):  # noqa: F811
    once = bring(world, tmp_path / "once")
    bring(world, tmp_path / "out", draws=3)
    first, found = (read_region_directory(tmp_path / name).samples for name in ("once", "out"))
    count = len(first)
    assert found[:count] == first
    assert len(found) == 3 * count
    for number, sample in enumerate(found[count:], start=count):
        before = found[number - count]
        assert (sample.file, set(sample.regions)) == (before.file, set(before.regions))
    assert (
        len({tuple(sample.turns for sample in found[at : at + count]) for at in (0, count, 2 * count)}) == 3
    )
    assert {question.kind for question in questions_of(found)} == set(once["counts"]["kinds"])
    with pytest.raises(UsageError, match="--draws: these files have questions of their own"):
        bring(world, tmp_path / "x", "osprey", ("osprey/conversation_train.json",), draws=2)
