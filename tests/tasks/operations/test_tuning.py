"""From samples to a committed model and to the next stage; stopped runs go on to the same bytes."""

import json
import signal
from dataclasses import replace

import pytest
import torch

from models.region_lm.hub import RegionMLLM
from tasks.data.commit import verify_directory
from tasks.data.region_prompts import to_utterances
from tasks.errors import DataError, InterruptedRun, UsageError
from tasks.operations import training_recipes, tuning
from tasks.operations.converting import REGION_MODEL_SCHEMA
from tasks.operations.region_model_files import (
    load_region_model,
    read_region_processor,
    save_region_model,
)
from tasks.operations.training_recipes import TrainingDiverged
from tasks.operations.tuning import tune
from tasks.services.workers import Alone
from tests.tasks.operations.tiny_regions import ROOT, SCENES, SMALL, region_samples, request, write_world

EVERY_STEP = ("training.checkpoint_every=1",)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = write_world(tmp_path_factory.mktemp("world"))
    parts = [("regions", 1.0, "mask"), ("images", 0.5, "mask"), ("regions", 1.5, "box")]
    lines = [f"- {{samples: {folder / name}, images: {folder / 'shapes'}, share: {share}, shown: {shown}}}"
             for name, share, shown in parts]  # fmt: skip
    (folder / "mix.yaml").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def aligned(world):
    torch.set_num_threads(1)
    said = []
    asked = request(world, world / "align", stage="align", data=world / "images")
    return asked, tune(asked, ROOT, say=said.append), said


def instruct(world, aligned, out, **given):
    usual = {"data": world / "mix.yaml", "images": None, "parent": aligned[0].out, "steps": 3}
    return request(world, out, **(usual | given))


@pytest.fixture(scope="module")
def whole(world, aligned):
    """An uninterrupted run of the last stage."""
    torch.set_num_threads(1)
    asked = instruct(world, aligned, world / "whole")
    return asked, tune(asked, ROOT, say=lambda _: None)


def weights(folder):
    return load_region_model(folder).model.state_dict()


def history(folder):
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def test_what_is_committed(aligned, world):
    asked, document, said = aligned
    manifest = verify_directory(asked.out, schema=REGION_MODEL_SCHEMA)
    assert manifest.files.keys() >= {
        "config.json",
        "history.jsonl",
        "model.safetensors",
        "region_processor.json",
    }
    assert document == {
        "model": str(asked.out), "sha256": manifest.sha256, "recipe": "osprey_tiny", "stage": "align",
        "samples": SCENES, "left_out": [], "cut": 0, "steps": 2, "loss": history(asked.out)[-1]["loss"],
    }  # fmt: skip
    line = history(asked.out)[0]
    assert line.keys() == {"step", "loss", "loss_text", "learned_tokens", "positions", "learning_rate"}
    assert 0 < line["learned_tokens"] < line["positions"]
    provenance = manifest.provenance
    assert provenance["stage"]["name"] == "align"
    assert provenance["data"][0]["samples_sha256"] == verify_directory(world / "images").sha256
    assert (provenance["processes"], provenance["training"]["seed"]) == (1, 0)
    assert said[0] == "stage align: 6 samples, 5,760 of 193,296 parameters learn (projector 5,760)"
    assert said[1].startswith("training RegionMLLM in float32 on cpu, 1 process, 1 threads")
    assert said[-1].startswith("training 2/2, 0 s left, loss ")
    assert said[-1].endswith(" tokens/s")
    assert not asked.checkpoints.exists()


def test_the_next_stage_goes_on_and_only_its_parts_move(world, aligned, tmp_path):
    asked = request(world, tmp_path / "regions", stage="regions", parent=aligned[0].out, steps=2)
    tune(asked, ROOT, say=lambda _: None)
    before, after = weights(aligned[0].out), weights(asked.out)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.split(".")[0] for name in moved} == {"regions"}
    parent = verify_directory(asked.out).provenance["parent_sha256"]
    assert parent == aligned[1]["sha256"]


