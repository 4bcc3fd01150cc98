"""One of two processes that train together: start it by ``torchrun --nproc-per-node 2 -m ...``."""

import os
import signal
import sys
from pathlib import Path

import pytest
import torch

from tasks.errors import InterruptedRun
from tasks.operations import training_recipes
from tasks.operations.training_recipes import train_recipe
from tasks.services.workers import join_workers
from tests.tasks.operations.tiny_instances import tiny_training


def main(folder: Path, stop_at: int) -> None:
    """Train to the end, be asked to stop in the second process, and go on."""
    torch.set_num_threads(1)
    workers = join_workers()
    images = folder / f"images{os.environ['RANK']}"

    def begin():
        return tiny_training(images, folder / "checkpoints", micro_batch=1)

    honest = training_recipes.losses_of_part

    def stop(training, placed, step, device):
        if step == stop_at and workers.number == 1:
            signal.raise_signal(signal.SIGTERM)
        return honest(training, placed, step, device)

    training_recipes.losses_of_part = stop
    told = "SIGTERM" if workers.number == 1 else "another process"
    with pytest.raises(InterruptedRun, match=f"stopped by {told} after step {stop_at + 1} of 6"):
        train_recipe(begin(), workers, lambda _: None)
    training_recipes.losses_of_part = honest
    training = begin()
    train_recipe(training, workers, lambda _: None)
    torch.save(dict(training.lesson.network.state_dict()), folder / f"{workers.number}.pt")
    workers.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
