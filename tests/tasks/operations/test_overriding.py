from datetime import date, timedelta

import pytest

from tasks.data.strict_json import read_json
from tasks.errors import GateRejected, UsageError
from tasks.operations import checkup, watching
from tasks.operations.circumstances import today
from tasks.operations.judging import judge_candidate
from tasks.operations.overriding import Override, override_gate, read_override
from tasks.operations.promotion import promote_candidate, roll_back
from tasks.services import registry, tracking
from tasks.services.ledger import open_ledger
from tasks.services.ledger_entry import Proposal
from tests.tasks.operations.challenger import make_challenger

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("release")]

SOON = (today() + timedelta(days=30)).isoformat()
WANTED = Override(why="demo <b>for</b> the board", until=SOON, who="grace")


def test_an_override_promotes_what_the_gate_did_not_and_everybody_can_see_it(copied):
    root, settings, result = copied
    make_challenger(root)
    refused = promote_candidate(root, settings)
    assert refused["verdict"] in {"reject", "inconclusive"}
    assert override_gate(WANTED, root, settings, dry_run=True)["outcome"] == "dry run"
    assert len(open_ledger(settings).history("segmenter")) == 1
    answer = override_gate(WANTED, root, settings)
    assert (answer["verdict"], answer["gate"], answer["outcome"]) == (
        "override",
        refused["verdict"],
        "overridden",
    )
    entry = open_ledger(settings).champion("segmenter")
    assert (entry.kind, entry.who, entry.why, entry.until) == ("override", "grace", WANTED.why, SOON)
    assert (entry.overrules, entry.sequence) == (refused["decision_id"], 2)
    assert answer["bundle_id"] == entry.bundle_id != result["bundle_id"]

    tracker = tracking.connect(settings)
    assert registry.champion_alias(tracker, "segmenter") == entry.mlflow_version
    version = tracker.client.get_model_version("segmenter", entry.mlflow_version)
    assert version.tags["groundwork.override"] == f"until {SOON} by grace: {WANTED.why}"
    assert (
        f"**Champion by override until {SOON}.** The gate said {refused['verdict']}." in version.description
    )

    page = (root / "artifacts" / "reports" / entry.overrules / "report.html").read_text()
    assert "Champion by override" in page
    assert f"grace made it champion all the same on {entry.when[:10]}" in page
    assert "demo &lt;b&gt;for&lt;/b&gt; the board" in page

    judged = judge_candidate(root, settings)
    assert (judged.in_force, judged.verdict, judged.standing) == (True, refused["verdict"], "override")
    assert judged.remarks[0].startswith("It is champion by override of grace in entry 2, which holds until ")
    assert promote_candidate(root, settings)["verdict"] == "override"
    assert override_gate(WANTED, root, settings)["outcome"] == "reused"
    assert len(open_ledger(settings).history("segmenter")) == 2
    later = (today() + timedelta(days=60)).isoformat()
    renewed = override_gate(Override(why="still", until=later), root, settings)
    assert (renewed["outcome"], renewed["sequence"], renewed["until"]) == ("overridden", 3, later)
    assert roll_back(root, settings, why="the demo is over")["bundle_id"] == result["bundle_id"]
    with pytest.raises(GateRejected, match="taken out of service by"):
        override_gate(WANTED, root, settings)


def test_an_override_that_is_over_is_said_loudly(copied, monkeypatch):
    """That the champion is measured before, ``test_watching`` proves."""
    root, settings, _ = copied
    monkeypatch.setattr(watching, "_compare", lambda *_: {"verdict": "steady", "summary": "steady"})
    make_challenger(root)
    judged = judge_candidate(root, settings)
    standing = open_ledger(settings).champion("segmenter")
    assert checkup._override(root) == "none: no champion stands by an override"
    open_ledger(settings).append(
        Proposal(
            kind="override",
            model="segmenter",
            bundle_id=judged.candidate.bundle_id,
            model_sha256=judged.candidate.model_sha256,
            mlflow_version=standing.mlflow_version,
            decision_id="an-override-of-2020",
            dataset_sha256=judged.candidate.dataset_sha256,
            metrics={},
            who="grace",
            why="a demo",
            overrules=judged.decision["decision_id"],
            until="2020-01-31",
        ),
        expected_sequence=1,
    )
    sentence = (
        "it stands by override of grace in entry 2, which ended on 2020-01-31, because: a demo. Promote what "
        "the gate accepts, renew it: `groundwork promote --override --why ... --until ...`, or go back: "
        "`groundwork rollback --why ...`."
    )
    for command in (checkup._override, lambda root: watching.watch_champion(root, settings)):
        with pytest.raises(GateRejected) as caught:
            command(root)
        assert str(caught.value) == f"champion {judged.candidate.bundle_id}: {sentence}"
        assert caught.value.exit_code == 4
    again = judge_candidate(root, settings)
    assert (again.in_force, again.standing) == (True, judged.verdict)
    assert "which ended on 2020-01-31" in again.remarks[0]
    make_challenger(root, seed=2)
    challenger = judge_candidate(root, settings)
    assert challenger.remarks[1].startswith(
        "The champion stands by override of grace in entry 2, which ended"
    )


def test_evidence_that_cannot_be_judged_is_never_overridden(copied):
    root, settings, _ = copied
    make_challenger(root)
    gate = root / "configs" / "gates" / "segmenter.yaml"
    gate.write_text(gate.read_text().replace("split: val", "split: test"))
    with pytest.raises(GateRejected) as caught:
        override_gate(WANTED, root, settings)
    assert (
        "cannot be promoted by an override, for the evidence cannot be judged: candidate: split 'val' was"
        in (str(caught.value))
    )
    assert len(open_ledger(settings).history("segmenter")) == 1


def test_what_the_gate_promoted_needs_no_override(copied):
    root, settings, result = copied
    with pytest.raises(UsageError, match="is promoted by the gate: there is nothing to override") as caught:
        override_gate(WANTED, root, settings)
    assert caught.value.obj == f"bundle {result['bundle_id']}"
    assert read_json(judge_candidate(root, settings).path)["verdict"] == "promote"


def test_reason_and_last_day_are_required():
    day = date(2026, 11, 21)
    assert read_override("demo", "2026-12-31", None, on=day) == Override(why="demo", until="2026-12-31")
    assert read_override("demo", "2026-11-21", "grace", on=day).who == "grace"
    for why, until in ((None, "2026-12-31"), (" ", "2026-12-31"), ("demo", None)):
        with pytest.raises(UsageError) as caught:
            read_override(why, until, None, on=day)
        assert str(caught.value) == (
            "groundwork promote --override: needs a reason and a last day. "
            'Give both: --override --why "..." --until YYYY-MM-DD.'
        )
    for until in ("2026-11-20", "2027-11-23", "9999-12-31"):
        with pytest.raises(UsageError) as caught:
            read_override("demo", until, None, on=day)
        assert str(caught.value) == (
            f"--until: must be a day from 2026-11-21 to 2027-11-22, got {until}. Choose a nearer day, it can "
            "be renewed. What holds for good belongs into the policy."
        )
    with pytest.raises(UsageError, match="must have at most 1000 characters, got 1001"):
        read_override("x" * 1001, "2026-12-31", None, on=day)
    with pytest.raises(UsageError, match="is no day: expected YYYY-MM-DD, got 'tomorrow'"):
        read_override("demo", "tomorrow", None, on=day)
