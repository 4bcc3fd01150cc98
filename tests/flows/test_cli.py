import subprocess
import sys

import pytest
from typer.main import get_command

from flows.cli import app

COMMANDS = {
    "run", "train", "fit", "segment", "plan", "convert", "tune", "answer", "pseudo-label",
    "eval", "gate", "promote", "rollback", "history", "report", "doctor",
    "data check", "data add", "data pull", "data show", "data weaken", "data import-weak",
    "data import-regions", "data shapes",
    "config show", "bench affinity",
    "compare", "export", "score panoptic", "score semantic", "score pope", "score vqa", "score tags",
    "score reasonseg", "score regions",
    "referring prepare", "referring evaluate", "referring gate", "referring report",
}  # fmt: skip


def leaves(command, prefix=""):
    for name, child in command.commands.items():
        full = f"{prefix}{name}"
        if hasattr(child, "commands"):
            yield from leaves(child, f"{full} ")
        else:
            yield full, child


def test_every_command_is_there_with_json_and_an_example():
    found = dict(leaves(get_command(app)))
    assert set(found) == COMMANDS
    for name, command in found.items():
        assert any("--json" in parameter.opts for parameter in command.params), name
        assert f"groundwork {name}" in f"{command.help} {command.epilog}", f"{name}: no example in --help"


def start(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_help_imports_nothing_heavy(tmp_path):
    script = (
        "import sys; sys.argv = ['groundwork', '--help']\n"
        "from flows.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'prefect', 'mlflow', 'pandas', 'numpy', 'dvc', 'boto3', 'transformers'}\n"
        "sys.exit(' '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_wrong_command_is_a_usage_error(tmp_path):
    assert start("trian", cwd=tmp_path).returncode == 2
    done = start("history", cwd=tmp_path)
    assert done.returncode == 2
    assert "no dvc.yaml here" in done.stderr


@pytest.mark.parametrize("name", ["run", "data", "config"])
def test_help_of_a_command(name, tmp_path):
    done = start(name, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "Usage: groundwork" in done.stdout
