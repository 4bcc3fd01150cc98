"""Alone, in company, and in company that cannot talk."""

import sys
from types import ModuleType

import pytest
import torch

from tasks.errors import UnavailableError, UsageError
from tasks.services.workers import Accelerated, Alone, join_workers


def test_without_a_launcher_one_is_alone(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    workers = join_workers()
    assert isinstance(workers, Alone)
    assert (workers.number, workers.count) == (0, 1)
    assert workers.device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    values = torch.tensor([1.0, 2.0])
    assert torch.equal(workers.total(values), values)
    workers.wait()


def test_a_launcher_without_accelerate_is_told_what_is_missing(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(
        UnavailableError, match=r"accelerate: 2 processes were started, .* Install accelerate"
    ):
        join_workers()


@pytest.mark.parametrize("world", ["two", "0", "-1", ""])
def test_a_number_of_processes_must_be_one(monkeypatch, world):
    monkeypatch.setenv("WORLD_SIZE", world)
    with pytest.raises(UsageError, match="WORLD_SIZE: must be a positive number"):
        join_workers()


def test_company_is_that_of_accelerate(monkeypatch):
    """What is asked of accelerate; two real processes are in ``test_training_instances``."""
    asked = []

    class Accelerator:
        process_index, num_processes, device = 1, 2, torch.device("cpu")

        def __init__(self, *, cpu):
            asked.append(("cpu", cpu))

        def reduce(self, values, reduction):
            asked.append(reduction)
            return values.mul_(2)

        def wait_for_everyone(self):
            asked.append("wait")

    module = ModuleType("accelerate")
    module.Accelerator = Accelerator
    monkeypatch.setitem(sys.modules, "accelerate", module)
    monkeypatch.setenv("WORLD_SIZE", "2")
    workers = join_workers()
    assert isinstance(workers, Accelerated)
    assert (workers.number, workers.count, workers.device.type) == (1, 2, "cpu")
    mine = torch.ones(2)
    assert workers.total(mine).tolist() == [2.0, 2.0]
    assert mine.tolist() == [1.0, 1.0]
    workers.wait()
    assert asked == [("cpu", not torch.cuda.is_available()), "sum", "wait"]
