import json

import numpy as np
import pytest
from pycocotools import mask as rle_c

from benchmarks.evaluation_inputs import (
    CATEGORIES,
    HEIGHT,
    QUICK_SIZE,
    WIDTH,
    Size,
    as_arrays,
    columns,
    documents,
    expressions,
    records,
    write,
)
from evaluation.instances import check_pairs
from evaluation.ref_masks import evaluate_masks

TINY = Size(images=6, objects=30, detections=4)


def test_a_scene_has_the_size_asked_for_and_comes_back_with_the_seed():
    document, results = documents(TINY)
    assert (len(document["images"]), len(document["annotations"]), len(results)) == (6, 30, 24)
    assert (document, results) == documents(TINY)
    other_document, other_results = documents(TINY, model=1)
    assert document == other_document
    assert results != other_results
    assert documents(TINY, seed=1)[0] != document


def test_records_pass_every_check_with_and_without_masks():
    document, results = documents(TINY)
    bare = [{key: value for key, value in item.items() if key != "segmentation"} for item in results]
    for found in (results, bare):
        parts = (columns(items, num_images=TINY.images) for items in (document["annotations"], found))
        truths, detections = records(*parts)
        check_pairs(truths, detections, num_categories=len(CATEGORIES))
        assert sum(len(item.scores) for item in detections) == 24
        assert {len(item.masks) for item in detections} == ({4} if found is results else {0})


def test_files_hold_what_each_scorer_reads(tmp_path):
    write(TINY, tmp_path)
    keys = {
        name: set(json.loads((tmp_path / f"{name}.json").read_text())[0]) for name in ("box", "mask", "both")
    }
    assert keys["both"] - keys["box"] == {"segmentation"}
    assert keys["both"] - keys["mask"] == {"bbox"}
    assert len(json.loads((tmp_path / "truth.json").read_text())["annotations"]) == 30


def test_objects_differ_in_size_and_a_detection_finds_many_of_them():
    document, results = documents(QUICK_SIZE)
    areas = np.array([item["area"] for item in document["annotations"]])
    assert areas.min() < 32**2 < 96**2 < areas.max() < HEIGHT * WIDTH
    assert {item["score"] for item in results} <= set(np.round(np.linspace(0, 1, 10_001), 4).tolist())


def test_expressions_score_the_same_as_run_lengths_and_as_arrays():
    truths, found = expressions(5)
    mean, other = (
        evaluate_masks(*pair).splits[0].value("ref_mask.giou")
        for pair in ((truths, found), as_arrays(truths, found))
    )
    assert mean == pytest.approx(other)
    assert 0.5 < mean < 1.0
    assert rle_c.area(truths[0].target) > 0
