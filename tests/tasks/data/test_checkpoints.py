"""Checkpoints restore everything, belong to one run, and are never fewer than one valid."""

import json

import pytest
import torch
from torch import nn

from models.blocks.loop import WeightAverage
from tasks.data import checkpoints
from tasks.data.checkpoints import (
    TrainingState,
    append_history,
    clear_checkpoints,
    read_history,
    resume,
    save_checkpoint,
)
from tasks.data.commit import verify_directory


def state_of(seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Linear(3, 2)
    return TrainingState(
        model=model,
        optimizer=torch.optim.AdamW(model.parameters(), lr=0.1),
        average=WeightAverage(model, 0.5),
    )


def advance(state, steps=1):
    for step in range(steps):
        state.optimizer.zero_grad()
        state.model(torch.ones(1, 3) * (step + 1)).sum().backward()
        state.optimizer.step()
        state.average.update(state.model, step + 1)


def equal(first, second):
    mine, theirs = first.tensors(), second.tensors()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def restart(folder, state, run_key="a"):
    said = []
    return resume(folder, state, run_key=run_key, say=said.append), said


def test_everything_comes_back(tmp_path):
    state, other = state_of(0), state_of(1)
    advance(state, 3)
    save_checkpoint(tmp_path, state, step=3, run_key="a")
    expected = torch.rand(2)
    assert restart(tmp_path, other) == (3, ["resumed from step-3"])
    assert torch.equal(torch.rand(2), expected)
    advance(state)
    advance(other)
    assert all(
        torch.equal(a, b) for a, b in zip(state.model.parameters(), other.model.parameters(), strict=True)
    )
    assert verify_directory(tmp_path / "step-3").schema == "groundwork.checkpoint/1"


def test_nothing_to_resume(tmp_path):
    state = state_of(0)
    assert restart(tmp_path / "new", state) == (0, [])
    assert (tmp_path / "new" / "history.jsonl").read_bytes() == b""


def test_the_last_two_are_kept_in_the_order_of_numbers(tmp_path):
    state = state_of(0)
    for step in (9, 10, 100):
        save_checkpoint(tmp_path, state, step=step, run_key="a")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-10", "step-100"]


def test_a_failed_write_leaves_the_last_good_one(tmp_path, monkeypatch):
    state = state_of(0)
    save_checkpoint(tmp_path, state, step=1, run_key="a")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path, state, step=2, run_key="a")
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]


def test_damaged_foreign_and_unfinished_ones(tmp_path):
    state = state_of(0)
    save_checkpoint(tmp_path, state, step=1, run_key="a")
    save_checkpoint(tmp_path, state, step=2, run_key="a")
    (tmp_path / "step-2" / "state.json").write_text("{}")
    (tmp_path / ".tmp-1").mkdir()
    step, said = restart(tmp_path, state_of(1))
    assert step == 1
    assert said == [
        "skipped step-2: 1 problems in 2 files: changed state.json.",
        "resumed from step-1",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.jsonl", "step-1"]
    assert restart(tmp_path, state_of(1), "b") == (
        0,
        ["removed step-1: it belongs to a run with other parameters or data."],
    )


def test_the_history_is_cut_to_the_checkpoint(tmp_path):
    state = state_of(0)
    for step in (1, 2, 3):
        append_history(tmp_path, {"step": step, "loss": 0.5})
    save_checkpoint(tmp_path, state, step=2, run_key="a")
    with (tmp_path / "history.jsonl").open("a") as stream:
        stream.write('{"step": 4, "lo')
    restart(tmp_path, state)
    assert [line["step"] for line in read_history(tmp_path)] == [1, 2]
    assert read_history(tmp_path / "nowhere") == []


def test_a_history_line_is_a_number_or_an_error(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        append_history(tmp_path, {"step": 1, "loss": float("nan")})


def test_restoring_other_weights_is_an_error(tmp_path):
    state, other = state_of(0), state_of(0)
    tensors = state.tensors()
    tensors.pop("average.weight")
    with pytest.raises(RuntimeError, match=r"the running mean has other weights\."):
        other.restore(tensors)


def test_clearing_leaves_the_folder(tmp_path):
    save_checkpoint(tmp_path, state_of(0), step=1, run_key="a")
    append_history(tmp_path, {"step": 1})
    clear_checkpoints(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert json.dumps({}) == "{}"


class Frozen(nn.Module):
    """A layer that stays, one that learns under two names, and a counter."""

    def __init__(self):
        super().__init__()
        self.still, self.first = nn.Linear(2, 2), nn.Linear(2, 2)
        self.second = self.first
        self.still.requires_grad_(False)
        self.register_buffer("count", torch.zeros(()))


def frozen_state():
    model = Frozen()
    optimizer = torch.optim.AdamW(model.first.parameters(), lr=0.1)
    return TrainingState(model=model, optimizer=optimizer, average=None)


def test_what_never_changes_is_not_stored_and_no_mean_is_kept(tmp_path):
    state, other = frozen_state(), frozen_state()
    state.model.first(torch.ones(1, 2)).sum().backward()
    state.optimizer.step()
    names = {name for name in state.tensors() if name.startswith(("model", "average"))}
    assert names == {"model.first.weight", "model.first.bias", "model.count"}
    save_checkpoint(tmp_path, state, step=1, run_key="a")
    still = other.model.still.weight.clone()
    assert restart(tmp_path, other)[0] == 1
    assert torch.equal(other.model.second.weight, state.model.first.weight)
    assert torch.equal(other.model.still.weight, still)
    with pytest.raises(RuntimeError, match="the model has other weights"):
        other.restore({"model.first.weight": still, "generator": torch.get_rng_state()})
