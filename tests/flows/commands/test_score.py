import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.commands.score import app
from tests.tasks.operations.test_scoring import pope, reasonseg, semantic, tags, vqa

COCO = Path(__file__).resolve().parents[2] / "data" / "coco_panoptic"


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_people_see_a_table_and_its_definition():
    document = COCO / "panoptic.json"
    done = run("panoptic", "--truth", document, "--predictions", document)
    assert done.exit_code == 0, done.output
    assert done.output.startswith("definition: coco-panoptic/1 (")
    assert "panoptic.pq_stuff   1.0000  fraction" in done.output


def test_scripts_get_one_document(tmp_path):
    document = COCO / "panoptic.json"
    out = tmp_path / "out"
    done = run("panoptic", "--truth", document, "--predictions", document, "--out", out, "--json")
    result = json.loads(done.stdout)
    assert (result["kind"], result["out"]) == ("panoptic", str(out))
    assert {metric["value"] for metric in result["metrics"]} == {1.0}
    assert json.loads((out / "scores.json").read_text())["metrics"] == result["metrics"]


@pytest.mark.parametrize(
    ("make", "more"),
    [
        (semantic, ["--classes", "classes", "--ignore-label", 255]),
        (pope, ["--setting", "random"]),
        (vqa, ["--questions", "questions", "--measure", "vqa_accuracy"]),
        (tags, ["--unseen", "unseen", "--top", 1]),
        (reasonseg, ["--split", "val"]),
    ],
)
def test_every_kind(tmp_path, make, more):
    request = make(tmp_path)
    paths = {name: str(getattr(request, name)) for name in ("classes", "questions", "unseen")}
    options = [paths.get(item, item) for item in more]
    done = run(
        request.kind, "--truth", request.truth, "--predictions", request.predictions, *options, "--json"
    )
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["kind"] == request.kind
    assert result["metrics"]


def test_an_interval_stands_behind_its_value(tmp_path):
    request = semantic(tmp_path)
    for folder in ("truth", "found"):
        shutil.copy(tmp_path / folder / "a.png", tmp_path / folder / "b.png")
    files = ["--truth", request.truth, "--predictions", request.predictions, "--classes", request.classes]
    done = run("semantic", *files)
    assert "semantic.pixel_accuracy  0.6667 [0.6667, 0.6667]  fraction  6" in done.output


def test_a_part_has_its_own_lines(tmp_path):
    request = vqa(tmp_path)
    files = ["--truth", request.truth, "--predictions", request.predictions]
    done = run("vqa", *files, "--questions", request.questions)
    assert "number: questions.vqa_accuracy" in done.output
    assert "other: questions.vqa_accuracy" in done.output


def test_a_word_that_is_no_choice(tmp_path):
    request = pope(tmp_path)
    files = ["--truth", request.truth, "--predictions", request.predictions]
    done = run("pope", *files, "--setting", "easy", "--json")
    assert done.exit_code == 2
    error = json.loads(done.stdout)["error"]
    assert error["object"] == "--setting"
    assert error["message"] == "must be one of random, popular, adversarial, got 'easy'."
    assert error["hint"] == "See `groundwork score pope --help`."


def test_files_that_break_a_rule_end_with_code_3(tmp_path):
    request = pope(tmp_path)
    request.predictions.write_text('{"question_id": 1, "answer": NaN}\n')
    done = run("pope", "--truth", request.truth, "--predictions", request.predictions, "--json")
    assert done.exit_code == 3
    assert "NaN is not a JSON number" in json.loads(done.stdout)["error"]["message"]
