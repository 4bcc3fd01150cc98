"""Every region of an image, found without being asked for: what is then described one by one.

Paper: Kirillov et al., "Segment Anything", https://arxiv.org/abs/2304.02643, Appendix B: a grid of points
asks SAM for three masks each; masks stay that SAM trusts, that hardly change with the threshold, and that
are no copy of a better one. Enlarged crops find smaller things. The model is that of transformers.
Differences: no holes are filled and no specks removed; masks are thrown away by SAM's own trust before they
are enlarged, which changes nothing and saves memory.

Shape suffixes:
    P = points   K = masks   R = masks that stay   h, w = cells of SAM's answer   H, W = pixels   4 = box
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torchvision.ops import nms
from transformers import SamModel

from models.blocks.image_transform import ImageTransform, fitted
from models.blocks.pixels import channels_first
from models.vision.canvas import IMAGENET_MEAN, IMAGENET_STD

_EDGE = 20.0
"""Pixels: a mask that ends so close to the border of a crop goes on behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EverythingSettings:
    """How to look for masks; defaults are the paper's."""

    points_side: int = 32
    """Points along a side of the image."""
    points_at_once: int = 64
    """Points asked for in one step; only memory depends on it."""
    least_iou: float = 0.88
    """Smallest overlap with the truth that SAM predicts for a mask, a fraction."""
    least_stability: float = 0.95
    """Smallest share of a mask that stays when the threshold rises, a fraction."""
    stability_offset: float = 1.0
    """How far the threshold is moved up and down, in logits."""
    most_overlap: float = 0.7
    """Largest overlap (IoU) of the boxes of two masks that stay."""
    crop_layers: int = 0
    """Layers of crops; layer i has 4**i of them, beside the whole image."""
    crop_overlap: float = 512 / 1500
    """Overlap of the crops of the first layer, as a share of the image's short side."""
    crop_points_divisor: int = 1
    """Points along a side shrink by this factor with every layer."""
    least_pixels: int = 1
    """Masks with fewer are left out."""

    def __post_init__(self) -> None:
        """Refuse settings that ask for nothing. Raises ValueError."""
        counts = (self.points_side, self.points_at_once, self.crop_points_divisor, self.least_pixels)
        shares = (self.least_iou, self.least_stability, self.most_overlap, self.crop_overlap)
        if min(counts) < 1 or self.crop_layers < 0 or not self.stability_offset >= 0.0:
            raise ValueError(f"counts must be at least 1 and layers and offset at least 0, got {self}.")
        if not all(0.0 <= share <= 1.0 for share in shares):
            raise ValueError(f"shares must lie in [0, 1], got {self}.")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoundMasks:
    """Masks of one image, the most trusted first."""

    mask_RHW: NDArray[np.bool_]
    """In pixels of the image; each has one."""
    box_R4: NDArray[np.float32]
    """Tight boxes, left, top, right, bottom, in pixels."""
    predicted_iou_R: NDArray[np.float32]
    stability_R: NDArray[np.float32]


class _Crop(NamedTuple):
    left: int
    top: int
    right: int
    bottom: int
    layer: int


class _Candidates(NamedTuple):
    """Masks of one crop, in its pixels; or of all, in those of the image."""

    mask_KHW: Tensor
    box_K4: Tensor
    iou_K: Tensor
    stability_K: Tensor

    def kept(self, places: Tensor) -> "_Candidates":
        return _Candidates(*(part[places] for part in self))


def load_sam(folder: Path) -> SamModel:
    """Load SAM from a folder that transformers wrote; weights must be safetensors.

    Raises:
        ValueError: If the folder has no configuration of SAM.
        OSError: If it has no safetensors.
    """
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder} must be a folder with config.json of SAM.")
    model: SamModel = SamModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    model.train(False)
    return model


