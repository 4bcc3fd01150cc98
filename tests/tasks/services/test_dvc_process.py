import pytest

from tasks.errors import UnavailableError
from tasks.services.dvc_process import run_dvc, run_quietly


def test_a_failing_command_is_named(tmp_path):
    with pytest.raises(UnavailableError) as caught:
        run_quietly(["push"], tmp_path)
    assert caught.value.message.startswith("`dvc push` failed: ")
    assert "not inside of a DVC repository" in caught.value.message


def test_every_line_is_returned_and_only_those_of_the_stage_are_told(tmp_path):
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    (tmp_path / ".dvc" / "config").write_text("[core]\n    no_scm = True\n    analytics = false\n")
    (tmp_path / "dvc.yaml").write_text("stages: {talk: {cmd: echo hello there}}\n")
    told = []
    code, lines = run_dvc(["repro"], tmp_path, timeout=60.0, on_line=told.append)
    assert code == 0
    assert told == ["hello there"]
    assert "Running stage 'talk':" in lines
