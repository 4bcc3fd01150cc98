"""Every shipped recipe of classes: read, built at full size without memory, taken one step when reduced."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from models.segmentation.learning import build_optimizer, schedule_steps, set_rate
from models.segmentation.semantic_objective import SemanticBatch, semantic_losses
from models.segmentation.semantic_recipes import (
    PolynomialSchedule,
    SemanticCropPolicy,
    SemanticRecipe,
    build_semantic_model,
    reduced_semantic,
)
from tasks.config import load_file, read_yaml
from tasks.operations.recipe_files import SEMANTIC_HEADS

FOLDER = Path(__file__).resolve().parents[3] / "configs" / "recipes"
FILES = sorted(path.stem for path in FOLDER.glob("*.yaml") if read_yaml(path)["head"] in SEMANTIC_HEADS)
VOC = ("tel_r101_voc_points", "tel_r101_voc_scribbles", "apro_r101_voc_points", "apro_r101_voc_scribbles")
CLIP = {"voc20": (20, 2000, 512), "context59": (59, 4000, 480), "stuff171": (171, 8000, 512)}


def read(name: str) -> SemanticRecipe:
    return load_file(FOLDER / f"{name}.yaml", SemanticRecipe)


def tiny_batch(num_classes: int) -> SemanticBatch:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 64, 64, generator=generator)
    label = torch.full((2, 64, 64), -1)
    label[0, 5:9, 5:40], label[1, 30, 30], label[1, 50:] = 0, num_classes - 1, -2
    return SemanticBatch(image, label)


def test_every_file_is_expected() -> None:
    clip = [f"{kind}_r101_{name}" for kind in ("maskclip", "apro_maskclip") for name in CLIP]
    assert set(FILES) == {"tiny_points", "tiny_scribbles", *VOC, *clip}


@pytest.mark.parametrize("name", FILES)
def test_a_recipe_is_built_at_full_size_without_memory(name: str) -> None:
    recipe = read(name)
    with torch.device("meta"):
        model = build_semantic_model(recipe)
        output = model(torch.zeros(1, 3, recipe.crops.size, recipe.crops.size))
    assert all(parameter.is_meta for parameter in model.parameters())
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    assert millions == pytest.approx(11.9 if recipe.backbone == "resnet18" else 59.5, abs=1.0)
    side = -(-recipe.crops.size // 4)
    assert output.logit_BKHW.shape == (1, recipe.num_classes, side, side)
    assert (output.embedding_BFHW is not None) == (recipe.supervision.tree_energy_weight > 0)


@pytest.mark.parametrize("name", FILES)
def test_a_recipe_takes_a_step_at_reduced_size(name: str) -> None:
    recipe = reduced_semantic(read(name))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_semantic_model(recipe)
    losses = semantic_losses(model, tiny_batch(recipe.num_classes), recipe.supervision, step=0)
    total = torch.stack(list(losses.values())).sum()
    assert total.isfinite()
    total.backward()
    optimizer = build_optimizer(model, recipe)
    set_rate(optimizer, recipe.optimizer.learning_rate)
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    optimizer.step()
    changed = {key.split(".")[0] for key, value in model.named_parameters() if not value.equal(before[key])}
    parts = {"body", "pooling", "skip", "decoder", "classifier"}
    assert changed == (parts | {"embedding"} if recipe.supervision.needs_embedding else parts)


def test_the_numbers_of_the_papers() -> None:
    for name in VOC:
        recipe = read(name)
        assert (recipe.schedule.length, recipe.images_per_step, recipe.crops.size) == (80_000, 16, 512)
        rates = recipe.optimizer.learning_rate, recipe.optimizer.backbone_factor
        assert rates == (0.01, 0.1)
        assert schedule_steps(recipe, 10_582) == (80_000, 1)
    assert read("tel_r101_voc_points").supervision.tree_energy_sigma == 0.02
    spread = read("apro_r101_voc_scribbles").supervision
    assert (spread.zeta_image, spread.zeta_label, spread.guidance) == (0.001, 0.05, "prediction")
    for name, expected in CLIP.items():
        for kind, unlabelled in (("maskclip", "rest"), ("apro_maskclip", "all")):
            recipe = read(f"{kind}_r101_{name}")
            assert (recipe.num_classes, recipe.schedule.length, recipe.crops.size) == expected
            assert recipe.supervision.unlabelled == unlabelled
            last = recipe.schedule.rate(recipe.schedule.length, peak=0.01, steps_per_unit=1)
            assert last == pytest.approx(1e-4)


def test_what_is_reconstructed_says_so() -> None:
    for name in FILES:
        if name.startswith("apro_"):
            assert read(name).source.startswith("reconstruction")
            assert "econstruction" in (FOLDER / f"{name}.yaml").read_text().split("source:")[0]


def test_rates_by_hand() -> None:
    schedule = PolynomialSchedule(
        unit="epochs", length=10, power=2.0, lowest_ratio=0.5, warmup_steps=10, warmup_ratio=0.1
    )
    rates = [schedule.rate(step, peak=2.0, steps_per_unit=10) for step in (0, 5, 10, 50, 100)]
    # 1 + left^2, times the warm-up: 0.1 at step 0, 0.55 at step 5.
    assert rates == pytest.approx([0.2, 0.55 * 1.9025, 1.81, 1.25, 1.0])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"length": 0}, "length must be positive and power at least 0, got 0 and 0.9"),
        ({"power": -1.0}, r"got 10 and -1\.0"),
        ({"lowest_ratio": 1.5}, r"lowest_ratio must be in \[0, 1\], got 1\.5"),
        ({"warmup_ratio": 0.0}, r"warmup_ratio in \(0, 1\]"),
        ({"warmup_steps": -1}, "warmup_steps must be at least 0"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PolynomialSchedule(**({"unit": "steps", "length": 10, "power": 0.9} | given))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_classes": 1}, "num_classes must be at least 2 and images_per_step at least 1, got 1 and 4"),
        ({"images_per_step": 0}, "got 2 and 0"),
        ({"width": 48}, "width must be a multiple of 32 and embedding of 16, got 48 and 256"),
        ({"embedding": 10}, "got 64 and 10"),
        ({"rates": ()}, r"rates must be dilations of at least 1, got \(\)"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1\.0"),
    ],
)
def test_a_recipe_that_cannot_be_built_is_refused(given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(read("tiny_scribbles"), **given)


@pytest.mark.parametrize(
    "given", [{"size": 0}, {"smallest_scale": 3.0}, {"aspect": 0.5}, {"brightness": 2.0}]
)
def test_a_crop_that_means_nothing_is_refused(given: dict) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        SemanticCropPolicy(**({"size": 32} | given))


def test_dropout_is_what_the_recipe_says() -> None:
    with torch.device("meta"):
        found = [
            {module.p for module in build_semantic_model(recipe).modules() if isinstance(module, nn.Dropout)}
            for recipe in (read("tiny_points"), replace(read("tiny_points"), dropout=0.3))
        ]
    assert found == [{0.0}, {0.3}]