@torch.no_grad()
def find_everything(
    model: SamModel, image: NDArray[np.uint8], settings: EverythingSettings | None = None
) -> FoundMasks:
    """Find the masks of an image.

    Args:
        model: In evaluation mode; each crop is encoded once.
        image: RGB, of shape (height, width, 3).
        settings: None: the paper's.

    Returns:
        Any number of masks, perhaps none.

    Raises:
        TypeError: If the image is not uint8.
        ValueError: If it does not have that shape.
    """
    pixels_3HW = channels_first(image).float()
    chosen = settings or EverythingSettings()
    height, width = image.shape[:2]
    parts, areas = [], []
    for crop in crops(height, width, chosen):
        found = _search(model, pixels_3HW, crop, chosen)
        parts.append(found)
        areas += [float((crop.right - crop.left) * (crop.bottom - crop.top))] * len(found.iou_K)
    candidates = _Candidates(*(torch.cat(part) for part in zip(*parts, strict=True)))
    if chosen.crop_layers:
        # Of copies from several crops that of the smallest stays: it was seen largest.
        places = nms(candidates.box_K4, 1.0 / torch.tensor(areas), chosen.most_overlap)
        candidates = candidates.kept(places)
    candidates = candidates.kept(candidates.iou_K.argsort(descending=True, stable=True))
    return FoundMasks(
        mask_RHW=candidates.mask_KHW.numpy(),
        box_R4=candidates.box_K4.numpy(),
        predicted_iou_R=candidates.iou_K.numpy(),
        stability_R=candidates.stability_K.numpy(),
    )


def crops(height: int, width: int, settings: EverythingSettings) -> Iterator[_Crop]:
    """List the whole image, then the crops of each layer, which overlap and cover it."""
    yield _Crop(0, 0, width, height, 0)
    for layer in range(1, settings.crop_layers + 1):
        count = 2**layer
        overlap = int(settings.crop_overlap * min(height, width) * 2 / count)
        across, down = (math.ceil((overlap * (count - 1) + side) / count) for side in (width, height))
        for column in range(count):
            for row in range(count):
                left, top = column * (across - overlap), row * (down - overlap)
                right, bottom = min(left + across, width), min(top + down, height)
                if left < right and top < bottom:  # tiny images have fewer
                    yield _Crop(left, top, right, bottom, layer)


def _search(model: SamModel, pixels_3HW: Tensor, crop: _Crop, settings: EverythingSettings) -> _Candidates:
    """Ask for the masks of one crop and keep the good ones, moved to the image."""
    height, width = pixels_3HW.shape[1:]
    cropped_3HW = pixels_3HW[:, crop.top : crop.bottom, crop.left : crop.right]
    vision: Any = model.config.vision_config
    side = int(vision.image_size)
    transform = ImageTransform.letterboxed((cropped_3HW.shape[1], cropped_3HW.shape[2]), (side, side))
    embeddings = model.get_image_embeddings(_canvas(cropped_3HW, side)[None].to(model.device, model.dtype))
    point_P2 = transform.map_points(_grid(cropped_3HW, settings, crop.layer))
    at_once = settings.points_at_once
    found = [
        _answers(model, embeddings, point_P2[start : start + at_once], transform, settings)
        for start in range(0, len(point_P2), at_once)
    ]
    inside = _Candidates(*(torch.cat(part) for part in zip(*found, strict=True)))
    inside = inside.kept(~_cut_off(inside.box_K4, crop, height, width))
    inside = inside.kept(nms(inside.box_K4, inside.iou_K, settings.most_overlap))
    padding = (crop.left, width - crop.right, crop.top, height - crop.bottom)
    return inside._replace(
        mask_KHW=functional.pad(inside.mask_KHW, padding),
        box_K4=inside.box_K4 + torch.tensor([crop.left, crop.top, crop.left, crop.top]),
    )


