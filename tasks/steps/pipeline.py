"""Prefect tasks around the data version and the stages of dvc.yaml.

DVC decides what has to run; Prefect gives retries, time limits, a log and a recorded result. Nothing here
is cached by Prefect: two caches over one fact would disagree.
"""

from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.errors import UnavailableError
from tasks.operations.training import reproduce_stage
from tasks.operations.versioning import version_dataset
from tasks.services.dvc import Stage
from tasks.services.settings import Settings
from tasks.steps.narration import say


def passing(_task: object, _run: object, state: Any) -> bool:  # noqa: ANN401
    """Retry only what time can cure: bad data and a rejected model stay what they are."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, UnavailableError)


@task(
    name="version data",
    retries=2,
    retry_delay_seconds=[5, 30],
    retry_condition_fn=passing,
    timeout_seconds=6 * 3600,
    cache_policy=NO_CACHE,
    persist_result=True,
    result_serializer="json",
)
def version_data(source: Path, repository: Path) -> dict[str, Any]:
    """Import, version, push and prove the dataset."""
    version = version_dataset(source, repository, Settings.load(repository), say=say)
    return version.to_json()


@task(
    name="stage",
    task_run_name="{name}",
    retry_delay_seconds=[5, 60],
    retry_condition_fn=passing,
    cache_policy=NO_CACHE,
    persist_result=True,
    result_serializer="json",
)
def run_stage(
    name: str, stage: dict[str, Any], repository: Path, *, unchanged: bool, force: bool
) -> dict[str, Any]:
    """Bring one stage of dvc.yaml up to date."""
    del name  # names the task run
    settings = Settings.load(repository)
    done = reproduce_stage(Stage(**stage), repository, settings, unchanged=unchanged, force=force, say=say)
    return {"stage": done.stage, "outcome": done.outcome}


def task_for(stage: Stage) -> Any:  # noqa: ANN401
    """Give one stage the policy that its ``meta`` in dvc.yaml asks for."""
    return run_stage.with_options(
        name=stage.name,
        description=stage.description,
        tags=[f"worker:{stage.worker}"],
        retries=stage.retries,
        timeout_seconds=stage.timeout + 60,
    )
