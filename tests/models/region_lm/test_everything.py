"""Masks found without being asked for, against the pipeline of transformers with the same tiny SAM.

Weights are random: what is found means nothing, but it is found, filtered, moved and sorted as it should be.
"""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    MaskGenerationPipeline,
    SamConfig,
    SamImageProcessor,
    SamMaskDecoderConfig,
    SamModel,
    SamPromptEncoderConfig,
    SamVisionConfig,
)

from models.region_lm import everything
from models.region_lm.everything import EverythingSettings, crops, find_everything, load_sam

ALL = EverythingSettings(
    points_side=6, points_at_once=10, least_iou=0.0, least_stability=0.0, most_overlap=1.0
)


@pytest.fixture(scope="module")
def sam():
    """Tiny, and loud enough that masks have both sides of every threshold."""
    torch.manual_seed(0)
    vision = SamVisionConfig(
        image_size=128,
        patch_size=16,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        output_channels=32,
        window_size=4,
        global_attn_indexes=[1],
        mlp_dim=64,
        num_pos_feats=16,
    )
    decoder = SamMaskDecoderConfig(hidden_size=32, num_attention_heads=2, mlp_dim=64, iou_head_hidden_dim=32)
    prompts = SamPromptEncoderConfig(hidden_size=32, image_size=128, patch_size=16)
    model = SamModel(
        SamConfig(
            vision_config=vision.to_dict(),
            prompt_encoder_config=prompts.to_dict(),
            mask_decoder_config=decoder.to_dict(),
        )
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4.0)
        model.mask_decoder.iou_prediction_head.proj_out.bias.fill_(0.9)
        for network in model.mask_decoder.output_hypernetworks_mlps:
            network.proj_out.weight.mul_(600.0)
            network.proj_out.bias.mul_(600.0)
    return model


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def changed(**values):
    return EverythingSettings(**({name: getattr(ALL, name) for name in ALL.__dataclass_fields__} | values))


def by_the_pipeline(model, image, settings):
    side = {"height": 128, "width": 128}
    processor = SamImageProcessor(
        size={"longest_edge": 128},
        pad_size=side,
        mask_size={"longest_edge": 32},
        mask_pad_size={"height": 32, "width": 32},
    )
    found = MaskGenerationPipeline(model=model, image_processor=processor)(
        Image.fromarray(image),
        points_per_crop=settings.points_side,
        points_per_batch=settings.points_at_once,
        pred_iou_thresh=settings.least_iou,
        stability_score_thresh=settings.least_stability,
        stability_score_offset=settings.stability_offset,
        crops_nms_thresh=settings.most_overlap,
    )
    scores = np.array([float(score) for score in found["scores"]])
    order = np.argsort(-scores, kind="stable")
    return np.stack([np.asarray(mask) for mask in found["masks"]])[order], scores[order]


@pytest.mark.parametrize("size", [(90, 120), (200, 70)])
@pytest.mark.parametrize(
    "values",
    [
        {"least_stability": 0.1},
        {"least_stability": 0.6, "least_iou": 0.9},
    ],
)
def test_the_same_masks_as_the_pipeline(sam, size, values):
    settings = changed(**values)
    found = find_everything(sam, picture(*size), settings)
    masks, scores = by_the_pipeline(sam, picture(*size), settings)
    assert len(found.mask_RHW) == len(masks) > 0
    np.testing.assert_allclose(found.predicted_iou_R, scores, atol=1e-3)
    same = (found.mask_RHW & masks).sum(axis=(1, 2)) / (found.mask_RHW | masks).sum(axis=(1, 2))
    assert np.median(same) > 0.99  # the pipeline rounds the resized image to whole numbers
    assert same.min() > 0.9


def test_what_is_found_is_what_was_asked_for(sam):
    image = picture(90, 120)
    every = find_everything(sam, image, ALL)
    assert every.mask_RHW.dtype == np.bool_
    assert every.mask_RHW.shape[1:] == (90, 120)
    assert len(every.mask_RHW) == len(every.box_R4) == len(every.stability_R) > 50
    assert (np.diff(every.predicted_iou_R) <= 0).all()
    for mask, (left, top, right, bottom) in zip(every.mask_RHW, every.box_R4.astype(int), strict=True):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) == (left, top, right, bottom)
    strict = changed(least_iou=0.92, least_stability=0.5, least_pixels=3000)
    kept = find_everything(sam, image, strict)
    chosen = (
        (every.predicted_iou_R > 0.92) & (every.stability_R > 0.5) & (every.mask_RHW.sum(axis=(1, 2)) >= 3000)
    )
    np.testing.assert_array_equal(kept.mask_RHW, every.mask_RHW[chosen])
    assert 0 < len(kept.mask_RHW) < len(every.mask_RHW)
    nothing = find_everything(sam, image, changed(least_stability=1.0))
    assert nothing.mask_RHW.shape == (0, 90, 120)
    assert nothing.box_R4.shape == (0, 4)


