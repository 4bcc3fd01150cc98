"""The whole line on the command line: files in, a verdict and a page out."""

import json
import pickle
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.commands.referring import app
from tasks.data.commit import verify_directory
from tests.tasks.referring_world import HEIGHT, WIDTH, paint_images, write_document, write_model

ROOT = Path(__file__).resolve().parents[3]
GATES = ROOT / "configs" / "gates"


def referring(*arguments, code=0):
    """Run a command with --json and return its document."""
    done = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def evaluate(folder, name, *, kind, prepared="prepared", **model):
    answers = write_model(folder / f"{name}.jsonl", folder / prepared, **model)
    return referring(
        *("evaluate", answers, "--prepared", folder / prepared, "--split", "val"),
        *("--kind", kind, "--out", folder / name),
    )


def gate(folder, candidate, champion, policy, code):
    against = [] if champion is None else ["--against", folder / champion]
    out = folder / f"decision-{candidate}"
    return referring(
        "gate", folder / candidate, *against, "--policy", GATES / policy, "--out", out, code=code
    )


@pytest.fixture(scope="module")
def boxes(tmp_path_factory):
    """More than the 300 images and 1,000 expressions that the policies ask for."""
    folder = tmp_path_factory.mktemp("boxes")
    document = write_document(folder / "val.json", images=340, each=3)
    paint_images(folder / "images", document)
    referring("prepare", folder / "val.json", "--source", "drawn", "--out", folder / "prepared")
    for seed, (name, noise) in enumerate({"good": 0.08, "fair": 0.15, "same": 0.15}.items(), start=1):
        evaluate(folder, name, kind="boxes", noise=noise, seed=seed)
    return folder


def test_better_equal_and_worse_boxes(boxes):
    better = gate(boxes, "good", "fair", "refcoco.yaml", 0)
    assert better["verdict"] == "promote"
    assert better["path"] == str(boxes / "decision-good" / "decision.json")
    assert gate(boxes, "same", "fair", "refcoco.yaml", 4)["verdict"] == "inconclusive"
    assert gate(boxes, "fair", "good", "refcoco.yaml", 4)["verdict"] == "reject"


def test_the_first_champion(boxes):
    assert gate(boxes, "good", None, "refcoco.yaml", 4)["verdict"] == "inconclusive"
    document = referring(
        *("gate", boxes / "good", "--policy", GATES / "refcoco.yaml", "--first"),
        *("--out", boxes / "decision-first"),
    )
    assert (document["verdict"], document["champion"]) == ("promote", None)


def test_a_page_of_both(boxes):
    gate(boxes, "good", "fair", "refcoco.yaml", 0)
    document = referring(
        *("report", boxes / "good", "--against", boxes / "fair", "--decision", boxes / "decision-good"),
        *("--prepared", boxes / "prepared", "--images", boxes / "images", "--out", boxes / "page"),
        *("--name", "good", "--name", "fair"),
    )
    text = Path(document["report"]).read_text()
    assert "Promote" in text
    assert "data:image/jpeg;base64," in text
    verify_directory(boxes / "page")
    alone = referring(
        "report", boxes / "good", "--prepared", boxes / "prepared", "--out", boxes / "page-alone"
    )
    assert "candidate" in Path(alone["report"]).read_text()


