"""The connection to MLflow: the only importer of mlflow.

`tasks.services.runs` and `tasks.services.registry` say what is recorded; this module says it to MLflow. An
unreachable server is an `UnavailableError` within seconds.
"""

import base64
import fcntl
import importlib.metadata
import io
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tasks.data.commit import verify_directory
from tasks.errors import GroundworkError, UnavailableError
from tasks.services.curves import Point
from tasks.services.processes import is_dead
from tasks.services.settings import Settings, private_directory, redact

RUN_KEY, PROCESS, RECORDED = "groundwork.run_key", "groundwork.process", "groundwork.recorded"
MODEL_SHA256 = "groundwork.model_sha256"
_BATCH = 1000
"""Most points that one request may carry."""
_WHEN_BACK = "Training is not affected. When MLflow is back, run the same command again."
_REACH = 2.0
"""Seconds to wait for a server to accept a connection."""
_PYFUNC = Path(__file__).parents[1] / "serving" / "pyfunc.py"
_MODELS = Path(__file__).parents[2] / "models"
_REQUIREMENTS = (
    "mlflow",
    "numpy",
    "pandas",
    "pillow",
    "pycocotools",
    "safetensors",
    "torch",
    "torchvision",
    "transformers",
)
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_UV_AUTO_DETECT": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "GIT_PYTHON_REFRESH": "quiet",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracker:
    """A connection to one experiment."""

    uri: str
    client: Any
    experiment_id: str


def connect(settings: Settings, experiment: str = "groundwork") -> Tracker:
    """Connect to MLflow, create the experiment if it is new, and close the runs of dead processes.

    Raises:
        UnavailableError: If the server or the database cannot be used.
    """
    uri = settings.tracking_uri
    local = uri.startswith("sqlite:")
    with named_errors(uri), _first_time(settings.home if local else None):
        client = _client(uri)
        found = client.get_experiment_by_name(experiment)
        location = private_directory(settings.artifacts).as_uri() if local else None
        experiment_id = (
            found.experiment_id if found else client.create_experiment(experiment, artifact_location=location)
        )
        tracker = Tracker(uri=uri, client=client, experiment_id=experiment_id)
        close_dead_runs(tracker)
        return tracker


def look(settings: Settings) -> Tracker:
    """Connect to read alone: no table, experiment or run is made or changed.

    Raises:
        UnavailableError: If there is no MLflow, or it cannot be reached.
    """
    uri = settings.tracking_uri
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
        raise _unavailable(uri, "nothing was recorded yet", "Name its address: MLFLOW_TRACKING_URI.")
    with named_errors(uri):
        return Tracker(uri=uri, client=_client(uri), experiment_id="")


def _client(uri: str) -> Any:  # noqa: ANN401 - a client of MLflow
    import mlflow

    logging.getLogger("alembic").setLevel(logging.WARNING)
    mlflow.set_tracking_uri(uri)
    return mlflow.MlflowClient(tracking_uri=uri)


def close_dead_runs(tracker: Tracker) -> list[str]:
    """Mark as KILLED every run that says RUNNING although its process is gone; return their ids."""
    with named_errors(tracker.uri):
        running = tracker.client.search_runs(
            [tracker.experiment_id], "attributes.status = 'RUNNING'", max_results=_BATCH
        )
        dead = [run.info.run_id for run in running if is_dead(run.data.tags.get(PROCESS, ""))]
        for run_id in dead:
            tracker.client.set_terminated(run_id, "KILLED")
    return dead


def run_url(tracker: Tracker, run_id: str) -> str:
    """Return the page of a run, or its MLflow address where the store is a file and has no pages."""
    if tracker.uri.startswith("http"):
        return f"{redact(tracker.uri).rstrip('/')}/#/experiments/{tracker.experiment_id}/runs/{run_id}"
    return f"runs:/{run_id}"


def download_model(tracker: Tracker, uri: str, into: Path) -> Path:
    """Copy a logged or registered model to a directory and return it."""
    import mlflow

    with named_errors(tracker.uri):
        return Path(
            mlflow.artifacts.download_artifacts(
                artifact_uri=uri, dst_path=str(into), tracking_uri=tracker.uri
            )
        )


