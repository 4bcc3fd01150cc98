"""Parts that the tests of the services share: a local S3, a clean environment, ready-made bundles."""

import json
import logging
import threading
import uuid

import pytest

from tasks.data.commit import commit_directory
from tasks.services.bundles import assemble
from tasks.services.storage import connect


@pytest.fixture(autouse=True)
def _environment(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="session")
def s3_endpoint():
    from moto.s3.responses import S3Response
    from moto.server import ThreadedMotoServer

    put, one_at_a_time = S3Response._key_response_put, threading.Lock()

    def atomic_put(self, *arguments):
        """Look for the key and write it in one step, as S3 does; moto does it in two."""
        with one_at_a_time:
            return put(self, *arguments)

    S3Response._key_response_put = atomic_put
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
    S3Response._key_response_put = put


@pytest.fixture
def bucket(s3_endpoint):
    bucket = connect(f"s3://test-{uuid.uuid4().hex[:12]}/a/prefix", s3_endpoint)
    bucket.client.create_bucket(Bucket=bucket.name)
    return bucket


@pytest.fixture
def make_model(tmp_path):
    """Return a function that commits a directory shaped like a trained model."""

    def make(content="weights"):
        def write(folder):
            (folder / "config.json").write_text("{}")
            (folder / "model.safetensors").write_text(content)

        folder = tmp_path / f"model-{uuid.uuid4().hex}"
        commit_directory(folder, write, schema="groundwork.segmenter/1")
        return folder

    return make


@pytest.fixture
def make_bundle(tmp_path, make_model):
    """Return a function that assembles a small bundle and returns its directory."""

    def make(content="weights"):
        from tasks.data.commit import read_manifest

        model = make_model(content)
        metrics = {"model_sha256": read_manifest(model).sha256}

        def write(folder):
            (folder / "metrics.json").write_text(json.dumps(metrics))

        evaluation = tmp_path / f"evaluation-{uuid.uuid4().hex}"
        commit_directory(evaluation, write, schema="groundwork.evaluation/1")
        into = tmp_path / f"bundle-{uuid.uuid4().hex}"
        assemble(model=model, evaluation=evaluation, provenance={"seed": 1}, into=into)
        return into

    return make


@pytest.fixture(scope="session")
def mlflow_home(tmp_path_factory):
    """One MLflow database for all tests; each has its own experiment in it."""
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture
def tracker(mlflow_home):
    from tasks.services.settings import Settings
    from tasks.services.tracking import connect

    return connect(Settings.load(mlflow_home), experiment=f"test-{uuid.uuid4().hex}")
