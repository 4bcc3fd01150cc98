"""What a recipe says, in the words of detectron2: keys of its configuration, groups of its optimizer.

Differences from ``groundwork fit``: the running mean of the weights is not kept; a box that a crop cuts
stays, whatever is left of it. Nothing of detectron2 is imported.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_

from models.segmentation.detectron2_names import OURS
from models.segmentation.instance_hub import InstanceSegmenterConfig
from models.segmentation.learning import schedule_steps
from models.segmentation.recipes import InstanceRecipe, Optimizer

BACKBONES = ("backbone.bottom_up.", "head.network.model.pixel_level_module.encoder.")
"""How the names of a backbone's weights begin in ``GroundworkBoxSegmenter``."""
DEPTHS = {"resnet18": 18, "resnet50": 50, "resnet101": 101}
NORMS = {"frozen": "FrozenBN", "group": "GN"}


def recipe_settings(recipe: InstanceRecipe, *, num_images: int) -> dict[str, Any]:
    """Return the keys of detectron2's configuration that a recipe decides, and their values.

    Args:
        recipe: Its sizes of images are for the test time and for stock augmentations; crops come from
            ``BoxMapper``.
        num_images: Images of the training split, at least 1; schedules may count epochs.
    """
    steps, per_unit = schedule_steps(recipe, num_images)
    schedule, optimizer = recipe.schedule, recipe.optimizer
    short_sides, long_side = shown_sides(recipe)
    found = {
        "MODEL.META_ARCHITECTURE": "GroundworkBoxSegmenter",
        "MODEL.MASK_ON": False,
        "MODEL.PIXEL_MEAN": list(OURS.mean),
        "MODEL.PIXEL_STD": list(OURS.std),
        "INPUT.FORMAT": OURS.order,
        "INPUT.MIN_SIZE_TRAIN": short_sides,
        "INPUT.MIN_SIZE_TRAIN_SAMPLING": "range",
        "INPUT.MAX_SIZE_TRAIN": long_side,
        "INPUT.MIN_SIZE_TEST": short_sides[-1],
        "INPUT.MAX_SIZE_TEST": long_side,
        "SOLVER.IMS_PER_BATCH": recipe.images_per_step,
        "SOLVER.BASE_LR": optimizer.learning_rate,
        "SOLVER.WEIGHT_DECAY": optimizer.weight_decay,
        "SOLVER.MOMENTUM": optimizer.momentum,
        "SOLVER.GAMMA": 0.1,
        "SOLVER.MAX_ITER": steps,
        "SOLVER.STEPS": tuple(drop * per_unit for drop in schedule.drops),
        "SOLVER.WARMUP_ITERS": schedule.warmup_steps,
        "SOLVER.WARMUP_FACTOR": schedule.warmup_ratio,
        "SOLVER.CLIP_GRADIENTS.ENABLED": False,
    }
    return found if recipe.head == "query" else found | _backbone(recipe)


def shown_sides(recipe: InstanceRecipe) -> tuple[tuple[int, int], int]:
    """Return the lowest and highest shorter side and the longest longer side of whole images, in pixels.

    Where the recipe takes crops an image just fits into one, as ``InstanceSegmenter`` shows it.
    """
    images = recipe.images
    if images.crop is not None:
        return (images.crop, images.crop), images.crop
    return (images.short_sides[0], images.short_sides[-1]), images.long_side or images.short_sides[-1]


def stages(recipe: InstanceRecipe) -> tuple[str, ...]:
    """Return the stages of the ResNet that the pyramid of a recipe's head reads."""
    return ("res3", "res4", "res5") if recipe.head == "condinst" else ("res2", "res3", "res4", "res5")


def _backbone(recipe: InstanceRecipe) -> dict[str, Any]:
    """Return the keys of a ResNet with a pyramid; stem and first stage learn, as in ``groundwork fit``."""
    coarse = recipe.head == "condinst"
    return {
        "MODEL.BACKBONE.NAME": "build_p3p7_backbone" if coarse else "build_resnet_fpn_backbone",
        "MODEL.BACKBONE.FREEZE_AT": 0,
        "MODEL.RESNETS.DEPTH": DEPTHS[recipe.backbone],
        "MODEL.RESNETS.NORM": NORMS[recipe.norm],
        "MODEL.RESNETS.STRIDE_IN_1X1": False,
        "MODEL.RESNETS.RES2_OUT_CHANNELS": 64 if recipe.backbone == "resnet18" else 256,
        "MODEL.RESNETS.OUT_FEATURES": list(stages(recipe)),
        "MODEL.FPN.IN_FEATURES": list(stages(recipe)),
        "MODEL.FPN.OUT_CHANNELS": recipe.width,
        "MODEL.FPN.NORM": "",
    }


