"""The templates are checked against their schemas, and their commands run as the two services run them."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tasks.services.settings import Settings
from tests.conftest import Project
from tests.infra.ci.comment_service import TOKEN, CommentService
from tests.tasks.operations.twins import make_twin, one_each, remember, remember_prepared

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("release")]

ROOT = Path(__file__).resolve().parents[3]
GITHUB, GITLAB = (ROOT / "infra" / "ci" / name / "evaluate.yml" for name in ("github", "gitlab"))
EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
MAKEFILE = "setup:\n\t@echo the environment of this test is used\n"


def load(path):
    return YAML(typ="safe", pure=True).load(path.read_text())


@pytest.mark.parametrize(
    ("path", "arguments"),
    [
        (GITHUB, ["--builtin-schema", "vendor.github-workflows"]),
        (GITLAB, ["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"]),
    ],
    ids=["github", "gitlab"],
)
def test_the_template_has_the_form_that_its_service_reads(path, arguments):
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", *arguments, path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("zizmor", ["--offline", "--persona", "pedantic", "--quiet", GITHUB]),
        (
            "shellcheck",
            [ROOT / "infra" / "ci" / "evaluate.sh"],
        ),
    ],
    ids=["workflow", "script"],
)
def test_no_known_weakness(tool, arguments):
    found = shutil.which(tool, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert found, f"{tool} stands in the lock: make setup"
    done = subprocess.run([found, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_actions_are_pinned_and_tokens_are_kept_apart():
    workflow = load(GITHUB)
    jobs = workflow["jobs"]
    for job in jobs.values():
        for step in job["steps"]:
            assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", step.get("uses", f"actions/run@{'0' * 40}"))
            assert "${{" not in step.get("run", ""), "an expression inside a command is code of the change"
            assert step.get("with", {}).get("persist-credentials", False) is False
    assert workflow["permissions"] == {}
    assert jobs["evaluate"]["permissions"] == {"contents": "read"}
    assert jobs["comment"]["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert "pull_request_target" not in GITHUB.read_text()
    assert "secrets." not in json.dumps(jobs["comment"])
    assert "COMMENT_TOKEN" not in json.dumps(jobs["evaluate"]) + json.dumps(load(GITLAB)["evaluate"])
    assert workflow["concurrency"]["cancel-in-progress"] is True
    assert all(job["timeout-minutes"] for job in jobs.values())
    checkout = jobs["comment"]["steps"][0]["with"]
    assert checkout["ref"] == "${{ github.event.pull_request.base.sha }}"


def test_both_watch_the_same_files():
    ours = set(load(GITHUB)["on"]["pull_request"]["paths"])
    theirs = set(load(GITLAB)[".evaluate"]["rules"][0]["changes"])
    assert {path.removesuffix("/*") for path in theirs} == ours
    assert all((ROOT / path.split("/")[0]).exists() for path in ours)


@pytest.fixture
def change(branched):
    """A released project in which the rules changed since the base commit, with a weak challenger."""
    project, _ = branched
    root = project.root
    shutil.copytree(ROOT / "infra", root / "infra", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "Makefile").write_text(MAKEFILE)
    (root / ".gitignore").open("a").write("/report/\n/weak/\n/strong/\n")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "Base")
    base = git(root, "rev-parse", "HEAD")
    gate = root / "configs" / "gates" / "segmenter.yaml"
    gate.write_text(gate.read_text().replace("min_gain: 0.0", "min_gain: -0.0"))
    settings = Settings.load(root)
    remember(root / "artifacts" / "segmenter", root, settings)
    remember_prepared(root, settings)
    make_twin(root, "weak", settings, one_each)
    return Project(root=root, environment=project.environment | {"HOME": str(root.parent)}), base


def git(root, *arguments):
    who = ["-c", "user.name=Tester", "-c", "user.email=tester@example.org"]
    done = subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def shell(project, script, environment):
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script],
        cwd=project.root, env=project.environment | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


class Actions:
    """What GitHub does with a workflow, as far as this one goes: steps in order, conditions, expressions."""

    def __init__(self, project, values, environment):
        self.project, self.values, self.environment = project, values, environment
        self.failed, self.log = False, ""

    def run(self, job):
        for step in job["steps"]:
            if self.wanted(step) and "run" in step:
                done = shell(self.project, step["run"], self.environment | self.variables(step))
                self.log += done.stdout + done.stderr
                self.failed |= done.returncode != 0
        return self

    def wanted(self, step):
        condition = self.fill(str(step.get("if", "")))
        if "head.repo" in condition:
            return (
                self.values["github.event.pull_request.head.repo.full_name"]
                != self.values["github.repository"]
            )
        return not self.failed or "!cancelled()" in condition

    def variables(self, step):
        return {name: self.fill(value) for name, value in step.get("env", {}).items()}

    def fill(self, text):
        return EXPRESSION.sub(lambda match: self.value(match[1]), text)

    def value(self, expression):
        for part in expression.split(" || "):
            found = part.strip("'") if part.startswith("'") else self.values.get(part, "")
            if found:
                return found
        return ""


def github(project, base, service, **values):
    values = {
        "github.repository": "house/model",
        "github.event.pull_request.head.repo.full_name": "house/model",
        "github.event.pull_request.number": "12",
        "github.event.pull_request.base.sha": base,
        "github.event.pull_request.head.sha": base,
        "github.token": TOKEN,
        **values,
    }
    environment = {
        "GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "house/model", "GITHUB_API_URL": service.address,
        "GITHUB_STEP_SUMMARY": str(project.root / "step-summary"), "ATTEMPTS": "2", "PAUSE": "0",
    }  # fmt: skip
    return Actions(project, values, environment)


def test_a_pull_request_is_judged_and_its_comment_kept_up_to_date(change):
    project, base = change
    jobs = load(GITHUB)["jobs"]
    with CommentService("github") as service:
        service.add("a comment of somebody else", author="ada")
        values = {"vars.EVALUATE_MODEL": "weak"}
        judged = github(project, base, service, **values).run(jobs["evaluate"])
        assert judged.failed, judged.log
        assert "::error::The gate does not promote this model: rejected or inconclusive" in judged.log
        hushed = re.search(
            r"^::stop-commands::([0-9a-f]{32})$.*^::\1::$", judged.log, re.MULTILINE | re.DOTALL
        )
        assert "evaluation of weak: reused" in hushed[0] or "evaluation of weak: reused" in judged.log
        document = json.loads((project.root / "report" / "stdout.json").read_text())
        assert (document["verdict"], document["exit_code"]) == ("reject", 4)
        text = (project.root / "report" / "comment.md").read_text()
        assert "`configs/gates/segmenter.yaml` (changed)" in text
        assert (project.root / "step-summary").read_text() == text
        commented = github(project, base, service).run(jobs["comment"])
        assert not commented.failed, commented.log
        assert "❌ reject" in service.comments[102]["body"]

        values = {"vars.EVALUATE_MODEL": "champion", "vars.EVALUATE_DATA": "feedfeed"}
        broken = github(project, base, service, **values).run(jobs["evaluate"])
        assert broken.failed
        assert "::error::Model, data or rules that do not exist were asked for" in broken.log
        commented = github(project, base, service).run(jobs["comment"])
        assert not commented.failed, commented.log
        assert list(service.comments) == [101, 102]
        assert "no decision" in service.comments[102]["body"]
        assert "❌ reject" not in service.comments[102]["body"]


def test_a_fork_is_refused_before_anything_runs(change):
    project, base = change
    with CommentService("github") as service:
        values = {"github.event.pull_request.head.repo.full_name": "stranger/model"}
        judged = github(project, base, service, **values).run(load(GITHUB)["jobs"]["evaluate"])
    assert judged.failed
    assert judged.log.startswith("::error::The change comes from a fork.")
    assert "environment of this test" not in judged.log
    assert not (project.root / "report").exists()


def gitlab(project, base, service, job, **changes):
    """Run the script of a job as GitLab does: one shell, its variables filled in."""
    given = {
        "GITLAB_CI": "true", "CI_PROJECT_ID": "7", "CI_API_V4_URL": service.address,
        "CI_PROJECT_DIR": str(project.root), "CI_COMMIT_SHA": base, "CI_MERGE_REQUEST_IID": "12",
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": base, "CI_MERGE_REQUEST_PROJECT_ID": "7",
        "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "7", "ATTEMPTS": "2", "PAUSE": "0",
    }  # fmt: skip
    variables = {
        name: re.sub(r"\$(\w+)", lambda match: given.get(match[1], ""), str(value))
        for name, value in job.get("variables", {}).items()
    }
    return shell(project, "\n".join(job["script"]), given | variables | changes)


def test_a_merge_request_is_judged_and_its_comment_kept_up_to_date(change):
    project, base = change
    jobs = load(GITLAB)
    with CommentService("gitlab") as service:
        weaker = {"MODEL": "champion", "AGAINST": "weak"}
        judged = gitlab(project, base, service, jobs["evaluate"], **weaker)
        assert judged.returncode == 0, judged.stdout + judged.stderr
        assert "notice: The gate says promote. Nothing was promoted" in judged.stdout
        for outcome in ("created comment 101\n", "comment 101 is up to date\n"):
            done = gitlab(project, base, service, jobs["comment"], COMMENT_TOKEN=TOKEN)
            assert done.stdout == outcome, done.stderr
        assert "✅ promote" in service.comments[101]["body"]
        assert base in service.comments[101]["body"]

        fork = {"CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "8"}
        refused = gitlab(project, base, service, jobs["evaluate"], **fork)
        assert refused.returncode == 1
        assert refused.stdout.startswith("error: The change comes from a fork.")


STUB = """#!/bin/sh
case "$1" in
  eval) echo '{"said": "'"$*"'"}'; n=$(cat tries 2>/dev/null || echo 0); n=$((n + 1)); echo $n >tries
        set -- $CODES; shift $((n - 1)); exit ${1:-0} ;;
  report) exit 1 ;;
