import pytest

from tasks.errors import DataError, UnavailableError
from tasks.services.dvc import Stage
from tasks.steps.pipeline import passing, task_for, version_data


class State:
    def __init__(self, error):
        self.error = error

    def result(self, raise_on_failure):
        assert not raise_on_failure
        return self.error


@pytest.mark.parametrize(
    ("kind", "again"), [(UnavailableError, True), (DataError, False), (ValueError, False)]
)
def test_only_what_time_can_cure_is_tried_again(kind, again):
    error = kind("no.", obj="x", hint="Wait.") if kind is not ValueError else ValueError("no")
    assert passing(None, None, State(error)) is again


def test_the_policy_of_a_stage_comes_from_dvc_yaml():
    stage = Stage(name="train", description="Learn.", worker="gpu", timeout=100.0, retries=3, progress=None)
    task = task_for(stage)
    assert task.name == "train"
    assert task.retries == 3
    assert task.timeout_seconds == 160.0
    assert task.tags == {"worker:gpu"}
    assert task.persist_result
    assert version_data.retries == 2
