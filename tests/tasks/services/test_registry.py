import shutil
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.data.commit import verify_directory
from tasks.errors import IntegrityError, UnavailableError, UsageError
from tasks.services.ledger import Ledger
from tasks.services.ledger_sqlite import SqliteEntries
from tasks.services.registry import (
    SEQUENCE,
    ModelUri,
    champion_alias,
    fetch_version,
    parse_uri,
    reconcile,
    register,
    require_version,
    set_champion_alias,
)
from tasks.services.runs import FinishedRun, record_run
from tests.tasks.services.mlflow_parts import Killed, MortalClient
from tests.tasks.services.proposals import proposal

BUNDLE, OTHER = "0123456789abcdef", "fedcba9876543210"


@pytest.fixture
def model():
    return f"segmenter-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def run_id(tracker, make_model):
    return record_run(tracker, FinishedRun(run_key="key", name="run", model=make_model()))


@pytest.fixture
def ledger(tmp_path):
    return Ledger(entries=SqliteEntries(tmp_path / "ledger.db"), marks=tmp_path / "marks")


def promote(ledger, model, bundle_id, **changes):
    expected = len(ledger.history(model))
    change = proposal(f"{bundle_id}-{expected}", model=model, bundle_id=bundle_id, **changes)
    return ledger.append(change, expected_sequence=expected)


def versions(tracker, model):
    return [int(version.version) for version in tracker.client.search_model_versions(f"name = '{model}'")]


def test_a_bundle_is_one_version(tracker, model, run_id):
    version = register(tracker, run_id, model, BUNDLE)
    assert register(tracker, run_id, model, BUNDLE) == version == "1"
    assert register(tracker, run_id, model, OTHER) == "2"
    assert sorted(versions(tracker, model)) == [1, 2]


def test_a_run_without_a_model_is_not_registered(tracker, model):
    run_id = record_run(tracker, FinishedRun(run_key="bare", name="run"))
    with pytest.raises(UnavailableError) as caught:
        register(tracker, run_id, model, BUNDLE)
    assert str(caught.value) == f"run {run_id}: holds no model. Record the run again: `groundwork run`."


def stored_model(tracker):
    (logged,) = tracker.client.search_logged_models([tracker.experiment_id])
    location = Path(logged.artifact_location.removeprefix("file://"))
    return location / "artifacts" / "model"


def test_a_model_that_cannot_be_read_back_does_not_count(tracker, model, run_id, ledger):
    shutil.rmtree(stored_model(tracker))
    with pytest.raises(IntegrityError):
        register(tracker, run_id, model, BUNDLE)
    entry = promote(ledger, model, BUNDLE)
    with pytest.raises(UnavailableError) as caught:
        require_version(tracker, entry)
    assert str(caught.value) == (
        f"{model} in the model registry: version 1 of the champion {BUNDLE} is not proved readable. "
        "Restore it or register it again, or choose another champion: `groundwork rollback`."
    )


def test_a_model_with_a_flipped_bit_does_not_count(tracker, model, run_id):
    weights = stored_model(tracker) / "model.safetensors"
    weights.write_bytes(bytes([weights.read_bytes()[0] ^ 1]) + weights.read_bytes()[1:])
    with pytest.raises(IntegrityError, match=r"changed model\.safetensors"):
        register(tracker, run_id, model, BUNDLE)


def test_a_registration_killed_at_any_call_is_one_verified_version(tracker, run_id):
    lives, survived = 0, False
    while not survived:
        model = f"killed-{uuid.uuid4().hex[:12]}"
        try:
            register(replace(tracker, client=MortalClient(tracker.client, lives)), run_id, model, BUNDLE)
            survived = True
        except Killed:
            assert register(tracker, run_id, model, BUNDLE) == "1"
        assert versions(tracker, model) == [1]
        assert tracker.client.get_model_version(model, "1").tags["groundwork.verified"] == "true"
        lives += 1
    assert lives > 6


