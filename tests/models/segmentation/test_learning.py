"""Groups, rates and lengths, by hand."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.segmentation.learning import BACKBONES, build_optimizer, schedule_steps, set_rate
from models.segmentation.recipes import InstanceRecipe, Optimizer, build_instance_model, reduced
from models.segmentation.semantic_recipes import SemanticRecipe, build_semantic_model
from tasks.config import load_file

FOLDER = Path(__file__).resolve().parents[3] / "configs" / "recipes"
SLOW = Optimizer(name="adamw", learning_rate=0.1, weight_decay=0.05, gradient_norm=None, backbone_factor=0.1)


def read(name):
    return reduced(load_file(FOLDER / f"{name}.yaml", InstanceRecipe))


NAMES = ["boxinst_r50_coco", "solov2_r50_coco", "mask2former_swin_tiny_voc", "tel_r101_voc_points"]


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_is_in_the_group_of_its_kind(name):
    if name.startswith("tel_"):
        recipe = replace(load_file(FOLDER / f"{name}.yaml", SemanticRecipe), optimizer=SLOW, norm="group")
        build = build_semantic_model
    else:
        recipe, build = replace(read(name), optimizer=SLOW), build_instance_model
    with torch.device("meta"):
        model = build(recipe)
    optimizer = build_optimizer(model, recipe)
    assert len(optimizer.param_groups) == 4
    names = {parameter: key for key, parameter in model.named_parameters()}
    seen = []
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            seen.append(names[parameter])
            assert group["factor"] == (0.1 if names[parameter].startswith(BACKBONES) else 1.0)
            plain = parameter.ndim > 1 and not names[parameter].endswith(
                ("level_embed.weight", "queries_embedder.weight", "queries_features.weight")
            )
            assert group["weight_decay"] == (0.05 if plain else 0.0), names[parameter]
    assert sorted(seen) == sorted(names.values())
    set_rate(optimizer, 0.5)
    assert {group["lr"] for group in optimizer.param_groups} == {0.5, 0.05}


def test_the_optimizer_is_the_recipe_s():
    recipe = read("boxinst_r50_coco")
    optimizer = build_optimizer(torch.nn.Linear(2, 2), recipe)
    assert isinstance(optimizer, torch.optim.SGD)
    assert {group["momentum"] for group in optimizer.param_groups} == {0.9}
    frozen = torch.nn.Linear(2, 2)
    frozen.bias.requires_grad_(False)
    assert len(build_optimizer(frozen, recipe).param_groups) == 1


def test_the_length_of_a_schedule():
    recipe = replace(read("solov2_r50_coco"), images_per_step=16)
    epochs = replace(recipe.schedule, unit="epochs", length=12, drops=(8, 11))
    assert schedule_steps(replace(recipe, schedule=epochs), 33) == (36, 3)
    steps = replace(recipe.schedule, unit="steps", length=12, drops=(8, 11))
    assert schedule_steps(replace(recipe, schedule=steps), 33) == (12, 1)
