import pytest

from tasks.data.commit import describe, verify_directory
from tasks.errors import GateRejected, IntegrityError, UnavailableError, UsageError
from tasks.operations.challenge_files import describe_answer
from tasks.operations.challenging import Question, judge_against
from tasks.operations.circumstances import decision_file
from tasks.services.ledger import open_ledger
from tasks.services.ledger_entry import Proposal
from tests.tasks.operations.twins import make_twin, one_each, remember

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("release")]


@pytest.fixture
def measured(copied):
    """The champion and a weak twin of it, both measured."""
    root, settings, result = copied
    remember(root / "artifacts" / "segmenter", root, settings)
    return root, settings, str(make_twin(root, "weak", settings, one_each)), result


def untouched(settings):
    """Return everything that a promotion would change."""
    names = ("ledger.db", "mlflow.db", "bundles", "decisions", "candidates", "proofs")
    return {
        name: (settings.home / name).read_bytes()
        if (settings.home / name).is_file()
        else describe(settings.home / name, schema="seen").sha256
        for name in names
        if (settings.home / name).exists()
    }


def test_a_better_model_passes_a_weaker_one_does_not_and_nothing_changes(measured):
    root, settings, weak, result = measured
    before = untouched(settings)
    better = Question(model="champion", against=weak)
    answer = judge_against(better, root, settings)
    assert (answer.decision["verdict"], answer.exit_code) == ("promote", 0)
    weaker = Question(model=weak, against="champion")
    refused = judge_against(weaker, root, settings)
    assert (refused.decision["verdict"], refused.exit_code) == ("reject", 4)
    assert refused.decision["champion"]["bundle_id"] == result["bundle_id"]
    assert refused.decision["champion"]["sequence"] == 1
    assert refused.decision["candidate"]["bundle_id"] == f"model:{refused.model.model_sha256[:16]}"
    assert refused.path.parent.parent == settings.home / "challenges"
    assert not decision_file(refused.decision["decision_id"], settings).exists()
    assert judge_against(weaker, root, settings).path == refused.path
    assert untouched(settings) == before


def test_a_damaged_decision_is_made_again(measured):
    root, settings, weak, _ = measured
    question = Question(model="champion", against=weak)
    path = judge_against(question, root, settings).path
    content = path.read_bytes()
    path.write_text("{}")
    assert judge_against(question, root, settings).path.read_bytes() == content
    verify_directory(path.parent)


def test_nothing_is_better_than_itself(measured):
    root, settings, _, _ = measured
    question = Question(model=str(root / "artifacts" / "segmenter"), against="champion")
    decision = judge_against(question, root, settings).decision
    assert decision["verdict"] == "reject"
    assert "Both are the very same model: nothing is better than itself." in decision["remarks"]


def test_an_absent_champion_is_no_free_pass(measured):
    root, settings, weak, _ = measured
    for path in (settings.home / "ledger.db", *(settings.home / "marks").iterdir()):
        path.unlink()
    with pytest.raises(UnavailableError) as caught:
        judge_against(Question(model=weak, against="champion"), root, settings)
    assert str(caught.value) == (
        "segmenter: there is no champion to compare with. "
        "Make one with `groundwork run --first`, or judge by the limits alone: add --first."
    )
    answer = judge_against(Question(model=weak, against="champion", first=True), root, settings)
    assert answer.against is None
    assert answer.decision["verdict"] == "promote"
    assert "a first promotion was asked for" in answer.decision["reasons"][-1]
    assert describe_answer(Question(model=weak, against="champion"), answer, root)["page"] is None


def test_a_lost_champion_is_no_absent_one(measured):
    root, settings, weak, result = measured
    (settings.home / "bundles" / result["bundle_id"] / "manifest.json").unlink()
    with pytest.raises((UnavailableError, IntegrityError)):
        judge_against(Question(model=weak, against="champion", first=True), root, settings)


def test_a_withdrawn_model_is_refused_as_the_gate_would(measured):
    """It was champion before and a person took it out of service; against another model that is no matter."""
    root, settings, weak, result = measured
    ledger = open_ledger(settings)
    theirs = ledger.champion("segmenter")
    mine = Proposal(
        kind="promote",
        model="segmenter",
        bundle_id="f" * 16,
        model_sha256=verify_directory(root / "weak").sha256,
        mlflow_version=None,
        decision_id="another-gate",
        dataset_sha256=theirs.dataset_sha256,
        metrics={},
        who="ada",
        why="by hand",
    )
    ledger.append(mine, expected_sequence=1)
    ledger.rollback("segmenter", who="ada", why="misses the small ones")
    refused = judge_against(Question(model=weak, against="champion"), root, settings)
    assert "taken out of service by ada in entry 3" in refused.decision["objections"][0]
    other = judge_against(Question(model=weak, against=result["bundle_id"]), root, settings)
    assert not other.decision["objections"]


def test_a_sealed_split_is_not_looked_at(measured, tmp_path):
    root, settings, weak, _ = measured
    sealed = tmp_path / "sealed.yaml"
    sealed.write_text((root / "configs" / "gates" / "segmenter.yaml").read_text() + "sealed: true\n")
    with pytest.raises(GateRejected, match="is sealed: only a promotion judges a model on it"):
        judge_against(Question(model=weak, against="champion", policy=sealed), root, settings)


def test_rules_of_other_metrics(measured, tmp_path):
    root, settings, weak, _ = measured
    policy = root / "configs" / "gates" / "refcoco.yaml"
    with pytest.raises(UsageError) as caught:
        judge_against(Question(model=weak, against="champion", policy=policy), root, settings)
    assert str(caught.value) == (
        f"{policy}: judges by referring-boxes/1, a segmenter is measured by coco-instances/1. "
        "Name rules of a segmenter with --policy."
    )
