"""Recipes of region-level models are read strictly."""

from pathlib import Path

import pytest

from tasks.errors import UsageError
from tasks.operations.region_files import FOLDER, read_region_recipe

ROOT = Path(__file__).resolve().parents[3]
NAMES = sorted(path.stem for path in (ROOT / FOLDER).glob("*.yaml"))


def test_every_system_has_a_file():
    systems = {"llava", "osprey", "tokenpacker", "tokenpacker_hd", "tokenpacker_osprey_hd"}
    assert set(NAMES) == systems | {f"{name}_tiny" for name in systems}


@pytest.mark.parametrize("name", NAMES)
def test_every_file_is_a_recipe(name):
    assert read_region_recipe(name, [], ROOT).stages


def test_changes_are_made_before_the_whole_is_checked():
    changes = ["model.projector.scale=3", "stages.0.epochs=2", "stages.1.train.0.learning_rate=0.5"]
    recipe = read_region_recipe("tokenpacker_tiny", changes, ROOT)
    assert recipe.model.projector.scale == 3
    assert recipe.stages[0].epochs == 2
    assert recipe.stages[1].train[0].learning_rate == 0.5


def test_adapters_are_a_change(tmp_path):
    changes = [
        "stages.2.train=[{part: regions, learning_rate: 0.001}]",
        "stages.2.lora={rank: 8, alpha: 16, learning_rate: 0.0002, targets: [q_proj, v_proj]}",
    ]
    lora = read_region_recipe("osprey_tiny", changes, ROOT).stage("instruct").lora
    assert (lora.rank, lora.alpha, lora.targets) == (8, 16.0, ("q_proj", "v_proj"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("model.projector.scale=5", "scale must divide the grid of 12, got 5"),
        ("model.projector.scale=two", "must be int, got 'two'"),
        ("model.projector.skale=2", "unknown key 'skale'. Did you mean 'scale'"),
        ("model.vision.clip.levels=[9]", "levels must name hidden states of 5 layers, got 9"),
        ("model.template=none", "must be one of 'vicuna', 'chatml', got 'none'"),
        ("stages.0.train.0.learning_rate=0", "learning_rate of 'projector' must be positive"),
        ("stages.9.epochs=1", "the file has no section 'stages.9'"),
    ],
)
def test_a_value_that_is_wrong_is_refused_with_its_place(change, message):
    with pytest.raises(UsageError, match=message) as caught:
        read_region_recipe("tokenpacker_tiny", [change, "stages.0.epochs=2"], ROOT)
    assert caught.value.obj == f"--set {change}"


def test_a_recipe_that_is_not_there_is_named():
    with pytest.raises(UsageError, match="there is no such recipe") as caught:
        read_region_recipe("ospray", [], ROOT)
    assert "osprey_tiny" in str(caught.value.hint)
