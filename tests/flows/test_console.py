import json
import logging
from pathlib import Path

import pytest
import typer

from flows import console
from tasks.errors import DataError, UsageError


def run(error, *, as_json, capsys):
    with pytest.raises(typer.Exit) as left, console.errors_for_people(as_json=as_json):
        raise error
    return left.value.exit_code, capsys.readouterr()


def test_a_foreseen_error_is_code_object_cause_and_next_command(capsys):
    error = DataError("2 images are missing.", obj="data/x", hint="Run `groundwork data pull`.")
    code, printed = run(error, as_json=False, capsys=capsys)
    assert code == 3
    assert printed.out == ""
    assert printed.err == (
        "error[data-invalid] data/x\n  2 images are missing.\n  next: Run `groundwork data pull`.\n"
    )


def test_json_errors_go_to_stdout(capsys):
    code, printed = run(UsageError("no.", obj="x", hint="Do."), as_json=True, capsys=capsys)
    assert code == 2
    assert json.loads(printed.out) == {
        "error": {"code": "usage", "message": "no.", "object": "x", "hint": "Do."}
    }


def test_ctrl_c_is_resumable(capsys):
    code, printed = run(KeyboardInterrupt(), as_json=False, capsys=capsys)
    assert code == 7
    assert "The same command resumes." in printed.err


def test_a_bug_leaves_its_traceback_in_a_file_and_not_on_the_screen(capsys):
    code, printed = run(ZeroDivisionError("one by nothing"), as_json=True, capsys=capsys)
    document = json.loads(printed.out)["error"]
    assert code == 1
    assert document["message"] == "ZeroDivisionError: one by nothing. This is a bug of Groundwork."
    assert "Traceback" in Path(document["hint"].removeprefix("Report it with ").removesuffix(".")).read_text()


def test_control_characters_are_shown_and_not_obeyed(capsys):
    console.emit({}, as_json=False, lines=["a\x1b[31mred\x9b\x07"])
    assert capsys.readouterr().out == "a\\x1b[31mred\\x9b\\x07\n"


def test_a_table_cuts_nothing_off():
    lines = console.table("title", ("name", "value"), [("a", 1), ("long name", "x" * 200)])
    assert lines[1] == "name       value"
    assert lines[-1] == "long name  " + "x" * 200
    assert max(len(line) for line in lines[:3]) <= 100


def test_the_project_is_found_from_below_and_its_absence_is_named(tmp_path, monkeypatch):
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "params.yaml").touch()
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    assert console.repository() == tmp_path
    (tmp_path / "dvc.yaml").unlink()
    with pytest.raises(UsageError, match=r"no dvc\.yaml here or in a folder above"):
        console.repository()


def test_steps_are_heard_on_stderr(capsys):
    say = console.listen()
    say("training 1/2, 3 s left, loss 1.0")
    logging.getLogger("groundwork").info("done | with \x1b")
    assert capsys.readouterr().err == "training 1/2, 3 s left, loss 1.0\ndone | with \\x1b\n"
    logging.getLogger("groundwork").handlers.clear()
