"""Recipes by name and path; changes are made before anything is checked."""

from pathlib import Path

import pytest

from models.segmentation.semantic_recipes import SemanticRecipe
from tasks.errors import UsageError
from tasks.operations.recipe_files import TrainingSettings, read_recipe

ROOT = Path(__file__).resolve().parents[3]


def test_by_name_and_by_path():
    recipe, settings = read_recipe("tiny_solo", [], ROOT)
    path = str(ROOT / "configs" / "recipes" / "tiny_solo.yaml")
    assert read_recipe(path, [], Path("nowhere"))[0] == recipe
    assert recipe.head == "solo"
    assert settings == TrainingSettings()


def test_changes_of_recipe_and_training():
    recipe, settings = read_recipe(
        "tiny_solo",
        ["optimizer.learning_rate=1e-4", "num_categories=3", "images.jitter=[0.5, 2]", "training.seed=7",
         "optimizer.gradient_norm=null", "training.micro_batch=2", "schedule.drops=[]"],
        ROOT,
    )  # fmt: skip
    assert recipe.optimizer.learning_rate == 1e-4
    assert recipe.optimizer.gradient_norm is None
    assert (recipe.num_categories, recipe.images.jitter, recipe.schedule.drops) == (3, (0.5, 2.0), ())
    assert settings == TrainingSettings(seed=7, micro_batch=2)


def test_the_head_decides_what_a_recipe_is_of():
    recipe, _ = read_recipe("tel_r101_voc_points", ["num_classes=3", "schedule.length=7"], ROOT, small=True)
    assert isinstance(recipe, SemanticRecipe)
    assert (recipe.backbone, recipe.norm, recipe.num_classes, recipe.schedule.length) == (
        "resnet18", "group", 3, 7,
    )  # fmt: skip
    with pytest.raises(UsageError, match=r"--set head=solo: must be one of 'deeplab', got 'solo'"):
        read_recipe("tiny_points", ["head=solo"], ROOT)
    with pytest.raises(UsageError, match=r"supervision\.guidance=features: guidance 'features' needs global"):
        read_recipe("tiny_points", ["supervision.guidance=features"], ROOT)


def test_changes_win_over_the_reduction():
    recipe, _ = read_recipe("mask2former_r50_coco", ["images_per_step=5"], ROOT, small=True)
    assert (recipe.backbone, recipe.norm, recipe.images.crop) == ("resnet18", "group", 128)
    assert recipe.images_per_step == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["optimizer.rate=1"], r"--set optimizer\.rate=1: unknown key 'rate'"),
        (
            ["optimiser.learning_rate=1"],
            r"--set optimiser\.learning_rate=1: .* no section 'optimiser'. Sections",
        ),
        (["num_categories.x=1"], "no section 'num_categories'"),
        (["num_categories=many"], "must be int, got 'many'"),
        (["num_categories"], "--set num_categories: must be key=value"),
        (["=3"], "must be key=value"),
        (["images.jitter=[1"], "the value is not YAML"),
        (["training.steps=3"], "--set training.steps=3: unknown key 'steps'"),
        (["training.micro_batch=0"], "micro_batch must be at least 1, got 0"),
        (["training.checkpoint_every=0"], "checkpoint_every must be at least 1, got 0"),
        (["training.average_decay=1.0"], r"average_decay must be in \[0, 1\), got 1\.0"),
        (["training.seed=-1"], "seed must be at least 0, got -1"),
        (["images.crop=null"], "images need either short_sides and long_side, or crop and jitter"),
    ],
)
def test_wrong_changes_are_named(changes, message):
    with pytest.raises(UsageError, match=message):
        read_recipe("tiny_solo", changes, ROOT)


def test_an_unknown_recipe_names_the_known_ones(tmp_path):
    with pytest.raises(UsageError, match=r"tiny_sole: there is no such recipe\. Name .*, tiny_solo\."):
        read_recipe("tiny_sole", [], ROOT)
    with pytest.raises(UsageError, match=r"none in configs/recipes"):
        read_recipe("tiny_solo", [], tmp_path)
    with pytest.raises(UsageError, match="there is no such recipe"):
        read_recipe("../recipes/tiny_solo", [], ROOT)
    with pytest.raises(UsageError, match=r"mine\.yaml: no such file"):
        read_recipe(str(tmp_path / "mine.yaml"), [], ROOT)
