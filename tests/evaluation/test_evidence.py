import dataclasses

import pandas as pd
import pytest

from evaluation.definition import DETECTION
from evaluation.evidence import Evidence, object_to, object_to_pair, valid_value
from evaluation.ref_boxes import REF_BOXES
from evaluation.tables import Tables
from tests.evaluation.expression_scenes import boxes_of, evidence_of_boxes, simulate_boxes
from tests.evaluation.scenes import evidence_of, simulate

NEEDED = ("mask.ap50", "mask.recall50", "mask.matched_iou", "detections_per_image")


@pytest.fixture(scope="module")
def good():
    return evidence_of(simulate(0, images=8))


def objections(evidence):
    return object_to(evidence, who="candidate", split="val", needed=NEEDED)


def test_sound_evidence_meets_no_objection(good):
    assert objections(good) == []


@pytest.mark.parametrize("value", [None, "0.9", True, float("nan"), float("inf"), -1, -1.0, 1.0001, [0.5]])
@pytest.mark.parametrize("name", ["mask.ap50", "box.ar_1"])
def test_impossible_values_are_named_also_where_no_rule_reads_them(good, name, value):
    spoiled = dataclasses.replace(good, metrics={**good.metrics, name: value})
    assert objections(spoiled) == [f"candidate: {name} must be a number from 0 to 1, got {value!r}."]
    assert name not in spoiled.valid_metrics()


def test_missing_undefined_and_unknown_metrics_are_named(good):
    metrics = dict(good.metrics)
    del metrics["mask.ap50"]
    assert objections(dataclasses.replace(good, metrics=metrics)) == ["candidate: mask.ap50 is missing."]
    undefined = {**good.undefined, "mask.ap50": "no image has a region"}
    gone = dataclasses.replace(good, metrics=metrics, undefined=undefined)
    assert objections(gone) == ["candidate: mask.ap50 is undefined: no image has a region."]
    both = dataclasses.replace(good, undefined=undefined)
    assert objections(both)[0].endswith("and is called undefined.")
    more = dataclasses.replace(good, metrics={**good.metrics, "mask.best": 1.0})
    assert objections(more) == ["candidate: metric 'mask.best' is unknown."]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"split": "train"}, "candidate: split 'train' was evaluated, the gate judges 'val'."),
        (
            {"definition_sha256": "0"},
            f"candidate: metric definition '0' was used, the gate judges '{DETECTION.sha256}'.",
        ),
        ({"images_expected": 9}, "candidate: coverage is 8 of 9 images, must be all of at least one."),
        ({"images_expected": 8.0}, "candidate: coverage is 8 of 8.0 images, must be all of at least one."),
        (
            {"images_expected": 4, "images_scored": 4},
            "candidate: per_image has 8 rows for 4 scored images.",
        ),
    ],
)
def test_evidence_about_something_else_is_named(good, changes, sentence):
    assert objections(dataclasses.replace(good, **changes)) == [sentence]


def test_numbers_that_their_tables_do_not_give_are_named(good):
    stated = dataclasses.replace(good, metrics={**good.metrics, "mask.ap50": 0.99})
    assert objections(stated)[0].startswith("candidate: mask.ap50 is stated as 0.99, its tables give 0.")


def test_empty_predictions_and_unusable_tables_are_named(good):
    images = good.tables.per_image.assign(num_detections=0)
    empty = dataclasses.replace(good, tables=Tables(per_image=images, matches=good.tables.matches.iloc[:0]))
    assert "candidate: the predictions are empty: no detection in any image." in objections(empty)
    lost = dataclasses.replace(good, tables=Tables(per_image=pd.DataFrame(), matches=pd.DataFrame()))
    assert "candidate: per_image has no column 'image_id'." in objections(lost)


def test_two_models_must_be_about_the_same(good):
    other = evidence_of(simulate(1, images=9), dataset_sha256="e" * 64)
    assert object_to_pair(good, good) == []
    assert object_to_pair(good, other) == [
        f"dataset_sha256 differs: candidate '{'d' * 64}', champion '{'e' * 64}'.",
        "the images differ: 0 only of the candidate, 1 only of the champion.",
    ]


