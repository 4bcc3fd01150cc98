import dataclasses
import json
from datetime import UTC, datetime, timedelta

import pytest

from evaluation.gate import Floor, Policy, Primary
from tasks.errors import GateRejected
from tasks.operations.candidate import Candidate
from tasks.operations.circumstances import decision_file, look_up, override_sentence, today
from tasks.services.ledger import open_ledger
from tasks.services.settings import Settings
from tests.tasks.services.proposals import proposal

POLICY = Policy(
    split="val",
    floors=(Floor(metric="mask.ap50", at_least=0.1),),
    ceilings=(),
    primary=Primary(metric="mask.ap50", min_gain=0.0),
    non_inferior=(),
    alpha=0.05,
    resamples=100,
    seed=1,
)
OVER, AHEAD = "2020-01-31", (datetime.now(UTC).date() + timedelta(days=30)).isoformat()


@pytest.fixture
def settings(tmp_path, monkeypatch):
    for name in ("GROUNDWORK_LEDGER_URL", "GROUNDWORK_HOME"):
        monkeypatch.delenv(name, raising=False)
    return Settings.load(tmp_path)


def candidate(settings, model="c"):
    return Candidate(
        bundle_id=f"bundle-{model}",
        folder=settings.home,
        model_sha256=model * 64,
        dataset_sha256="d" * 64,
        metrics={},
        lineage={},
    )


def look(settings, *, model="c", policy=POLICY, promoting=True):
    return look_up(candidate(settings, model), policy, open_ledger(settings), settings, promoting=promoting)


def append(settings, name, **changes):
    ledger = open_ledger(settings)
    return ledger.append(proposal(name, **changes), expected_sequence=len(ledger.history("segmenter")))


def overriding(settings, name, until, **changes):
    stated = {"kind": "override", "overrules": "decision-1", "until": until, "who": "grace", "why": "a demo."}
    return append(settings, name, **(stated | changes))


def test_every_model_counts_once(settings):
    assert [look(settings, model=model).uses for model in "aaba"] == [1, 1, 2, 1]
    stricter = dataclasses.replace(POLICY, alpha=0.01)
    assert look(settings, model="b", policy=stricter).uses == 2, "other rules are no other look at the data"
    assert look(settings, model="b", policy=dataclasses.replace(POLICY, split="test")).uses == 1


def test_a_sealed_split_is_first_looked_at_by_a_promotion(settings):
    sealed = dataclasses.replace(POLICY, sealed=True)
    with pytest.raises(GateRejected) as caught:
        look(settings, policy=sealed, promoting=False)
    assert str(caught.value) == (
        "split 'val' of dataset dddddddddddd: is sealed: only a promotion judges a model on it, and model "
        "cccccccccccc was not judged on it yet. Run `groundwork promote`, and look at another split until "
        "then."
    )
    assert caught.value.exit_code == 4
    assert look(settings, policy=sealed).uses == 1
    assert look(settings, policy=sealed, promoting=False).uses == 1


def test_a_model_that_was_rolled_back_is_withdrawn_until_it_is_restored(settings):
    append(settings, "a")
    append(settings, "c", model_sha256="c" * 64)
    ledger = open_ledger(settings)
    ledger.rollback("segmenter", who="grace", why="misses small ones")
    assert look(settings).withdrawn == (
        "taken out of service by grace in entry 3, because: misses small ones. To restore it: "
        "`groundwork rollback --to 2 --why ...`."
    )
    ledger.rollback("segmenter", who="grace", why="it was the data", to=2)
    assert look(settings).withdrawn is None


def test_a_champion_by_override_is_said_to_be_one_and_louder_when_it_is_over(settings):
    append(settings, "a")
    assert look(settings).remarks == ()
    overriding(settings, "b", AHEAD)
    assert look(settings).remarks == (
        f"The champion stands by override of grace in entry 2, which holds until {AHEAD}, because: a demo.",
    )
    overriding(settings, "b", OVER, decision_id="renewed")
    assert look(settings).remarks == (
        f"The champion stands by override of grace in entry 3, which ended on {OVER}, because: a demo.",
    )


def test_rules_other_than_the_champions_are_remarked(settings):
    append(settings, "a", policy_sha256=POLICY.sha256)
    assert look(settings).remarks == ()
    moved = dataclasses.replace(POLICY, floors=(Floor(metric="mask.ap50", at_least=0.09),))
    assert look(settings, policy=moved).remarks == (
        f"The rules are not those that judged the champion: policy {moved.sha256[:12]} now, "
        f"{POLICY.sha256[:12]} then.",
    )


def test_an_entry_that_names_no_policy_is_looked_up_in_its_decision(settings):
    append(settings, "a")
    assert look(settings).remarks == (), "an old entry whose decision is not here says nothing"
    path = decision_file("decision-a", settings)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"policy_sha256": "9" * 64}))
    assert look(settings).remarks[0].endswith(f"{'9' * 12} then.")


def test_the_last_day_counts(settings):
    entry = overriding(settings, "a", today().isoformat())
    assert f"which holds until {today()}" in override_sentence(entry)
