"""One process or many: who takes the steps of a training. The only importer of accelerate.

Many processes are started by ``accelerate launch`` or ``torchrun``, which tell each its number; without a GPU
they talk over gloo, with GPUs over NCCL. All must see the same folder of checkpoints.
"""

import os
from typing import Any, Protocol

import torch
from torch import Tensor

from models.blocks.accumulation import Workers
from tasks.errors import UnavailableError, UsageError


class DeviceWorkers(Workers, Protocol):
    """Processes that take steps together, each on a device of its own."""

    @property
    def device(self) -> torch.device:
        """Where this process computes."""

    def wait(self) -> None:
        """Return when every process has come here."""


class Alone:
    """A single process."""

    number = 0
    count = 1

    def __init__(self) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def total(self, values: Tensor) -> Tensor:
        """See ``Workers``."""
        return values

    def wait(self) -> None:
        """See ``DeviceWorkers``."""


class Accelerated:
    """The processes of accelerate.

    Args:
        accelerator: An ``accelerate.Accelerator``.
    """

    def __init__(self, accelerator: Any) -> None:  # noqa: ANN401 - accelerate need not be installed
        self._accelerator = accelerator
        self.number, self.count = int(accelerator.process_index), int(accelerator.num_processes)
        self.device: torch.device = accelerator.device

    def total(self, values: Tensor) -> Tensor:
        """See ``Workers``."""
        total: Tensor = self._accelerator.reduce(values.clone(), reduction="sum")
        return total

    def wait(self) -> None:
        """See ``DeviceWorkers``."""
        self._accelerator.wait_for_everyone()


def join_workers() -> DeviceWorkers:
    """Join the processes that the launcher started; alone without one.

    Raises:
        UsageError: If the launcher's number of processes is no number.
        UnavailableError: If there are several and accelerate is not installed.
    """
    world = os.environ.get("WORLD_SIZE", "1")
    if not world.isdecimal() or int(world) < 1:
        raise UsageError(
            f"must be a positive number, got {world!r}.",
            obj="WORLD_SIZE",
            hint="Start processes by `accelerate launch` or `torchrun`.",
        )
    if int(world) == 1:
        return Alone()
    try:
        from accelerate import Accelerator  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise UnavailableError(
            f"{world} processes were started, and what lets them talk is not installed.",
            obj="accelerate",
            hint="Install accelerate>=1.10, or start one process.",
        ) from error
    return Accelerated(Accelerator(cpu=not torch.cuda.is_available()))
