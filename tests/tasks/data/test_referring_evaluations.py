"""A committed evaluation is read whole, or not at all."""

import json
import shutil

import pytest

from tasks.data.commit import commit_directory, verify_directory
from tasks.data.referring_evaluations import EVALUATION_SCHEMA, check_alike, read_evaluation
from tasks.errors import IntegrityError, UnavailableError
from tests.tasks.referring_world import make_pair


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    make_pair(folder, "boxes")
    return folder


def recommit(pair, out, change, schema=EVALUATION_SCHEMA):
    def write(staging):
        for path in (pair / "new").iterdir():
            if path.name != "manifest.json":
                shutil.copy(path, staging)
        change(staging)

    commit_directory(out, write, schema=schema)
    return out


def with_metrics(**changes):
    def change(folder):
        path = folder / "metrics.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def test_everything_is_read(pair):
    found = read_evaluation(pair / "new")
    assert found.kind == "boxes"
    assert found.sha256 == verify_directory(pair / "new").sha256
    assert len(found.expressions.per_expression) == 36
    assert found.expressions.problems() == []
    assert found.answers.read_bytes() == (pair / "new.jsonl").read_bytes()
    check_alike(found, read_evaluation(pair / "old"), pair / "old")


def test_what_is_not_there_is_unavailable(tmp_path):
    with pytest.raises(UnavailableError) as caught:
        read_evaluation(tmp_path / "gone")
    assert caught.value.message == "is no directory."
    assert caught.value.hint == "Make it with `groundwork referring evaluate`."


def test_damage_is_noticed(pair, tmp_path):
    shutil.copytree(pair / "new", tmp_path / "new")
    path = tmp_path / "new" / "metrics.json"
    path.write_text(path.read_text().replace("0.", "1.", 1))
    with pytest.raises(IntegrityError, match=r"changed metrics\.json"):
        read_evaluation(tmp_path / "new")


def test_an_evaluation_of_detections_is_refused(pair, tmp_path):
    folder = recommit(pair, tmp_path / "x", lambda folder: None, schema="groundwork.evaluation/1")
    with pytest.raises(IntegrityError, match=r"holds 'groundwork\.evaluation/1', expected"):
        read_evaluation(folder)


BAD = {
    "definition": (
        with_metrics(definition={"name": "coco-instances/1"}),
        "is no evaluation of expressions (ValueError: definition 'coco-instances/1' is not about",
    ),
    "no definition": (with_metrics(definition=None), "is no evaluation of expressions (TypeError"),
    "no dataset": (with_metrics(dataset={}), "is no evaluation of expressions (KeyError: 'sha256')."),
    "a list": (
        lambda folder: (folder / "metrics.json").write_text("[]"),
        "is no evaluation of expressions (",
    ),
    "answers": (
        lambda folder: (folder / "predictions.jsonl").write_text("{}\n"),
        "is no evaluation of expressions (ValueError: predictions.jsonl is not what was scored).",
    ),
    "no answers": (
        lambda folder: (folder / "predictions.jsonl").unlink(),
        "is no evaluation of expressions (FileNotFoundError",
    ),
    "table": (
        lambda folder: (folder / "per_expression.parquet").write_bytes(b"x"),
        "is no evaluation of expressions (Arrow",
    ),
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD.keys())
def test_parts_that_do_not_belong_together(pair, tmp_path, change, message):
    with pytest.raises(IntegrityError) as caught:
        read_evaluation(recommit(pair, tmp_path / "x", change))
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"dataset": {"sha256": "x", "split": "val"}}, "dataset_sha256 is 'x', that of the other model is '"),
        ({"definition_sha256": "x"}, "definition_sha256 is 'x', that of the other model is '"),
    ],
)
def test_two_that_can_not_be_compared(pair, tmp_path, change, name):
    other = recommit(pair, tmp_path / "x", with_metrics(**change))
    with pytest.raises(IntegrityError) as caught:
        check_alike(read_evaluation(pair / "new"), read_evaluation(other), other)
    assert caught.value.message.startswith(name)
    assert caught.value.obj == str(other)
