"""A model answers a directory: the same bytes however it was interrupted, and every refusal by its text."""

import json
import shutil

import pytest
from PIL import Image

from tasks.data.answer_directory import ANSWERS, ANSWERS_SCHEMA, read_answer_directory
from tasks.data.commit import verify_directory
from tasks.data.region_directory import read_region_directory
from tasks.data.region_questions import questions_of
from tasks.errors import DataError, IntegrityError, UsageError
from tasks.operations import answering
from tasks.operations.answering import Answering, answer_questions
from tests.tasks.operations.asked import write_model, write_world


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = write_world(tmp_path_factory.mktemp("place"))
    write_model(folder / "model")
    return folder


def ask(place, out, **changes):
    usual = {
        "model": place / "model", "data": place / "samples", "images": place / "shapes/train",
        "out": out, "max_new_tokens": 3, "shard_questions": 4,
    }  # fmt: skip
    said = []
    return answer_questions(Answering(**(usual | changes)), say=said.append), said


def test_every_question_has_an_answer_and_its_origin(place, tmp_path):
    document, said = ask(place, tmp_path / "out")
    directory = read_region_directory(place / "samples")
    found = read_answer_directory(tmp_path / "out", samples_sha256=directory.sha256)
    assert list(found.answers) == [question.question_id for question in questions_of(directory.samples)]
    manifest = verify_directory(tmp_path / "out", schema=ANSWERS_SCHEMA)
    model = verify_directory(place / "model").sha256
    assert manifest.provenance["model_sha256"] == found.model_sha256 == document["model_sha256"] == model
    assert document["manifest_sha256"] == manifest.sha256
    assert document["asked"] == document["questions"] == len(found.answers)
    assert said[-1] == f"answering {len(found.answers)}/{len(found.answers)}, model"
    assert not (tmp_path / ".out.parts").exists()


def test_after_a_kill_it_goes_on_and_gives_the_same(place, tmp_path, monkeypatch):
    whole, _ = ask(place, tmp_path / "whole")
    made = answering.make_shards

    def killed(job, shards, **options):
        made(job, shards[:1], **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(answering, "make_shards", killed)
    with pytest.raises(KeyboardInterrupt):
        ask(place, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    monkeypatch.undo()
    again, said = ask(place, tmp_path / "out")
    assert any(line.startswith("going on: 1 of ") for line in said)
    assert again["manifest_sha256"] == whole["manifest_sha256"]
    # Other options are other work.
    other, said = ask(place, tmp_path / "out", history="none", limit=2)
    assert (other["asked"], other["history"]) == (2, "none")
    assert len((tmp_path / "out" / ANSWERS).read_text().splitlines()) == 2


def test_an_image_that_is_missing_or_of_another_size(place, tmp_path):
    images = tmp_path / "images"
    shutil.copytree(place / "shapes/train", images)
    first = next(iter(read_region_directory(place / "samples").samples))
    Image.new("RGB", (32, 32)).save(images / first.file)
    with pytest.raises(DataError, match="the file is 32x32, the annotations say 64x64"):
        ask(place, tmp_path / "out", images=images)
    (images / first.file).unlink()
    with pytest.raises(
        DataError, match=f"is missing; sample {first.sample_id} of coco asks about it"
    ) as caught:
        ask(place, tmp_path / "out", images=images)
    assert str(images / first.file) == caught.value.obj
    assert not (tmp_path / "out").exists()


def test_a_model_that_sees_no_regions(place, tmp_path):
    blind = write_model(tmp_path / "blind", "tokenpacker_tiny")
    with pytest.raises(UsageError, match="sees no regions, and 6 of 6 samples have some") as caught:
        ask(place, tmp_path / "out", model=blind)
    assert caught.value.obj == str(blind)


def test_a_sample_with_more_regions_than_a_model_takes(place, tmp_path):
    few = tmp_path / "few"
    shutil.copytree(place / "model", few)
    path = few / "region_processor.json"
    settings = json.loads(path.read_text())
    settings["regions"]["most"] = 1
    path.write_text(json.dumps(settings))
    with pytest.raises(IntegrityError, match=r"changed region_processor\.json"):
        ask(place, tmp_path / "out", model=few)
    processor = answering.read_region_processor(few)
    questions = questions_of(read_region_directory(place / "samples").samples)
    wanted = Answering(model=few, data=place, images=place, out=tmp_path)
    with pytest.raises(DataError, match=r"has [23] regions, the model takes 1.*lower --most"):
        answering._most(processor, questions, wanted)


def test_places_that_are_wrong(place, tmp_path):
    with pytest.raises(UsageError, match="is not a directory"):
        ask(place, tmp_path / "out", images=tmp_path / "nowhere")
    with pytest.raises(IntegrityError, match="Name a directory that `groundwork data import-regions` made"):
        ask(place, tmp_path / "out", data=place / "model")
    (tmp_path / "empty").mkdir()
    with pytest.raises(IntegrityError, match="Name a directory that `groundwork convert`"):
        ask(place, tmp_path / "out", model=tmp_path / "empty")
    with pytest.raises(UsageError, match="holds files that this command did not write"):
        ask(place, place / "samples")


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("limit", "--limit"),
        ("max_new_tokens", "--max-new-tokens"),
        ("at_once", "--batch"),
        ("workers", "--workers"),
    ],
)
def test_numbers_that_ask_nothing(place, tmp_path, name, option):
    with pytest.raises(UsageError, match=f"{option}: must be at least 1, got 0"):
        ask(place, tmp_path / "out", **{name: 0})
