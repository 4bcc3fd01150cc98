import io

import numpy as np
import pandas as pd
import pytest

from evaluation.instances import ImageDetections, ImageTruth
from evaluation.masks import Rle
from evaluation.tables import Tables, build_tables
from tests.evaluation.scenes import coco100, rle


def bar(left: int, right: int) -> Rle:
    return rle([float(left), 0.0, float(right - left), 10.0], 10, 40)


def scene():
    """Image 1: two regions and a crowd, three detections; image 2: nothing at all."""
    truth = ImageTruth(
        image_id=1,
        height=10,
        width=40,
        region_ids=np.array([11, 12, 13]),
        categories=np.array([0, 1, 0]),
        boxes_xyxy=np.array([[0.0, 0.0, 10.0, 10.0], [12.0, 0.0, 20.0, 10.0], [30.0, 0.0, 40.0, 10.0]]),
        masks=(bar(0, 10), bar(12, 20), bar(30, 40)),
        is_crowd=np.array([False, False, True]),
    )
    found = ImageDetections(
        image_id=1,
        height=10,
        width=40,
        categories=np.array([0, 0, 0]),
        boxes_xyxy=np.array([[32.0, 0.0, 36.0, 10.0], [0.0, 0.0, 8.0, 10.0], [12.0, 0.0, 20.0, 10.0]]),
        masks=(bar(32, 36), bar(0, 6), bar(12, 20)),
        scores=np.array([0.3, 0.9, 0.8]),
    )
    empty = {"image_id": 2, "height": 10, "width": 40, "categories": np.zeros(0, np.int64)}
    empty |= {"boxes_xyxy": np.zeros((0, 4)), "masks": ()}
    nothing = ImageTruth(**empty, region_ids=np.zeros(0, np.int64), is_crowd=np.zeros(0, bool))
    return [truth, nothing], [found, ImageDetections(**empty, scores=np.zeros(0))]


@pytest.fixture
def tables():
    return build_tables(*scene(), categories=["cell", "dot"])


def test_per_image_by_hand(tables):
    rows = tables.per_image.to_dict("records")
    assert rows[0] == {
        "image_id": 1,
        "num_regions": 2,
        "num_detections": 3,
        "num_regions.cell": 1,
        "num_regions.dot": 1,
        "box_tp50": 1,
        "box_fp50": 1,
        "box_fn50": 1,
        "box_f1_50": 0.5,
        "box_iou_sum": 0.8,
        "mask_tp50": 1,
        "mask_fp50": 1,
        "mask_fn50": 1,
        "mask_f1_50": 0.5,
        "mask_iou_sum": 0.6,
    }
    assert (rows[1]["num_regions"], rows[1]["num_detections"], rows[1]["mask_f1_50"]) == (0, 0, 1.0)


def test_matches_by_hand(tables):
    crowd, right, wrong = tables.matches.to_dict("records")
    assert (crowd["detection"], crowd["mask_ignored_50"], crowd["mask_matched_50"]) == (0, True, False)
    assert (right["mask_region_id"], right["box_region_id"], right["category"]) == (11, 11, "cell")
    assert (right["mask_iou"], right["box_iou"], right["mask_iou_at_box_match"]) == (0.6, 0.8, 0.6)
    assert right["mask_matched_60"]
    assert not right["mask_matched_65"]
    assert right["box_matched_80"]
    assert not right["box_matched_85"]
    assert not wrong["mask_matched_50"]
    assert tables.matches["mask_iou"].isna().tolist() == [True, False, True]
    assert tables.matches["mask_region_id"].isna().tolist() == [True, False, True]


def test_parquet_gives_back_the_same_tables(tables):
    for table in (tables.per_image, tables.matches):
        stream = io.BytesIO()
        table.to_parquet(stream, index=False)
        pd.testing.assert_frame_equal(pd.read_parquet(stream), table)


def test_tables_as_built_have_no_problem(tables):
    assert tables.problems() == []
    assert tables.categories == ["cell", "dot"]
    _, _, truths, detections, names = coco100("mask")
    assert build_tables(truths, detections, categories=names).problems() == []


def change(table, column, value):
    changed = table.copy()
    changed[column] = value
    return changed


@pytest.mark.parametrize(
    ("name", "edit", "problem"),
    [
        ("matches", lambda t: t.drop(columns="mask_iou"), "matches has no column 'mask_iou'"),
        ("matches", lambda t: change(t, "score", "high"), "matches has a column 'score' of type str"),
        ("matches", lambda t: change(t, "score", np.nan), "matches has no value somewhere in column 'score'"),
        (
            "matches",
            lambda t: change(t, "score", 1.5),
            "scores and overlaps of matches are not all in [0, 1]",
        ),
        (
            "matches",
            lambda t: change(t, "mask_iou", np.inf),
            "scores and overlaps of matches are not all in [0, 1]",
        ),
        ("matches", lambda t: change(t, "image_id", 9), "matches name images that per_image does not"),
        (
            "matches",
            lambda t: change(t, "category", "dog"),
            "matches name categories that per_image does not",
        ),
        ("matches", lambda t: t.iloc[1:], "matches and per_image count different detections"),
        ("per_image", lambda t: t.iloc[::-1], "image ids of per_image do not rise"),
        ("per_image", lambda t: t.iloc[:0], "per_image has no row"),
        (
            "per_image",
            lambda t: change(t, "num_regions.dot", "many"),
            "per_image has a column 'num_regions.dot' of type str",
        ),
        ("per_image", lambda t: pd.concat([t, t], axis=1), "per_image has two columns of one name"),
        (
            "per_image",
            lambda t: change(
                change(change(t, "num_regions", -2), "num_regions.dot", -1), "num_regions.cell", -1
            ),
            "numbers of regions are negative",
        ),
        ("per_image", lambda t: change(t, "num_regions", 1), "regions of the categories do not add up"),
        (
            "per_image",
            lambda t: change(t, "num_regions", 0.5),
            "per_image has a column 'num_regions' of type float64",
        ),
    ],
)
def test_spoiled_tables_are_named(tables, name, edit, problem):
    sides = {"per_image": tables.per_image, "matches": tables.matches}
    assert problem in Tables(**(sides | {name: edit(sides[name])})).problems()


def test_problems_of_an_empty_table_are_no_exception():
    assert Tables(per_image=pd.DataFrame(), matches=pd.DataFrame()).problems()
