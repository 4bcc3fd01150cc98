import dataclasses

import numpy as np
import pytest

from evaluation.confusion import Cell, confuse
from evaluation.instances import ImageDetections, ImageTruth
from evaluation.tables import build_tables
from tests.evaluation.scenes import coco100, nuclei, rle

SIZE = 20


def image(boxes, categories, *, crowds=None):
    """Regions from boxes ``[x, y, w, h]``."""
    corners = np.array(boxes, dtype=float).reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]
    return ImageTruth(
        image_id=1,
        height=SIZE,
        width=SIZE,
        region_ids=np.arange(1, len(boxes) + 1),
        categories=np.array(categories, dtype=np.int64),
        boxes_xyxy=corners,
        masks=tuple(rle(box, SIZE, SIZE) for box in boxes),
        is_crowd=np.array(crowds or [False] * len(boxes), dtype=bool),
    )


def found(boxes, categories, scores):
    truth = image(boxes, categories)
    return ImageDetections(
        image_id=1,
        height=SIZE,
        width=SIZE,
        categories=truth.categories,
        boxes_xyxy=truth.boxes_xyxy,
        masks=truth.masks,
        scores=np.array(scores, dtype=float),
    )


A, B, C = [0, 0, 6, 6], [10, 0, 6, 6], [0, 10, 6, 6]


@pytest.mark.parametrize("kind", ["box", "mask"])
def test_by_hand(kind):
    """A is named rightly, B is taken for 0, C is missed, and there is one alarm of category 1."""
    truth = image([A, B, C], [0, 1, 1])
    guess = found([A, B, [12, 12, 4, 4]], [0, 0, 1], [0.9, 0.8, 0.7])
    confusion = confuse([truth], [guess], categories=("cat", "dog"), kind=kind)
    assert confusion.counts.tolist() == [[1, 0, 0], [1, 0, 1], [0, 1, 0]]
    assert (confusion.hits, confusion.confused, confusion.misses, confusion.false_alarms) == (1, 1, 1, 1)
    assert confusion.errors() == [
        Cell(true="dog", predicted="cat", count=1),
        Cell(true="dog", predicted=None, count=1),
        Cell(true=None, predicted="dog", count=1),
    ]


def test_a_better_score_of_another_category_takes_the_region_away():
    confusion = confuse(
        [image([A], [0])], [found([A, A], [1, 0], [0.9, 0.8])], categories=("cat", "dog"), kind="mask"
    )
    assert confusion.counts.tolist() == [[0, 1, 0], [0, 0, 0], [1, 0, 0]]


def test_faint_detections_are_cut():
    truth, guess = image([A], [0]), found([A, B], [0, 0], [0.5, 0.4])
    kept = confuse([truth], [guess], categories=("cat",), kind="mask", at_least=0.5)
    assert kept.counts.tolist() == [[1, 0], [0, 0]]
    none = confuse([truth], [guess], categories=("cat",), kind="mask", at_least=0.6)
    assert none.counts.tolist() == [[0, 1], [0, 0]]


def test_crowds_are_neither_missed_nor_a_reason_for_alarm():
    truth = image([A, B], [0, 1], crowds=[True, False])
    guess = found([[0, 0, 3, 3], [3, 3, 3, 3]], [0, 1], [0.9, 0.8])
    confusion = confuse([truth], [guess], categories=("cat", "dog"), kind="box")
    assert confusion.counts.tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_one_category_is_the_matching_of_the_tables():
    _, _, truths, detections, names = nuclei(copies=2)
    images = build_tables(truths, detections, categories=names).per_image
    confusion = confuse(truths, detections, categories=names, kind="mask")
    assert confusion.hits == images["mask_tp50"].sum()
    assert confusion.misses == images["mask_fn50"].sum()
    assert confusion.false_alarms == images["mask_fp50"].sum()
    assert confusion.confused == 0


@pytest.mark.parametrize("kind", ["box", "mask"])
def test_80_categories_add_up(kind):
    _, _, truths, detections, names = coco100(kind)
    confusion = confuse(truths, detections, categories=names, kind=kind)
    regions = np.concatenate([item.categories[~item.is_crowd] for item in truths])
    np.testing.assert_array_equal(
        confusion.counts[:-1].sum(axis=1), np.bincount(regions, minlength=len(names))
    )
    assert confusion.counts[:, :-1].sum() <= sum(len(item.scores) for item in detections)
    sizes = [cell.count for cell in confusion.errors()]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes) == confusion.confused + confusion.misses + confusion.false_alarms


def test_inputs_are_left_as_they_are():
    truth, guess = image([A, B], [0, 1], crowds=[True, False]), found([A], [0], [0.9])
    confuse([truth], [guess], categories=("cat", "dog"), kind="mask")
    assert truth.is_crowd.tolist() == [True, False]
    assert truth.categories.tolist() == [0, 1]


@pytest.mark.parametrize("at_least", [-0.1, 1.1, float("nan")])
def test_a_cut_that_is_no_fraction_is_an_error(at_least):
    with pytest.raises(ValueError, match=r"at_least must lie in \[0, 1\], got"):
        confuse([image([A], [0])], [found([A], [0], [0.9])], categories=("a",), kind="box", at_least=at_least)


def test_other_images_are_an_error():
    other = dataclasses.replace(found([A], [0], [0.9]), image_id=2)
    with pytest.raises(ValueError, match="detections of image 2"):
        confuse([image([A], [0])], [other], categories=("a",), kind="box")


def test_boxes_alone_have_no_confusion_of_masks():
    _, _, truths, detections, names = nuclei(copies=1)
    bare = [dataclasses.replace(item, masks=()) for item in detections]
    assert confuse(truths, bare, categories=names, kind="box").counts.sum() > 0
    with pytest.raises(ValueError, match="have no masks"):
        confuse(truths, bare, categories=names, kind="mask")