def test_of_two_registrations_at_once_one_version_stays(tracker, model, run_id):
    class Late:
        """Sees no version at first, as if another process registered it in between."""

        blind = True

        def __getattr__(self, name):
            return getattr(tracker.client, name)

        def search_model_versions(self, *arguments, **keywords):
            found = [] if self.blind else tracker.client.search_model_versions(*arguments, **keywords)
            self.blind = False
            return found

    first = register(tracker, run_id, model, BUNDLE)
    assert register(replace(tracker, client=Late()), run_id, model, BUNDLE) == first
    assert versions(tracker, model) == [1]


def test_the_alias_follows_the_ledger(tracker, model, run_id, ledger):
    assert reconcile(tracker, model, ledger.champion) is None
    for bundle_id, version in ((BUNDLE, "1"), (OTHER, "2")):
        register(tracker, run_id, model, bundle_id)
        entry = promote(ledger, model, bundle_id)
        assert reconcile(tracker, model, ledger.champion) == entry
        assert champion_alias(tracker, model) == version
    ledger.rollback(model, who="g", why="w")
    assert reconcile(tracker, model, ledger.champion).sequence == 3
    assert champion_alias(tracker, model) == "1"


def test_a_promotion_killed_before_the_alias_is_completed(tracker, model, run_id, ledger):
    register(tracker, run_id, model, BUNDLE)
    entry = promote(ledger, model, BUNDLE)
    lives = 0
    while True:
        try:
            reconcile(replace(tracker, client=MortalClient(tracker.client, lives)), model, ledger.champion)
            break
        except Killed:
            assert ledger.champion(model) == entry
            lives += 1
    assert lives > 4
    assert champion_alias(tracker, model) == "1"


def test_a_lost_alias_is_set_again(tracker, model, run_id, ledger):
    register(tracker, run_id, model, BUNDLE)
    promote(ledger, model, BUNDLE)
    reconcile(tracker, model, ledger.champion)
    tracker.client.delete_registered_model_alias(model, "champion")
    assert champion_alias(tracker, model) is None
    reconcile(tracker, model, ledger.champion)
    assert champion_alias(tracker, model) == "1"


def test_a_deleted_champion_is_not_no_champion(tracker, model, run_id, ledger):
    register(tracker, run_id, model, BUNDLE)
    entry = promote(ledger, model, BUNDLE)
    reconcile(tracker, model, ledger.champion)
    tracker.client.delete_model_version(model, "1")
    assert champion_alias(tracker, model) is None
    for attempt in (
        lambda: require_version(tracker, entry),
        lambda: reconcile(tracker, model, ledger.champion),
    ):
        with pytest.raises(UnavailableError) as caught:
            attempt()
        assert str(caught.value) == (
            f"{model} in the model registry: version 1 of the champion {BUNDLE} is missing. "
            "Restore it or register it again, or choose another champion: `groundwork rollback`."
        )


def test_a_ledger_older_than_the_alias_is_noticed(tracker, model, run_id, ledger):
    register(tracker, run_id, model, BUNDLE)
    promote(ledger, model, BUNDLE)
    set_champion_alias(tracker, model, "1", sequence=5)
    with pytest.raises(IntegrityError) as caught:
        reconcile(tracker, model, ledger.champion)
    assert str(caught.value) == (
        f"promotion ledger: ends at entry 1 of {model}, but the registry has seen entry 5: the ledger was "
        "restored from an old copy. Restore the newest copy. If the loss is accepted, delete the tag "
        f"{SEQUENCE} of {model}."
    )


def test_a_promotion_in_between_wins_the_alias(tracker, model, run_id, ledger):
    register(tracker, run_id, model, BUNDLE)
    register(tracker, run_id, model, OTHER)
    promote(ledger, model, BUNDLE)
    asked = []

    def champion(name):
        entry = ledger.champion(name)
        if not asked:
            promote(ledger, model, OTHER)
        asked.append(entry.sequence)
        return entry

    assert reconcile(tracker, model, champion).bundle_id == OTHER
    assert asked == [1, 2, 2]
    assert champion_alias(tracker, model) == "2"


def test_an_alias_set_by_hand_is_left_alone_until_there_is_a_champion(tracker, model, run_id, ledger):
    register(tracker, run_id, model, BUNDLE)
    tracker.client.set_registered_model_alias(model, "champion", "1")
    assert reconcile(tracker, model, ledger.champion) is None
    assert champion_alias(tracker, model) == "1"


