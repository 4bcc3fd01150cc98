import shutil

import boto3
import pytest

from tasks.data.commit import verify_directory
from tasks.errors import GroundworkError, IntegrityError, UnavailableError
from tasks.operations import versioning
from tasks.services.settings import Settings
from tests.conftest import make_project
from tests.tiny.shapes import write_shapes_world


@pytest.fixture
def here(project, monkeypatch, tmp_path):
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    return project.root, Settings.load(project.root)


@pytest.fixture(scope="module")
def versioned(tmp_path_factory):
    """A project whose data are versioned, and the version. Tests leave it as it is."""
    folder = tmp_path_factory.mktemp("versioned")
    root = make_project(folder).root
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DVC_SITE_CACHE_DIR", str(folder / "site"))
        return root, versioning.version_dataset(root / "source", root, Settings.load(root))


@pytest.fixture
def copy(versioned, monkeypatch, tmp_path):
    """A copy of the versioned project that a test may change; its remote goes with it."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    shutil.copytree(versioned[0], tmp_path / "copy")
    return tmp_path / "copy", Settings.load(tmp_path / "copy")


def objects(settings):
    return [path for path in (settings.home / "remote").rglob("*") if path.is_file()]


def test_import_push_prove_and_bring_back(here):
    root, settings = here
    said = []
    version = versioning.version_dataset(root / "source", root, settings, say=said.append)
    assert version.outcome == "imported"
    assert version.label == f"shapes-world@{verify_directory(root / 'data' / 'dataset').sha256[:12]}"
    assert any("empty place" in line for line in said)
    assert len(objects(settings)) == version.files + 2  # the manifest and DVC's list
    assert versioning.version_dataset(root / "source", root, settings).outcome == "reused"
    shutil.rmtree(root / "data" / "dataset")
    shutil.rmtree(root / ".dvc" / "cache")
    assert versioning.pull_dataset(root, settings).sha256 == version.sha256
    assert versioning.show_dataset(root, settings).outcome == "verified"


def test_other_data_is_another_version(copy, versioned):
    (root, settings), (_, first) = copy, versioned
    write_shapes_world(root / "other", num_train=8, num_val=6, seed=5)
    second = versioning.version_dataset(root / "other", root, settings)
    assert second.sha256 != first.sha256
    assert second.content_hash != first.content_hash
    assert versioning.version_dataset(root / "source", root, settings).sha256 == first.sha256


def test_a_corrupted_remote_stops_the_next_pull(copy):
    root, settings = copy
    victim = max(objects(settings), key=lambda path: path.stat().st_size)
    victim.chmod(0o644)
    victim.write_bytes(b"x" * victim.stat().st_size)
    shutil.rmtree(root / "data" / "dataset")
    shutil.rmtree(root / ".dvc" / "cache")
    with pytest.raises(GroundworkError) as caught:
        versioning.pull_dataset(root, settings)
    assert caught.value.exit_code in {5, 6}


def test_a_byte_changed_after_the_import_is_noticed(copy):
    root, settings = copy
    image = next((root / "data" / "dataset" / "train").iterdir())
    image.chmod(0o644)
    image.write_bytes(image.read_bytes()[:-1] + b"\x00")
    with pytest.raises(IntegrityError, match="changed train/"):
        versioning.show_dataset(root, settings)


def test_no_dataset_is_named(here):
    root, settings = here
    with pytest.raises(UnavailableError, match="there is no dataset yet"):
        versioning.show_dataset(root, settings)


def test_the_remote_may_be_s3(project, monkeypatch, tmp_path):
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "GROUNDWORK_REMOTE_URL": "s3://nuclei/data",
        "GROUNDWORK_S3_ENDPOINT_URL": endpoint,
        "DVC_SITE_CACHE_DIR": str(tmp_path / "site"),
    }.items():
        monkeypatch.setenv(name, value)
    try:
        boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="nuclei")
        root, settings = project.root, Settings.load(project.root)
        version = versioning.version_dataset(root / "source", root, settings)
        assert version.remote == "s3://nuclei/data"
        listed = boto3.client("s3", endpoint_url=endpoint).list_objects_v2(Bucket="nuclei")
        assert listed["KeyCount"] == version.files + 2
        shutil.rmtree(root / "data" / "dataset")
        shutil.rmtree(root / ".dvc" / "cache")
        assert versioning.pull_dataset(root, settings).sha256 == version.sha256
    finally:
        server.stop()
