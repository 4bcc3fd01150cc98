import json
import subprocess
import sys

STAGE = """
from dataclasses import dataclass
from pathlib import Path
from tasks.errors import DataError
from tasks.stages._command import run_stage

@dataclass(frozen=True, kw_only=True)
class Config:
    size: int

def run(config: Config, *, data_set: Path, out: Path) -> None:
    '''Write the size.'''
    if config.size < 0:
        raise DataError("size is negative.", obj="config", hint="Change it.")
    out.write_text(f"{data_set.name} {config.size}")

if __name__ == "__main__":
    run_stage(run, section="stage", config=Config)
"""


def start(folder, size, **environment):
    (folder / "stage.py").write_text(STAGE)
    (folder / "params.yaml").write_text(f"stage: {{size: {size}}}\n")
    arguments = ["--data-set", "x/data", "--out", "out.txt"]
    return subprocess.run(
        [sys.executable, "-m", "stage", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "", **environment},
    )


def test_paths_come_from_flags_and_numbers_from_params(tmp_path):
    done = start(tmp_path, 3)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out.txt").read_text() == "data 3"


def test_a_foreseen_error_is_one_line_its_exit_code_and_a_file(tmp_path):
    done = start(tmp_path, -1, STAGE_ERROR_FILE=str(tmp_path / "error.json"))
    assert done.returncode == 3
    assert done.stderr == "error[data-invalid] config: size is negative. Change it.\n"
    assert json.loads((tmp_path / "error.json").read_text()) == {
        "code": "data-invalid",
        "message": "size is negative.",
        "object": "config",
        "hint": "Change it.",
        "exit_code": 3,
    }


def test_parameters_edited_meanwhile_are_not_taken_for_those_that_were_used(tmp_path):
    changing = STAGE.replace(
        "out.write_text(", "Path('params.yaml').write_text('stage: {size: 4}'); out.write_text("
    )
    (tmp_path / "stage.py").write_text(changing)
    (tmp_path / "params.yaml").write_text("stage: {size: 3}\n")
    done = subprocess.run(
        [sys.executable, "-m", "stage", "--data-set", "x", "--out", "out.txt"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "the section was edited while the stage ran" in done.stderr


def test_a_wrong_configuration_is_a_usage_error(tmp_path):
    done = start(tmp_path, "big")
    assert done.returncode == 2
    assert "params.yaml:stage.size: must be int, got 'big'." in done.stderr
