from dataclasses import replace

import pytest

from tasks.errors import IntegrityError, UnavailableError
from tasks.services.ledger import Ledger
from tasks.services.ledger_s3 import S3Entries
from tasks.services.storage import connect
from tests.tasks.services.faulty_proxy import FaultyProxy
from tests.tasks.services.proposals import proposal


@pytest.fixture
def entries(bucket):
    entries = S3Entries(bucket)
    assert entries.create("m", 1, "d1", "first")
    assert entries.create("m", 2, "d2", "second")
    return entries


def test_a_place_is_taken_once(entries):
    assert not entries.create("m", 2, "d3", "other")
    assert entries.read("m") == ["first", "second"]
    assert entries.read("mm") == []


def test_a_missing_place_is_noticed(entries):
    entries.create("m", 3, "d3", "third")
    entries.bucket.client.delete_object(Bucket=entries.bucket.name, Key="a/prefix/ledger/m/00000002.json")
    with pytest.raises(IntegrityError) as caught:
        entries.read("m")
    assert str(caught.value) == (
        f"{entries.source}: the history of m has gaps or foreign objects: ledger/m/00000002.json, "
        "ledger/m/00000003.json. Restore the objects from the bucket's versions, "
        "then run `groundwork doctor`."
    )


def test_a_bucket_that_is_not_there_is_never_an_empty_ledger(s3_endpoint):
    with pytest.raises(UnavailableError, match="the bucket does not exist"):
        S3Entries.open("s3://no-such-bucket/x", s3_endpoint).read("m")


def test_a_promotion_whose_answer_was_lost_is_known_as_our_own(bucket, s3_endpoint, tmp_path):
    proxy = FaultyProxy(s3_endpoint)
    entries = S3Entries(replace(bucket, client=connect(bucket.url, proxy.url).client))
    ledger = Ledger(entries=entries, marks=tmp_path / "marks")
    ledger.append(proposal("a"), expected_sequence=0)
    proxy.faults = [None, None, "lost"]  # the list, the entry, then the write
    entry = ledger.append(proposal("b"), expected_sequence=1)
    proxy.close()
    assert proxy.faults == []
    assert Ledger(entries=S3Entries(bucket), marks=tmp_path / "other").history("segmenter")[-1] == entry
