import shutil
from pathlib import Path

import pytest

from tasks.errors import IntegrityError, UnavailableError
from tasks.operations.stage_runs import code_identity, run_stage

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def project(tmp_path):
    (tmp_path / "tasks" / "stages").mkdir(parents=True)
    (tmp_path / "models").mkdir()
    (tmp_path / "tasks" / "stages" / "one.py").write_text("1")
    (tmp_path / "models" / "net.py").write_text("2")
    stage = "{cmd: run, deps: [tasks/stages/one.py, models, data/dataset, artifacts/prepared]}"
    (tmp_path / "dvc.yaml").write_text(f"stages:\n  one: {stage}\n")
    return tmp_path


def test_the_identity_follows_the_code_and_not_the_data(project):
    before = code_identity(project, ["one"])
    assert len(before) == 64
    (project / "data").mkdir()
    (project / "data" / "dataset").write_text("bytes")
    (project / "models" / "notes.txt").write_text("no code")
    assert code_identity(project, ["one"]) == before
    (project / "models" / "net.py").write_text("3")
    assert code_identity(project, ["one"]) != before
    shutil.move(project / "models" / "net.py", project / "models" / "other.py")
    assert code_identity(project, ["one"]) != before


def test_a_missing_stage_or_file_is_named(project):
    with pytest.raises(UnavailableError) as caught:
        code_identity(project, ["two"])
    assert str(caught.value) == (
        f"{project / 'dvc.yaml'}: there is no stage 'two'. Restore dvc.yaml: `git checkout dvc.yaml`."
    )
    (project / "tasks" / "stages" / "one.py").unlink()
    with pytest.raises(UnavailableError) as caught:
        code_identity(project, ["one"])
    assert str(caught.value) == (
        "tasks/stages/one.py: is named by dvc.yaml and is missing. "
        "Restore it: `git checkout tasks/stages/one.py`."
    )


def test_the_stages_of_this_project_are_known():
    known = {code_identity(ROOT, [name]) for name in ("validate_coco", "prepare_coco", "predict_masks")}
    assert len(known) == 3


def test_a_stage_speaks_for_itself(tmp_path):
    """What a stage refuses comes back as it said it; what it did not foresee as a failed stage."""
    with pytest.raises(IntegrityError) as caught:
        run_stage(ROOT, "prepare_coco", "--dataset", tmp_path, "--validation", tmp_path, "--out", tmp_path)
    assert caught.value.obj == str(tmp_path / "manifest.json")
    with pytest.raises(UnavailableError, match="the following arguments are required") as caught:
        run_stage(ROOT, "prepare_coco")
    assert caught.value.obj == "prepare_coco"