def _canvas(image_3HW: Tensor, side: int) -> Tensor:
    """Fit an image into SAM's square, top left, on zeros."""
    mean, deviation = (255.0 * torch.tensor(part)[:, None, None] for part in (IMAGENET_MEAN, IMAGENET_STD))
    height, width = fitted((image_3HW.shape[1], image_3HW.shape[2]), (side, side))
    resized = functional.interpolate(
        image_3HW[None], (height, width), mode="bilinear", align_corners=False, antialias=True
    )[0]
    return functional.pad((resized - mean) / deviation, (0, side - width, 0, side - height))


def _grid(image_3HW: Tensor, settings: EverythingSettings, layer: int) -> Tensor:
    """Return points in the middle of equal cells, row by row, shape (P, 2)."""
    count = max(1, settings.points_side // settings.crop_points_divisor**layer)
    share = (torch.arange(count) + 0.5) / count
    y, x = torch.meshgrid(share * image_3HW.shape[1], share * image_3HW.shape[2], indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=1)


def _answers(
    model: SamModel,
    embeddings: Tensor,
    point_P2: Tensor,
    transform: ImageTransform,
    settings: EverythingSettings,
) -> _Candidates:
    """Ask for three masks a point and keep those that are trusted and stable."""
    answer = model(
        image_embeddings=embeddings,
        input_points=point_P2[None, :, None].to(model.device, model.dtype),
        multimask_output=True,
    )
    iou_K = answer.iou_scores[0].flatten().float()
    trusted = iou_K > settings.least_iou
    logit_Khw = answer.pred_masks[0].flatten(0, 1)[trusted].float()
    logit_KHW = _enlarged(logit_Khw, transform)
    offset = settings.stability_offset
    inner_K, outer_K = ((logit_KHW > bound).sum(dim=(1, 2)) for bound in (offset, -offset))
    stability_K = inner_K / outer_K.clamp(min=1)
    mask_KHW = logit_KHW > 0
    pixels_K = mask_KHW.sum(dim=(1, 2))
    kept_K = (stability_K > settings.least_stability) & (pixels_K >= settings.least_pixels)
    mask_KHW = mask_KHW[kept_K].cpu()
    return _Candidates(mask_KHW, _boxes(mask_KHW), iou_K[trusted][kept_K].cpu(), stability_K[kept_K].cpu())


def _enlarged(logit_Khw: Tensor, transform: ImageTransform) -> Tensor:
    """Bring SAM's answers to the pixels of the image: to the canvas, without its padding, to the image."""
    height, width = transform.source
    if not len(logit_Khw):
        return logit_Khw.new_zeros((0, height, width))
    rows, columns = fitted(transform.source, transform.canvas)
    canvas = functional.interpolate(logit_Khw[:, None], transform.canvas, mode="bilinear")
    valid = canvas[:, :, :rows, :columns]
    return functional.interpolate(valid, (height, width), mode="bilinear")[:, 0]


def _boxes(mask_KHW: Tensor) -> Tensor:
    """Return tight boxes of masks that each have a pixel, float32 of shape (K, 4)."""
    column_KW, row_KH = mask_KHW.any(dim=1).float(), mask_KHW.any(dim=2).float()
    left, top = column_KW.argmax(dim=1), row_KH.argmax(dim=1)
    right = mask_KHW.shape[2] - column_KW.flip(1).argmax(dim=1)
    bottom = mask_KHW.shape[1] - row_KH.flip(1).argmax(dim=1)
    return torch.stack([left, top, right, bottom], dim=1).float()


def _cut_off(box_K4: Tensor, crop: _Crop, height: int, width: int) -> Tensor:
    """Say which masks end at the border of a crop that is not the border of the image."""
    offset = torch.tensor([crop.left, crop.top, crop.left, crop.top])
    border, image = torch.tensor(crop[:4]), torch.tensor([0, 0, width, height])
    near_crop = (box_K4 + offset - border).abs() <= _EDGE
    near_image = (box_K4 + offset - image).abs() <= _EDGE
    return (near_crop & ~near_image).any(dim=1)
