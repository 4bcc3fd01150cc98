"""Every shipped recipe is read, built at full size without memory, and taken one step at reduced size."""

import dataclasses
from pathlib import Path

import pytest
import torch

from models.segmentation.recipes import (
    InstanceRecipe,
    Optimizer,
    Schedule,
    build_instance_model,
    reduced,
)
from tasks.config import load_file
from tests.models.segmentation.tiny import tiny_batch

FOLDER = Path(__file__).resolve().parents[3] / "configs" / "recipes"
FILES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
MILLIONS = {
    "boxinst_r50_coco": 34,
    "boxinst_r101_coco": 53,
    "condinst_affinity_r50_coco": 34,
    "mask2former_r50_coco": 44,
    "mask2former_r101_coco": 63,
    "mask2former_r50_voc": 44,
    "mask2former_r101_voc": 63,
    "mask2former_swin_large_coco": 216,
    "mask2former_swin_large_voc": 216,
    "mask2former_swin_tiny_voc": 47,
    "solov2_r50_coco": 34,
    "solov2_r101_coco": 52,
    "solov2_r50_voc": 33,
    "solov2_r101_voc": 52,
}


def read(name: str) -> InstanceRecipe:
    return load_file(FOLDER / f"{name}.yaml", InstanceRecipe)


def test_every_file_is_expected() -> None:
    assert set(FILES) == set(MILLIONS)


@pytest.mark.parametrize("name", FILES)
def test_a_recipe_is_built_at_full_size_without_memory(name: str) -> None:
    with torch.device("meta"):
        model = build_instance_model(read(name))
    real = sum(parameter.numel() for parameter in model.parameters() if not parameter.is_meta)
    assert real < 10_000  # transformers makes a few tables of its attention by hand
    assert sum(parameter.numel() for parameter in model.parameters()) / 1e6 == pytest.approx(
        MILLIONS[name], abs=1.0
    )


@pytest.mark.parametrize("name", FILES)
def test_a_recipe_takes_a_step_at_reduced_size(name: str) -> None:
    recipe = reduced(read(name))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_instance_model(recipe)
    losses = model.losses(tiny_batch(), recipe.supervision, step=0)
    total = torch.stack(list(losses.values())).sum()
    assert total.isfinite()
    total.backward()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    before = next(model.parameters()).detach().clone()
    optimizer.step()
    assert not torch.equal(before, next(model.parameters()))


def test_the_zeta_table_of_the_release() -> None:
    table = {
        name: (recipe.supervision.zeta_image, recipe.supervision.zeta_label)
        for name in FILES
        if (recipe := read(name)).head != "condinst"
    }
    assert table == {
        "mask2former_r50_coco": (0.03, 0.03),
        "mask2former_r101_coco": (0.03, 0.03),
        "mask2former_r50_voc": (0.02, 0.03),
        "mask2former_r101_voc": (0.03, 0.03),
        "mask2former_swin_large_coco": (0.03, 0.03),
        "mask2former_swin_large_voc": (0.03, 0.07),
        "mask2former_swin_tiny_voc": (0.03, 0.03),
        **{f"solov2_{name}": (0.01, 0.07) for name in ("r50_coco", "r101_coco", "r50_voc", "r101_voc")},
    }


def test_rates_by_hand() -> None:
    schedule = Schedule(unit="epochs", length=36, drops=(27, 33), warmup_steps=100, warmup_ratio=0.01)
    rates = [schedule.rate(step, peak=1.0, steps_per_unit=10) for step in (0, 50, 100, 269, 270, 330)]
    assert rates == pytest.approx([0.01, 0.505, 1.0, 1.0, 0.1, 0.01])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"length": 0}, "length must be positive"),
        ({"drops": (33, 27)}, "drops rise"),
        ({"drops": (27, 36)}, r"within the length of 36, got \(27, 36\)"),
        ({"warmup_ratio": 0.0}, r"warmup_ratio in \(0, 1\]"),
    ],
)
def test_a_schedule_without_order_is_refused(given: dict, message: str) -> None:
    usual = {"unit": "epochs", "length": 36, "drops": (27, 33), "warmup_steps": 0, "warmup_ratio": 1.0}
    with pytest.raises(ValueError, match=message):
        Schedule(**(usual | given))


def test_what_cannot_be_built_is_refused() -> None:
    recipe = read("solov2_r50_coco")
    with pytest.raises(ValueError, match="head 'solo' reads ResNets, got backbone 'swin_tiny'"):
        dataclasses.replace(recipe, backbone="swin_tiny")
    with pytest.raises(ValueError, match="at least 1, got 0 and 16"):
        dataclasses.replace(recipe, num_categories=0)
    with pytest.raises(ValueError, match="learning_rate must be positive"):
        Optimizer(name="sgd", learning_rate=0.0, weight_decay=0.0, gradient_norm=None)
