import dataclasses

import hotcoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.definition import KINDS
from evaluation.instances import ImageDetections
from evaluation.masks import areas
from evaluation.scorer import score
from tests.evaluation.random_scenes import as_documents, random_scene
from tests.evaluation.scenes import (
    VECTORS,
    coco100,
    detections_of,
    nuclei,
    pycocotools_arrays,
    read,
    truths_of,
)


def assert_same_bits(document, results, truths, detections, names, kind):
    most = max(100, *(len(item.scores) for item in detections)) + 1
    precision, recall, scores = pycocotools_arrays(document, results, kind, caps=(1, 10, 100, most))
    ours = score(truths, detections, categories=names, kind=kind)
    np.testing.assert_array_equal(ours.precision, precision[..., -1])
    np.testing.assert_array_equal(ours.recall, recall)
    np.testing.assert_array_equal(ours.score, scores[..., -1])
    np.testing.assert_array_equal(ours.has_regions, recall[0, :, :, -1] > -1)


@pytest.mark.parametrize("kind", KINDS)
def test_equals_pycocotools_on_100_images_with_crowds(kind):
    document, results, truths, detections, names = coco100(kind)
    assert_same_bits(document, results, truths, detections, names, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_equals_pycocotools_with_categories_that_have_no_region(kind):
    folder = VECTORS / "faster_coco_eval"
    document, results = read(folder / "gt_dataset.json"), read(folder / "dt_dataset.json")
    results = [item | {"score": item.get("score", 0.5)} for item in results]
    truths, names = truths_of(document)
    assert_same_bits(document, results, truths, detections_of(document, results), names, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_equals_pycocotools_with_hundreds_of_detections_an_image(kind):
    document, results, truths, detections, names = nuclei(images=8)
    assert max(len(item.scores) for item in detections) > 250
    assert_same_bits(document, results, truths, detections, names, kind)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.sampled_from(KINDS))
def test_equals_pycocotools_on_scenes_of_edge_cases(seed, kind):
    truths, detections, names = random_scene(seed)
    document, results = as_documents(truths, detections, names, kind)
    if results:
        assert_same_bits(document, results, truths, detections, names, kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scene", ["coco", "nuclei", "random"])
def test_equals_hotcoco(scene, kind):
    if scene == "random":
        truths, detections, names = random_scene(7, images=30)
    else:
        _, _, truths, detections, names = coco100(kind) if scene == "coco" else nuclei(copies=3)
    document, results = as_documents(truths, detections, names, kind)
    ours = score(truths, detections, categories=names, kind=kind)
    truth = hotcoco.COCO(document)
    evaluation = hotcoco.COCOeval(truth, truth.load_res(results), {"box": "bbox", "mask": "segm"}[kind])
    most = max(len(item.scores) for item in detections)
    evaluation.params.maxDets = [1, 10, 100, max(most, 100) + 1]
    evaluation.evaluate()
    evaluation.accumulate()
    np.testing.assert_array_equal(ours.precision, np.asarray(evaluation.eval["precision"])[..., -1])
    np.testing.assert_array_equal(ours.recall, np.asarray(evaluation.eval["recall"]))
    np.testing.assert_array_equal(ours.score, np.asarray(evaluation.eval["scores"])[..., -1])


def test_regions_out_of_an_area_range_do_not_count_there():
    truths, detections, names = random_scene(3, images=30)
    ours = score(truths, detections, categories=names, kind="mask")
    area_G = np.concatenate([areas(item.masks)[~item.is_crowd] for item in truths])
    assert (area_G > 32**2).any()
    assert ours.has_regions[:, 1].any() == (area_G <= 32**2).any()
    assert not ours.has_regions[-1].any()
    assert (ours.recall[:, -1] == -1.0).all()


def test_no_detection_at_all_scores_zero_where_pycocotools_fails():
    document, _, truths, _, names = nuclei()
    with pytest.raises(IndexError):
        pycocotools_arrays(document, [], "box", caps=(1, 10, 100))
    for kind in KINDS:
        ours = score(truths, detections_of(document, []), categories=names, kind=kind)
        assert not ours.recall[:, :, 0].any()
        assert not ours.precision[..., 0].any()


def test_boxes_of_nan_have_recall_1_in_pycocotools_and_are_refused_here():
    document, results, _, detections, _ = nuclei(images=6)
    spoiled = [item | {"bbox": [float("nan")] * 4} for item in results]
    _, recall, _ = pycocotools_arrays(document, spoiled, "box", caps=(1, 10, 100, 1000))
    assert recall[0, 0, 0, -1] == 1.0
    message = (
        r"^image 121 of the detections, number 0: box_xyxy must be finite .* got \[nan, nan, nan, nan\]\.$"
    )
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(detections[0], boxes_xyxy=np.full_like(detections[0].boxes_xyxy, np.nan))


def test_scores_of_nan_are_scored_by_pycocotools_and_are_refused_here():
    document, results, _, detections, _ = nuclei(images=6)
    spoiled = [item | {"score": float("nan")} for item in results]
    precision, _, _ = pycocotools_arrays(document, spoiled, "box", caps=(1, 10, 100, 1000))
    assert precision[0, :, 0, 0, -1].mean() > 0.2
    with pytest.raises(ValueError, match=r"^image 121 of the detections, number 0: score must be finite"):
        dataclasses.replace(detections[0], scores=np.full_like(detections[0].scores, np.nan))


def test_detections_are_all_counted_however_many_there_are():
    _, _, truths, detections, names = nuclei()
    many: ImageDetections = max(detections, key=lambda item: len(item.scores))
    assert len(many.scores) == 287
    index = detections.index(many)
    ours = score([truths[index]], [many], categories=names, kind="box")
    assert ours.recall[0, 0, 0, 3] > ours.recall[0, 0, 0, 2] > 0
    assert ours.recall[0, 0, 0, 2] <= 100 / 287
