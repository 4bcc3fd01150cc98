"""A published training, as data: which network, which losses, which schedule, and what is built from it.

The files lie in ``configs/recipes``; each names its source. Sizes can be reduced for a dry run: the network
keeps its parts and loses its width.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import nn
from transformers import Mask2FormerConfig, PreTrainedConfig, ResNetConfig, SwinConfig

from models.segmentation.backbones import norm_layer, resnet_pyramid
from models.segmentation.box_supervision import BoxSupervision
from models.segmentation.condinst import CondInstHead
from models.segmentation.config import PredictionConfig
from models.segmentation.instance_models import CondInstSegmenter, QuerySegmenter, SoloSegmenter
from models.segmentation.solo import SoloHead

Backbone = Literal["resnet18", "resnet50", "resnet101", "swin_tiny", "swin_large"]

_SWINS: dict[str, dict[str, Any]] = {
    "swin_tiny": {"embed_dim": 96, "depths": [2, 2, 6, 2], "num_heads": [3, 6, 12, 24], "window_size": 7},
    "swin_large": {
        "embed_dim": 192,
        "depths": [2, 2, 18, 2],
        "num_heads": [6, 12, 24, 48],
        "window_size": 12,
    },
}
_DEPTHS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}
_STAGES = ["stage1", "stage2", "stage3", "stage4"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Length of a run and its learning rate: a linear warm-up, then steps down."""

    unit: Literal["epochs", "steps"]
    length: int
    """In units."""
    drops: tuple[int, ...]
    """Units after which the rate is a tenth of what it was."""
    warmup_steps: int
    """Optimizer steps."""
    warmup_ratio: float
    """Share of the rate with which the warm-up starts."""

    def __post_init__(self) -> None:
        """Refuse a run without an order.

        Raises:
            ValueError: With the values.
        """
        if self.length < 1 or list(self.drops) != sorted(set(self.drops)):
            raise ValueError(f"length must be positive and drops rise, got {self.length} and {self.drops}.")
        if self.drops and not 0 < self.drops[0] <= self.drops[-1] < self.length:
            raise ValueError(f"drops must lie within the length of {self.length}, got {self.drops}.")
        if self.warmup_steps < 0 or not 0.0 < self.warmup_ratio <= 1.0:
            raise ValueError(
                f"warmup_steps must be at least 0 and warmup_ratio in (0, 1], "
                f"got {self.warmup_steps} and {self.warmup_ratio}."
            )

    def rate(self, step: int, *, peak: float, steps_per_unit: int) -> float:
        """Return the learning rate of a step; ``steps_per_unit`` is 1 where units are steps."""
        rate = peak * 0.1 ** sum(step >= drop * steps_per_unit for drop in self.drops)
        if step >= self.warmup_steps:
            return rate
        share = step / self.warmup_steps
        return rate * (self.warmup_ratio + (1.0 - self.warmup_ratio) * share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimizer:
    """What turns gradients into steps."""

    name: Literal["adamw", "sgd"]
    learning_rate: float
    weight_decay: float
    gradient_norm: float | None
    """Gradients longer than this are shortened to it; None: never."""
    backbone_factor: float = 1.0
    """The backbone learns at this share of the rate."""
    momentum: float = 0.9
    """Of SGD."""

    def __post_init__(self) -> None:
        """Refuse rates that do not learn.

        Raises:
            ValueError: With the values.
        """
        if not self.learning_rate > 0.0 or not self.weight_decay >= 0.0:
            raise ValueError(
                f"learning_rate must be positive and weight_decay at least 0, "
                f"got {self.learning_rate} and {self.weight_decay}."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSizes:
    """What of an image the network sees."""

    short_sides: tuple[int, ...] = ()
    """Lowest and highest length of the shorter side, drawn between; none where crops are taken."""
    long_side: int | None = None
    """Longest length of the longer side."""
    crop: int | None = None
    """Side of a square crop after large-scale jitter; None: whole images."""
    jitter: tuple[float, ...] = ()
    """Lowest and highest scale of the jitter; at 1 the whole image just fits into the crop."""
    stretch_contrast: bool = False
    """Whether the colours of each image are stretched to [0, 1]: for dark images of microscopes."""

    def __post_init__(self) -> None:
        """Refuse sizes that leave open what the network sees.

        Raises:
            ValueError: With the values.
        """
        whole, cropped = (self.short_sides, self.long_side), (self.crop, self.jitter)
        if all(map(bool, whole)) == all(map(bool, cropped)) or (any(whole) and any(cropped)):
            raise ValueError(
                "images need either short_sides and long_side, or crop and jitter, "
                f"got {self.short_sides}, {self.long_side}, {self.crop} and {self.jitter}."
            )
        for name, pair in (("short_sides", self.short_sides), ("jitter", self.jitter)):
            if pair and not (len(pair) == 2 and 0.0 < pair[0] <= pair[1]):
                raise ValueError(f"{name} must be a lowest and a highest positive value, got {pair}.")
        if self.long_side is not None and self.long_side < self.short_sides[-1]:
            raise ValueError(
                f"long_side must not be below short_sides, got {self.long_side} and {self.short_sides}."
            )
        if self.crop is not None and self.crop < 1:
            raise ValueError(f"crop must be at least 1, got {self.crop}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceRecipe:
    """Masks of instances from boxes alone."""

    source: str
    """Where the numbers are from."""
    head: Literal["condinst", "solo", "query"]
    backbone: Backbone
    norm: Literal["group", "frozen"]
    """Of ResNets; "frozen" needs trained weights."""
    num_categories: int
    supervision: BoxSupervision
    optimizer: Optimizer
    schedule: Schedule
    images: ImageSizes
    images_per_step: int
    """Over all processes."""
    prediction: PredictionConfig
    width: int = 256
    """Channels of the pyramid and the heads, or of the decoder."""
    mask_channels: int = 256
    """That masks are made of."""
    num_convolutions: int = 4
    num_queries: int = 100
    decoder_layers: int = 9

    def __post_init__(self) -> None:
        """Refuse what cannot be built.

        Raises:
            ValueError: With the field.
        """
        if self.head != "query" and self.backbone.startswith("swin"):
            raise ValueError(f"head {self.head!r} reads ResNets, got backbone {self.backbone!r}.")
        if self.num_categories < 1 or self.images_per_step < 1:
            raise ValueError(
                f"num_categories and images_per_step must be at least 1, "
                f"got {self.num_categories} and {self.images_per_step}."
            )


def build_instance_model(recipe: InstanceRecipe) -> CondInstSegmenter | SoloSegmenter | QuerySegmenter:
    """Build the network with random weights, drawn from torch's global generator.

    Under ``torch.device("meta")`` no memory is taken.
    """
    if recipe.head == "query":
        return _with_norms(QuerySegmenter(query_config(recipe)), recipe)
    name = recipe.backbone
    if name not in ("resnet18", "resnet50", "resnet101"):
        raise ValueError(f"head {recipe.head!r} reads ResNets, got backbone {name!r}.")
    if recipe.head == "condinst":
        head = CondInstHead(
            channels=recipe.width,
            num_categories=recipe.num_categories,
            mask_channels=recipe.mask_channels,
            branch_width=recipe.width // 2,
            num_convolutions=recipe.num_convolutions,
        )
        pyramid = resnet_pyramid(name, width=recipe.width, norm=recipe.norm, finest=3)
        return CondInstSegmenter(pyramid=pyramid, head=head)
    cells = SoloHead(
        channels=recipe.width,
        width=recipe.width,
        num_categories=recipe.num_categories,
        mask_channels=recipe.mask_channels,
        num_convolutions=recipe.num_convolutions,
    )
    return SoloSegmenter(pyramid=resnet_pyramid(name, width=recipe.width, norm=recipe.norm), head=cells)


def _with_norms(model: QuerySegmenter, recipe: InstanceRecipe) -> QuerySegmenter:
    """Replace the batch norms of transformers' ResNet: statistics of a few images mislead."""
    build = norm_layer(recipe.norm)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, build(child.num_features))
    return model


def query_config(recipe: InstanceRecipe) -> Mask2FormerConfig:
    """Return the configuration of transformers' Mask2Former for a recipe."""
    backbone: PreTrainedConfig
    if recipe.backbone in _SWINS:
        backbone = SwinConfig(**_SWINS[recipe.backbone], out_features=_STAGES)  # type: ignore[call-arg]
    else:
        kind = "basic" if recipe.backbone == "resnet18" else "bottleneck"
        sizes = [64, 128, 256, 512] if kind == "basic" else [256, 512, 1024, 2048]
        backbone = ResNetConfig(  # type: ignore[call-arg]
            depths=list(_DEPTHS[recipe.backbone]), hidden_sizes=sizes, layer_type=kind, out_features=_STAGES
        )
    return Mask2FormerConfig(  # type: ignore[call-arg]
        backbone_config=backbone,
        feature_size=recipe.width,
        mask_feature_size=recipe.mask_channels,
        hidden_dim=recipe.width,
        encoder_feedforward_dim=4 * recipe.width,
        dim_feedforward=8 * recipe.width,
        # The first prediction is made before the first layer; transformers counts it among them.
        decoder_layers=recipe.decoder_layers + 1,
        num_queries=recipe.num_queries,
        num_labels=recipe.num_categories,
        use_auxiliary_loss=True,
    )


def reduced(recipe: InstanceRecipe) -> InstanceRecipe:
    """Return the recipe at a size that one step of a CPU can take: narrow, shallow, without trained norms."""
    smallest: Backbone = "swin_tiny" if recipe.backbone.startswith("swin") else "resnet18"
    return replace(
        recipe,
        backbone=smallest,
        norm="group",
        width=32,
        mask_channels=min(recipe.mask_channels, 32),
        num_convolutions=1,
        num_queries=min(recipe.num_queries, 10),
        decoder_layers=min(recipe.decoder_layers, 2),
        images_per_step=2,
        images=_small(recipe.images),
        supervision=replace(recipe.supervision, local_iterations=2, warmup_steps=0),
    )


def _small(images: ImageSizes) -> ImageSizes:
    if images.crop is not None:
        return replace(images, crop=min(images.crop, 128))
    return replace(images, short_sides=(96, 128), long_side=192)