def test_a_run_that_is_stopped_goes_on_to_the_same_bytes(world, aligned, whole, tmp_path, monkeypatch):
    asked = instruct(world, aligned, tmp_path / "cut")
    honest = training_recipes.losses_of_part

    def stop(training, placed, step, device):
        if step == 1:
            signal.raise_signal(signal.SIGTERM)
        return honest(training, placed, step, device)

    monkeypatch.setattr(training_recipes, "losses_of_part", stop)
    with pytest.raises(InterruptedRun, match=r"stopped by SIGTERM after step 2 of 3\. Run .* --resume"):
        tune(asked, ROOT, say=lambda _: None)
    monkeypatch.undo()
    with pytest.raises(UsageError, match="Say --resume to go on"):
        tune(asked, ROOT, say=lambda _: None)
    for other in ({"data": world / "regions", "images": world / "shapes"}, {"changes": ("training.seed=1",)}):
        with pytest.raises(
            UsageError, match="step-2: is of a run with another recipe, stage, data, beginning"
        ):
            tune(replace(instruct(world, aligned, tmp_path / "cut", **other), resume=True), ROOT, say=print)
    said = []
    again = tune(replace(asked, resume=True), ROOT, say=said.append)
    assert "resumed from step-2" in said
    assert again["sha256"] == whole[1]["sha256"]


@pytest.mark.parametrize("change", ["packing=false", "gradient_checkpointing=false", "micro_batch=1"])
def test_how_it_is_computed_changes_no_loss(world, aligned, whole, tmp_path, change):
    asked = instruct(world, aligned, tmp_path / "other", steps=2, changes=(f"training.{change}",))
    tune(asked, ROOT, say=lambda _: None)
    found, expected = history(asked.out), history(whole[0].out)[:2]
    assert [line["loss"] for line in found] == pytest.approx([line["loss"] for line in expected], abs=1e-5)
    assert [line["positions"] for line in found] == [line["positions"] for line in expected]


def test_adapters_are_merged_when_the_stage_ends(world, aligned, tmp_path):
    lora = "{rank: 2, alpha: 4.0, learning_rate: 0.01, targets: [q_proj, v_proj]}"
    changes = ("stages.2.train=[{part: projector, learning_rate: 0.01}]", f"stages.2.lora={lora}")
    asked = instruct(world, aligned, tmp_path / "lora", changes=changes, steps=2)
    said = []
    tune(asked, ROOT, say=said.append)
    assert "projector 5,760, adapters" in said[0]
    before, after = weights(aligned[0].out), weights(asked.out)
    assert before.keys() == after.keys()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.split("self_attn.")[1] for name in moved if name.startswith("language.")} == {
        "q_proj.weight",
        "v_proj.weight",
    }


def test_checkpoints_hold_what_learns_alone(world, aligned, tmp_path, monkeypatch):
    def keep(*_, **__):
        raise InterruptedRun("stopped.", obj="x", hint="y")

    monkeypatch.setattr(tuning, "_finish", keep)
    asked = request(world, tmp_path / "align", stage="align", data=world / "images", parent=aligned[0].out,
                    steps=2, changes=EVERY_STEP)  # fmt: skip
    with pytest.raises(InterruptedRun):
        tune(asked, ROOT, say=lambda _: None)
    size = (asked.checkpoints / "step-1" / "state.safetensors").stat().st_size
    assert size < 5_760 * 4 * 3 + 10_000


def test_a_loss_that_is_no_number_names_samples_and_the_setting(world, aligned, tmp_path, monkeypatch):
    honest = RegionMLLM.read

    def spoil(self, *given, **named):
        found = honest(self, *given, **named)
        return found if found.loss is None else replace(found, loss=found.loss * torch.nan)

    monkeypatch.setattr(RegionMLLM, "read", spoil)
    asked = request(world, tmp_path / "nan", stage="align", data=world / "images", parent=aligned[0].out)
    with pytest.raises(TrainingDiverged, match=r"stages\.0\.train\.0\.learning_rate=") as caught:
        tune(asked, ROOT, say=lambda _: None)
    document = json.loads((asked.checkpoints / "diverged.json").read_text())
    assert document["suspect_sample_ids"] == document["sample_ids"]
    assert document["sample_ids"][0].startswith("shapes/train/")
    assert "in micro-batches of samples ['shapes/train/" in str(caught.value)


