"""Two committed evaluations before the gate; what does not belong together is refused by name."""

import json
import shutil
from pathlib import Path

import pytest

from tasks.data.commit import commit_directory, verify_directory
from tasks.data.referring_evaluations import EVALUATION_SCHEMA
from tasks.errors import IntegrityError, UnavailableError, UsageError
from tasks.operations.evaluating_referring import evaluate_referring
from tasks.operations.judging_referring import DECISION_SCHEMA, judge_referring
from tests.tasks.referring_world import make_pair

GATES = Path(__file__).resolve().parents[3] / "configs" / "gates"
SMALL = """
split: val
definition: referring-boxes/1
floors: [{metric: ref_box.answered, at_least: 0.5}]
ceilings: []
primary: {metric: ref_box.mean_iou, min_gain: 0.0}
non_inferior: []
interval: bca
alpha: 0.05
resamples: 500
seed: 3
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    make_pair(folder, "boxes", images=30)
    (folder / "policy.yaml").write_text(SMALL)
    return folder


def judge(pair, out, candidate="new", against="old", **options):
    other = None if against is None else pair / against
    values = {"policy": pair / "policy.yaml", "out": out}
    return judge_referring(pair / candidate, other, **(values | options))


def recommit(pair, out, **changes):
    """Copy an evaluation with another ``metrics.json``, as if it had always been so."""

    def write(folder):
        for path in (pair / "old").iterdir():
            shutil.copy(path, folder)
        (folder / "manifest.json").unlink()
        metrics = json.loads((folder / "metrics.json").read_text())
        (folder / "metrics.json").write_text(json.dumps(metrics | changes))

    commit_directory(out, write, schema=EVALUATION_SCHEMA)
    return out


def test_a_better_model_and_the_way_back(pair, tmp_path):
    decision = judge(pair, tmp_path / "a")
    assert decision["verdict"] == "promote"
    assert decision["candidate"]["bundle_id"] == verify_directory(pair / "new").sha256[:16]
    assert json.loads((tmp_path / "a" / "decision.json").read_text()) == decision
    assert verify_directory(tmp_path / "a").schema == DECISION_SCHEMA == decision["schema"]
    assert judge(pair, tmp_path / "a") == decision
    assert judge(pair, tmp_path / "b", "old", "new")["verdict"] == "reject"


def test_the_first_one_must_be_asked_for(pair, tmp_path):
    assert judge(pair, tmp_path / "a", against=None)["verdict"] == "inconclusive"
    assert judge(pair, tmp_path / "a", against=None, first=True)["verdict"] == "promote"
    assert judge(pair, tmp_path / "a", first=True)["champion"] is not None


def test_small_data_are_no_proof(pair, tmp_path):
    decision = judge(pair, tmp_path / "a", policy=GATES / "refcoco.yaml")
    assert decision["verdict"] == "reject"
    assert "rests on 90 objects in 30 images, at least 1000 in 300 are needed" in decision["objections"][0]


def test_a_policy_of_the_other_kind_is_refused_by_name(pair, tmp_path):
    policy = GATES / "refcoco_masks.yaml"
    with pytest.raises(IntegrityError) as caught:
        judge(pair, tmp_path / "a", policy=policy)
    assert caught.value.message == (
        f"was scored by 'referring-boxes/1', {policy} judges 'referring-masks/1'."
    )
    assert (caught.value.obj, caught.value.exit_code) == (str(pair / "new"), 5)
    assert "boxes and masks have one each" in caught.value.hint
    assert not (tmp_path / "a").exists()


def test_a_policy_of_another_split_is_refused(pair, tmp_path):
    (tmp_path / "testA.yaml").write_text(SMALL.replace("split: val", "split: testA"))
    with pytest.raises(IntegrityError, match=r"is about split 'val', .* judges 'testA'\."):
        judge(pair, tmp_path / "a", policy=tmp_path / "testA.yaml")


def test_other_data_another_split_and_another_kind_are_refused(pair, tmp_path):
    for dataset, name in (({"sha256": "x"}, "dataset_sha256"), ({"split": "testA"}, "split")):
        metrics = json.loads((pair / "old" / "metrics.json").read_text())
        other = recommit(pair, tmp_path / name, dataset=metrics["dataset"] | dataset)
        with pytest.raises(IntegrityError, match=f"{name} is '.*', that of the other model is '"):
            judge_referring(pair / "new", other, policy=pair / "policy.yaml", out=tmp_path / "a")
    evaluate_referring(
        prepared=pair / "prepared",
        split="val",
        predictions=pair / "old.jsonl",
        kind="masks",
        out=tmp_path / "masks",
    )
    with pytest.raises(IntegrityError, match="definition is 'referring-masks/1', that of the other model is"):
        judge_referring(pair / "new", tmp_path / "masks", policy=pair / "policy.yaml", out=tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_numbers_that_their_table_does_not_give_are_an_objection(pair, tmp_path):
    metrics = json.loads((pair / "old" / "metrics.json").read_text())["metrics"]
    raised = [entry | {"value": min(1.0, entry["value"] + 0.2)} for entry in metrics]
    other = recommit(pair, tmp_path / "raised", metrics=raised)
    decision = judge_referring(other, pair / "new", policy=pair / "policy.yaml", out=tmp_path / "a")
    assert decision["verdict"] == "reject"
    assert any("is stated as" in line for line in decision["objections"])


def test_damage_and_absence(pair, tmp_path):
    shutil.copytree(pair / "new", tmp_path / "new")
    (tmp_path / "new" / "per_expression.parquet").write_bytes(b"")
    with pytest.raises(IntegrityError, match=r"changed per_expression\.parquet"):
        judge_referring(tmp_path / "new", None, policy=pair / "policy.yaml", out=tmp_path / "a")
    with pytest.raises(UnavailableError, match="is no directory"):
        judge(pair, tmp_path / "a", against="gone")
    with pytest.raises(UsageError, match="no such file"):
        judge(pair, tmp_path / "a", policy=tmp_path / "gone.yaml")
    with pytest.raises(UsageError, match=r"only an earlier 'groundwork\.decision/1'"):
        judge(pair, pair / "prepared")
    other = recommit(pair, tmp_path / "x", coverage={})
    with pytest.raises(IntegrityError, match=r"not a metrics document \(KeyError: 'images_expected'\)"):
        judge_referring(other, None, policy=pair / "policy.yaml", out=tmp_path / "a")