def document(good):
    return {
        "dataset": {"sha256": "d" * 64, "split": "val", "images": 8},
        "model_sha256": "m" * 64,
        "definition_sha256": DETECTION.sha256,
        "coverage": {"images_expected": 8, "images_scored": 8},
        "metrics": [{"name": name, "value": value} for name, value in good.metrics.items()],
        "undefined": dict(good.undefined),
    }


def read(content, good):
    tables = good.tables
    return Evidence.from_document(
        content, per_image=tables.per_image, matches=tables.matches, bundle_id="c" * 16, sequence=4
    )


def test_a_metrics_document_becomes_evidence(good):
    evidence = read(document(good), good)
    assert objections(evidence) == []
    assert (evidence.metrics, evidence.sequence) == (good.metrics, 4)


def test_a_document_of_another_form_is_refused(good):
    with pytest.raises(ValueError, match=r"^not a metrics document \(KeyError: 'coverage'\)\.$"):
        read({key: value for key, value in document(good).items() if key != "coverage"}, good)
    with pytest.raises(ValueError, match=r"^not a metrics document \(TypeError: "):
        read(document(good) | {"metrics": 7}, good)
    twice = document(good)["metrics"] + [{"name": "mask.ap50", "value": 1.0}]
    with pytest.raises(ValueError, match=r"^a metric is named twice: "):
        read(document(good) | {"metrics": twice}, good)


def test_only_numbers_in_range_are_values():
    spec = DETECTION.spec("mask.ap50")
    assert [valid_value(spec, value) for value in (0, 1, 0.5)] == [0.0, 1.0, 0.5]
    assert [valid_value(spec, value) for value in (True, "1", None, 10**400, float("nan"))] == [None] * 5


def objections_to_boxes(evidence):
    return object_to(
        evidence, who="candidate", split="val", needed=("ref_box.accuracy_50",), definition=REF_BOXES
    )


def test_evidence_about_expressions_is_checked_as_hard():
    good = evidence_of_boxes(simulate_boxes(0, images=8))
    table = good.tables.per_expression
    assert objections_to_boxes(good) == []
    wrong = table.assign(right_50=False)
    assert objections_to_boxes(dataclasses.replace(good, tables=boxes_of(wrong)))[0].endswith(
        "its tables give 0.0."
    )
    mixed = table.assign(split=["testA"] + ["val"] * (len(table) - 1))
    assert objections_to_boxes(dataclasses.replace(good, tables=boxes_of(mixed))) == [
        "candidate: per_expression holds other splits too: ['testA']."
    ]
    fewer = table[table["image_id"] > 1]
    assert objections_to_boxes(dataclasses.replace(good, tables=boxes_of(fewer)))[0] == (
        "candidate: per_expression has 7 images for 8 scored images."
    )


def test_tables_of_another_kind_are_named(good):
    assert (
        "candidate: the tables are of 'coco-instances/1', the gate judges 'referring-boxes/1'."
        in objections_to_boxes(good)
    )


def test_other_expressions_on_the_same_images_are_named():
    mine = evidence_of_boxes(simulate_boxes(0, images=8))
    table = mine.tables.per_expression.assign(expression_id=lambda t: t["expression_id"] + 1)
    other = evidence_of_boxes(boxes_of(table))
    assert object_to_pair(mine, other) == [
        "the expressions differ: 1 only of the candidate, 1 only of the champion."
    ]


def test_a_metrics_document_about_expressions_becomes_evidence(good):
    boxes = evidence_of_boxes(simulate_boxes(0, images=8))
    content = document(good) | {
        "definition_sha256": REF_BOXES.sha256,
        "metrics": [{"name": name, "value": value} for name, value in boxes.metrics.items()],
        "undefined": {},
    }
    rest = {"per_expression": boxes.tables.per_expression, "bundle_id": "c" * 16}
    evidence = Evidence.from_expressions(content, definition=REF_BOXES, **rest)
    assert objections_to_boxes(evidence) == []
    with pytest.raises(ValueError, match=r"^definition must be one of \['referring-boxes/1'"):
        Evidence.from_expressions(content, definition=DETECTION, **rest)
