import dataclasses

import pytest

from tasks.services.ledger import open_ledger
from tasks.services.ledger_entry import Proposal
from tasks.services.settings import Settings

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("release"), pytest.mark.timeout(600)]


def test_a_quiet_night_only_watches_the_champion(released, later_runs):
    _, result = released
    code, found, _ = later_runs["night"]
    assert code == 0, found
    assert found["verdict"] == "steady"
    assert result["bundle_id"] in found["summary"]


@pytest.mark.slow
def test_a_night_under_an_override_that_is_over_fails(branched):
    project, result = branched
    ledger = open_ledger(Settings.load(project.root))
    (entry,) = ledger.history("segmenter")
    same = {field.name: getattr(entry, field.name) for field in dataclasses.fields(Proposal)}
    changes = {"kind": "override", "decision_id": "an-override", "overrules": entry.decision_id}
    over = Proposal(**(same | changes | {"until": "2020-01-31", "who": "grace", "why": "a demo"}))
    ledger.append(over, expected_sequence=1)
    error = project.groundwork("run", "--nightly", code=4)["error"]
    assert error["code"] == "gate-rejected"
    assert error["object"] == f"champion {result['bundle_id']}"
    assert error["message"] == (
        "it stands by override of grace in entry 2, which ended on 2020-01-31, because: a demo."
    )
    assert "by override of grace" in project.groundwork("promote")["summary"]
