"""The face of the semantic recipes towards transformers: save, load, predict. Weights are safetensors only.

Shape suffixes:
    B = images   C = channels   K = classes   H = height   W = width
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedConfig, PreTrainedModel

from models.blocks.pixels import channels_first
from models.blocks.precision import has_fast_bfloat16
from models.blocks.stored_values import from_stored
from models.segmentation.instance_hub import memory_layout
from models.segmentation.mixed_precision import in_bfloat16
from models.segmentation.preprocessing import contrast_range, stretch
from models.segmentation.semantic_recipes import SemanticRecipe, build_semantic_model

LARGEST_VALUE = 253
"""Of a class in a label map: 254 is padding, 255 is unlabelled."""

SMALLEST_SIDE = 32
"""Pixels: smaller images are continued by their last row and column, a norm of one sample has no meaning."""


class SemanticSegmenterConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """The recipe, the names of the classes and their bytes in label maps, as ``config.json``."""

    model_type: ClassVar[str] = "groundwork-semantic-segmenter"

    class_names: list[str] | None = None
    """Names by index."""
    class_values: list[int] | None = None
    """Byte of each class in the label maps that it was trained on."""
    recipe: dict[str, Any] | None = None
    """Fields of ``SemanticRecipe``."""

    def semantic_recipe(self) -> SemanticRecipe:
        """Return what the model was built from.

        Raises:
            ValueError: If a field is missing, unknown or refused.
        """
        built: SemanticRecipe = from_stored(SemanticRecipe, self.recipe, "recipe")
        names, values = self.class_names or [], self.class_values or []
        if len(names) != built.num_classes or len(set(names)) != len(names):
            raise ValueError(f"class_names must be {built.num_classes} that differ, got {names}.")
        if (
            len(values) != built.num_classes
            or len(set(values)) != len(values)
            or not all(0 <= value <= LARGEST_VALUE for value in values)
        ):
            raise ValueError(
                f"class_values must be {built.num_classes} that differ, from 0 to {LARGEST_VALUE}, "
                f"got {values}."
            )
        return built


class SemanticSegmenter(PreTrainedModel):
    """A segmenter that was trained from few labelled pixels and names the class of every pixel."""

    config_class = SemanticSegmenterConfig
    main_input_name = "images"

    def __init__(self, config: SemanticSegmenterConfig) -> None:
        super().__init__(config)
        self.recipe = config.semantic_recipe()
        self.segmenter = build_semantic_model(self.recipe)
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        """Keep the weights that the parts gave themselves."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names by index."""
        return tuple(self.config.class_names)

    @property
    def class_values(self) -> tuple[int, ...]:
        """Byte of each class in a label map, by index."""
        return tuple(self.config.class_values)

    @torch.no_grad()
    def predict(self, images: Sequence[NDArray[np.uint8] | Tensor]) -> list[Tensor]:
        """Name the class of every pixel of images of any size, each seen whole and at its own scale.

        Args:
            images: RGB pixels, uint8, each of shape (height, width, 3).

        Returns:
            Per image the class indices, int64, shape (height, width), on the device of the model.

        Raises:
            TypeError: If an image is not uint8.
            ValueError: If an image does not have the shape (height, width, 3).
        """
        device, training = self.device.type, self.segmenter.training
        layout = memory_layout(self.recipe.norm, device)
        self.segmenter.eval().to(memory_format=layout)
        fast = device == "cuda" or has_fast_bfloat16()
        try:
            with in_bfloat16(self.segmenter, enabled=fast, device_type=device):
                return [self._predict(channels_first(image), layout) for image in images]
        finally:
            self.segmenter.train(training)

    def _predict(self, image_CHW: Tensor, layout: torch.memory_format) -> Tensor:
        contrast = contrast_range(image_CHW) if self.recipe.crops.stretch_contrast else (0.0, 255.0)
        height, width = image_CHW.shape[1:]
        below, beside = max(0, SMALLEST_SIDE - height), max(0, SMALLEST_SIDE - width)
        image_1CHW = stretch(image_CHW, contrast)[None]
        image_1CHW = functional.pad(image_1CHW, (0, beside, 0, below), mode="replicate")
        image_1CHW = image_1CHW.to(self.device, memory_format=layout)
        logit_1KHW = self.segmenter(image_1CHW).logit_BKHW
        full_1KHW = functional.interpolate(logit_1KHW, size=list(image_1CHW.shape[2:]), mode="bilinear")
        return full_1KHW[0, :, :height, :width].argmax(dim=0)


def new_semantic_segmenter(
    class_names: Sequence[str], class_values: Sequence[int], recipe: SemanticRecipe
) -> SemanticSegmenter:
    """Build a model with random weights, drawn from torch's global generator."""
    config = SemanticSegmenterConfig(
        class_names=list(class_names), class_values=list(class_values), recipe=asdict(recipe)
    )
    return SemanticSegmenter(config)