@pytest.mark.parametrize(
    ("text", "name", "version", "alias"),
    [
        ("models:/segmenter/12", "segmenter", "12", None),
        ("models:/segmenter@champion", "segmenter", None, "champion"),
        ("models:/box.seg-2@next_1", "box.seg-2", None, "next_1"),
    ],
)
def test_addresses_of_versions(text, name, version, alias):
    uri = parse_uri(text)
    assert uri == ModelUri(name=name, version=version, alias=alias)
    assert str(uri) == text


@pytest.mark.parametrize(
    "text",
    [
        "models:/", "models:/segmenter", "models:/segmenter/", "models:/segmenter/latest", "models:/m-01@",
        "models:/segmenter/1/x", "models:/segmenter/1@x", "models:/seg menter/1", "models:/Seg'menter/1",
        "models:/../etc/1", "runs:/1/model", "models:/segmenter/-1",
    ],
)  # fmt: skip
def test_what_is_no_address(text):
    with pytest.raises(UsageError):
        parse_uri(text)


def test_a_version_is_fetched_once_and_proved(tracker, model, run_id, tmp_path):
    register(tracker, run_id, model, BUNDLE)
    tracker.client.set_registered_model_alias(model, "next", "1")
    recorded = verify_directory(stored_model(tracker)).sha256
    folder, sha256 = fetch_version(tracker, parse_uri(f"models:/{model}@next"), tmp_path / "cache")
    assert sha256 == recorded == verify_directory(folder).sha256
    assert folder == tmp_path / "cache" / sha256[:16]
    shutil.rmtree(stored_model(tracker))
    assert fetch_version(tracker, parse_uri(f"models:/{model}/1"), tmp_path / "cache") == (folder, sha256)
    (folder / "config.json").write_text("other")
    with pytest.raises((IntegrityError, UnavailableError)):
        fetch_version(tracker, parse_uri(f"models:/{model}/1"), tmp_path / "cache")


def test_a_version_with_another_model_in_it_is_refused(tracker, model, run_id, tmp_path, make_model):
    register(tracker, run_id, model, BUNDLE)
    stored = stored_model(tracker)
    recorded = verify_directory(stored).sha256
    shutil.rmtree(stored)
    other = make_model("other weights")
    shutil.copytree(other, stored)
    with pytest.raises(IntegrityError) as caught:
        fetch_version(tracker, parse_uri(f"models:/{model}/1"), tmp_path / "cache")
    assert str(caught.value) == (
        f"{model} version 1: holds model {verify_directory(other).sha256}, recorded was {recorded}. "
        "Do not use it. Delete the version, then record the run again."
    )
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_is_not_registered_names_what_is(tracker, model, run_id, tmp_path):
    register(tracker, run_id, model, BUNDLE)
    tracker.client.set_registered_model_alias(model, "next", "1")
    hint = "Name one of these, or register the model of this checkout: `groundwork run`."
    for name, what in (
        (f"{model}/7", f"{model} has no version 7; its versions are: 1"),
        (f"{model}@old", f"{model} has no alias 'old'; its aliases are: next"),
    ):
        with pytest.raises(UnavailableError) as caught:
            fetch_version(tracker, parse_uri(f"models:/{name}"), tmp_path)
        assert str(caught.value) == f"models:/{name}: {what}. {hint}"
    with pytest.raises(UnavailableError, match=f"there is no model 'gone'; registered are: .*{model}"):
        fetch_version(tracker, parse_uri("models:/gone/1"), tmp_path)


def test_a_version_without_a_recorded_hash_cannot_be_proved(tracker, model, tmp_path):
    tracker.client.create_registered_model(model)
    tracker.client.create_model_version(model, source=str(tmp_path), run_id=None)
    with pytest.raises(IntegrityError) as caught:
        fetch_version(tracker, parse_uri(f"models:/{model}/1"), tmp_path / "cache")
    assert str(caught.value) == (
        f"models:/{model}/1: no hash was recorded with it, so its bytes cannot be proved. "
        "Use a version that `groundwork run` registered."
    )
