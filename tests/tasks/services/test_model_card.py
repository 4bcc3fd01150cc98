import pytest

from tasks.errors import UnavailableError
from tasks.services.ledger_entry import next_entry
from tasks.services.model_card import OVERRIDE, card, write_card
from tasks.services.settings import Settings
from tasks.services.tracking import connect
from tests.tasks.services.proposals import proposal


def promoted():
    return next_entry(proposal("a", policy_sha256="2" * 64), [], "2026-01-01T00:00:00+00:00")


def overridden(**changes):
    values = {
        "kind": "override",
        "overrules": "decision-1",
        "until": "2026-12-31",
        "why": "demo <script>alert(1)</script> [x](http://y)\n# now",
    }
    return next_entry(proposal("b", **(values | changes)), [promoted()], "2026-02-01T00:00:00+00:00")


def test_the_card_of_a_promotion():
    assert card(promoted(), verdict="promote").splitlines() == [
        "Bundle `bundle-a`, dataset `111111111111`.",
        "",
        "Promoted by the gate, 2026-01-01T00:00:00+00:00, ada@host.",
        "",
        "Decision `decision-a`, entry 1 of the ledger.",
        "Policy `222222222222`.",
        "",
        "| metric | value |",
        "|---|---|",
        "| mask.ap | 0.5000 |",
    ]


def test_the_card_of_an_override_says_who_why_and_until_when_and_is_never_markup():
    text = card(overridden(metrics={}), verdict="reject")
    assert "**Champion by override until 2026-12-31.** The gate said reject." in text
    assert "- who: ada@host" in text
    assert r"- why: demo \<script\>alert\(1\)\</script\> \[x\]\(http://y\) \# now" in text.splitlines()
    assert "<script>" not in text
    assert "\n#" not in text
    assert "Decision `decision-1`, entry 2 of the ledger." in text


def test_tags_and_description_stand_beside_the_version(tracker):
    name = f"model-{tracker.experiment_id}"
    tracker.client.create_registered_model(name)
    version = tracker.client.create_model_version(name, source="file:///nowhere", await_creation_for=0)
    for made, override in (
        (overridden(model=name, why="demo"), "until 2026-12-31 by ada@host: demo"),
        (next_entry(proposal("a", model=name), [], "2026-01-01T00:00:00+00:00"), "none"),
    ):
        for _ in range(2):  # again after a kill
            write_card(tracker, made, str(version.version), verdict="reject")
        found = tracker.client.get_model_version(name, version.version)
        assert found.tags[OVERRIDE] == override
        assert found.tags["groundwork.promotion"] == made.kind
        assert found.description == card(made, verdict="reject")


def test_a_registry_that_does_not_answer_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(UnavailableError):
        write_card(connect(Settings.load(tmp_path)), promoted(), "1", verdict="promote")
