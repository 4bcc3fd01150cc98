"""Our segmenters, losses and data in detectron2; around them its trainers, checkpoints and configurations.

Importing this module registers ``GroundworkBoxSegmenter`` (a meta-architecture), ``BoxSupervisedROIHeads``
(for Mask R-CNN) and a backbone. It is the only module that imports detectron2, which is built from its
source: ``docs/detectron2.md``. What needs nothing of it stands in the modules beside.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

try:
    from detectron2.config import CfgNode, configurable, instantiate
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "detectron2 is not installed; docs/detectron2.md says how it is built from its source.",
        name=error.name,
    ) from error
from detectron2 import data, modeling
from detectron2.data import transforms as augment
from detectron2.engine import DefaultTrainer
from detectron2.modeling.backbone import FPN, build_resnet_backbone
from detectron2.modeling.backbone.fpn import LastLevelP6P7
from detectron2.modeling.roi_heads.mask_head import BaseMaskRCNNHead, mask_rcnn_inference
from detectron2.structures import Boxes, BoxMode, ImageList, Instances
from detectron2.utils.events import get_event_storage
from omegaconf import DictConfig, OmegaConf

from models.segmentation import detectron2_names as names
from models.segmentation import detectron2_recipes as recipes
from models.segmentation import detectron2_windows as windows
from models.segmentation.box_supervision import BoxSupervision
from models.segmentation.decode import Detections
from models.segmentation.detectron2_images import contrast_stretcher
from models.segmentation.detectron2_records import box_records
from models.segmentation.detectron2_segmenter import ListSegmenter
from models.segmentation.detectron2_weights import check_convolutions, take_over
from models.segmentation.detectron2_windows import WindowSettings
from models.segmentation.instance_hub import InstanceSegmenter, new_instance_segmenter
from models.segmentation.recipes import InstanceRecipe
from models.segmentation.windows import region_windows


@modeling.BACKBONE_REGISTRY.register()  # type: ignore[untyped-decorator]
def build_p3p7_backbone(cfg: CfgNode, input_shape: Any) -> Any:  # noqa: ANN401 - detectron2 has no stubs
    """Build a ResNet with the pyramid of FCOS: P6 and P7 are made of P5, where RetinaNet's are made of C5."""
    bottom_up, node = build_resnet_backbone(cfg, input_shape), cfg.MODEL.FPN
    top = LastLevelP6P7(node.OUT_CHANNELS, node.OUT_CHANNELS, in_feature="p5")
    return FPN(bottom_up, node.IN_FEATURES, node.OUT_CHANNELS, norm=node.NORM, top_block=top)


@modeling.META_ARCH_REGISTRY.register()
class GroundworkBoxSegmenter(ListSegmenter):
    """A recipe's segmenter on a backbone of detectron2; steps are the trainer's. See ``ListSegmenter``."""

    __init__ = configurable(ListSegmenter.__init__)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read the arguments from detectron2's configuration."""
        recipe = recipe_from(cfg)
        backbone = None if recipe.head == "query" else modeling.build_backbone(cfg)
        return {"backbone": backbone, "recipe": recipe, "pixels": _pixels(cfg)}

    def forward(self, batched_inputs: Sequence[Mapping[str, Any]]) -> Any:  # noqa: ANN401 - by the mode
        """Return losses by name in training, ``[{"instances": Instances}]`` in evaluation."""
        if self.training:
            told = self.losses(batched_inputs, step=get_event_storage().iter)
            return {f"loss_{name}": value for name, value in told.items()}
        return [{"instances": _instances(size, found)} for size, found in self.detections(batched_inputs)]