def test_the_type_of_number_is_that_of_the_parent(world, aligned, tmp_path):
    loaded = load_region_model(aligned[0].out)
    save_region_model(tmp_path / "half", loaded.model.to(torch.bfloat16), loaded.processor, provenance={})
    asked = request(
        world, tmp_path / "out", stage="align", data=world / "images", parent=tmp_path / "half", steps=1
    )
    tune(asked, ROOT, say=lambda _: None)
    before, after = weights(tmp_path / "half"), weights(asked.out)
    assert {value.dtype for value in after.values()} == {torch.bfloat16}
    moved = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"projector"}


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({"steps": 0}, UsageError, "--steps: must be between 1 and the 10 steps of the schedule, got 0"),
        ({"steps": 99}, UsageError, "got 99"),
        ({"changes": ("stages.2.global_batch=99",)}, UsageError, r"stages\.2\.global_batch: a step takes 99"),
        ({"changes": ("stages.2.train=[{part: vison, learning_rate: 0.1}]",)}, UsageError,
         r"^--set .*stages\.2\.train=.* trains 'vison'.* does not have.* Correct `--set stages"),
        ({"changes": ("stages.2.train=[{part: language.lm_hed, learning_rate: 0.1}]",)}, UsageError,
         "trains 'language.lm_hed', which the model does not have"),
        ({"changes": ("stages.2.max_length=20",)}, DataError, "would lose"),
        ({"changes": ("model.regions.hidden=16",)}, UsageError, "was made with model.regions.hidden 32"),
    ],
)  # fmt: skip
def test_requests_that_do_not_fit_are_refused(world, aligned, tmp_path, given, kind, message):
    with pytest.raises(kind, match=message):
        tune(instruct(world, aligned, tmp_path / "model", **given), ROOT, say=lambda _: None)
    assert not (tmp_path / "model").exists()


def test_samples_that_do_not_fit_are_counted_if_that_is_asked_for(world, aligned, tmp_path):
    processor = read_region_processor(aligned[0].out)
    ids = [
        len(processor.encode(to_utterances(sample), num_regions=len(sample.regions))[0].ids)
        for sample in region_samples()
    ]
    said = []
    changes = (f"stages.2.max_length={min(ids)}", "training.too_long=leave_out", "stages.2.global_batch=2")
    asked = request(world, tmp_path / "short", parent=aligned[0].out, changes=changes, steps=1)
    document = tune(asked, ROOT, say=said.append)
    longer = sum(length > min(ids) for length in ids)
    assert longer == len(document["left_out"]) + document["cut"] > 0
    assert document["samples"] == SCENES - len(document["left_out"])
    assert said[0].startswith(
        f"left out {len(document['left_out'])} samples that do not fit, such as shapes/"
    )
    assert verify_directory(asked.out).provenance["left_out"] == document["left_out"]
    cut = tune(replace(asked, changes=(*SMALL, f"stages.2.max_length={max(ids) - 1}")), ROOT, say=said.append)
    assert cut["cut"] == ids.count(max(ids))
    assert f"cut {cut['cut']} of 6 samples, which lose {cut['cut']} tokens at their end" in said


def test_only_the_first_process_writes_and_answers(world, aligned, tmp_path, monkeypatch):
    class Second(Alone):
        number = 1

    monkeypatch.setattr(tuning, "join_workers", Second)
    monkeypatch.setattr(tuning, "train_recipe", lambda *_: None)
    said = []
    assert tune(instruct(world, aligned, tmp_path / "model"), ROOT, say=said.append) is None
    assert list(tmp_path.iterdir()) == []
    assert said == []