def test_no_two_boxes_overlap_more_than_allowed(sam):
    found = find_everything(sam, picture(90, 120), changed(most_overlap=0.9))
    assert len(found.box_R4) > 1
    for i, one in enumerate(found.box_R4):
        for other in found.box_R4[:i]:
            width = max(min(one[2], other[2]) - max(one[0], other[0]), 0)
            height = max(min(one[3], other[3]) - max(one[1], other[1]), 0)
            areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
            assert width * height / (areas - width * height) <= 0.9


def test_steps_do_not_matter(sam):
    one = find_everything(sam, picture(50, 64), changed(points_at_once=36))
    other = find_everything(sam, picture(50, 64), changed(points_at_once=5))
    np.testing.assert_array_equal(one.mask_RHW, other.mask_RHW)
    np.testing.assert_allclose(one.predicted_iou_R, other.predicted_iou_R, atol=1e-5)


def test_crops_are_searched_alone_and_put_back(sam, monkeypatch):
    """Random masks reach the border of every crop, so here none counts as cut off."""
    monkeypatch.setattr(everything, "_EDGE", -1.0)
    image, settings = picture(80, 100), changed(points_side=4, crop_layers=1, crop_points_divisor=2)
    found = find_everything(sam, image, settings)
    expected, scores = [], []
    for crop in crops(80, 100, settings):
        part = np.ascontiguousarray(image[crop.top : crop.bottom, crop.left : crop.right])
        inside = find_everything(sam, part, changed(points_side=4 // 2**crop.layer))
        whole = np.zeros((len(inside.mask_RHW), 80, 100), dtype=bool)
        whole[:, crop.top : crop.bottom, crop.left : crop.right] = inside.mask_RHW
        expected += [mask.tobytes() for mask in whole]
        scores += inside.predicted_iou_R.tolist()
    assert sorted(mask.tobytes() for mask in found.mask_RHW) == sorted(expected)
    np.testing.assert_allclose(found.predicted_iou_R, sorted(scores, reverse=True), atol=1e-5)


def test_what_a_crop_cuts_off_is_left_to_the_whole_image(sam):
    with_crops = find_everything(sam, picture(80, 100), changed(crop_layers=1))
    without = find_everything(sam, picture(80, 100), ALL)
    np.testing.assert_array_equal(with_crops.mask_RHW, without.mask_RHW)


@pytest.mark.parametrize("size", [(480, 640), (333, 1000), (64, 64), (1, 300)])
def test_crops_cover_the_image_and_overlap(size):
    height, width = size
    covered = np.zeros((3, height, width), dtype=int)
    for crop in crops(height, width, EverythingSettings(crop_layers=2)):
        assert 0 <= crop.left < crop.right <= width
        assert 0 <= crop.top < crop.bottom <= height
        covered[crop.layer, crop.top : crop.bottom, crop.left : crop.right] += 1
    assert (covered > 0).all()
    assert covered[0].max() == 1
    assert min(height, width) == 1 or covered[1].max() == 4


@pytest.mark.parametrize("size", [(1, 40), (40, 1), (3, 2)])
def test_strips_work(sam, size):
    found = find_everything(sam, picture(*size), ALL)
    assert found.mask_RHW.shape[1:] == size
    assert found.mask_RHW.any(axis=(1, 2)).all()


def test_an_image_is_encoded_once(sam, monkeypatch):
    calls = []
    encode = sam.get_image_embeddings
    monkeypatch.setattr(sam, "get_image_embeddings", lambda pixels: calls.append(1) or encode(pixels))
    find_everything(sam, picture(60, 60), changed(points_at_once=3))
    assert calls == [1]


def test_sam_from_a_folder(sam, tmp_path):
    sam.save_pretrained(tmp_path / "sam")
    loaded = load_sam(tmp_path / "sam")
    assert not loaded.training
    one, other = (find_everything(model, picture(50, 64), ALL) for model in (sam, loaded))
    np.testing.assert_array_equal(one.mask_RHW, other.mask_RHW)
    with pytest.raises(ValueError, match=r"absent must be a folder with config.json of SAM"):
        load_sam(tmp_path / "absent")


def test_bad_images_and_settings_are_refused(sam):
    with pytest.raises(TypeError, match=r"images must be uint8, got torch\.float64"):
        find_everything(sam, np.zeros((4, 4, 3)))
    for shape in ((4, 4), (4, 4, 4), (0, 4, 3)):
        with pytest.raises(ValueError, match=r"images must have shape \(height, width, 3\), got"):
            find_everything(sam, np.zeros(shape, dtype=np.uint8))
    for values in ({"points_side": 0}, {"crop_layers": -1}, {"stability_offset": float("nan")}):
        with pytest.raises(ValueError, match="counts must be at least 1 and layers and offset at least 0"):
            EverythingSettings(**values)
    for values in ({"least_iou": 1.5}, {"most_overlap": float("nan")}):
        with pytest.raises(ValueError, match=r"shares must lie in \[0, 1\]"):
            EverythingSettings(**values)