@modeling.ROI_HEADS_REGISTRY.register()
class BoxSupervisedROIHeads(modeling.StandardROIHeads):  # type: ignore[misc]
    """The heads of Mask R-CNN with masks that are learned from boxes; see ``detectron2_windows``."""

    @configurable  # type: ignore[untyped-decorator]
    def __init__(
        self, *, supervision: BoxSupervision, window: WindowSettings, pixels: names.Pixels, **parts: object
    ) -> None:
        super().__init__(**parts)
        if self.mask_on and not (isinstance(self.mask_head, BaseMaskRCNNHead) and self.mask_pooler):
            raise TypeError(
                f"BoxSupervisedROIHeads needs a mask head that is a BaseMaskRCNNHead, and a pooler; got "
                f"{type(self.mask_head).__name__}: choose MODEL.ROI_MASK_HEAD.NAME accordingly."
            )
        self.supervision, self.window, self.pixels = supervision, window, pixels

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: Mapping[str, Any]) -> dict[str, Any]:
        """Read the arguments from detectron2's configuration."""
        found: dict[str, Any] = super().from_config(cfg, input_shape)
        supervision = BoxSupervision(**cfg.MODEL.GROUNDWORK.SUPERVISION)
        window = WindowSettings(**cfg.MODEL.GROUNDWORK.WINDOW)
        return found | {"supervision": supervision, "window": window, "pixels": _pixels(cfg)}

    def forward(
        self,
        images: ImageList,
        features: Mapping[str, Tensor],
        proposals: Sequence[Instances],
        targets: Sequence[Instances] | None = None,
    ) -> tuple[Sequence[Instances], dict[str, Tensor]]:
        """See ``ROIHeads``; masks are learned in windows around the annotated boxes."""
        found, losses = super().forward(images, features, proposals, targets)
        if targets is None or not (self.training and self.mask_on):
            return found, losses
        boxes, categories = zip(*((one.gt_boxes.tensor, one.gt_classes) for one in targets), strict=True)
        drawn = windows.draw_windows(boxes, categories, self.window, torch.default_generator)
        told = windows.window_losses(
            self._logits(features, drawn.windows),
            drawn,
            names.to_colours(images.tensor, self.pixels),
            images.image_sizes,
            self.supervision,
            step=get_event_storage().iter,
        )
        return found, losses | {f"loss_mask_{name}": value for name, value in told.items()}

    def _logits(self, features: Mapping[str, Tensor], corners: Sequence[Tensor]) -> Any:  # noqa: ANN401
        levels = [features[name] for name in self.mask_in_features]
        return self.mask_head.layers(self.mask_pooler(levels, list(map(Boxes, corners))))

    def _forward_mask(self, features: Mapping[str, Tensor], instances: Sequence[Instances]) -> Any:  # noqa: ANN401
        if self.training or not self.mask_on:
            return {} if self.training else instances
        margin = self.window.margin
        corners = [region_windows(one.pred_boxes.tensor, margin) for one in instances]
        mask_rcnn_inference(windows.middle(self._logits(features, corners), margin), instances)
        return instances


def add_groundwork_config(cfg: CfgNode) -> None:
    """Add ``MODEL.GROUNDWORK`` to detectron2's configuration.

    ``apply_recipe`` fills ``RECIPE``, for ``GroundworkBoxSegmenter``. The fields of ``BoxSupervision`` and
    ``WindowSettings`` are for ``BoxSupervisedROIHeads``.
    """
    cfg.MODEL.GROUNDWORK = CfgNode({"SUPERVISION": asdict(BoxSupervision())})
    cfg.MODEL.GROUNDWORK.WINDOW = CfgNode(asdict(WindowSettings()))
    cfg.MODEL.GROUNDWORK.RECIPE = CfgNode()


def apply_recipe(cfg: CfgNode, recipe: InstanceRecipe, *, num_images: int) -> None:
    """Write what a recipe says into detectron2's configuration: model, optimizer, schedule, sizes of images.

    Args:
        cfg: After ``add_groundwork_config``.
        recipe: Stored whole under ``MODEL.GROUNDWORK.RECIPE``: head, losses, thresholds and what is shown of
            images are read from there, all else from detectron2's own keys, which may be overruled.
        num_images: Images of the training split; schedules may count epochs.
    """
    cfg.MODEL.GROUNDWORK.RECIPE = CfgNode(asdict(recipe))
    for key, value in recipes.recipe_settings(recipe, num_images=num_images).items():
        cfg.merge_from_list([key, value])


def recipe_from(cfg: CfgNode) -> InstanceRecipe:
    """Return the recipe that ``apply_recipe`` stored, with the rate, decay and momentum of ``SOLVER``.

    Raises:
        ValueError: If there is none, or a field is missing, unknown or refused.
    """
    recipe = recipes.recipe_of(cfg.MODEL.GROUNDWORK.RECIPE)
    keys = {"learning_rate": "BASE_LR", "weight_decay": "WEIGHT_DECAY", "momentum": "MOMENTUM"}
    solver = {name: cfg.SOLVER[key] for name, key in keys.items()}
    return replace(recipe, optimizer=replace(recipe.optimizer, **solver))


def lazy_config(recipe: InstanceRecipe, *, num_images: int) -> DictConfig:
    """Return a recipe as a LazyConfig; see ``lazy_settings``."""
    settings = recipes.lazy_settings(recipe, num_images=num_images)
    return OmegaConf.create(settings, flags={"allow_objects": True})


