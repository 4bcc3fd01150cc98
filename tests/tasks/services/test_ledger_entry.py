import json
from dataclasses import replace

import pytest

from tasks.errors import IntegrityError, UsageError
from tasks.services.ledger_entry import GENESIS, next_entry, read_chain
from tests.tasks.services.proposals import proposal


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
