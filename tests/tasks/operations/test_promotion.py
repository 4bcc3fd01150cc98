import pytest

from tasks.errors import IntegrityError, UsageError
from tasks.operations import promotion
from tasks.services import registry, tracking
from tasks.services.ledger import open_ledger

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("release")]


def test_a_champion_is_not_promoted_twice(copied):
    root, settings, result = copied
    answer = promotion.promote_candidate(root, settings)
    assert answer["outcome"] == "reused"
    assert answer["summary"] == f"bundle {result['bundle_id']} is champion already"
    assert len(open_ledger(settings).history("segmenter")) == 1


def test_there_is_nothing_before_the_first_champion(copied):
    root, settings, _ = copied
    with pytest.raises(UsageError, match="has no champion before the present one"):
        promotion.roll_back(root, settings, why="to see")


def test_a_lost_ledger_is_noticed_by_the_registry(copied):
    root, settings, _ = copied
    for path in (root / ".groundwork").glob("ledger.db*"):
        path.unlink()
    for path in (root / ".groundwork" / "marks").iterdir():
        path.unlink()
    ledger = open_ledger(settings)
    assert ledger.champion("segmenter") is None
    with pytest.raises(IntegrityError, match="the registry has seen entry 1"):
        registry.reconcile(tracking.connect(settings), "segmenter", ledger.champion)


def test_words_for_no_champion():
    assert promotion.describe(None, "kept")["summary"] == "none: nothing was promoted yet"


def test_the_card_of_a_version_says_how_it_became_champion(copied):
    root, settings, result = copied
    tracker = tracking.connect(settings)
    version = tracker.client.get_model_version("segmenter", result["champion"]["version"])
    assert version.tags["groundwork.promotion"] == "promote"
    assert version.tags["groundwork.override"] == "none"
    assert version.tags["groundwork.decision_id"] == result["decision_id"]
    assert version.description.startswith(f"Bundle `{result['bundle_id']}`")
    assert "Promoted by the gate" in version.description
    (entry,) = open_ledger(settings).history("segmenter")
    assert f"Policy `{entry.policy_sha256[:12]}`." in version.description
    tracker.client.update_model_version("segmenter", version.version, description="")
    promotion.promote_candidate(root, settings, dry_run=True)
    assert tracker.client.get_model_version("segmenter", version.version).description == ""
    promotion.promote_candidate(root, settings)
    again = tracker.client.get_model_version("segmenter", version.version)
    assert again.description == version.description
