"""The whole job on a tiny project: first champion, repetition, challenger, rollback, no Prefect."""

import json
import re
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest

from tasks.data.commit import verify_directory

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("release"), pytest.mark.timeout(900)]


def outcomes(result):
    return {step["step"]: step["outcome"] for step in result["steps"]}


def test_the_first_run_makes_a_champion_and_a_page(released):
    project, result = released
    assert result["verdict"] == "promote"
    assert outcomes(result)["version_data"] == "imported"
    assert set(outcomes(result).values()) == {"imported", "ran", "judged", "recorded", "promoted", "rendered"}
    assert result["champion"]["sequence"] == 1
    page = project.root / "artifacts" / "reports" / result["decision_id"] / "report.html"
    assert result["report"] == str(page)
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page.read_text())
    for folder in ("artifacts/segmenter", "artifacts/evaluation", "data/dataset"):
        verify_directory(project.root / folder)


def test_prefect_recorded_every_stage_as_a_task(released):
    """The server writes task runs late and may lose some at exit; the flow run itself is never lost."""
    project, _ = released
    with sqlite3.connect(project.root / ".groundwork" / "prefect" / "prefect.db") as database:
        states = dict(database.execute("select name, state_type from flow_run").fetchall())
        flows = {name for (name,) in database.execute("select name from flow")}
        artifacts = database.execute("select key, data from artifact").fetchall()
    assert flows == {"release segmenter"}
    assert set(states.values()) == {"COMPLETED"}
    assert artifacts[0][0] == "release-segmenter"
    assert "report.html" in artifacts[0][1]


def test_mlflow_holds_the_run_and_a_model_that_loads(released):
    project, result = released
    script = f"""
import json, base64, pathlib, mlflow, pandas as pd
mlflow.set_tracking_uri("sqlite:///.groundwork/mlflow.db")
run = mlflow.get_run({result["run"]["run_id"]!r})
image = sorted(pathlib.Path("source/val").iterdir())[0]
model = mlflow.pyfunc.load_model("models:/segmenter@champion")
example = pd.DataFrame({{"image_base64": [base64.b64encode(image.read_bytes()).decode()]}})
found = model.predict(example)
client = mlflow.MlflowClient()
print(json.dumps({{
    "status": run.info.status,
    "params": len(run.data.params),
    "metrics": sorted(run.data.metrics),
    "dataset": run.inputs.dataset_inputs[0].dataset.name,
    "report": run.data.tags["groundwork.report"],
    "points": len(client.get_metric_history(run.info.run_id, "train.loss")),
    "detections": len(found),
    "signature": model.metadata.signature is not None,
}}))
"""
    (project.root / "look.py").write_text(script)
    done = project.command("look")
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert found["status"] == "FINISHED"
    assert found["params"] > 20
    assert {"mask.ap50", "box.recall50", "train.loss"} <= set(found["metrics"])
    assert found["dataset"] == "shapes-world"
    assert found["report"] == "report/report.html"
    assert found["points"] == 12
    assert found["detections"] >= 1
    assert found["signature"]


def test_a_second_run_reuses_what_is_unchanged(released, later_runs):
    _, result = released
    code, again, _ = later_runs["again"]
    assert code == 0, again
    assert set(outcomes(again).values()) == {"reused"}
    assert again["metrics"] == result["metrics"]
    assert again["champion"] == result["champion"] | {"outcome": "reused"}
    assert again["run"]["run_id"] == result["run"]["run_id"]


@pytest.mark.slow
def test_dvc_alone_gives_the_same_metrics(released, tmp_path):
    project, result = released
    copy = tmp_path / "copy"
    shutil.copytree(project.root, copy, ignore=shutil.ignore_patterns(".groundwork", "cache"))
    shutil.rmtree(copy / "artifacts")
    (copy / "dvc.lock").unlink()
    there = type(project)(root=copy, environment={**project.environment, "PYTHONPATH": str(copy)})
    done = there.command("dvc", "repro")
    assert done.returncode == 0, done.stderr[-3000:]
    metrics = json.loads((copy / "artifacts" / "evaluation" / "metrics.json").read_text())
    assert metrics["metrics"] == result["metrics"]


@pytest.mark.slow
def test_a_changed_parameter_makes_a_challenger_and_a_rollback_undoes_it(branched):
    project, result = branched
    project.replace("params.yaml", "steps: 60", "steps: 40")
    rejected = project.groundwork("run", code=4)
    assert rejected["verdict"] in {"reject", "inconclusive"}
    assert outcomes(rejected)["validate_coco"] == "reused"
    assert outcomes(rejected)["train_segmenter"] == "ran"
    assert rejected["champion"]["bundle_id"] == result["bundle_id"]
    assert rejected["bundle_id"] != result["bundle_id"]
    assert project.groundwork("gate", code=4)["champion"]["sequence"] == 1

    until = (datetime.now(UTC).date() + timedelta(days=30)).isoformat()
    forced = project.groundwork("promote", "--override", "--why", "a demo", "--until", until)
    assert (forced["verdict"], forced["gate"]) == ("override", rejected["verdict"])
    entry = project.groundwork("history")["entries"][-1]
    assert (entry["kind"], entry["bundle_id"], entry["why"]) == ("override", rejected["bundle_id"], "a demo")
    assert (entry["overrules"], entry["until"]) == (rejected["decision_id"], until)
    assert f"by override of {entry['who']}" in project.groundwork("promote")["summary"]
    back = project.groundwork("rollback", "--why", "the old one was better")
    assert back["bundle_id"] == result["bundle_id"]
    entry = project.groundwork("history")["entries"][-1]
    assert (entry["kind"], entry["who"], entry["why"]) == ("rollback", entry["who"], "the old one was better")
    held = project.groundwork("gate", code=4)
    assert held["verdict"] == "reject"
    assert "the old one was better" in held["objections"][0]
    project.replace("params.yaml", "steps: 40", "steps: 60")
    steps = {step["stage"]: step["outcome"] for step in project.groundwork("train")["steps"]}
    assert steps["train_segmenter"] == "restored"
