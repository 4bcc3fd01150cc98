"""Checkpoints of a training run: safetensors and JSON in committed directories, never pickle.

A folder holds ``step-<n>`` directories and the live ``history.jsonl``. A checkpoint belongs to one run key;
those of another run are removed when a run starts.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.blocks.loop import WeightAverage
from tasks.data.commit import commit_directory, commit_file, newest_valid, read_manifest
from tasks.errors import IntegrityError

CHECKPOINT_SCHEMA = "groundwork.checkpoint/1"
HISTORY = "history.jsonl"
_PREFIX, _KEPT = "step-", 2


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingState:
    """What a run consists of between two steps, beside its number of steps."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    average: WeightAverage | None
    """Running mean of the weights; None: none is kept."""

    def tensors(self) -> dict[str, Tensor]:
        """Name every tensor of the state, the generator's among them, but for weights that never change."""
        named = {f"model.{name}": value for name, value in self._changing().items()}
        named |= {f"average.{name}": value for name, value in self._mean().items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            named |= {f"optimizer.{index}.{name}": value for name, value in values.items()}
        return {name: value.contiguous() for name, value in named.items()} | {
            "generator": torch.get_rng_state()
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over the tensors that ``tensors`` named.

        Raises:
            RuntimeError: If names or shapes differ.
        """
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "optimizer": {}}
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            if rest:
                parts[part][rest] = value
        if parts["model"].keys() != self._changing().keys():
            raise RuntimeError("the model has other weights.")
        self.model.load_state_dict(parts["model"], strict=False)
        if parts["average"].keys() != self._mean().keys():
            raise RuntimeError("the running mean has other weights.")
        for name, value in parts["average"].items():
            self._mean()[name].copy_(value)
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in parts["optimizer"].items():
            index, _, key = name.partition(".")
            state.setdefault(int(index), {})[key] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        torch.set_rng_state(tensors["generator"])

    def _changing(self) -> dict[str, Tensor]:
        """Name what training changes: weights that learn, each once, and buffers."""
        names = {name for name, weight in self.model.named_parameters() if weight.requires_grad}
        weights = {name for name, _ in self.model.named_parameters(remove_duplicate=False)}
        state = self.model.state_dict()
        return {name: value for name, value in state.items() if name in names or name not in weights}

    def _mean(self) -> dict[str, Tensor]:
        return {} if self.average is None else self.average.weights


def save_checkpoint(folder: Path, state: TrainingState, *, step: int, run_key: str) -> None:
    """Commit a checkpoint, then remove all but the newest two."""

    def write(staging: Path) -> None:
        save_file(state.tensors(), staging / "state.safetensors")
        (staging / "state.json").write_text(json.dumps({"step": step, "run_key": run_key}) + "\n")

    provenance = {"run_key": run_key, "step": step}
    commit_directory(folder / f"{_PREFIX}{step}", write, schema=CHECKPOINT_SCHEMA, provenance=provenance)
    for path in _checkpoints(folder)[_KEPT:]:
        shutil.rmtree(path)


def resume(folder: Path, state: TrainingState, *, run_key: str, say: Callable[[str], None]) -> int:
    """Restore the newest valid checkpoint of this run; what is damaged or foreign is removed, aloud.

    Args:
        folder: Where the checkpoints are; created if absent.
        state: Is overwritten when there is a checkpoint.
        run_key: Identity of the run: its parameters and its data.
        say: Told each decision, in one sentence.

    Returns:
        Number of steps already taken; 0 when the run starts anew.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(".tmp-*"):
        _remove(leftover)
    for path in _checkpoints(folder):
        reason = _foreign(path, run_key)
        if reason:
            say(f"removed {path.name}: {reason}")
            shutil.rmtree(path)
    newest, skipped = newest_valid(folder, _PREFIX)
    for sentence in skipped:
        say(sentence)
    step = 0
    if newest is not None:
        state.restore(_load(newest))
        step = int(json.loads((newest / "state.json").read_text())["step"])
        say(f"resumed from {newest.name}")
    for path in _checkpoints(folder):
        if int(path.name.removeprefix(_PREFIX)) > step:
            shutil.rmtree(path)
    _cut_history(folder / HISTORY, step)
    return step


def append_history(folder: Path, line: dict[str, Any]) -> None:
    """Add one line to the live history."""
    with (folder / HISTORY).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line, allow_nan=False) + "\n")


def read_history(folder: Path) -> list[dict[str, Any]]:
    """Read the whole lines of the live history; one cut off by a kill does not count."""
    path = folder / HISTORY
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]


def clear_checkpoints(folder: Path) -> None:
    """Empty the folder after the run's result is committed."""
    for path in folder.iterdir():
        _remove(path)


def _checkpoints(folder: Path) -> list[Path]:
    """List the checkpoints, the one with most steps first."""
    found = [path for path in folder.glob(f"{_PREFIX}*") if path.name.removeprefix(_PREFIX).isdigit()]
    return sorted(found, key=lambda path: int(path.name.removeprefix(_PREFIX)), reverse=True)


def _foreign(path: Path, run_key: str) -> str | None:
    try:
        manifest = read_manifest(path)
    except IntegrityError:
        return None
    if manifest.schema != CHECKPOINT_SCHEMA:
        return f"it holds {manifest.schema!r}."
    if manifest.provenance.get("run_key") != run_key:
        return "it belongs to a run with other parameters or data."
    return None


def _load(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path / "state.safetensors")
    except (SafetensorError, OSError) as error:
        raise IntegrityError(
            f"cannot be read although its manifest verifies ({error}).", obj=str(path), hint="Remove it."
        ) from error


def _cut_history(path: Path, step: int) -> None:
    kept = [line for line in read_history(path.parent) if line["step"] <= step]
    commit_file(path, "".join(json.dumps(line) + "\n" for line in kept).encode())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
