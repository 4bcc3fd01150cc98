"""Options that do not fit together are refused before anything is read."""

import json
from pathlib import Path

import pytest

from tasks.data.commit import commit_directory
from tasks.errors import UsageError
from tasks.operations.tune_request import (
    TuneRequest,
    TuneSettings,
    check_checkpoints,
    check_tuning,
    read_stage,
)
from tests.tasks.operations.tiny_regions import ROOT


def request(out, **given):
    usual = {"recipe": "osprey_tiny", "stage": "regions", "data": Path("data"), "parent": Path("parent")}
    return TuneRequest(out=out, **(usual | given))


def test_the_recipe_the_stage_and_the_settings_are_read(tmp_path):
    changes = ("stages.1.global_batch=3", "training.micro_batch=2", "training.too_long=leave_out")
    recipe, plan, place, settings, made = read_stage(request(tmp_path / "out", changes=changes), ROOT)
    assert made[-3:] == changes
    assert (plan, place) == (recipe.stages[1], 1)
    assert plan.global_batch == 3
    assert settings == TuneSettings(micro_batch=2, too_long="leave_out")
    assert settings.of_run().micro_batch == 2
    assert settings.of_run().average_decay is None
    assert request(tmp_path / "out").checkpoints == tmp_path / "out.checkpoints"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"stage": "aling"},
            r"--stage aling: recipe 'osprey_tiny' has no such stage\. Name one of align, regions,",
        ),
        ({"changes": ("training.mcro_batch=1",)}, "--set training.mcro_batch=1: unknown key 'mcro_batch'"),
        ({"changes": ("training.micro_batch=0",)}, "micro_batch must be at least 1, got 0"),
        ({"changes": ("training.gradient_norm=0.0",)}, r"gradient_norm must be positive, got 0\.0"),
        ({"changes": ("training.too_long=drop",)}, "must be one of 'refuse', 'leave_out', got 'drop'"),
        ({"changes": ("stages.1.train=[]",)}, "stage 'regions' trains nothing"),
    ],
)
def test_settings_that_are_refused(tmp_path, given, message):
    with pytest.raises(UsageError, match=message):
        read_stage(request(tmp_path / "out", **given), ROOT)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"parent": None},
            "osprey_tiny: a stage begins with trained weights, and none are named. Say --from MODEL",
        ),
        ({"parent": None, "language": Path("l")}, "none are named"),
        (
            {"random": True},
            "--random: belongs to a model that is put together now, and --from names a whole one",
        ),
        ({"language": Path("l")}, "--language l: belongs to a model that is put together now"),
        (
            {"parent": None, "language": Path("l"), "vision": Path("v"), "random": True},
            "--random: nothing is random",
        ),
    ],
)
def test_beginnings_that_do_not_fit(tmp_path, given, message):
    with pytest.raises(UsageError, match=message.replace(".", r"\.")):
        check_tuning(request(tmp_path / "out", **given))


def test_targets_that_are_not_ours(tmp_path):
    with pytest.raises(UsageError, match=r"--out .*parent: is the model that the stage begins from"):
        check_tuning(request(tmp_path / "parent", parent=tmp_path / "a" / ".." / "parent"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds files that this command did not write"):
        check_tuning(request(tmp_path / "out"))


def test_checkpoints_of_a_run_that_did_not_end(tmp_path):
    asked = request(tmp_path / "out")
    step = asked.checkpoints / "step-3"
    commit_directory(step, lambda folder: (folder / "a").write_text(json.dumps(1)), schema="x",
                     provenance={"run_key": "mine"})  # fmt: skip
    with pytest.raises(UsageError, match=r"out\.checkpoints: holds the checkpoints .* Say --resume"):
        check_tuning(asked)
    check_tuning(request(tmp_path / "out", resume=True))
    check_checkpoints(asked, "mine")
    with pytest.raises(
        UsageError, match=r"step-3: is of a run with another recipe, stage, data, .* or remove"
    ):
        check_checkpoints(asked, "another")
    (step / "manifest.json").unlink()
    check_checkpoints(asked, "another")  # damaged: whoever resumes says so