@contextmanager
def named_errors(uri: str) -> Iterator[None]:
    """Turn the failures of MLflow and its stores into ones that name the address and the cure."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)  # read when MLflow is imported
    _check_reachable(uri)
    import requests
    import sqlalchemy.exc
    from mlflow.exceptions import MlflowException

    try:
        yield
    except GroundworkError:
        raise
    except MlflowException as error:
        if error.error_code == "INVALID_PARAMETER_VALUE":
            raise
        raise _unavailable(uri, f"{error.error_code}: {_first_line(error)}") from error
    except (requests.RequestException, sqlalchemy.exc.SQLAlchemyError, OSError) as error:
        raise _unavailable(uri, f"{type(error).__name__}: {_first_line(error)}") from error


def _check_reachable(uri: str) -> None:
    """Knock before MLflow does, because its own retries take minutes."""
    parts = urlsplit(uri)
    if parts.scheme not in {"http", "https"}:
        return
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=_REACH).close()
    except OSError as error:
        raise _unavailable(uri, type(error).__name__) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200]


def _unavailable(uri: str, cause: str, hint: str = _WHEN_BACK) -> UnavailableError:
    return UnavailableError(f"MLflow cannot be used ({cause}).", obj=redact(uri), hint=hint)


@contextmanager
def _first_time(home: Path | None) -> Iterator[None]:
    """Let one process at a time create or upgrade the tables of a local database."""
    if home is None:
        yield
        return
    with (private_directory(home) / "mlflow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def send_points(tracker: Tracker, run: Any, points: Sequence[Point]) -> None:  # noqa: ANN401 - a run of MLflow
    """Send points in batches. Their times depend on nothing but the run, so a repeated point is the same."""
    from mlflow.entities import Metric

    start = run.info.start_time
    metrics = [
        Metric(point.name, point.value, start + int(1000 * point.seconds), point.step) for point in points
    ]
    for first in range(0, len(metrics), _BATCH):
        tracker.client.log_batch(run.info.run_id, metrics=metrics[first : first + _BATCH])


def send_params(tracker: Tracker, run_id: str, params: dict[str, str], tags: dict[str, str]) -> None:
    """Set parameters and tags of a run; repeating equal ones changes nothing."""
    from mlflow.entities import Param, RunTag

    tracker.client.log_batch(
        run_id,
        params=[Param(name, value) for name, value in params.items()],
        tags=[RunTag(name, value) for name, value in tags.items()],
    )


def send_dataset(tracker: Tracker, run_id: str, *, name: str, digest: str, source: str, profile: str) -> None:
    """Link a dataset to a run; ``source`` and ``profile`` are JSON, ``digest`` has at most 36 letters."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(name=name, digest=digest, source_type="dvc", source=source, profile=profile)
    tracker.client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


def send_model(tracker: Tracker, run_id: str, model: Path) -> str:
    """Log a committed model directory once per content and return the id of the logged model.

    The loader travels as source code beside safetensors: nothing is pickled. What an interrupted attempt
    left is removed first.
    """
    from mlflow.entities import LoggedModelOutput

    client, sha256 = tracker.client, verify_directory(model).sha256
    for logged in client.search_logged_models(
        [tracker.experiment_id], filter_string=f"source_run_id = '{run_id}'"
    ):
        if str(logged.status) == "READY" and logged.tags.get(MODEL_SHA256) == sha256:
            return str(logged.model_id)
        client.delete_logged_model(logged.model_id)
    logged = client.create_logged_model(
        tracker.experiment_id, name="segmenter", source_run_id=run_id, tags={MODEL_SHA256: sha256}
    )
    with tempfile.TemporaryDirectory(prefix="groundwork-") as folder:
        copy = shutil.copytree(model, Path(folder) / "model")  # MLflow keeps this last name
        client.log_model_artifacts(logged.model_id, str(_write_model(Path(folder) / "logged", copy, logged)))
    client.log_outputs(run_id, [LoggedModelOutput(model_id=logged.model_id, step=0)])
    client.finalize_logged_model(logged.model_id, "READY")
    return str(logged.model_id)


def _write_model(target: Path, model: Path, logged: Any) -> Path:  # noqa: ANN401 - a logged model of MLflow
    import mlflow
    from mlflow.models import Model

    mlflow.pyfunc.save_model(
        path=str(target),
        mlflow_model=Model(
            artifact_path=logged.artifact_location,
            run_id=logged.source_run_id,
            model_uuid=logged.model_id,
            model_id=logged.model_id,
        ),
        python_model=str(_PYFUNC),
        code_paths=[str(_MODELS)],
        artifacts={"model": str(model)},
        signature=_signature(),
        input_example=_example(),
        pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in _REQUIREMENTS],
    )
    return target


def _signature() -> Any:  # noqa: ANN401 - a signature of MLflow
    """Describe the table that the served model takes and the one it gives; see `tasks.serving.pyfunc`."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    outputs: list[Any] = [ColSpec("long", "image"), ColSpec("string", "category")]
    outputs += [ColSpec("double", name) for name in ("score", "left", "top", "right", "bottom")]
    outputs += [
        ColSpec("long", "mask_height"),
        ColSpec("long", "mask_width"),
        ColSpec("string", "mask_counts"),
    ]
    return ModelSignature(inputs=Schema([ColSpec("string", "image_base64")]), outputs=Schema(outputs))


def _example() -> Any:  # noqa: ANN401 - pandas is imported late
    """Return one grey image of 64 x 64 pixels in the form that the served model takes."""
    import pandas as pd
    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (64, 64), (128, 128, 128)).save(stream, format="PNG")
    return pd.DataFrame({"image_base64": [base64.b64encode(stream.getvalue()).decode()]})
