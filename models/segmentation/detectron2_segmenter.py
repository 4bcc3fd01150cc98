"""What ``GroundworkBoxSegmenter`` does between detectron2's lists of images and our segmenters.

Nothing of detectron2 is imported: its backbones are modules that map an image batch to levels by name.

Shape suffixes:
    B = images   C = channels   H = height   W = width
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, assert_never

import torch
from torch import Tensor, nn

from models.segmentation.backbones import Pyramid
from models.segmentation.condinst import CondInstHead
from models.segmentation.config import PredictionConfig
from models.segmentation.decode import Detections
from models.segmentation.detectron2_images import colours, padded_batch
from models.segmentation.detectron2_names import OURS, Pixels
from models.segmentation.instance_hub import crop_detections
from models.segmentation.instance_models import CondInstSegmenter, QuerySegmenter, SoloSegmenter
from models.segmentation.mixed_precision import in_bfloat16
from models.segmentation.objective import TrainingBatch
from models.segmentation.recipes import InstanceRecipe, build_instance_model
from models.segmentation.solo import SoloHead

Head = CondInstHead | SoloHead | QuerySegmenter
Segmenter = CondInstSegmenter | SoloSegmenter | QuerySegmenter

_SOLO_STRIDES = (4, 8, 16, 32, 64)


class NamedLevels(Pyramid):
    """A backbone that names its levels, as one of ours.

    Args:
        backbone: Maps images to levels by name, the finest first.
        pixels: What it was trained with.
    """

    def __init__(self, backbone: nn.Module, pixels: Pixels) -> None:
        super().__init__(body=backbone, pyramid=nn.Identity())
        self.pixels = pixels

    def forward(self, image_BCHW: Tensor) -> list[Tensor]:
        """Return the levels, finest first, each (B, C, H, W); images are RGB with values in [0, 1]."""
        if self.pixels == OURS:
            return super().forward(image_BCHW)
        ordered_BCHW = image_BCHW.flip(1) if self.pixels.order == "BGR" else image_BCHW
        mean, std = (
            image_BCHW.new_tensor(values)[:, None, None] for values in (self.pixels.mean, self.pixels.std)
        )
        levels: Mapping[str, Tensor] = self.body((ordered_BCHW * 255.0 - mean) / std)
        return list(levels.values())


class ListSegmenter(nn.Module):
    """A recipe's segmenter that takes images as detectron2 lists them.

    Its weights are those of ``backbone`` and ``head``.

    Under autocast backbone, pyramid and towers run in bfloat16, all else in float32.

    Args:
        backbone: Levels by name, and their strides and channels from ``output_shape()``; None for recipes
            with head "query", which bring their own.
        recipe: Head, losses and thresholds.
        pixels: What the backbone was trained with.

    Raises:
        ValueError: If the backbone is missing or one too many, or its levels are not those that the head
            reads.
    """

    def __init__(self, *, backbone: Any, recipe: InstanceRecipe, pixels: Pixels = OURS) -> None:  # noqa: ANN401
        super().__init__()
        self.recipe, self.pixels = recipe, pixels
        segmenter = build_instance_model(recipe)
        self.backbone = backbone
        self.head = segmenter if isinstance(segmenter, QuerySegmenter) else segmenter.head
        compose(backbone, self.head, pixels)
        if backbone is not None:
            shapes = backbone.output_shape().values()
            check_levels(self.head, [(shape.stride, shape.channels) for shape in shapes], recipe.width)

    def losses(self, items: Sequence[Mapping[str, Any]], *, step: int) -> dict[str, Tensor]:
        """Compute every loss of a batch, already weighted.

        Args:
            items: Of each image ``image``, shape (3, height, width), values in [0, 255], and ``instances``
                with ``gt_boxes.tensor``, corners in its pixels, and ``gt_classes``. Masks are not looked at.
            step: Number of steps already taken.

        Raises:
            ValueError: If an image comes without instances.
        """
        lacking = [place for place, item in enumerate(items) if "instances" not in item]
        if lacking:
            raise ValueError(f"training needs 'instances'; images {lacking} of the batch have none.")
        images = self._colours(items)
        known = [item["instances"].to(images[0].device) for item in items]
        batch = TrainingBatch(
            image_BCHW=padded_batch(images, input_stride(self.head)),
            boxes=tuple(instances.gt_boxes.tensor for instances in known),
            categories=tuple(instances.gt_classes for instances in known),
            image_ids=tuple(item.get("image_id", place) for place, item in enumerate(items)),
        )
        with self._fast_parts() as segmenter:
            return segmenter.losses(batch, self.recipe.supervision, step=step)

    def detections(self, items: Sequence[Mapping[str, Any]]) -> list[tuple[tuple[int, int], Detections]]:
        """Find the regions of images.

        Args:
            items: As for ``losses``, with ``height`` and ``width`` of the answer instead of instances.

        Returns:
            Of each image the height and width of the answer, and the detections in its pixels.
        """
        images = self._colours(items)
        sizes = [
            (int(item.get("height", image.shape[1])), int(item.get("width", image.shape[2])))
            for item, image in zip(items, images, strict=True)
        ]
        with self._fast_parts() as segmenter:
            found = detect_padded(
                segmenter, images, sizes, self.recipe.prediction, stride=input_stride(self.head)
            )
        return list(zip(sizes, found, strict=True))

    def _colours(self, items: Sequence[Mapping[str, Any]]) -> list[Tensor]:
        device, stretched = next(self.parameters()).device, self.recipe.images.stretch_contrast
        return [
            colours(
                item["image"].to(device),
                order=self.pixels.order,
                stretched=stretched and not item.get("contrast_stretched", False),
            )
            for item in items
        ]

    @contextmanager
    def _fast_parts(self) -> Iterator[Segmenter]:
        segmenter, device = (
            compose(self.backbone, self.head, self.pixels),
            next(self.parameters()).device.type,
        )
        fast = torch.is_autocast_enabled(device)
        with (
            torch.autocast(device, enabled=False),
            in_bfloat16(segmenter, enabled=fast, device_type=device),
        ):
            yield segmenter


def compose(backbone: nn.Module | None, head: Head, pixels: Pixels) -> Segmenter:
    """Join a backbone and a head; they stay where they are and keep their names.

    Args:
        backbone: None for Mask2Former, which has its own.
        head: What of a segmenter is not its backbone and pyramid.
        pixels: What the backbone was trained with.

    Raises:
        ValueError: If a head lacks its backbone or has one too many.
    """
    if backbone is None and isinstance(head, QuerySegmenter):
        return head
    if backbone is None or isinstance(head, QuerySegmenter):
        raise ValueError(
            f"{type(head).__name__} with backbone {type(backbone).__name__}: "
            f"Mask2Former has its own backbone, every other head needs one."
        )
    pyramid = NamedLevels(backbone, pixels)
    if isinstance(head, CondInstHead):
        return CondInstSegmenter(pyramid=pyramid, head=head)
    return SoloSegmenter(pyramid=pyramid, head=head)


def level_strides(head: Head) -> tuple[int, ...]:
    """Return the strides of the levels that a head reads, in pixels; Mask2Former reads none."""
    match head:
        case CondInstHead():
            return tuple(head.strides)
        case SoloHead():
            return _SOLO_STRIDES
        case QuerySegmenter():
            return ()
        case _:
            assert_never(head)


def check_levels(head: Head, levels: Sequence[tuple[int, int]], width: int) -> None:
    """Compare what a backbone offers with what a head reads.

    Args:
        head: Of the recipe.
        levels: Stride and channels of each level.
        width: Channels that the head reads.

    Raises:
        ValueError: If they differ, with both.
    """
    expected = [(stride, width) for stride in level_strides(head)]
    if list(levels) != expected:
        raise ValueError(
            f"{type(head).__name__} reads levels of (stride, channels) {expected}, "
            f"the backbone has {list(levels)}; choose MODEL.BACKBONE.NAME and MODEL.FPN accordingly."
        )


def input_stride(head: Head) -> int:
    """Return what the sides of the network's input are multiples of, in pixels."""
    return max(level_strides(head), default=32)


def detect_padded(
    segmenter: Segmenter,
    images: Sequence[Tensor],
    sizes: Sequence[tuple[int, int]],
    thresholds: PredictionConfig,
    *,
    stride: int,
) -> list[Detections]:
    """Find the regions of images of different sizes.

    Args:
        segmenter: In evaluation mode.
        images: From ``colours``, each of shape (3, height, width) as the network sees it.
        sizes: Height and width in which each answer is wanted.
        thresholds: What counts as a detection.
        stride: From ``input_stride``.

    Returns:
        Per image the detections, best first, in pixels of its size.
    """
    batch_BCHW = padded_batch(images, stride)
    # The heads speak of the whole input: it is as large in pixels of the answer as it is padded.
    reach = [
        tuple(
            max(length, round(length * padded / seen))
            for length, padded, seen in zip(size, batch_BCHW.shape[2:], image.shape[1:], strict=True)
        )
        for size, image in zip(sizes, images, strict=True)
    ]
    found = segmenter.detect(batch_BCHW, [(height, width) for height, width in reach], thresholds)
    return [crop_detections(one, *size) for one, size in zip(found, sizes, strict=True)]
