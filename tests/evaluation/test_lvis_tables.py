import numpy as np
import pandas as pd

from evaluation.definition import IOU_PERCENT, KINDS
from evaluation.lvis_tables import (
    STANDINGS,
    count_categories,
    image_table,
    match_table,
    region_table,
    standings,
    take,
)
from tests.evaluation.lvis_scenes import CATEGORIES, found_of, image_of, world

A, B, FAR = [0, 0, 40, 40], [60, 0, 100, 40], [70, 70, 110, 110]
NAMES = [item.name for item in CATEGORIES]


def tables(images, detections, *, most=300, kinds=KINDS):
    standing = [standings(*pair, most=most) for pair in zip(images, detections, strict=True)]
    matches = match_table(images, detections, standing, names=NAMES, kinds=kinds)
    return matches, image_table(images, matches, kinds=kinds)


def test_who_is_scored():
    image = image_of([A], [0], negative=[1], not_exhaustive=[2])
    found = found_of([A] * 5, [2, 0, 1, 3, 0], [0.9, 0.8, 0.7, 0.6, 0.5])
    words = [STANDINGS[place] for place in standings(image, found, most=4)]
    assert words == [
        "category not annotated",
        "scored",
        "scored",
        "category not annotated",
        "beyond the cap",
    ]
    taken = take(found, standings(image, found, most=4))
    assert taken.scores.tolist() == [0.8, 0.7]
    assert taken.categories.tolist() == [0, 1]


def test_equal_scores_keep_their_order_at_the_cap():
    found = found_of([A, B, FAR], [0, 0, 0], [0.5, 0.5, 0.5])
    assert standings(image_of([A], [0]), found, most=2).tolist() == [0, 0, 1]
    found = found_of([A, B, FAR], [0, 0, 0], [0.4, 0.5, 0.5])
    assert standings(image_of([A], [0]), found, most=2).tolist() == [1, 0, 0]


def test_one_row_per_detection():
    image = image_of([A, B], [0, 1], negative=[2], not_exhaustive=[1])
    # Right by box IoU 0.75; wrong; of a not-exhaustive category and alone; left out.
    found = found_of([[0, 0, 40, 30], FAR, FAR, FAR], [0, 2, 1, 3], [0.9, 0.8, 0.7, 0.6])
    matches, images = tables([image], [found])
    assert matches["detection"].tolist() == [0, 1, 2, 3]
    assert matches["category"].tolist() == ["c0", "c2", "c1", "c3"]
    assert matches["standing"].tolist() == ["scored"] * 3 + ["category not annotated"]
    for kind in KINDS:
        assert matches[f"{kind}_region_id"].isna().tolist() == [False, True, True, True]
        assert matches.loc[0, f"{kind}_region_id"] == 1
        assert matches.loc[0, f"{kind}_iou"] == 0.75
        for percent in IOU_PERCENT:
            assert matches[f"{kind}_matched_{percent}"].tolist() == [percent <= 75, False, False, False]
            assert matches[f"{kind}_ignored_{percent}"].tolist() == [False, False, True, True]
    row = images.iloc[0]
    assert row[["num_regions", "num_scored", "num_not_annotated", "num_beyond_cap"]].tolist() == [2, 3, 1, 0]
    assert row[["box_tp50", "box_fp50", "box_fn50", "box_ignored50"]].tolist() == [1, 1, 1, 1]


def test_a_region_found_is_right_although_its_category_is_not_exhaustive():
    matches, _ = tables([image_of([A], [0], not_exhaustive=[0])], [found_of([A, A], [0, 0], [0.9, 0.8])])
    assert matches["mask_matched_95"].tolist() == [True, False]
    assert matches["mask_ignored_95"].tolist() == [False, True]


def test_one_kind_alone_and_no_detection():
    matches, images = tables([image_of([A], [0])], [found_of([], [], [])], kinds=("box",))
    assert len(matches) == 0
    assert images[["num_detections", "box_fn50"]].to_numpy().tolist() == [[0, 1]]
    assert not [name for name in (*matches, *images) if name.startswith("mask")]


def test_counts_of_regions_and_categories():
    images, detections = world(3, images=6)
    regions = region_table(images, NAMES)
    assert regions["num_regions"].sum() == sum(len(image.truth.masks) for image in images)
    assert (regions["num_regions"] > 0).all()
    counts = count_categories(images, detections, CATEGORIES).set_index("category")
    pd.testing.assert_series_equal(
        counts.loc[counts["num_regions"] > 0, "num_regions"],
        regions.groupby("category")["num_regions"].sum(),
        check_index_type=False,
    )
    for k, name in enumerate(NAMES):
        expected = [
            sum(k in image.truth.categories for image in images),
            sum(k in image.negative for image in images),
            sum(k in image.not_exhaustive for image in images),
            sum(int((found.categories == k).sum()) for found in detections),
        ]
        columns = ["annotated", "negative", "not_exhaustive", "num_scored"]
        assert counts.loc[name, columns].tolist() == expected
    assert counts["frequency"].tolist() == [item.frequency for item in CATEGORIES]


def test_the_tables_are_parquet(tmp_path):
    images, detections = world(5)
    matches, per_image = tables(images, detections)
    for name, table in {"matches": matches, "images": per_image}.items():
        table.to_parquet(tmp_path / name, index=False)
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / name), table)
    assert np.issubdtype(per_image["num_scored"].dtype, np.integer)
