"""What a recipe says about learning, as an optimizer and a rate for each step."""

import math
from collections.abc import Iterator

import torch
from torch import nn

from models.segmentation.recipes import InstanceRecipe
from models.segmentation.semantic_recipes import SemanticRecipe

Recipe = InstanceRecipe | SemanticRecipe

BACKBONES = ("pyramid.body.", "network.model.pixel_level_module.encoder.", "body.")
"""How the names of a backbone's weights begin: of ResNets with a pyramid, of Mask2Former, of DeepLab."""


def build_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Build the optimizer of a recipe; the rates of its groups are set by ``set_rate``.

    Matrices and kernels decay; biases, norms and embeddings do not. The backbone has groups of its own, whose
    ``factor`` is that of the recipe.
    """
    wanted = recipe.optimizer
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter, decays in _named(model):
        if parameter.requires_grad:
            groups.setdefault((name.startswith(BACKBONES), decays), []).append(parameter)
    listed = [
        {
            "params": parameters,
            "factor": wanted.backbone_factor if in_backbone else 1.0,
            "weight_decay": wanted.weight_decay if decays else 0.0,
        }
        for (in_backbone, decays), parameters in sorted(groups.items())
    ]
    if wanted.name == "adamw":
        return torch.optim.AdamW(listed, lr=wanted.learning_rate)
    return torch.optim.SGD(listed, lr=wanted.learning_rate, momentum=wanted.momentum)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of a step; groups of the backbone get their share of it."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]


def schedule_steps(recipe: Recipe, num_images: int) -> tuple[int, int]:
    """Return the length of the schedule in optimizer steps, and the steps of one of its units.

    Args:
        recipe: Its schedule counts epochs or steps.
        num_images: Images of the training split, at least 1.
    """
    per_unit = math.ceil(num_images / recipe.images_per_step) if recipe.schedule.unit == "epochs" else 1
    return recipe.schedule.length * per_unit, per_unit


def _named(model: nn.Module) -> Iterator[tuple[str, nn.Parameter, bool]]:
    """Name every parameter once, and say whether it decays."""
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(prefix=prefix, recurse=False):
            yield name, parameter, parameter.ndim > 1 and not isinstance(module, nn.Embedding)
