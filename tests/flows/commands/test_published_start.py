"""A published checkpoint becomes a model, the model trains for a stage, and what it became answers."""

import json

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from flows.cli import app
from tests.models.region_lm.published import TOWER, save_published
from tests.models.region_lm.systems import recipe
from tests.tasks.operations.tiny_regions import ROOT, write_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world"))


def said(*arguments):
    """Run a command that must succeed; return its document."""
    done = CliRunner().invoke(app, [*(str(argument) for argument in arguments), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def weights(folder):
    """Return the type and the bytes of every weight that is stored."""
    stored = load_file(folder / "model.safetensors")
    return {name: (value.dtype, value.view(torch.uint8).numpy().tobytes()) for name, value in stored.items()}


def halve(state):
    """Store what is no encoder as most checkpoints do."""
    for name, value in state.items():
        if not name.startswith(TOWER):
            state[name] = value.to(torch.bfloat16)


@pytest.mark.parametrize(
    ("system", "stage", "data", "learns", "change"),
    [
        ("osprey", "regions", "regions", {"regions"}, lambda _: None),
        ("llava", "align", "images", {"projector"}, halve),
        ("tokenpacker", "instruct", "images", {"projector", "language"}, lambda _: None),
    ],
)
def test_a_published_model_goes_on_learning(
    world, tmp_path, monkeypatch, system, stage, data, learns, change
):
    monkeypatch.chdir(ROOT)
    published, start, out = tmp_path / "published", tmp_path / "start", tmp_path / "out"
    name, where = f"{system}_tiny", ("--data", world / data, "--images", world / "shapes")
    save_published(system, published, change=change)
    converted = said("convert", published, "--from", system, "--recipe", name, "--out", start)
    before = weights(start)
    place = [part.name for part in recipe(name).stages].index(stage)
    more = ("--set", f"stages.{place}.global_batch=3", "--set", "training.bfloat16=false")
    done = said("tune", name, "--stage", stage, *where, "--from", start, "--out", out, "--steps", 2, *more)
    assert (done["stage"], done["steps"], done["samples"]) == (stage, 2, 6)
    provenance = json.loads((out / "manifest.json").read_text())["provenance"]
    assert provenance["parent_sha256"] == converted["sha256"]
    assert weights(start) == before
    after = weights(out)
    assert after.keys() == before.keys()
    assert {kind for kind, _ in after.values()} == {getattr(torch, converted["dtype"])}
    moved = {name for name in before if before[name] != after[name]}
    assert moved == {name for name in before if name.split(".")[0] in learns}
    answers = said("answer", out, *where, "--out", tmp_path / "answers", "--limit", 2, "--max-new-tokens", 3)
    assert (answers["asked"], answers["model_sha256"]) == (2, done["sha256"])
