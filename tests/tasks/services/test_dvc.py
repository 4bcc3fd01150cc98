import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tasks.data.commit import commit_directory
from tasks.errors import DataError, GroundworkError, IntegrityError, UnavailableError
from tasks.services import dvc

PIPELINE = """
stages:
  second:
    cmd: python stage.py second.txt first.txt
    deps: [stage.py, first.txt]
    outs: [second.txt]
    meta: {worker: gpu, timeout: 60, retries: 2, progress: history.jsonl}
  first:
    cmd: python stage.py first.txt
    deps: [stage.py]
    params: [number]
    outs: [first.txt]
    desc: The first.
  slow:
    cmd: python -c "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(60)"
    outs: [never.txt]
    meta: {timeout: 10}
"""
STAGE = """
import json, os, sys, pathlib
number = int(pathlib.Path("params.yaml").read_text().split()[1])
print("progress number", number, flush=True)
if number < 0:
    error = {"code": "data-invalid", "message": "negative.", "object": "params.yaml", "hint": "Change it."}
    pathlib.Path(os.environ["STAGE_ERROR_FILE"]).write_text(json.dumps({**error, "exit_code": 3}))
    sys.exit(3)
if number == 0:
    raise RuntimeError("nothing there")
pathlib.Path(sys.argv[1]).write_text(str(number))
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("template")
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=folder, check=True)
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / "stage.py").write_text(STAGE)
    (folder / "params.yaml").write_text("number: 1\n")
    (folder / ".dvc" / "config").write_text(
        "[core]\n    no_scm = True\n    remote = storage\n    analytics = false\n"
        "['remote \"storage\"']\n    url = ../remote\n    verify = true\n"
    )
    return folder


@pytest.fixture
def project(template, tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    folder = tmp_path / "project"
    shutil.copytree(template, folder)
    return folder


def named(project, name):
    return next(stage for stage in dvc.stages(project) if stage.name == name)


def test_the_order_comes_from_dvc(project):
    names = [stage.name for stage in dvc.stages(project)]
    assert names.index("first") < names.index("second")
    assert [stage.name for stage in dvc.stages(project, "second")] == ["first", "second"]
    assert named(project, "second") == dvc.Stage(
        name="second",
        description="second",
        worker="gpu",
        timeout=60.0,
        retries=2,
        progress="history.jsonl",
    )
    with pytest.raises(UnavailableError):
        dvc.stages(project, "third")


def test_a_stage_runs_is_reused_and_is_restored(project):
    lines = []
    first = named(project, "first")
    assert dvc.reproduce(first, project, on_line=lines.append).outcome == "ran"
    assert "progress number 1" in lines
    assert dvc.reproduce(first, project).outcome == "reused"
    (project / "params.yaml").write_text("number: 2\n")
    assert "first" in dvc.changed_stages(project)
    assert dvc.reproduce(first, project).outcome == "ran"
    (project / "params.yaml").write_text("number: 1\n")
    assert dvc.reproduce(first, project).outcome == "restored"
    assert (project / "first.txt").read_text() == "1"
    assert dvc.reproduce(first, project, force=True).outcome == "ran"


def test_the_failure_of_a_stage_keeps_its_class(project):
    (project / "params.yaml").write_text("number: -1\n")
    with pytest.raises(DataError) as caught:
        dvc.reproduce(named(project, "first"), project)
    assert str(caught.value) == "params.yaml: negative. Change it."
    assert caught.value.exit_code == 3
    (project / "params.yaml").write_text("number: 0\n")
    with pytest.raises(UnavailableError, match="RuntimeError: nothing there"):
        dvc.reproduce(named(project, "first"), project)


def test_a_timeout_ends_the_stage_and_its_children(project):
    with pytest.raises(GroundworkError):
        dvc.reproduce(named(project, "slow"), project)
    assert not alive(int((project / "pid").read_text()))


def test_an_interruption_ends_the_stage_and_its_children(project):
    def interrupt(_line):
        raise KeyboardInterrupt

    (project / "stage.py").write_text(
        "import os, time\nopen('pid', 'w').write(str(os.getpid()))\nprint('up', flush=True)\ntime.sleep(60)\n"
    )
    with pytest.raises(KeyboardInterrupt):
        dvc.reproduce(
            named(project, "first"),
            project,
            on_line=lambda line: interrupt(line) if line == "up" else None,
        )
    assert not alive(int((project / "pid").read_text()))


def alive(pid):
    for _ in range(50):
        status = Path(f"/proc/{pid}/status")
        if not status.exists() or "State:\tZ" in status.read_text():
            return False
        time.sleep(0.1)
    return True


@pytest.fixture(scope="module")
def pushed_once(template, tmp_path_factory):
    """A project with a dataset in its remote, which lies in it too. Tests leave it as it is."""
    folder = tmp_path_factory.mktemp("pushed")
    project = folder / "project"
    shutil.copytree(template, project)

    def write(staging):
        (staging / "a.bin").write_bytes(b"a" * 1000)
        (staging / "b.bin").write_bytes(b"b" * 1000)

    commit_directory(project / "data", write, schema="groundwork.dataset/1")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DVC_SITE_CACHE_DIR", str(folder / "site"))
        assert dvc.add(project / "data", project).endswith(".dir")
        dvc.push(project / "data", project)
    return project


@pytest.fixture
def pushed(pushed_once, tmp_path, monkeypatch):
    """A copy of it, and the dataset there."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    shutil.copytree(pushed_once, tmp_path / "project")
    return tmp_path / "project", tmp_path / "project" / "data"


def test_the_copy_is_proven_byte_for_byte(pushed):
    project, dataset = pushed
    assert dvc.prove_copy(dataset, project) == dvc.verify_directory(dataset)
    shutil.rmtree(dataset)
    shutil.rmtree(project / ".dvc" / "cache")
    assert dvc.pull(dataset, project).files.keys() == {"a.bin", "b.bin"}


@pytest.mark.parametrize("damage", ["changed", "emptied", "removed"])
def test_a_damaged_remote_is_not_accepted(pushed, damage):
    project, dataset = pushed
    victim = next(
        path for path in (project / "remote").rglob("*") if path.is_file() and path.stat().st_size == 1000
    )
    victim.chmod(0o644)
    if damage == "changed":
        victim.write_bytes(b"c" * 1000)
    elif damage == "emptied":
        victim.write_bytes(b"")
    else:
        victim.unlink()
    with pytest.raises((UnavailableError, IntegrityError)):
        dvc.prove_copy(dataset, project)


def test_a_remote_of_this_machine_is_written_to_the_local_configuration(project, tmp_path):
    dvc.configure_remote(str(tmp_path / "elsewhere"), project)
    assert "elsewhere" in (project / ".dvc" / "config.local").read_text()
    assert "elsewhere" not in (project / ".dvc" / "config").read_text()


def test_status_is_not_disturbed_by_a_thread(project):
    """The Prefect step asks from a worker thread."""
    found = []
    thread = threading.Thread(target=lambda: found.extend(dvc.changed_stages(project)))
    thread.start()
    thread.join()
    assert set(found) == {"first", "second", "slow"}
    assert json.dumps(found)
