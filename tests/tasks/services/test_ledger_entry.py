import json
from dataclasses import replace
from datetime import date

import pytest

from tasks.errors import IntegrityError, UsageError
from tasks.services.ledger_entry import GENESIS, next_entry, override_behind, read_chain
from tests.tasks.services.proposals import OLD, proposal


def chain(*names):
    entries = []
    for name in names:
        entries.append(next_entry(proposal(name), entries, "2026-01-01T00:00:00+00:00"))
    return entries


def test_entries_hold_together():
    first, second = chain("a", "b")
    assert (first.sequence, first.previous_hash, first.previous_bundle_id) == (1, GENESIS, None)
    assert (second.sequence, second.previous_hash, second.previous_bundle_id) == (
        2,
        first.entry_hash,
        "bundle-a",
    )
    assert read_chain([first.to_json(), second.to_json()], "segmenter", "here") == (first, second)


def changed(document, **changes):
    return json.dumps(json.loads(document) | changes)


@pytest.mark.parametrize(
    "damage",
    [
        lambda a, b, c: [a, changed(b, why="nobody said so"), c],
        lambda a, b, c: [a, changed(b, metrics={"mask.ap": 1.0}), c],
        lambda a, b, c: [a, c],
        lambda a, b, c: [b, c],
        lambda a, b, c: [a, c, b],
        lambda a, b, c: [a, a, b],
        lambda a, b, c: [a, b[:-1], c],
        lambda a, b, c: [a, "[]", c],
        lambda a, b, c: [a, changed(b, extra=1), c],
        lambda a, b, c: [a, changed(b, entry_hash="0" * 64), c],
    ],
)
def test_every_change_of_the_history_is_noticed(damage):
    documents = [entry.to_json() for entry in chain("a", "b", "c")]
    with pytest.raises(IntegrityError, match="the history was changed or damaged"):
        read_chain(damage(*documents), "segmenter", "here")


def test_a_history_of_another_model_is_refused():
    with pytest.raises(IntegrityError) as caught:
        read_chain([chain("a")[0].to_json()], "other", "here")
    assert str(caught.value) == (
        "here: entry 1 of other does not continue the hash chain: the history was changed or damaged. "
        "Restore the ledger from a copy, then run `groundwork doctor`."
    )


def test_a_line_of_before_overrides_reads_as_it_was_written_and_is_still_written_so():
    (entry,) = read_chain([OLD], "segmenter", "here")
    assert (entry.kind, entry.policy_sha256, entry.overrules, entry.until) == ("promote", None, None, None)
    assert entry.to_json() == OLD
    assert chain("a")[0].to_json() == OLD
    following = next_entry(overriding("b"), [entry], "2026-01-02T00:00:00+00:00")
    assert read_chain([OLD, following.to_json()], "segmenter", "here") == (entry, following)


def overriding(name, **changes):
    """An override of the decision about a bundle."""
    values = {"kind": "override", "overrules": "decision-1", "until": "2026-12-31", "who": "grace"}
    return proposal(name, **(values | changes))


def test_an_override_carries_decision_and_last_day():
    entry = next_entry(overriding("b", policy_sha256="2" * 64), [], "2026-01-02T00:00:00+00:00")
    stated = json.loads(entry.to_json())
    assert (stated["kind"], stated["overrules"], stated["until"], stated["policy_sha256"]) == (
        "override",
        "decision-1",
        "2026-12-31",
        "2" * 64,
    )
    assert [entry.is_over(date(2026, 12, 31)), entry.is_over(date(2027, 1, 1))] == [False, True]
    assert not chain("a")[0].is_over(date(9999, 1, 1))
    for name, value in (("until", "2027-12-31"), ("overrules", "decision-2"), ("policy_sha256", None)):
        with pytest.raises(IntegrityError, match="the history was changed or damaged"):
            read_chain([changed(entry.to_json(), **{name: value})], "segmenter", "here")


def test_the_override_behind_a_champion_is_found_through_a_rollback():
    history = [*chain("a"), next_entry(overriding("b"), chain("a"), "2026-01-02T00:00:00+00:00")]
    assert override_behind(history[:1]) is None
    assert override_behind([]) is None
    assert override_behind(history) == history[1]
    for target, behind in ((1, None), (2, history[1])):
        back = proposal("x", kind="rollback", restores=target)
        later = [*history, next_entry(back, history, "2026-01-03T00:00:00+00:00")]
        assert override_behind(later) == behind


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"until": None}, "an override needs decision and last day, got overrules='decision-1', until=None."),
        ({"overrules": None}, "an override needs decision and last day, got overrules=None, until="),
        ({"kind": "promote"}, "a promote has no decision and last day, got overrules='decision-1'"),
        ({"kind": "rollback", "until": None}, "a rollback has no decision and last day"),
        ({"until": "31.12.2026"}, "is no day: expected YYYY-MM-DD, got '31.12.2026'."),
        ({"until": "20261231"}, "is no day: expected YYYY-MM-DD, got '20261231'."),
        ({"until": "2026-02-30"}, "is no day: expected YYYY-MM-DD, got '2026-02-30'."),
        ({"who": " "}, "an override needs who and why, got who=' ', why="),
    ],
)
def test_an_override_that_says_too_little_is_refused(changes, text):
    with pytest.raises(UsageError) as caught:
        overriding("b", **changes)
    assert text in str(caught.value)


@pytest.mark.parametrize("field", ["who", "why"])
def test_who_and_why_are_required(field):
    with pytest.raises(UsageError, match="a promote needs who and why"):
        proposal(**{field: "  "})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_metric_that_is_no_number_is_never_recorded(value):
    with pytest.raises(IntegrityError, match=r"metric mask\.ap is"):
        proposal(metrics={"mask.ap": value})


@pytest.mark.parametrize("model", ["", "../up", "Upper", "a/b", "a" * 65, "-x"])
def test_a_model_name_that_is_no_name_is_refused(model):
    with pytest.raises(UsageError, match="is no model name"):
        replace(proposal(), model=model)