def test_better_equal_and_worse_masks_of_grefcoco(tmp_path):
    """``grefs(unc).json`` with expressions of none, one and two regions, through its own reader."""
    document = write_document(tmp_path / "val.json", images=340, each=3, absent=0)
    instances, references = {"images": document["images"], "annotations": []}, []
    for row in document["refs"]:
        number, sentence = row["ref_id"], {"sent_id": row["ref_id"], "sent": row["sent"]}
        annotation = {"id": number, "image_id": row["image_id"], "category_id": 1, "iscrowd": 0}
        instances["annotations"].append(
            annotation | {"bbox": row["bbox"], "segmentation": row["segmentation"]}
        )
        meant = [[-1], [number], [number, number - 1]][(number - 1) % 3]
        reference = {"ref_id": number, "image_id": row["image_id"], "split": "val", "ann_id": meant}
        references.append(reference | {"sentences": [sentence]})
    (tmp_path / "instances.json").write_text(json.dumps(instances))
    (tmp_path / "grefs(unc).json").write_text(json.dumps(references))
    referring(
        *("prepare", tmp_path / "grefs(unc).json", "--instances", tmp_path / "instances.json"),
        *("--source", "grefcoco/unc", "--out", tmp_path / "prepared"),
    )
    for seed, (name, noise) in enumerate({"good": 0.06, "fair": 0.12, "same": 0.12}.items(), start=1):
        document = evaluate(tmp_path, name, kind="masks", noise=noise, seed=seed)
        assert document["undefined"] == {}
    assert gate(tmp_path, "good", "fair", "refcoco_masks.yaml", 0)["verdict"] == "promote"
    assert gate(tmp_path, "same", "fair", "refcoco_masks.yaml", 4)["verdict"] == "inconclusive"
    assert gate(tmp_path, "fair", "good", "refcoco_masks.yaml", 4)["verdict"] == "reject"
    error = gate(tmp_path, "good", "fair", "refcoco.yaml", 5)["error"]
    assert error["code"] == "integrity"
    assert "was scored by 'referring-masks/1'" in error["message"]
    assert "refcoco.yaml judges 'referring-boxes/1'" in error["message"]


def test_a_pickle_of_the_authors(tmp_path):
    instances = {
        "images": [{"id": 9, "file_name": "9.jpg", "height": HEIGHT, "width": WIDTH}],
        "annotations": [{"id": 1, "image_id": 9, "bbox": [1, 1, 9, 9]}],
    }
    sentences = [{"sent_id": 1, "sent": "left man"}]
    reference = {"ref_id": 1, "ann_id": 1, "image_id": 9, "split": "val", "sentences": sentences}
    (tmp_path / "instances.json").write_text(json.dumps(instances))
    (tmp_path / "refs(umd).p").write_bytes(pickle.dumps([reference], 2))
    document = referring(
        *("prepare", tmp_path / "refs(umd).p", "--instances", tmp_path / "instances.json"),
        *("--source", "refcocog/umd", "--no-masks", "--out", tmp_path / "out"),
    )
    assert document["splits"] == {"val": {"images": 1, "expressions": 1}}


def test_people_read_tables(boxes, tmp_path):
    runner = CliRunner()
    done = runner.invoke(
        app, ["prepare", str(boxes / "val.json"), "--source", "drawn", "--out", str(tmp_path / "out")]
    )
    assert done.exit_code == 0
    assert "split  expressions  images" in done.stdout
    assert "val    1020         340" in done.stdout
    done = runner.invoke(
        app,
        [
            *("evaluate", str(boxes / "good.jsonl"), "--prepared", str(tmp_path / "out"), "--split", "val"),
            *("--kind", "boxes", "--out", str(tmp_path / "good")),
        ],
    )
    assert "ref_box.accuracy_50" in done.stdout
    done = runner.invoke(
        app,
        [
            *("gate", str(boxes / "good"), "--policy", str(GATES / "refcoco.yaml")),
            *("--out", str(tmp_path / "decision")),
        ],
    )
    assert done.exit_code == 4
    assert "verdict: inconclusive" in done.stdout
    assert "no champion to compare with" in done.stdout


def test_errors_have_their_codes(boxes, tmp_path):
    out = ("--out", tmp_path / "out")
    policy = ("--policy", GATES / "refcoco.yaml")
    assert referring("gate", tmp_path / "gone", *policy, *out, code=6)["error"]["code"] == "unavailable"
    (boxes / "prepared" / "x").write_text("x")
    try:
        arguments = ("report", boxes / "good", "--prepared", boxes / "prepared", *out)
        assert referring(*arguments, code=5)["error"]["code"] == "integrity"
    finally:
        (boxes / "prepared" / "x").unlink()
    arguments = ("prepare", GATES / "refcoco.yaml", "--source", "x", *out)
    assert referring(*arguments, code=2)["error"]["message"] == "its form cannot be told."
    (tmp_path / "bad.jsonl").write_text("{}\n")
    arguments = ("evaluate", tmp_path / "bad.jsonl", "--prepared", boxes / "prepared", "--split", "val")
    error = referring(*arguments, "--kind", "boxes", *out, code=3)["error"]
    assert error["object"] == f"{tmp_path / 'bad.jsonl'} line 1"
    assert not (tmp_path / "out").exists()
