"""A training of classes of pixels, as data: which network, which losses, which schedule, which crops.

The files lie in ``configs/recipes`` beside those of instances; ``head: deeplab`` tells them apart.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

from torch import nn

from models.segmentation.backbones import Norm, Resnet
from models.segmentation.deeplab import DeepLabV3Plus, build_deeplab
from models.segmentation.recipes import Optimizer
from models.segmentation.semantic_objective import SemanticSupervision


@dataclass(frozen=True, slots=True, kw_only=True)
class PolynomialSchedule:
    """Length of a run and its learning rate: a linear warm-up under a polynomial that falls to its end."""

    unit: Literal["epochs", "steps"]
    length: int
    """In units."""
    power: float
    """Of what is left of the run."""
    lowest_ratio: float = 0.0
    """Share of the rate to which it falls."""
    warmup_steps: int = 0
    """Optimizer steps."""
    warmup_ratio: float = 1.0
    """Share of the rate with which the warm-up starts."""

    def __post_init__(self) -> None:
        """Refuse a run that cannot be.

        Raises:
            ValueError: With the values.
        """
        if self.length < 1 or not 0.0 <= self.power < math.inf:
            raise ValueError(
                f"length must be positive and power at least 0, got {self.length} and {self.power}."
            )
        if not 0.0 <= self.lowest_ratio <= 1.0:
            raise ValueError(f"lowest_ratio must be in [0, 1], got {self.lowest_ratio}.")
        if self.warmup_steps < 0 or not 0.0 < self.warmup_ratio <= 1.0:
            raise ValueError(
                f"warmup_steps must be at least 0 and warmup_ratio in (0, 1], "
                f"got {self.warmup_steps} and {self.warmup_ratio}."
            )

    def rate(self, step: int, *, peak: float, steps_per_unit: int) -> float:
        """Return the learning rate of a step; ``steps_per_unit`` is 1 where units are steps.

        Example:
            >>> falling = PolynomialSchedule(unit="steps", length=4, power=1.0, lowest_ratio=0.2)
            >>> [round(falling.rate(step, peak=1.0, steps_per_unit=1), 3) for step in range(4)]
            [1.0, 0.8, 0.6, 0.4]
        """
        left = max(0.0, 1.0 - step / (self.length * steps_per_unit))
        rate = peak * (self.lowest_ratio + (1.0 - self.lowest_ratio) * math.pow(left, self.power))
        if step >= self.warmup_steps:
            return rate
        return rate * (self.warmup_ratio + (1.0 - self.warmup_ratio) * step / self.warmup_steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticCropPolicy:
    """How a crop is drawn."""

    size: int
    """Side of the crop, in pixels."""
    smallest_scale: float = 0.5
    """Lower end of the enlargement."""
    largest_scale: float = 2.0
    """Upper end of the enlargement."""
    aspect: float = 1.1
    """Width over height changes by a factor between 1 / aspect and aspect."""
    mirror: bool = True
    """Swap left and right in half of the crops."""
    brightness: float = 10.0 / 255.0
    """Largest change of all pixels together; colours are in [0, 1]."""
    fill: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Colour outside the image: the mean of ImageNet, which normalising turns into zero."""
    stretch_contrast: bool = False
    """Whether the colours of each image are stretched to [0, 1]: for dark images of microscopes."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        if self.size < 1 or not 0 < self.smallest_scale <= self.largest_scale < math.inf:
            raise ValueError(
                "size must be at least 1 and 0 < smallest_scale <= largest_scale, "
                f"got {self.size}, {self.smallest_scale} and {self.largest_scale}."
            )
        if not (1 <= self.aspect < math.inf and 0 <= self.brightness <= 1):
            raise ValueError(
                f"aspect must be at least 1 and brightness 0 to 1, got {self.aspect} and {self.brightness}."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticRecipe:
    """Classes of pixels from points, scribbles, blocks, or labels that another model guessed."""

    source: str
    """Where the numbers are from."""
    head: Literal["deeplab"]
    backbone: Resnet
    norm: Norm
    """Of the ResNet; "frozen" needs trained weights."""
    num_classes: int
    """Background among them, where the data has it."""
    supervision: SemanticSupervision
    optimizer: Optimizer
    schedule: PolynomialSchedule
    crops: SemanticCropPolicy
    images_per_step: int
    """Over all processes."""
    width: int = 256
    """Channels of the decoder, a multiple of 32."""
    rates: tuple[int, ...] = (6, 12, 18)
    """Dilations of the atrous pooling."""
    embedding: int = 256
    """Channels that the tree energy loss compares; the network has them only with that loss."""
    dropout: float = 0.0
    """Share of the pooled features that a step leaves out; each micro-batch draws its own."""

    def __post_init__(self) -> None:
        """Refuse what cannot be built.

        Raises:
            ValueError: With the field.
        """
        if self.num_classes < 2 or self.images_per_step < 1:
            raise ValueError(
                f"num_classes must be at least 2 and images_per_step at least 1, "
                f"got {self.num_classes} and {self.images_per_step}."
            )
        if self.width < 32 or self.width % 32 or self.embedding < 16 or self.embedding % 16:
            raise ValueError(
                f"width must be a multiple of 32 and embedding of 16, got {self.width} and {self.embedding}."
            )
        if not self.rates or min(self.rates) < 1:
            raise ValueError(f"rates must be dilations of at least 1, got {self.rates}.")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}.")


def build_semantic_model(recipe: SemanticRecipe) -> DeepLabV3Plus:
    """Build the network with random weights, drawn from torch's global generator.

    Under ``torch.device("meta")`` no memory is taken.
    """
    network = build_deeplab(
        recipe.backbone,
        num_classes=recipe.num_classes,
        norm=recipe.norm,
        width=recipe.width,
        rates=recipe.rates,
        embedding=recipe.embedding if recipe.supervision.needs_embedding else None,
    )
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = recipe.dropout
    return network


def reduced_semantic(recipe: SemanticRecipe) -> SemanticRecipe:
    """Return the recipe at a size that one step of a CPU can take: narrow, shallow, without trained norms."""
    return replace(
        recipe,
        backbone="resnet18",
        norm="group",
        width=32,
        embedding=16,
        images_per_step=2,
        crops=replace(recipe.crops, size=min(recipe.crops.size, 96)),
        supervision=replace(recipe.supervision, local_iterations=2, warmup_steps=0),
    )
