"""Every kind from files to numbers worked out by hand; what is written; what is refused."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from evaluation.panoptic import PANOPTIC
from tasks.data.commit import verify_directory
from tasks.errors import DataError, UsageError
from tasks.operations.scoring import SCORERS, SCORES_SCHEMA, ScoreRequest, score_files
from tests.tasks.data.test_reasonseg import box
from tests.tasks.data.test_reasonseg import write as write_query
from tests.tasks.data.test_tag_labels import SCORES, TRUTH
from tests.tasks.data.test_vqa import write as write_vqa

COCO = Path(__file__).resolve().parents[2] / "data" / "coco_panoptic"


def lines(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def values(document):
    return {item["name"]: item["value"] for item in document["metrics"]}


def panoptic(**changes):
    files = {"truth": COCO / "panoptic.json", "predictions": COCO / "panoptic.json"}
    return ScoreRequest(kind="panoptic", **(files | changes))


def semantic(folder):
    for name, row in (("truth", [[0, 0, 1, 255]]), ("found", [[0, 1, 1, 1]])):
        (folder / name).mkdir(exist_ok=True)
        Image.fromarray(np.array(row, dtype=np.uint8)).save(folder / name / "a.png")
    (folder / "names.txt").write_text("road\nsky\n")
    return ScoreRequest(
        kind="semantic",
        truth=folder / "truth",
        predictions=folder / "found",
        classes=folder / "names.txt",
    )


def pope(folder):
    rows = [
        {"question_id": n, "image": "a.jpg", "text": "Is there a dog?", "label": "yes" if n < 3 else "no"}
        for n in range(1, 5)
    ]
    said = [{"question_id": n, "answer": "yes"} for n in range(1, 4)]
    return ScoreRequest(
        kind="pope",
        truth=lines(folder / "pope_random.json", *rows),
        predictions=lines(folder / "said_random.jsonl", *said),
    )


def vqa(folder, **changes):
    questions, annotations = write_vqa(folder)
    said = lines(folder / "said.jsonl", {"question_id": 430, "answer": "2"})
    return ScoreRequest(
        kind="vqa", truth=annotations, predictions=said, **({"questions": questions} | changes)
    )


def tags(folder):
    (folder / "truth.csv").write_text(TRUTH + "d.jpg,-1,-1,1\n")
    (folder / "scores.csv").write_text(SCORES + "d.jpg,0.9,0.1,0.2\n")
    unseen = folder / "unseen.txt"
    unseen.write_text("dog\n")
    return ScoreRequest(
        kind="tags", truth=folder / "truth.csv", predictions=folder / "scores.csv", unseen=unseen
    )


def reasonseg(folder):
    truth = write_query(folder / "truth", shapes=[box("target", 0, 0, 3, 3)])
    (folder / "found").mkdir(exist_ok=True)
    found = np.zeros((10, 12), dtype=np.uint8)
    found[:4, :2] = 1
    Image.fromarray(found).save(folder / "found" / "a.png")
    return ScoreRequest(kind="reasonseg", truth=truth, predictions=folder / "found")


def test_scores_start_without_torch():
    code = "import sys, tasks.operations.scoring; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_panoptic():
    document = score_files(panoptic())
    assert set(values(document).values()) == {1.0}
    assert document["definition_sha256"] == PANOPTIC.sha256
    assert document["definition"]["name"] == "coco-panoptic/1"
    assert set(document["inputs"]) == {"truth", "predictions", "truth_maps", "predicted_maps"}
    assert document["inputs"]["truth_maps"] == document["inputs"]["predicted_maps"]
    assert document["tables"]["per_image"] == 3


def test_semantic(tmp_path):
    document = score_files(semantic(tmp_path), tmp_path / "out")
    assert values(document)["semantic.mean_iou"] == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert values(document)["semantic.pixel_accuracy"] == pytest.approx(2 / 3)
    table = pd.read_parquet(tmp_path / "out" / "per_image.parquet")
    assert table[["file", "num_ignored"]].to_dict("records") == [{"file": "a.png", "num_ignored": 1}]


def test_intervals_need_two_images(tmp_path):
    request = semantic(tmp_path)
    assert score_files(request)["intervals"] == {}
    for folder, row in (("truth", [[0, 1, 1, 1]]), ("found", [[0, 1, 1, 1]])):
        Image.fromarray(np.array(row, dtype=np.uint8)).save(tmp_path / folder / "b.png")
    document = score_files(request, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "scores.json").read_text()) == document
    found = document["intervals"]["semantic.pixel_accuracy"]
    assert (found["low"], found["high"], found["alpha"]) == (pytest.approx(2 / 3), 1.0, 0.05)
    assert values(document)["semantic.pixel_accuracy"] == pytest.approx(6 / 7)


def test_pope(tmp_path):
    document = score_files(pope(tmp_path), tmp_path / "out")
    found = values(document)
    # Two right of "yes", one wrong, and one not answered, which is a false positive.
    assert found["pope.random.accuracy"] == 0.5
    assert found["pope.random.precision"] == 0.5
    assert found["pope.random.recall"] == 1.0
    assert document["undefined"]["pope.popular.f1"] == "no question has this setting"
    table = pd.read_parquet(tmp_path / "out" / "per_item.parquet")
    assert table["read"].tolist() == ["yes", "yes", "yes", "nothing"]
    assert set(table["image"]) == {"a.jpg"}


def test_vqa(tmp_path):
    document = score_files(vqa(tmp_path))
    assert values(document) == {"questions.vqa_accuracy": pytest.approx(0.45)}
    parts = {part["name"]: part["metrics"][0]["value"] for part in document["parts"]}
    assert parts == {"number": pytest.approx(0.9), "other": 0.0}
    simple = score_files(vqa(tmp_path, measure="vqa_accuracy_simple"))
    assert values(simple) == {"questions.vqa_accuracy_simple": 0.5}
    assert simple["definition_sha256"] != document["definition_sha256"]


def test_tags(tmp_path):
    request = tags(tmp_path)
    # F1 of 3 labels needs 3 labels: these files have 2 seen ones and 1 unseen one.
    with pytest.raises(DataError, match="k must be from 1 to the 2 labels that compete, got 3"):
        score_files(request)
    few = score_files(dataclasses.replace(request, top=(1,)))
    assert {"seen.f1_1", "zsl.f1_1", "gzsl.f1_1"} <= set(values(few))
    assert few["definition"]["caps"] == [1]
    names = ["sky", "dog", "cat", "sea", "sun", "man"]
    rows = {"a": [1, -1, -1, -1, -1, 1], "b": [-1, 1, 1, -1, -1, -1]}
    scores = {"a": [0.9, 0.1, 0.2, 0.3, 0.4, 0.8], "b": [0.1, 0.9, 0.2, 0.3, 0.4, 0.5]}
    for path, table in ((request.truth, rows), (request.predictions, scores)):
        body = "".join(f"{name},{','.join(map(str, row))}\n" for name, row in table.items())
        path.write_text(f"image,{','.join(names)}\n{body}")
    document = score_files(dataclasses.replace(request, unseen=None, top=(3,)), tmp_path / "out")
    # Best 3 of a: sky, man, sun; of b: dog, man, sun: 3 right of 6 given, 4 positives.
    assert values(document)["gzsl.precision_3"] == pytest.approx(0.5)
    assert values(document)["gzsl.recall_3"] == pytest.approx(0.75)
    assert document["undefined"]["zsl.map"] == "the task has no label"
    assert pd.read_parquet(tmp_path / "out" / "per_image.parquet")["image"].tolist() == ["a", "b"]


def test_reasonseg(tmp_path):
    document = score_files(reasonseg(tmp_path))
    assert values(document)["ref_mask.giou"] == pytest.approx(0.5)
    assert [part["name"] for part in document["parts"]] == ["val/short"]


def test_what_is_written_is_what_is_returned(tmp_path):
    out = tmp_path / "out"
    document = score_files(panoptic(), out)
    manifest = verify_directory(out, schema=SCORES_SCHEMA)
    assert json.loads((out / "scores.json").read_text()) == document
    assert manifest.provenance["definition_sha256"] == PANOPTIC.sha256
    assert sorted(manifest.files) == [
        "counts.parquet",
        "per_class.parquet",
        "per_image.parquet",
        "scores.json",
    ]
    before = manifest.sha256
    score_files(panoptic(), out)
    assert verify_directory(out).sha256 == before


def test_a_foreign_directory_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds files that this command did not write"):
        score_files(panoptic(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_file_that_is_needed(tmp_path):
    for request, option in ((semantic(tmp_path), "--classes"), (vqa(tmp_path), "--questions")):
        values = {name: getattr(request, name) for name in ("kind", "truth", "predictions")}
        with pytest.raises(UsageError) as caught:
            score_files(ScoreRequest(**values))
        assert caught.value.message == f"needs {option}."
        assert caught.value.hint == f"Add {option} and a file."


def test_what_evaluation_refuses_names_the_file(tmp_path):
    request = vqa(tmp_path)
    lines(request.predictions, {"question_id": 999, "answer": "red"})
    with pytest.raises(DataError) as caught:
        score_files(request, tmp_path / "out")
    assert caught.value.obj == str(request.predictions)
    assert "answer to unknown item '999'" in caught.value.message
    assert caught.value.hint == "Check that truth and predictions are of the same data."
    assert not (tmp_path / "out").exists()


def test_every_kind_has_a_scorer():
    assert set(SCORERS) == {"panoptic", "semantic", "pope", "vqa", "tags", "reasonseg", "regions"}
