"""The face of the recipes towards transformers: save, load, predict. Weights are safetensors only.

Shape suffixes:
    B = images   C = channels   R = regions   H = height   W = width
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
from models.segmentation.backbones import Norm
from models.segmentation.config import PredictionConfig
from models.segmentation.decode import Detections
from models.segmentation.instance_models import CondInstSegmenter, SoloSegmenter
from models.segmentation.mixed_precision import in_bfloat16
from models.segmentation.preprocessing import contrast_range, resize, stretch
from models.segmentation.query_masks import mask_boxes
from models.segmentation.recipes import ImageSizes, InstanceRecipe, build_instance_model

GREY = 0.5
"""What images are padded with: zero for the network, which subtracts it."""


class InstanceSegmenterConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """The recipe and the names of the categories, as ``config.json``."""

    model_type: ClassVar[str] = "groundwork-instance-segmenter"

    category_names: list[str] | None = None
    """Names by index."""
    recipe: dict[str, Any] | None = None
    """Fields of ``InstanceRecipe``."""

    def instance_recipe(self) -> InstanceRecipe:
        """Return what the model was built from.

        Raises:
            ValueError: If a field is missing, unknown or refused.
        """
        built: InstanceRecipe = from_stored(InstanceRecipe, self.recipe, "recipe")
        names = self.category_names or []
        if len(names) != built.num_categories:
            raise ValueError(f"category_names must be {built.num_categories}, got {names}.")
        return built


class InstanceSegmenter(PreTrainedModel):
    """A segmenter of instances that was trained from boxes and predicts masks."""

    config_class = InstanceSegmenterConfig
    main_input_name = "images"

    def __init__(self, config: InstanceSegmenterConfig) -> None:
        super().__init__(config)
        self.recipe = config.instance_recipe()
        self.segmenter = build_instance_model(self.recipe)
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        """Keep the weights that the parts gave themselves."""

    @property
    def category_names(self) -> tuple[str, ...]:
        """Names by index."""
        return tuple(self.config.category_names)

    @property
    def largest_stride(self) -> int:
        """Sides of what the network sees are multiples of it, in pixels."""
        if isinstance(self.segmenter, CondInstSegmenter):
            return max(self.segmenter.head.strides)
        return 64 if isinstance(self.segmenter, SoloSegmenter) else 32

    @torch.no_grad()
    def predict(
        self, images: Sequence[NDArray[np.uint8] | Tensor], thresholds: PredictionConfig | None = None
    ) -> list[Detections]:
        """Find the regions of images of any size.

        Args:
            images: RGB pixels, uint8, each of shape (height, width, 3).
            thresholds: What counts as a detection; by default what the recipe says.

        Returns:
            Per image the detections, best first, with boxes and masks in its own pixels, on the device of
            the model.

        Raises:
            TypeError: If an image is not uint8.
            ValueError: If an image does not have the shape (height, width, 3).
        """
        settings = thresholds or self.recipe.prediction
        device, training = self.device.type, self.segmenter.training
        self.segmenter.eval().to(memory_format=memory_layout(self.recipe.norm, device))
        fast = device == "cuda" or has_fast_bfloat16()
        try:
            with in_bfloat16(self.segmenter, enabled=fast, device_type=device):
                return [self._predict(channels_first(image), settings) for image in images]
        finally:
            self.segmenter.train(training)

    def _predict(self, image_CHW: Tensor, settings: PredictionConfig) -> Detections:
        height, width = image_CHW.shape[1:]
        contrast = contrast_range(image_CHW) if self.recipe.images.stretch_contrast else (0.0, 255.0)
        seen = resize(stretch(image_CHW, contrast), *seen_size((height, width), self.recipe.images))
        padded_CHW = pad_to(seen, *padded_size(seen.shape[1:], self.largest_stride))
        # The heads speak of the whole input: it is as large in pixels of the image as it is padded.
        reach = [
            max(length, round(length * padded / used))
            for length, padded, used in zip(
                (height, width), padded_CHW.shape[1:], seen.shape[1:], strict=True
            )
        ]
        layout = memory_layout(self.recipe.norm, self.device.type)
        image_1CHW = padded_CHW[None].to(self.device, memory_format=layout)
        found = self.segmenter.detect(image_1CHW, [(reach[0], reach[1])], settings)[0]
        return crop_detections(found, height, width)


def new_instance_segmenter(category_names: Sequence[str], recipe: InstanceRecipe) -> InstanceSegmenter:
    """Build a model with random weights, drawn from torch's global generator."""
    return InstanceSegmenter(
        InstanceSegmenterConfig(category_names=list(category_names), recipe=asdict(recipe))
    )


def memory_layout(norm: Norm, device_type: str) -> torch.memory_format:
    """Return the layout of weights and images that is fastest.

    Channels last, but not on a CPU with norms over groups: these are slower there by more than convolutions
    gain (a training step of ``tiny_condinst`` in bfloat16 took 1.3 times as long).
    """
    if device_type == "cpu" and norm == "group":
        return torch.contiguous_format
    return torch.channels_last


def seen_size(size: tuple[int, int], images: ImageSizes) -> tuple[int, int]:
    """Return the height and width at which a whole image is shown to the network.

    The shorter side gets the highest of ``short_sides`` unless the longer one would exceed ``long_side``;
    where crops were taken, the image just fits into one: the jitter's scale of 1.
    """
    if images.crop is not None:
        return scaled(size, images.crop / max(size))
    return fitted(size, images.short_sides[-1], images.long_side or max(size))


def fitted(size: tuple[int, int], short_side: int, long_side: int) -> tuple[int, int]:
    """Scale a size until one side reaches its length and the other does not exceed its own."""
    return scaled(size, min(short_side / min(size), long_side / max(size)))


def scaled(size: tuple[int, int], factor: float) -> tuple[int, int]:
    """Multiply a height and width, at least 1."""
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def padded_size(size: Sequence[int], stride: int) -> tuple[int, int]:
    """Return the next multiples of a stride, two of them at least: a norm of one sample has no meaning."""
    height, width = (-(-length // stride) * stride for length in size)
    return height, max(width, 2 * stride if height == stride else stride)


def pad_to(image_CHW: Tensor, height: int, width: int) -> Tensor:
    """Add grey below and to the right."""
    below, beside = height - image_CHW.shape[1], width - image_CHW.shape[2]
    return functional.pad(image_CHW, (0, beside, 0, below), value=GREY)


def crop_detections(found: Detections, height: int, width: int) -> Detections:
    """Cut detections at the borders of their image; what lies beyond it altogether falls away.

    A box that touches a border is cut; where the head has no boxes of its own it stays that of the mask.
    """
    masks_RHW = found.masks[:, :height, :width]
    limit_4 = found.boxes_xyxy.new_tensor([width, height, width, height])
    boxes_R4 = torch.minimum(found.boxes_xyxy, limit_4)
    kept_R = masks_RHW.flatten(1).any(dim=1)
    shrunk_R = kept_R & ((boxes_R4[:, 2:] - boxes_R4[:, :2]) <= 0).any(dim=1)
    boxes_R4[shrunk_R] = mask_boxes(masks_RHW[shrunk_R]).to(boxes_R4)
    return Detections(
        boxes_xyxy=boxes_R4[kept_R],
        scores=found.scores[kept_R],
        categories=found.categories[kept_R],
        masks=masks_RHW[kept_R].contiguous(),
    )
