import json

import pytest
from typer.testing import CliRunner

from flows.cli import app
from tasks.services.settings import Settings
from tests.tasks.operations.twins import make_twin, one_each, remember

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("release")]


@pytest.fixture
def measured(branched):
    """A released project whose champion was measured, with a weak twin of it."""
    project, result = branched
    settings = Settings.load(project.root)
    remember(project.root / "artifacts" / "segmenter", project.root, settings)
    make_twin(project.root, "weak", settings, one_each)
    return project, result


def test_one_document_on_stdout_and_the_comment_from_the_decision(measured):
    project, result = measured
    arguments = ("--model", "weak", "--against", "champion", "--out", "report")
    document = project.groundwork("eval", *arguments, code=4)
    assert document["schema"] == "groundwork.eval/1"
    assert (document["verdict"], document["exit_code"]) == ("reject", 4)
    assert document["against"]["bundle_id"] == result["bundle_id"]
    decision = str(project.root / "report" / "decision.json")
    said = project.command(
        "flows.cli", "report", "--format", "markdown", "--decision", decision, "--base", "HEAD"
    )
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("## Evaluation gate: ❌ reject\n\n")
    assert "The rules are those of `HEAD`." in said.stdout


def test_without_another_model_the_metrics_are_printed(measured):
    project, result = measured
    assert project.groundwork("eval", "--model", "champion")["metrics"] == result["metrics"]


def test_a_failure_is_one_document_too(project, answer):
    """Nothing was trained: the champion is absent, which is no reason to pass."""
    arguments = ("--model", "champion", "--against", "champion", "--out", "report")
    document = answer("eval", *arguments, code=6)
    assert (document["schema"], document["exit_code"]) == ("groundwork.eval/1", 6)
    assert document["verdict"] is None
    assert document["error"]["message"] == "there is no champion to compare with."
    assert json.loads((project.root / "report" / "evaluation.json").read_text()) == document
    assert "no decision" in (project.root / "report" / "summary.md").read_text()


def test_a_failure_for_people_names_the_next_command(monkeypatch, tmp_path):
    for name in ("dvc.yaml", "params.yaml"):
        (tmp_path / name).write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GROUNDWORK_HOME", raising=False)
    done = CliRunner().invoke(app, ["eval", "--model", "m", "--against", "champion", "--policy", "none.yaml"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == (
        f"error[usage] {tmp_path / 'none.yaml'}\n  no such file.\n"
        "  next: Run the command in the root of the project.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("eval", "--out", "x"), "--out matters to a decision only, and none is asked for."),
        (("report", "--format", "pdf"), "'pdf' is neither html nor markdown."),
        (("report", "--base", "HEAD"), "--decision and --base belong to markdown."),
        (("report", "--format", "markdown", "--open"), "markdown is no page."),
    ],
)  # fmt: skip
def test_options_that_mean_nothing_together(arguments, message):
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 2
    assert json.loads(done.stdout)["error"]["message"] == message
