"""The candidate: the model and the evaluation that the stages left, joined to one bundle."""

import hashlib
import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.data.commit import commit_file, hash_file, read_manifest, verify_directory
from tasks.data.strict_json import read_json
from tasks.errors import GroundworkError, IntegrityError, UnavailableError
from tasks.operations import layout
from tasks.services import bundles
from tasks.services.git import code_version
from tasks.services.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What is judged, recorded and promoted."""

    bundle_id: str
    folder: Path
    """The verified bundle."""
    model_sha256: str
    dataset_sha256: str
    metrics: dict[str, Any]
    """Content of metrics.json."""
    lineage: dict[str, Any]
    """Content of provenance.json."""

    @property
    def values(self) -> dict[str, float]:
        """Return metric name -> value; undefined ones are absent."""
        return {item["name"]: item["value"] for item in self.metrics["metrics"]}


def assemble_candidate(repository: Path, settings: Settings) -> Candidate:
    """Store the current model with its evaluation; unchanged parts give the bundle of before.

    The lineage is taken when the bundle is first made: an unrelated commit later does not make another
    candidate of the same bytes.

    Raises:
        UnavailableError: If a stage has not run.
        IntegrityError: If a part was damaged or they do not belong together.
    """
    model, evaluation = repository / layout.MODEL, repository / layout.EVALUATION
    for folder in (model, evaluation):
        if not folder.is_dir():
            raise UnavailableError("has not been made.", obj=str(folder), hint="Run `groundwork eval`.")
    parts = {name: verify_directory(folder).sha256 for name, folder in _named(model, evaluation)}
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
    index = settings.home / "candidates" / f"{key}.json"
    store = bundles.open_bundles(settings)
    if index.exists():
        try:
            return read_candidate(json.loads(index.read_bytes())["bundle_id"], settings)
        except GroundworkError:
            index.unlink()  # the store lost or damaged its copy: the parts are here, so make it again
    staged = settings.home / "staging" / key
    bundles.assemble(
        model=model, evaluation=evaluation, provenance=_lineage(repository, model, evaluation), into=staged
    )
    bundle_id = store.put(staged)
    commit_file(index, json.dumps({"bundle_id": bundle_id, **parts}).encode())
    return read_candidate(bundle_id, settings)


def read_candidate(bundle_id: str, settings: Settings) -> Candidate:
    """Fetch and verify a bundle.

    Raises:
        UnavailableError: If there is no such bundle.
        IntegrityError: If it was damaged.
    """
    folder = bundles.open_bundles(settings).fetch(bundle_id)
    metrics = read_json(folder / "evaluation" / "metrics.json")
    found = read_manifest(folder / "model").sha256
    if found != metrics["model_sha256"]:
        raise IntegrityError(
            f"holds model {found[:12]} and the evaluation of {metrics['model_sha256'][:12]}.",
            obj=f"bundle {bundle_id}",
            hint="Run `groundwork eval`.",
        )
    return Candidate(
        bundle_id=bundle_id,
        folder=folder,
        model_sha256=metrics["model_sha256"],
        dataset_sha256=metrics["dataset"]["sha256"],
        metrics=metrics,
        lineage=read_json(folder / "provenance.json"),
    )


def _named(model: Path, evaluation: Path) -> list[tuple[str, Path]]:
    return [("model", model), ("evaluation", evaluation)]


def _lineage(repository: Path, model: Path, evaluation: Path) -> dict[str, Any]:
    """Collect what made this model: data, code, configuration, lock, seed, machine."""
    code = code_version(repository)
    made = verify_directory(model).provenance
    judged = read_json(evaluation / "metrics.json")
    if made["dataset_sha256"] != judged["dataset"]["sha256"]:
        raise IntegrityError(
            f"was trained on {made['dataset_sha256'][:12]}, evaluated on {judged['dataset']['sha256'][:12]}.",
            obj=str(model),
            hint="Run `groundwork eval`.",
        )
    return {
        "dataset": {"sha256": made["dataset_sha256"], "split": judged["dataset"]["split"]},
        "code": {"commit": code.commit, "uncommitted_changes": code.dirty},
        "config": {"segmenter": made["config"], "predict": read_json(model / "config.json")["prediction"]},
        "lock": {"sha256": hash_file(repository / "requirements.lock")},
        "training": {name: value for name, value in made.items() if name != "config"},
        "machine": {
            "python": platform.python_version(),
            "system": platform.system(),
            "cpu": platform.machine(),
        },
    }
