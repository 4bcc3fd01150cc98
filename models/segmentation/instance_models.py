"""Segmenters whose heads share every loss: what a trainer and a predictor need to know of them.

Papers: Tian et al., "CondInst", https://arxiv.org/abs/2003.05664; Wang et al., "SOLOv2",
https://arxiv.org/abs/2003.10152; Cheng et al., "Mask2Former", https://arxiv.org/abs/2112.01527.

Shape suffixes:
    B = images   C = channels   H = height   W = width
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation

from models.segmentation.backbones import Pyramid
from models.segmentation.box_supervision import BoxSupervision
from models.segmentation.condinst import CondInstHead
from models.segmentation.condinst_objective import condinst_losses, detect_conditionally
from models.segmentation.config import PredictionConfig
from models.segmentation.decode import Detections
from models.segmentation.objective import TrainingBatch
from models.segmentation.query_masks import detect_queries, query_losses, read_outputs
from models.segmentation.solo import SoloHead
from models.segmentation.solo_objective import detect_cells, solo_losses
from models.segmentation.solo_targets import SCALE_RANGES


class InstanceModel(Protocol):
    """Any segmenter that learns masks from boxes."""

    def losses(self, batch: TrainingBatch, supervision: BoxSupervision, *, step: int) -> dict[str, Tensor]:
        """Compute every loss of a batch, already weighted."""

    def detect(
        self, image_BCHW: Tensor, sizes: Sequence[tuple[int, int]], thresholds: PredictionConfig
    ) -> list[Detections]:
        """Find the regions of whole images with values in [0, 1], in the pixels of the sizes given."""


class CondInstSegmenter(nn.Module):
    """CondInst on FCOS.

    Args:
        pyramid: Backbone with as many levels as the head has strides.
        head: Reads them.
    """

    def __init__(self, *, pyramid: Pyramid, head: CondInstHead) -> None:
        super().__init__()
        self.pyramid, self.head = pyramid, head

    def losses(self, batch: TrainingBatch, supervision: BoxSupervision, *, step: int) -> dict[str, Tensor]:
        """See ``InstanceModel``."""
        output = self.head(self.pyramid(batch.image_BCHW))
        return condinst_losses(self.head, output, batch, supervision, step=step)

    @torch.no_grad()
    def detect(
        self, image_BCHW: Tensor, sizes: Sequence[tuple[int, int]], thresholds: PredictionConfig
    ) -> list[Detections]:
        """See ``InstanceModel``."""
        output = self.head(self.pyramid(image_BCHW))
        scales = [image_BCHW.shape[3] / width for _, width in sizes]
        return detect_conditionally(self.head, output, sizes, scales, thresholds)


class SoloSegmenter(nn.Module):
    """SOLOv2.

    Args:
        pyramid: Backbone with levels P2 to P6.
        head: Reads them.
        ranges: Sizes of boxes that each level answers for, in pixels of the input.
    """

    def __init__(
        self,
        *,
        pyramid: Pyramid,
        head: SoloHead,
        ranges: Sequence[tuple[float, float]] = SCALE_RANGES,
    ) -> None:
        super().__init__()
        self.pyramid, self.head, self.ranges = pyramid, head, tuple(ranges)

    def losses(self, batch: TrainingBatch, supervision: BoxSupervision, *, step: int) -> dict[str, Tensor]:
        """See ``InstanceModel``."""
        output = self.head(self.pyramid(batch.image_BCHW))
        return solo_losses(output, batch, supervision, step=step, ranges=self.ranges)

    @torch.no_grad()
    def detect(
        self, image_BCHW: Tensor, sizes: Sequence[tuple[int, int]], thresholds: PredictionConfig
    ) -> list[Detections]:
        """See ``InstanceModel``."""
        return detect_cells(self.head(self.pyramid(image_BCHW)), sizes, thresholds)


class QuerySegmenter(nn.Module):
    """Mask2Former of transformers.

    Args:
        config: Of the network; ``use_auxiliary_loss`` must be on, or its layers would not be taught.

    Raises:
        ValueError: If it is off.
    """

    def __init__(self, config: Mask2FormerConfig) -> None:
        super().__init__()
        if not config.use_auxiliary_loss:
            raise ValueError("use_auxiliary_loss must be on: every layer of the decoder is taught.")
        self.network = Mask2FormerForUniversalSegmentation(config)

    def losses(self, batch: TrainingBatch, supervision: BoxSupervision, *, step: int) -> dict[str, Tensor]:
        """See ``InstanceModel``."""
        output = self.network(pixel_values=(batch.image_BCHW - 0.5) * 4.0, output_auxiliary_logits=True)
        return query_losses(read_outputs(output), batch, supervision, step=step)

    @torch.no_grad()
    def detect(
        self, image_BCHW: Tensor, sizes: Sequence[tuple[int, int]], thresholds: PredictionConfig
    ) -> list[Detections]:
        """See ``InstanceModel``."""
        output = self.network(pixel_values=(image_BCHW - 0.5) * 4.0, output_auxiliary_logits=True)
        return detect_queries(read_outputs(output)[-1], sizes, thresholds)
