"""Our segmenters on a backbone that names its levels: the same numbers, whoever lists the images."""

import re
from collections import namedtuple
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from models.segmentation.detectron2_names import OURS, Pixels, to_colours
from models.segmentation.detectron2_segmenter import (
    ListSegmenter,
    NamedLevels,
    check_levels,
    compose,
    input_stride,
    level_strides,
)
from models.segmentation.instance_hub import new_instance_segmenter
from models.segmentation.objective import TrainingBatch
from models.segmentation.recipes import build_instance_model, reduced
from tests.models.segmentation.test_recipes import read
from tests.models.segmentation.tiny import THRESHOLDS

Shape = namedtuple("Shape", "stride channels")
RECIPES = {
    "condinst": reduced(read("condinst_affinity_r50_coco")),
    "solo": reduced(read("solov2_r50_coco")),
    "query": reduced(read("mask2former_r50_coco")),
}
LEVELS = {"condinst": (8, 16, 32, 64, 128), "solo": (4, 8, 16, 32, 64)}


class Instances(SimpleNamespace):
    """As detectron2's, for what is asked of them; a mask must not be."""

    def to(self, _):
        return self

    def __getattr__(self, name):
        raise AssertionError(name)


class Backbone(nn.Module):
    """A pyramid of ours that speaks as detectron2's backbones do: levels by name, and their shapes."""

    def __init__(self, pyramid, strides, width=32):
        super().__init__()
        self.body, self.pyramid, self.strides, self.width = pyramid.body, pyramid.pyramid, strides, width

    def forward(self, image):
        return self.pyramid(self.body(image))

    def output_shape(self):
        return {f"p{stride}": Shape(stride, self.width) for stride in self.strides}


def listed(head, *, seed=0, **changes):
    """A model of ours, and the same as a list segmenter."""
    recipe = replace(RECIPES[head], num_categories=2, **changes)
    torch.manual_seed(seed)
    ours = new_instance_segmenter(["a", "b"], recipe)
    pyramid = getattr(ours.segmenter, "pyramid", None)
    backbone = None if pyramid is None else Backbone(pyramid, LEVELS[head])
    found = ListSegmenter(backbone=backbone, recipe=recipe)
    found.head.load_state_dict((ours.segmenter if backbone is None else ours.segmenter.head).state_dict())
    return ours.eval(), found.eval()


def image(height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)


def item(height=96, width=128, **more):
    boxes = SimpleNamespace(tensor=torch.tensor([[10.0, 8.0, 60.0, 50.0]]))
    instances = Instances(gt_boxes=boxes, gt_classes=torch.tensor([1]))
    return {"image": image(height, width), "instances": instances, "image_id": 7} | more


@pytest.mark.parametrize("head", RECIPES)
def test_losses_and_detections_are_ours_to_the_bit(head):
    ours, found = listed(head)
    height, width = {"condinst": (128, 256), "solo": (64, 128), "query": (96, 128)}[head]
    given = item(height, width)
    batch = TrainingBatch(
        image_BCHW=given["image"][None].float() / 255.0,
        boxes=(given["instances"].gt_boxes.tensor,),
        categories=(given["instances"].gt_classes,),
        image_ids=(7,),
    )
    expected = ours.segmenter.losses(batch, ours.recipe.supervision, step=3)
    losses = found.losses([given], step=3)
    assert losses.keys() == expected.keys()
    assert all(torch.equal(losses[name], expected[name]) for name in expected)
    thresholds = replace(THRESHOLDS, detections_per_image=4, mask_threshold=0.3)
    found.recipe = replace(found.recipe, prediction=thresholds)
    asked = ours.segmenter.detect(batch.image_BCHW, [(height, width)], thresholds)[0]
    ((size, told),) = found.detections([given])
    assert size == (height, width)
    assert len(told.scores)
    assert torch.equal(told.masks, asked.masks)
    assert torch.equal(told.scores, asked.scores)