class BoxMapper(data.DatasetMapper):  # type: ignore[misc]
    """Reads an image and its boxes, and shows of them what a recipe asks for.

    Args:
        recipe: Its sizes, crops and contrast; flips half the time in training.
        is_train: Without it whole images are shown, at the largest training size.
        order: Of the channels, "RGB" or "BGR".
    """

    def __init__(self, recipe: InstanceRecipe, *, is_train: bool, order: str = "RGB") -> None:
        short_sides, long_side = recipes.shown_sides(recipe)
        steps = [StretchContrast()] if recipe.images.stretch_contrast else []
        if is_train and recipe.images.crop is not None:
            crop = (recipe.images.crop, recipe.images.crop)
            steps += [augment.ResizeScale(*recipe.images.jitter, *crop), augment.FixedSizeCrop(crop)]
        else:
            shown = short_sides if is_train else (short_sides[-1],) * 2
            steps.append(augment.ResizeShortestEdge(shown, long_side, "range"))
        steps += [augment.RandomFlip()] if is_train else []
        super().__init__(is_train, augmentations=steps, image_format=order)
        self.stretched = recipe.images.stretch_contrast

    def __call__(self, dataset_dict: Mapping[str, Any]) -> dict[str, Any]:
        """See ``DatasetMapper``; says whether the contrast was stretched."""
        return {**super().__call__(dataset_dict), "contrast_stretched": self.stretched}


class StretchContrast(augment.Augmentation):  # type: ignore[misc]
    """Spreads the colours of a whole image over [0, 255]: for dark images of microscopes."""

    def get_transform(self, image: NDArray[np.uint8]) -> augment.Transform:
        """See ``Augmentation``."""
        return augment.ColorTransform(contrast_stretcher(image))


class GroundworkTrainer(DefaultTrainer):  # type: ignore[misc]
    """detectron2's trainer with the optimizer and the images of the recipe that ``apply_recipe`` stored."""

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        """Build the recipe's optimizer, which shortens gradients; ``CLIP_GRADIENTS`` is not read."""
        wanted = recipe_from(cfg).optimizer
        return recipes.new_optimizer(recipes.parameter_groups(model, wanted), wanted)

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> Any:  # noqa: ANN401
        """Read the training images with ``BoxMapper``."""
        mapper = BoxMapper(recipe_from(cfg), is_train=True, order=cfg.INPUT.FORMAT)
        return data.build_detection_train_loader(cfg, mapper=mapper)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Any:  # noqa: ANN401
        """Read the images of a registered dataset with ``BoxMapper``."""
        mapper = BoxMapper(recipe_from(cfg), is_train=False, order=cfg.INPUT.FORMAT)
        return data.build_detection_test_loader(cfg, dataset_name, mapper=mapper)


def register_coco_boxes(name: str, json_file: str | Path, image_root: str | Path) -> None:
    """Register the images and boxes of a COCO file under a name; its masks are never read.

    The file is read when the name is first used; ValueError tells what is wrong with it.
    """

    def load() -> list[dict[str, Any]]:
        try:
            document = json.loads(Path(json_file).read_text())
            found = box_records(document, str(image_root), mode=BoxMode.XYXY_ABS)
        except ValueError as error:  # broken JSON, too
            raise ValueError(f"{json_file}: {error}") from error
        places = {identity: place for place, identity in enumerate(found.category_ids)}
        known.set(thing_classes=list(found.category_names), thing_dataset_id_to_contiguous_id=places)
        return list(found.records)

    data.DatasetCatalog.register(name, load)
    known = data.MetadataCatalog.get(name)
    known.set(json_file=str(json_file), image_root=str(image_root), evaluator_type="coco")


def from_instance_segmenter(segmenter: InstanceSegmenter) -> GroundworkBoxSegmenter:
    """Return one of our models as one of detectron2, which ``DetectionCheckpointer`` can save.

    Raises:
        ValueError: If a weight has no counterpart, with every name.
    """
    model: GroundworkBoxSegmenter = instantiate(lazy_config(segmenter.recipe, num_images=1).model)
    take_over(model, names.segmenter_to_detectron2(segmenter.state_dict()))
    return model


def to_instance_segmenter(model: GroundworkBoxSegmenter, category_names: Sequence[str]) -> InstanceSegmenter:
    """Return one of detectron2's models as one of ours, which ``save_pretrained`` can save.

    Raises:
        ValueError: If a weight has no counterpart, with every name; if the backbone was trained with other
            pixels, or strides, pads or dilates elsewhere than ours.
    """
    if model.pixels != names.OURS:
        raise ValueError(f"our models see {names.OURS}, this one {model.pixels}: train it with ours.")
    segmenter = new_instance_segmenter(category_names, model.recipe)
    check_convolutions(model, segmenter, names.segmenter_from_detectron2)
    take_over(segmenter, names.segmenter_from_detectron2(model.state_dict()))
    return segmenter


def _pixels(cfg: CfgNode) -> names.Pixels:
    mean, std = tuple(cfg.MODEL.PIXEL_MEAN), tuple(cfg.MODEL.PIXEL_STD)
    return names.Pixels(mean=mean, std=std, order=cfg.INPUT.FORMAT)


def _instances(size: tuple[int, int], found: Detections) -> Instances:
    return Instances(
        size,
        pred_boxes=Boxes(found.boxes_xyxy),
        scores=found.scores,
        pred_classes=found.categories,
        pred_masks=found.masks,
    )
