"""The face of the segmenter towards transformers: save, load, predict. Weights are safetensors only."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from models.blocks.pixels import channels_first
from models.blocks.precision import has_fast_bfloat16
from models.blocks.stored_values import from_stored
from models.segmentation.build import build_segmenter
from models.segmentation.config import PredictionConfig, SegmenterConfig
from models.segmentation.decode import Detections, detect

T = TypeVar("T")


class BoxSegmenterConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """Shape of the network, names of the categories and default thresholds, as ``config.json``."""

    model_type: ClassVar[str] = "groundwork-box-segmenter"

    category_names: list[str] | None = None
    """Names by index."""
    network: dict[str, Any] | None = None
    """Fields of ``SegmenterConfig``."""
    prediction: dict[str, Any] | None = None
    """Fields of ``PredictionConfig`` used when ``predict`` is given none."""

    def segmenter(self) -> SegmenterConfig:
        """Return the shape of the network.

        Raises:
            ValueError: If a field is missing or unknown.
        """
        return from_stored(SegmenterConfig, self.network, "network")

    def thresholds(self) -> PredictionConfig:
        """Return the default thresholds.

        Raises:
            ValueError: If a field is missing or unknown.
        """
        return from_stored(PredictionConfig, self.prediction, "prediction")


class BoxSegmenter(PreTrainedModel):
    """A segmenter that was trained from boxes and predicts masks."""

    config_class = BoxSegmenterConfig
    main_input_name = "images"

    def __init__(self, config: BoxSegmenterConfig) -> None:
        super().__init__(config)
        self.network = build_segmenter(config.segmenter())
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        """Keep the weights that the parts gave themselves."""

    @property
    def category_names(self) -> tuple[str, ...]:
        """Names by index."""
        return tuple(self.config.category_names or ())

    def predict(
        self, images: Sequence[NDArray[np.uint8] | Tensor], thresholds: PredictionConfig | None = None
    ) -> list[Detections]:
        """Find the regions of images of any size.

        Args:
            images: RGB pixels, uint8, each of shape (height, width, 3).
            thresholds: What counts as a detection; by default what the model was saved with.

        Returns:
            Per image the detections, best first, with boxes and masks in its own pixels.

        Raises:
            TypeError: If an image is not uint8.
            ValueError: If an image does not have the shape (height, width, 3).
        """
        settings = thresholds or self.config.thresholds()
        scale, bfloat16 = self.config.segmenter().image_scale, has_fast_bfloat16()
        training = self.network.training
        self.network.eval().to(memory_format=torch.channels_last)
        try:
            return [
                detect(self.network, channels_first(image), settings, image_scale=scale, bfloat16=bfloat16)
                for image in images
            ]
        finally:
            self.network.train(training)


def new_segmenter(
    category_names: Sequence[str], network: SegmenterConfig, prediction: PredictionConfig
) -> BoxSegmenter:
    """Build a model with random weights, drawn from torch's global generator."""
    return BoxSegmenter(
        BoxSegmenterConfig(
            category_names=list(category_names), network=asdict(network), prediction=asdict(prediction)
        )
    )
