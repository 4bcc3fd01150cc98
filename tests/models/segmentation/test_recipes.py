"""Every shipped recipe of instances: read, built at full size without memory, taken one step when reduced."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torchvision.ops import FrozenBatchNorm2d

from models.segmentation.recipes import (
    ImageSizes,
    InstanceRecipe,
    Optimizer,
    Schedule,
    build_instance_model,
    reduced,
)
from tasks.config import load_file, read_yaml
from tasks.operations.recipe_files import SEMANTIC_HEADS
from tests.models.segmentation.tiny import tiny_batch

FOLDER = Path(__file__).resolve().parents[3] / "configs" / "recipes"
FILES = sorted(path.stem for path in FOLDER.glob("*.yaml") if read_yaml(path)["head"] not in SEMANTIC_HEADS)
MILLIONS = {
    "tiny_condinst": 12,
    "tiny_solo": 12,
    "tiny_query": 12,
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
    recipe = reduced(dataclasses.replace(read(name), num_categories=80))
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
        if (recipe := read(name)).head != "condinst" and not name.startswith("tiny_")
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


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "images need either short_sides and long_side, or crop and jitter"),
        ({"crop": 64}, "crop and jitter, got"),
        ({"crop": 64, "jitter": (0.5, 2.0), "long_side": 100}, "images need either"),
        ({"crop": 64, "jitter": (2.0, 0.5)}, r"jitter must be a lowest and a highest .*, got \(2\.0, 0\.5\)"),
        ({"short_sides": (800,), "long_side": 1333}, r"short_sides must be .*, got \(800,\)"),
        ({"short_sides": (640, 800), "long_side": 700}, "long_side must not be below short_sides, got 700"),
        ({"crop": -1, "jitter": (0.5, 2.0)}, "crop must be at least 1, got -1"),
    ],
)
def test_sizes_that_leave_open_what_is_seen_are_refused(given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageSizes(**given)


@pytest.mark.parametrize(("norm", "kind"), [("group", torch.nn.GroupNorm), ("frozen", FrozenBatchNorm2d)])
def test_queries_on_resnets_keep_no_statistics_of_few_images(norm: str, kind: type) -> None:
    recipe = dataclasses.replace(reduced(read("mask2former_r50_coco")), norm=norm)
    with torch.device("meta"):
        modules = list(build_instance_model(recipe).modules())
    assert not [module for module in modules if isinstance(module, torch.nn.BatchNorm2d)]
    assert len([module for module in modules if isinstance(module, kind)]) >= 20


def test_a_reduced_recipe_sees_small_images() -> None:
    assert reduced(read("mask2former_r50_coco")).images.crop == 128
    assert reduced(read("boxinst_r50_coco")).images.short_sides == (96, 128)


def test_what_cannot_be_built_is_refused() -> None:
    recipe = read("solov2_r50_coco")
    with pytest.raises(ValueError, match="head 'solo' reads ResNets, got backbone 'swin_tiny'"):
        dataclasses.replace(recipe, backbone="swin_tiny")
    with pytest.raises(ValueError, match="at least 1, got 0 and 16"):
        dataclasses.replace(recipe, num_categories=0)
    with pytest.raises(ValueError, match="learning_rate must be positive"):
        Optimizer(name="sgd", learning_rate=0.0, weight_decay=0.0, gradient_norm=None)