esac
"""


@pytest.mark.parametrize(
    ("codes", "code", "tries", "sentence"),
    [
        ("0", 0, 1, "notice: The gate says promote. Nothing was promoted: that is what"),
        ("4", 4, 1, "error: The gate does not promote this model: rejected or inconclusive, see"),
        ("6 6 4", 4, 3, "error: The gate does not promote this model: rejected or inconclusive, see"),
        ("6 6 6 6", 6, 3, "error: A store or service is unavailable after 3 attempts: run this job again."),
        ("5 0", 5, 1, "error: Data or model are not what their hashes say: nothing was judged."),
        ("3 0", 3, 1, "error: The data breaks a rule: nothing was judged."),
        ("2 0", 2, 1, "error: Model, data or rules that do not exist were asked for: correct"),
        ("1 0", 1, 1, "error: The evaluation ended with exit code 1: nothing was judged."),
        ("7 0", 7, 1, "error: The evaluation ended with exit code 7: nothing was judged."),
    ],
)  # fmt: skip
def test_each_exit_code_has_its_word_and_only_the_unavailable_is_tried_again(
    tmp_path, codes, code, tries, sentence
):
    done = with_stub(tmp_path, STUB, CODES=codes)
    assert done.returncode == code
    assert done.stdout.startswith(sentence)
    assert (tmp_path / "tries").read_text() == f"{tries}\n"
    assert (tmp_path / "report" / "comment.md").read_text() == (
        "## Evaluation gate: ⚠️ no decision\n\n"
        f"The evaluation ended with exit code {code} before there was a decision, so nothing may be "
        "promoted. The log says why.\n"
    )
    said = json.loads((tmp_path / "report" / "stdout.json").read_text())["said"]
    assert said == "eval --model models:/m/1 --data v1 --against champion --out report --json"


def with_stub(folder, stub, **environment):
    """Run the script in a folder whose ``groundwork`` is a few lines of shell."""
    command = folder / ".venv" / "bin" / "groundwork"
    command.parent.mkdir(parents=True)
    command.write_text(stub)
    command.chmod(0o755)
    environment |= {"MODEL": "models:/m/1", "DATA": "v1", "PAUSE": "0", "PATH": os.environ["PATH"]}
    script = ROOT / "infra" / "ci" / "evaluate.sh"
    return subprocess.run([script], cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_rules_that_could_not_be_compared_are_not_passed_over(tmp_path):
    stub = """#!/bin/sh
[ "$1" = eval ] || { echo "there is no revision" >&2; exit 2; }
mkdir report; echo {} >report/decision.json; echo "## promote" >report/summary.md
"""
    done = with_stub(tmp_path, stub, BASE="gone")
    assert done.returncode == 0
    assert "there is no revision" in done.stderr
    assert (tmp_path / "report" / "comment.md").read_text() == (
        "## promote\n\n"
        "⚠️ **The rules of the gate could not be compared with those of the base.** The log says why.\n"
    )


@pytest.mark.slow
def test_the_model_of_the_change_is_brought_up_to_date_first(change):
    """It is the champion itself here: DVC finds it trained, and nothing is better than itself."""
    project, base = change
    with CommentService("github") as service:
        judged = github(project, base, service).run(load(GITHUB)["jobs"]["evaluate"])
    assert judged.failed, judged.log
    assert "train_segmenter: reused" in judged.log
    assert "Both are the very same model" in (project.root / "report" / "comment.md").read_text()
