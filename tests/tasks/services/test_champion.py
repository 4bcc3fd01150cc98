import shutil

import pytest

from tasks.data.commit import read_manifest
from tasks.errors import IntegrityError, UnavailableError
from tasks.services.bundles import DirectoryBundles
from tasks.services.champion import restore, standing_champion
from tasks.services.ledger import Ledger
from tasks.services.ledger_sqlite import SqliteEntries
from tests.tasks.services.proposals import proposal


@pytest.fixture
def bundles(tmp_path):
    return DirectoryBundles(tmp_path / "bundles")


@pytest.fixture
def ledger(tmp_path):
    return Ledger(entries=SqliteEntries(tmp_path / "ledger.db"), marks=tmp_path / "marks")


def promote(ledger, bundles, bundle, **changes):
    values = {"bundle_id": bundles.put(bundle), "model_sha256": read_manifest(bundle / "model").sha256}
    name = values["bundle_id"]
    history = ledger.history("segmenter")
    return ledger.append(proposal(name, **(values | changes)), expected_sequence=len(history))


def test_before_the_first_promotion_there_is_no_champion(ledger, bundles):
    assert standing_champion("segmenter", ledger, bundles) is None


def test_the_champion_comes_with_its_verified_bundle(ledger, bundles, make_bundle):
    entry = promote(ledger, bundles, make_bundle())
    champion = standing_champion("segmenter", ledger, bundles)
    assert champion.entry == entry
    assert (champion.bundle / "evaluation" / "metrics.json").is_file()


def test_a_champion_whose_bundle_is_gone_is_not_no_champion(ledger, bundles, make_bundle, tmp_path):
    entry = promote(ledger, bundles, make_bundle())
    shutil.rmtree(tmp_path / "bundles")
    with pytest.raises(UnavailableError) as caught:
        standing_champion("segmenter", ledger, bundles)
    assert str(caught.value) == (
        f"{tmp_path}/bundles: bundle {entry.bundle_id} is missing. "
        "Restore it from a copy, or choose another champion: `groundwork rollback`."
    )


def test_a_champion_with_another_model_in_its_bundle_is_refused(ledger, bundles, make_bundle):
    promote(ledger, bundles, make_bundle(), model_sha256="f" * 64)
    with pytest.raises(IntegrityError, match=f"the ledger says {'f' * 64}"):
        standing_champion("segmenter", ledger, bundles)


def test_a_restored_champion_is_in_force(ledger, bundles, make_bundle):
    first = promote(ledger, bundles, make_bundle("one"))
    promote(ledger, bundles, make_bundle("two"))
    entry = restore("segmenter", ledger, bundles, who="grace", why="worse in use")
    assert (entry.bundle_id, entry.who, entry.why) == (first.bundle_id, "grace", "worse in use")
    assert standing_champion("segmenter", ledger, bundles).entry == entry


def test_nothing_is_restored_whose_bundle_is_gone(ledger, bundles, make_bundle, tmp_path):
    first = promote(ledger, bundles, make_bundle("one"))
    second = promote(ledger, bundles, make_bundle("two"))
    shutil.rmtree(tmp_path / "bundles" / first.bundle_id)
    with pytest.raises(UnavailableError):
        restore("segmenter", ledger, bundles, who="g", why="w")
    assert ledger.champion("segmenter") == second