def lazy_settings(recipe: InstanceRecipe, *, num_images: int) -> dict[str, Any]:
    """Return what a recipe says as a LazyConfig of detectron2: ``_target_`` is what is called.

    Args:
        recipe: A recipe.
        num_images: Images of the training split, at least 1; schedules may count epochs.

    Returns:
        ``model``, ``optimizer`` (its ``params.model`` is set by whoever builds it, as in detectron2),
        ``lr_multiplier`` and ``train.max_iter``.
    """
    steps, per_unit = schedule_steps(recipe, num_images)
    drops = [drop * per_unit for drop in recipe.schedule.drops]
    return {
        "model": lazy_segmenter(recipe),
        "optimizer": {
            "_target_": f"{__name__}.new_optimizer",
            "params": {"_target_": f"{__name__}.parameter_groups", "optimizer": "${..optimizer}"},
            "optimizer": {"_target_": "models.segmentation.recipes.Optimizer", **asdict(recipe.optimizer)},
        },
        "lr_multiplier": {
            "_target_": "detectron2.solver.WarmupParamScheduler",
            "scheduler": {
                "_target_": "fvcore.common.param_scheduler.MultiStepParamScheduler",
                "values": [0.1**place for place in range(len(drops) + 1)],
                "milestones": drops,
                "num_updates": steps,
            },
            "warmup_factor": recipe.schedule.warmup_ratio,
            "warmup_length": min(1.0, recipe.schedule.warmup_steps / steps),
            "warmup_method": "linear",
        },
        "train": {"max_iter": steps},
    }


def lazy_segmenter(recipe: InstanceRecipe) -> dict[str, Any]:
    """Return the model of a recipe as a LazyConfig of detectron2, every part of it open to changes."""
    backbones, norm = "detectron2.modeling.backbone", NORMS[recipe.norm]
    backbone = None
    if recipe.head != "query":
        depth, width = DEPTHS[recipe.backbone], recipe.width
        strided = {} if depth < 50 else {"stride_in_1x1": False}
        finer = {"_target_": f"{backbones}.fpn.LastLevelMaxPool"}
        coarser = {"_target_": f"{backbones}.fpn.LastLevelP6P7", "in_channels": width, "out_channels": width}
        stem = {"_target_": f"{backbones}.BasicStem", "in_channels": 3, "out_channels": 64, "norm": norm}
        blocks = {"_target_": f"{backbones}.ResNet.make_default_stages", "depth": depth, "norm": norm}
        backbone = {
            "_target_": f"{backbones}.FPN",
            "bottom_up": {
                "_target_": f"{backbones}.ResNet",
                "stem": stem,
                "stages": blocks | strided,
                "out_features": list(stages(recipe)),
            },
            "in_features": list(stages(recipe)),
            "out_channels": width,
            "top_block": coarser | {"in_feature": "p5"} if recipe.head == "condinst" else finer,
        }
    return {
        "_target_": "models.segmentation.detectron2_plugin.GroundworkBoxSegmenter",
        "backbone": backbone,
        "recipe": {"_target_": f"{__name__}.recipe_of", "fields": asdict(recipe)},
    }


def recipe_of(fields: Mapping[str, Any]) -> InstanceRecipe:
    """Build a recipe from what ``asdict`` made of one; mappings and sequences may be of any kind.

    Raises:
        ValueError: If a field is missing, unknown or refused.
    """
    if not fields:
        raise ValueError("there is no recipe: call apply_recipe(cfg, recipe, num_images=...) first.")
    plain = _plain(fields)
    count = plain.get("num_categories")
    names = [str(number) for number in range(count)] if isinstance(count, int) else []
    return InstanceSegmenterConfig(category_names=names, recipe=plain).instance_recipe()


def _plain(value: Any) -> Any:  # noqa: ANN401 - nodes of configurations
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value


def parameter_groups(model: nn.Module, optimizer: Optimizer) -> list[dict[str, Any]]:
    """Group the weights of a ``GroundworkBoxSegmenter`` by learning rate and decay.

    Matrices and kernels decay; biases, norms and embeddings do not. A backbone learns at its share of the
    rate.

    Returns:
        ``params``, ``lr`` and ``weight_decay`` of each group.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(prefix=prefix, recurse=False):
            decays = parameter.ndim > 1 and not isinstance(module, nn.Embedding)
            if parameter.requires_grad:
                groups.setdefault((name.startswith(BACKBONES), decays), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": optimizer.learning_rate * (optimizer.backbone_factor if in_backbone else 1.0),
            "weight_decay": optimizer.weight_decay if decays else 0.0,
        }
        for (in_backbone, decays), parameters in sorted(groups.items())
    ]


def new_optimizer(params: Iterable[Mapping[str, Any]], optimizer: Optimizer) -> torch.optim.Optimizer:
    """Build an optimizer that shortens the gradient of the whole model before each step.

    detectron2 itself clips weight by weight. A gradient that is not finite stops the run before the step.

    Args:
        params: From ``parameter_groups``.
        optimizer: What the recipe says.
    """
    listed = [dict(group) for group in params]
    built: torch.optim.Optimizer
    if optimizer.name == "adamw":
        built = torch.optim.AdamW(listed, lr=optimizer.learning_rate)
    else:
        built = torch.optim.SGD(listed, lr=optimizer.learning_rate, momentum=optimizer.momentum)
    if optimizer.gradient_norm is not None:
        built.register_step_pre_hook(_Shorten(optimizer.gradient_norm))
    return built


class _Shorten:
    """Shortens gradients; a class, so that an optimizer can be copied."""

    def __init__(self, longest: float) -> None:
        self.longest = longest

    def __call__(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        clip_grad_norm_(parameters, self.longest, error_if_nonfinite=True)
