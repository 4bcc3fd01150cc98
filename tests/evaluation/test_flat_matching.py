import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation import flat_matching
from evaluation.definition import KINDS
from evaluation.flat_matching import match_all
from evaluation.matching import NOBODY, match_image
from evaluation.tables import build_tables
from tests.evaluation.random_scenes import random_scene
from tests.evaluation.scenes import coco100, nuclei
from tests.evaluation.slow_tables import slow_tables


def assert_same_tables(truths, detections, names):
    per_image, matches = slow_tables(truths, detections, names)
    ours = build_tables(truths, detections, categories=names)
    pd.testing.assert_frame_equal(ours.per_image, per_image, check_exact=True)
    pd.testing.assert_frame_equal(ours.matches, matches, check_exact=True)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_tables_equal_those_of_the_readable_matcher_to_the_last_bit(seed):
    assert_same_tables(*random_scene(seed))


@pytest.mark.parametrize("scene", [lambda: coco100("mask"), lambda: nuclei(copies=2)], ids=["coco", "nuclei"])
def test_tables_of_real_masks_equal_those_of_the_readable_matcher(scene):
    assert_same_tables(*scene()[2:])


@pytest.mark.parametrize("kinds", [("box",), ("mask",), KINDS])
def test_any_number_of_threads_gives_the_same_bits(monkeypatch, kinds):
    monkeypatch.setattr(flat_matching, "IMAGES_AT_ONCE", 3)
    truths, detections, _ = random_scene(5, images=20)
    one, *others = (match_all(truths, detections, kinds=kinds, threads=threads) for threads in (1, 2, 7))
    for other in others:
        for kind in kinds:
            for field in dataclasses.fields(one.found[kind]):
                mine, same = (getattr(item.found[kind], field.name) for item in (one, other))
                assert mine.tobytes() == same.tobytes(), (kind, field.name)


def test_regions_of_matches_are_places_among_all_regions():
    truths, detections, _ = random_scene(1, images=10)
    found = match_all(truths, detections, kinds=("box",)).found["box"]
    expected, before = [], 0
    for truth, item in zip(truths, detections, strict=True):
        region_D = match_image(truth, item, "box").region[0]
        expected += np.where(region_D == NOBODY, NOBODY, region_D + before).tolist()
        before += len(truth.region_ids)
    assert found.region.tolist() == expected
    assert (found.iou[found.region == NOBODY] == 0.0).all()
    assert (found.iou[found.region != NOBODY] >= 0.5).all()


def test_boxes_need_no_masks_and_masks_do():
    truths, detections, names = random_scene(2)
    bare = [dataclasses.replace(item, masks=()) for item in detections]
    ours = build_tables(truths, bare, categories=names, kinds=("box",)).matches
    full = build_tables(truths, detections, categories=names).matches
    pd.testing.assert_frame_equal(ours, full[list(ours)], check_exact=True)
    with pytest.raises(
        ValueError, match=r"^image \d+ of the detections: \d boxes have no masks; give masks,"
    ):
        match_all(truths, bare, kinds=KINDS)


@pytest.mark.parametrize(
    "counts", ["0", "", "~~~", "oooooooooooooooooooooooo", b"0", "1\n", "\u0660", "0\xff"]
)
def test_masks_that_are_not_filled_are_refused_by_image_and_number(counts):
    truths, detections, _ = random_scene(3, images=12)
    place = next(i for i, item in enumerate(detections) if len(item.masks) > 3 and len(truths[i].masks) > 3)
    image_id = truths[place].image_id

    def spoiled(items):
        masks = list(items[place].masks)
        masks[3] = {"size": masks[3]["size"], "counts": counts}
        return [
            dataclasses.replace(item, masks=tuple(masks)) if i == place else item
            for i, item in enumerate(items)
        ]

    rule = r"number 3: its run lengths do not fill the mask exactly\.$"
    with pytest.raises(ValueError, match=rf"^image {image_id} of the detections, {rule}"):
        match_all(truths, spoiled(detections), kinds=("mask",))
    with pytest.raises(ValueError, match=rf"^image {image_id} of the regions, {rule}"):
        match_all(spoiled(truths), detections, kinds=("box",))


def test_run_lengths_may_be_bytes():
    truths, detections, names = random_scene(4)

    def in_bytes(item):
        masks = tuple({"size": m["size"], "counts": m["counts"].encode()} for m in item.masks)
        return dataclasses.replace(item, masks=masks)

    pd.testing.assert_frame_equal(
        build_tables(
            [in_bytes(t) for t in truths], [in_bytes(d) for d in detections], categories=names
        ).matches,
        build_tables(truths, detections, categories=names).matches,
    )
