"""Recipes in detectron2's words; what detectron2 makes of them is in ``test_detectron2_plugin``."""

import copy
from collections import OrderedDict
from dataclasses import asdict, replace

import pytest
import torch
from torch import nn

from models.segmentation.detectron2_recipes import (
    lazy_settings,
    new_optimizer,
    parameter_groups,
    recipe_of,
    recipe_settings,
    shown_sides,
)
from models.segmentation.recipes import Optimizer
from tests.models.segmentation.test_recipes import FILES, read

ADAMW = Optimizer(name="adamw", learning_rate=0.01, weight_decay=0.1, gradient_norm=0.5, backbone_factor=0.1)


def test_what_a_published_recipe_says():
    found = recipe_settings(read("boxinst_r50_coco"), num_images=117_266)
    expected = {
        "MODEL.META_ARCHITECTURE": "GroundworkBoxSegmenter",
        "MODEL.BACKBONE.NAME": "build_p3p7_backbone",
        "MODEL.RESNETS.DEPTH": 50,
        "MODEL.RESNETS.NORM": "FrozenBN",
        "MODEL.RESNETS.STRIDE_IN_1X1": False,
        "MODEL.FPN.IN_FEATURES": ["res3", "res4", "res5"],
        "INPUT.FORMAT": "RGB",
        "INPUT.MIN_SIZE_TRAIN": (640, 800),
        "INPUT.MAX_SIZE_TRAIN": 1333,
        "SOLVER.IMS_PER_BATCH": 16,
        "SOLVER.BASE_LR": 0.01,
        "SOLVER.MAX_ITER": 90_000,
        "SOLVER.STEPS": (60_000, 80_000),
    }
    assert {name: found[name] for name in expected} == expected


def test_epochs_become_steps():
    recipe = read("solov2_r50_coco")
    found = recipe_settings(recipe, num_images=33)
    assert recipe.schedule.unit == "epochs"
    assert found["SOLVER.MAX_ITER"] == 36 * 3  # 33 images, 16 a step
    assert found["SOLVER.STEPS"] == (27 * 3, 33 * 3)
    assert found["MODEL.BACKBONE.NAME"] == "build_resnet_fpn_backbone"
    assert found["MODEL.RESNETS.OUT_FEATURES"] == ["res2", "res3", "res4", "res5"]


def test_mask2former_brings_its_own_backbone():
    recipe = read("mask2former_swin_large_coco")
    assert not {name for name in recipe_settings(recipe, num_images=1) if "BACKBONE" in name}
    assert lazy_settings(recipe, num_images=1)["model"]["backbone"] is None
    assert shown_sides(recipe) == ((1024, 1024), 1024)


@pytest.mark.parametrize("name", FILES)
def test_a_recipe_survives_being_written_down(name):
    recipe = read(name)
    assert recipe_of(asdict(recipe)) == recipe
    assert recipe_of(OrderedDict(asdict(recipe), prediction=list_of(asdict(recipe.prediction)))) == recipe
    node = lazy_settings(recipe, num_images=100)["model"]["recipe"]
    assert recipe_of(node["fields"]) == recipe


def list_of(mapping):
    return OrderedDict(mapping)


def test_a_recipe_that_is_absent_or_misspelt_is_refused():
    with pytest.raises(
        ValueError, match=r"^there is no recipe: call apply_recipe\(cfg, recipe, num_images=\.\.\.\)"
    ):
        recipe_of({})
    with pytest.raises(ValueError, match=r"^recipe must have the keys \[.*'width'\], got \[.*'wide'"):
        recipe_of(asdict(read("tiny_solo")) | {"wide": 1})


class Tiny(nn.Module):
    """Names as those of ``GroundworkBoxSegmenter``."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.ModuleDict({"bottom_up": nn.Conv2d(1, 1, 1), "fpn_lateral2": nn.Conv2d(1, 1, 1)})
        self.head = nn.ModuleDict({"norm": nn.GroupNorm(1, 1), "query": nn.Embedding(2, 3)})
        frozen = nn.Linear(1, 1)
        self.frozen = frozen.requires_grad_(requires_grad=False)


def test_weights_are_grouped_by_rate_and_decay():
    model = Tiny()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {
        (group["lr"], group["weight_decay"]): {names[id(parameter)] for parameter in group["params"]}
        for group in parameter_groups(model, ADAMW)
    }
    assert found == {
        (0.001, 0.1): {"backbone.bottom_up.weight"},
        (0.001, 0.0): {"backbone.bottom_up.bias"},
        (0.01, 0.1): {"backbone.fpn_lateral2.weight"},
        (0.01, 0.0): {
            "backbone.fpn_lateral2.bias", "head.norm.weight", "head.norm.bias", "head.query.weight",
        },
    }  # fmt: skip


def step(optimizer, weight, gradient):
    weight.grad = torch.tensor(gradient)
    optimizer.step()


def test_the_gradient_of_the_whole_model_is_shortened():
    sgd = replace(ADAMW, name="sgd", weight_decay=0.0, momentum=0.0)
    first, second = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    groups = [{"params": [first], "lr": 1.0}, {"params": [second], "lr": 1.0}]
    optimizer = new_optimizer(groups, sgd)
    second.grad = torch.tensor([4.0])
    step(optimizer, first, [3.0])
    torch.testing.assert_close(torch.cat((first, second)).detach(), torch.tensor([-0.3, -0.4]))
    assert isinstance(copy.deepcopy(optimizer), torch.optim.SGD)
    free = new_optimizer(groups, replace(sgd, gradient_norm=None))
    first.data.zero_()
    step(free, first, [3.0])
    assert first.item() == -3.0


def test_a_gradient_that_is_no_number_stops_before_the_step():
    weight = nn.Parameter(torch.zeros(1))
    optimizer = new_optimizer([{"params": [weight]}], ADAMW)
    assert isinstance(optimizer, torch.optim.AdamW)
    with pytest.raises(RuntimeError, match="non-finite"):
        step(optimizer, weight, [float("nan")])
    assert weight.item() == 0.0
