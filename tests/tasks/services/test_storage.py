import hashlib
import socket
from dataclasses import replace

import pytest

from tasks.errors import IntegrityError, UnavailableError
from tasks.services.storage import connect
from tests.tasks.services.faulty_proxy import FaultyProxy


@pytest.fixture
def proxy(s3_endpoint):
    proxy = FaultyProxy(s3_endpoint)
    yield proxy
    proxy.close()


@pytest.fixture
def faulty(bucket, proxy):
    """The same bucket as ``bucket``, reached through the proxy."""
    return replace(bucket, client=connect(bucket.url, proxy.url).client)


def test_objects_are_written_read_and_listed_below_the_prefix(bucket):
    assert bucket.create("x/b", b"two")
    assert bucket.create("x/a", b"one")
    assert bucket.create("y", b"three")
    assert bucket.read("x/b") == b"two"
    assert bucket.names("x/") == ["x/a", "x/b"]
    keys = [item["Key"] for item in bucket.client.list_objects_v2(Bucket=bucket.name)["Contents"]]
    assert keys == ["a/prefix/x/a", "a/prefix/x/b", "a/prefix/y"]


def test_a_taken_key_keeps_its_content(bucket):
    assert bucket.create("key", b"first")
    assert not bucket.create("key", b"second")
    assert bucket.read("key") == b"first"


def test_a_store_with_conditional_writes_passes_the_proof_and_nothing_stays(bucket):
    bucket.prove_create_once()
    assert bucket.names("") == []


def test_a_store_that_ignores_the_condition_is_refused(bucket):
    class Careless:
        def __getattr__(self, name):
            return getattr(bucket.client, name)

        def put_object(self, **arguments):
            arguments.pop("IfNoneMatch")
            return bucket.client.put_object(**arguments)

    with pytest.raises(UnavailableError) as caught:
        replace(bucket, client=Careless()).prove_create_once()
    assert str(caught.value) == (
        f"{bucket.url}: the store ignores If-None-Match, so two promotions could both win. "
        "Use a store with conditional writes, or a ledger in a local file."
    )


def test_a_large_file_goes_in_parts_and_comes_back(bucket, tmp_path):
    content = bytes(range(256)) * (1 << 17)  # 32 MiB: two parts
    (tmp_path / "big").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    bucket.upload(tmp_path / "big", "big", sha256=sha256)
    assert bucket.sha256("big") == sha256
    head = bucket.client.head_object(Bucket=bucket.name, Key="a/prefix/big")
    assert head["ETag"].strip('"').endswith("-2")
    bucket.download("big", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content


def test_a_copy_that_differs_is_noticed(bucket, tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    with pytest.raises(IntegrityError, match="the copy has sha256"):
        bucket.upload(tmp_path / "file", "file", sha256="0" * 64)


def test_a_list_of_many_pages_is_whole(bucket):
    for number in range(7):
        bucket.create(f"n/{number}", b"")
    client = bucket.client
    client.meta.events.register(
        "before-parameter-build.s3.ListObjectsV2", lambda params, **_: params.update(MaxKeys=3)
    )
    assert bucket.names("n/") == [f"n/{number}" for number in range(7)]


def test_what_is_missing_is_named(bucket):
    with pytest.raises(UnavailableError) as caught:
        bucket.read("gone")
    assert caught.value.obj == f"{bucket.url}/gone"
    assert caught.value.message.startswith("the object is missing (NoSuchKey, request ")
    assert bucket.sha256("gone") is None


def test_a_service_that_is_busy_for_a_moment_is_asked_again(faulty, proxy):
    proxy.faults = [(503, "SlowDown"), (500, "InternalError")]
    assert faulty.create("key", b"content")
    assert faulty.read("key") == b"content"


def test_a_collision_of_two_writers_is_tried_again(faulty, proxy, bucket):
    proxy.faults = [(409, "ConditionalRequestConflict"), (409, "ConditionalRequestConflict")]
    assert faulty.create("key", b"content")
    assert bucket.read("key") == b"content"


@pytest.mark.parametrize(
    ("fault", "text", "hint"),
    [
        ((400, "ExpiredToken"), "the credentials have expired (ExpiredToken, request ", "Renew them"),
        ((403, "AccessDenied"), "access is denied (AccessDenied, request ", "Check the credentials"),
        ((403, "RequestTimeTooSkewed"), "the clock of this machine is wrong", "Set the clock"),
        ((418, "Teapot"), "S3 refused the request (Teapot, request ", "Run the command again"),
    ],
)
def test_a_refusal_says_why(faulty, proxy, fault, text, hint):
    proxy.faults = [fault] * 20
    with pytest.raises(UnavailableError) as caught:
        faulty.read("key")
    assert caught.value.message.startswith(text)
    assert caught.value.hint.startswith(hint)


def test_half_an_answer_is_not_taken_for_a_whole_one(faulty, proxy, bucket):
    bucket.create("key", b"0123456789")
    proxy.faults = ["short"]
    with pytest.raises(UnavailableError, match="S3 cannot be reached"):
        faulty.sha256("key")


def test_nobody_there_is_an_error_that_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.services.storage._ATTEMPTS", 1)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(UnavailableError) as caught:
        connect("s3://bucket/x", dead).names("")
    assert str(caught.value) == (
        "s3://bucket/x: S3 cannot be reached (EndpointConnectionError). "
        "Check GROUNDWORK_S3_ENDPOINT_URL and the network, then run the command again."
    )


def test_missing_credentials_are_named(monkeypatch, s3_endpoint, tmp_path):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(UnavailableError, match="no credentials for S3"):
        connect("s3://bucket/x", s3_endpoint).names("")