@pytest.mark.parametrize("head", ["condinst", "query"])
def test_answers_have_the_size_that_was_asked_for(head):
    _, found = listed(head)
    thresholds = replace(found.recipe.prediction, score_threshold=0.0, detections_per_image=3)
    found.recipe = replace(found.recipe, prediction=thresholds)
    told = found.detections([{"image": image(46, 60), "height": 40, "width": 61}, {"image": image(50, 30)}])
    assert [size for size, _ in told] == [(40, 61), (50, 30)]
    for (height, width), detections in told:
        assert detections.masks.shape[1:] == (height, width)
        assert (detections.boxes_xyxy <= torch.tensor([width, height] * 2)).all()


def test_contrast_is_stretched_once():
    images = replace(RECIPES["solo"].images, stretch_contrast=True)
    _, found = listed("solo", images=images)
    dark = {**item(), "image": image(96, 128) // 8}
    stretched = {**dark, "image": found._colours([dark])[0] * 255.0, "contrast_stretched": True}
    first, second = found.losses([dark], step=0), found.losses([stretched], step=0)
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_a_backbone_sees_the_pixels_that_it_was_trained_with(order):
    pixels = Pixels(mean=(103.53, 116.28, 123.675), std=(57.0, 58.0, 59.0), order=order)
    seen = []

    class Levels(nn.Module):
        def forward(self, given):
            seen.append(given)
            return {"p2": given}

    rgb = torch.rand(1, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    levels = NamedLevels(Levels(), pixels)(rgb)
    channel = 2 if order == "BGR" else 0
    torch.testing.assert_close(levels[0][0, 0], (rgb[0, channel] * 255.0 - 103.53) / 57.0)
    torch.testing.assert_close(to_colours(seen[0], pixels), rgb)
    torch.testing.assert_close(NamedLevels(Levels(), OURS)(rgb)[0], (rgb - 0.5) * 4.0)


@pytest.mark.parametrize("head", RECIPES)
def test_under_autocast_only_the_fast_parts_are_rounded(head):
    _, found = listed(head)
    given = [item()]
    plain = found.losses(given, step=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = found.losses(given, step=0)
        assert torch.is_autocast_enabled("cpu")
    assert all(value.dtype == torch.float32 for value in rounded.values())
    total, other = sum(plain.values()), sum(rounded.values())
    assert not torch.equal(total, other)
    torch.testing.assert_close(other, total, rtol=0.05, atol=0.0)


def head(name):
    with torch.device("meta"):
        segmenter = build_instance_model(RECIPES[name])
    return segmenter if name == "query" else segmenter.head


def test_strides():
    for name, strides in LEVELS.items():
        assert level_strides(head(name)) == strides
        assert input_stride(head(name)) == strides[-1]
    assert level_strides(head("query")) == ()
    assert input_stride(head("query")) == 32


def test_a_backbone_too_few_or_too_many_or_of_other_levels_is_refused():
    with pytest.raises(
        ValueError, match=r"^SoloHead with backbone NoneType: Mask2Former has its own backbone"
    ):
        compose(None, head("solo"), OURS)
    with pytest.raises(
        ValueError, match=r"^QuerySegmenter with backbone Identity: .*every other head needs one"
    ):
        compose(nn.Identity(), head("query"), OURS)
    message = (
        "SoloHead reads levels of (stride, channels) [(4, 32), (8, 32), (16, 32), (32, 32), (64, 32)], "
        "the backbone has [(8, 256)]; choose MODEL.BACKBONE.NAME and MODEL.FPN accordingly."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_levels(head("solo"), [(8, 256)], 32)
    wide = Backbone(
        nn.ModuleDict({"body": nn.Identity(), "pyramid": nn.Identity()}), LEVELS["solo"], width=64
    )
    with pytest.raises(ValueError, match=r"the backbone has \[\(4, 64\)"):
        ListSegmenter(backbone=wide, recipe=RECIPES["solo"])


def test_training_without_instances_is_refused():
    _, found = listed("solo")
    message = r"^training needs 'instances'; images \[1\] of the batch have none\.$"
    with pytest.raises(ValueError, match=message):
        found.losses([item(), {"image": image(64, 64)}], step=0)
