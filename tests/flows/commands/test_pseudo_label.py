import json
from pathlib import Path

import numpy as np
import typer
from typer.testing import CliRunner

from flows.commands.fit import fit
from flows.commands.pseudo_label import pseudo_label
from models.segmentation.semantic_hub import SemanticSegmenter
from tests.models.segmentation.tiny_clip import save_tiny_clip
from tests.tasks.operations.labelling import shapes, tiny_model

ROOT = Path(__file__).resolve().parents[3]


def run(*arguments, command=pseudo_label):
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_page_and_counts_for_people_and_scripts(tmp_path):
    world, out = shapes(tmp_path / "world", images=2), tmp_path / "out"
    done = run(world, "--from", "boxes", "--model", "none", "--out", out)
    assert done.exit_code == 0, done.output
    assert "masks" in done.stdout
    assert str(out / "pseudo_labels.html") in done.stdout
    assert "labelling 2/2, propagation" in done.stderr
    file = world / "annotations" / "instances_train.json"
    model = tiny_model(tmp_path / "model")
    done = run(file, "--from", "boxes", "--images", world / "train", "--model", model, "--out", out, "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["method"] == "segmenter"
    assert document["counts"]["images"] == 2


def test_errors_name_the_next_step(tmp_path, monkeypatch):
    world, out = shapes(tmp_path / "world", images=1), tmp_path / "out"
    assert run(world, "--from", "points", "--out", out).exit_code == 2
    assert run(world, "--from", "boxes", "--model", "none").exit_code == 2
    done = run(world, "--from", "boxes", "--model", "none", "--out", out, "--workers", 0, "--json")
    assert done.exit_code == 2
    assert json.loads(done.stdout)["error"]["object"] == "--workers"
    (world / "train" / "train_000.jpg").write_bytes(b"")
    done = run(world, "--from", "boxes", "--model", "none", "--out", out)
    assert done.exit_code == 3
    assert "train_000.jpg" in done.stderr
    (tmp_path / "project").mkdir()
    for name in ("dvc.yaml", "params.yaml"):
        (tmp_path / "project" / name).touch()
    monkeypatch.chdir(tmp_path / "project")
    done = run(world, "--from", "boxes", "--out", out, "--json")
    assert done.exit_code == 6
    error = json.loads(done.stdout)["error"]
    assert "there is no champion yet" in error["message"]
    assert "--model none" in error["hint"]


def test_label_maps_by_clip(tmp_path):
    world, out = shapes(tmp_path / "world", images=2), tmp_path / "out"
    classes = tmp_path / "classes.txt"
    classes.write_text("background: sky, grass\ncircle\n")
    clip = save_tiny_clip(tmp_path / "clip")
    asked = [world, "--from", "clip", "--weights", clip, "--classes", classes, "--out", out, "--side", 32]
    done = run(*asked, "--denoise", 0, "--smooth", 0)
    assert done.exit_code == 0, done.output
    assert str(out / "clip_labels.html") in done.stdout
    assert "labelling 2/2, clip" in done.stderr
    done = run(*asked, "--split", "val", "--confidence", 0.6, "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["counts"]["images"] == 1
    assert document["parameters"] == {
        "shortest": 32, "longest": 128, "denoise": 0.5, "smooth": 1.0, "confidence": 0.6,
    }  # fmt: skip


def test_options_of_the_other_kind_and_numbers_that_mean_nothing(tmp_path):
    def error(*arguments):
        done = run(tmp_path, *arguments, "--out", tmp_path / "out", "--json")
        assert done.exit_code == 2, done.output
        return json.loads(done.stdout)["error"]

    found = error("--from", "boxes", "--model", "none", "--weights", "clip")
    assert (found["object"], found["message"]) == ("--weights", "belongs to --from clip.")
    assert found["hint"] == "Leave it out, or say --from clip."
    found = error("--from", "clip", "--images", tmp_path)
    assert (found["object"], found["message"]) == ("--images", "belongs to --from boxes.")
    assert "the images are in the folder that is named first" in found["hint"]
    found = error("--from", "clip", "--classes", "classes.txt")
    assert (found["object"], found["message"]) == ("--weights", "is needed by --from clip.")
    assert "--weights owner/name" in found["hint"]
    found = error("--from", "clip", "--weights", "clip")
    assert found["object"] == "--classes"
    both = ("--from", "clip", "--weights", tmp_path, "--classes", "classes.txt")
    assert "denoise must be in [0, 1], got 3.0" in error(*both, "--denoise", 3)["message"]
    assert "got 0 and 0" in error(*both, "--side", 0)["message"]


def test_a_student_learns_from_label_maps(tmp_path, monkeypatch):
    """The whole path: CLIP as it is saved, label maps, a network that needs neither CLIP nor names."""
    monkeypatch.chdir(ROOT)
    world, labels, model = shapes(tmp_path / "world"), tmp_path / "labels", tmp_path / "model"
    classes = tmp_path / "classes.txt"
    classes.write_text("background: sky, grass\ncircle\n")
    clip = save_tiny_clip(tmp_path / "clip")
    asked = ["--weights", clip, "--classes", classes, "--side", 32, "--confidence", 0.5]
    done = run(world, "--from", "clip", *asked, "--out", labels)
    assert done.exit_code == 0, done.output
    changes = ("num_classes=2", "crops.size=48", "supervision.unlabelled=all")
    settings = [part for change in changes for part in ("--set", change)]
    asked = ["tiny_scribbles", "--data", labels, "--images", world, "--out", model, "--steps", 2]
    done = run(*asked, "--reduced", *settings, "--json", command=fit)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["steps"] == 2
    student = SemanticSegmenter.from_pretrained(model, local_files_only=True, use_safetensors=True)
    assert student.class_names == ("background", "circle")
    (found,) = student.predict([np.full((40, 60, 3), 90, np.uint8)])
    assert found.shape == (40, 60)
