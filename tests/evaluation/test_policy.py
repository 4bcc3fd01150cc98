import dataclasses

import pytest

from evaluation.definition import DETECTION
from evaluation.policy import (
    Ceiling,
    ClassFloor,
    Floor,
    MustPass,
    NonInferior,
    Policy,
    Primary,
    SampleSize,
)
from evaluation.ref_boxes import REF_BOXES
from evaluation.ref_masks import REF_MASKS
from tasks.config import load_file
from tests.evaluation.scenes import ROOT


def policy(**changes):
    values = {
        "split": "val",
        "floors": (Floor(metric="mask.ap50", at_least=0.45),),
        "ceilings": (Ceiling(metric="detections_per_image", at_most=400.0),),
        "primary": Primary(metric="mask.ap50", min_gain=0.0),
        "non_inferior": (NonInferior(metric="mask.recall50", max_drop=0.01),),
        "alpha": 0.05,
        "resamples": 200,
        "seed": 1,
    }
    return Policy(**(values | changes))


def test_the_committed_gate_loads_and_judges_by_the_interval():
    gate = load_file(ROOT / "configs" / "gates" / "segmenter.yaml", Policy)
    assert gate.primary == Primary(metric="mask.ap50", min_gain=0.0)
    assert gate.metrics == ("mask.ap50", "mask.recall50", "mask.matched_iou", "detections_per_image")
    assert gate.compared == ("mask.ap50", "mask.recall50", "mask.matched_iou")
    assert gate.resamples == 2000


def test_a_policy_written_before_a_rule_existed_keeps_its_hash():
    gate = load_file(ROOT / "configs" / "gates" / "segmenter.yaml", Policy)
    assert gate.sha256 == "370e8221deaf1c30306a6bb4513194149b37574be17c272cfd8fa79bb9f4dc18"
    stated = policy(definition=DETECTION.name, interval="percentile", class_floors=(), must_pass=())
    assert stated.sha256 == policy().sha256
    plain = policy(class_floors=(ClassFloor(metric="mask.recall50", at_least=0.1),), max_uses=None)
    full = ClassFloor(metric="mask.recall50", at_least=0.1, min_objects=0, confidence=None)
    assert policy(class_floors=(full,), sealed=False).sha256 == plain.sha256


@pytest.mark.parametrize(
    ("name", "definition", "primary"),
    [
        ("coco_recall", DETECTION, "box.ar_100"),
        ("refcoco", REF_BOXES, "ref_box.accuracy_50"),
        ("refcoco_masks", REF_MASKS, "ref_mask.giou"),
    ],
)
def test_the_ready_policies_load(name, definition, primary):
    gate = load_file(ROOT / "configs" / "gates" / f"{name}.yaml", Policy)
    assert gate.judges == definition
    assert gate.primary == Primary(metric=primary, min_gain=0.0)
    assert (gate.alpha, gate.resamples, gate.interval) == (0.05, 2000, "bca")
    assert gate.sample_sizes


def test_every_metric_that_a_rule_reads_is_needed():
    gate = policy(
        class_floors=(ClassFloor(metric="mask.ap", at_least=0.1),),
        must_pass=(MustPass(metric="box.recall50", at_least=0.5, image_ids=(1,)),),
        sample_sizes=(SampleSize(metric="box.ap", images=1, objects=1),),
    )
    assert gate.metrics == (
        "mask.ap50",
        "detections_per_image",
        "mask.ap",
        "box.recall50",
        "box.ap",
        "mask.recall50",
    )


def test_any_change_of_the_rules_changes_their_hash():
    changed = [
        policy(split="train"),
        policy(floors=(Floor(metric="mask.ap50", at_least=0.44),)),
        policy(ceilings=()),
        policy(primary=Primary(metric="mask.ap50", min_gain=0.01)),
        policy(non_inferior=()),
        policy(alpha=0.1),
        policy(resamples=201),
        policy(seed=2),
        policy(interval="bca"),
        policy(ceilings=(Ceiling(metric="detections_per_image", at_most=400.0, each_image=True),)),
        policy(class_floors=(ClassFloor(metric="mask.ap50", at_least=0.1),)),
        policy(class_floors=(ClassFloor(metric="mask.ap50", at_least=0.1, categories=("a",)),)),
        policy(must_pass=(MustPass(metric="mask.ap50", at_least=0.1, image_ids=(1,)),)),
        policy(must_pass=(MustPass(metric="mask.ap50", at_least=0.1, image_ids=(2,)),)),
        policy(sample_sizes=(SampleSize(metric="mask.ap50", images=1, objects=2),)),
        policy(class_floors=(ClassFloor(metric="mask.recall50", at_least=0.1),)),
        policy(class_floors=(ClassFloor(metric="mask.recall50", at_least=0.1, min_objects=5),)),
        policy(class_floors=(ClassFloor(metric="mask.recall50", at_least=0.1, confidence=0.95),)),
        policy(max_uses=20),
        policy(sealed=True),
    ]
    assert len({policy().sha256, *(item.sha256 for item in changed)}) == len(changed) + 1
    assert policy().sha256 == policy().sha256


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"floors": ()}, r"^floors must name at least one metric: without one anything could pass\.$"),
        ({"floors": (Floor(metric="mask.ap51", at_least=0.4),)}, r"^unknown metric 'mask\.ap51'; "),
        (
            {"floors": (Floor(metric="mask.ap50", at_least=float("nan")),)},
            r"^at_least of mask\.ap50 must lie in the range of the metric, got nan\.$",
        ),
        (
            {"floors": (Floor(metric="mask.ap50", at_least=-1.0),)},
            r"^at_least of mask\.ap50 must lie in the range of the metric, got -1\.0\.$",
        ),
        (
            {"ceilings": (Ceiling(metric="detections_per_image", at_most=float("inf")),)},
            r"^at_most of detections_per_image must lie in the range of the metric, got inf\.$",
        ),
        (
            {"primary": Primary(metric="mask.ap_small", min_gain=0.0)},
            r"^'mask\.ap_small' has no interval: it cannot be recomputed for a sample of images\.$",
        ),
        (
            {"primary": Primary(metric="mask.ap50", min_gain=-0.1)},
            r"^min_gain must lie from 0 to 1, got -0\.1\.$",
        ),
        (
            {"non_inferior": (NonInferior(metric="mask.ap50", max_drop=float("nan")),)},
            r"^max_drop must lie from 0 to 1, got nan\.$",
        ),
        ({"alpha": 0.0}, r"^alpha must lie from 0\.001 to 0\.2, got 0\.0\.$"),
        ({"resamples": 10}, r"^resamples must lie from 100 to 1e\+06, got 10\.$"),
        ({"seed": -1}, r"^seed must lie from 0 to "),
        (
            {"definition": "voc/1"},
            r"^definition must be one of \['coco-instances/1', 'referring-boxes/1', 'referring-masks/1'\], "
            r"got 'voc/1'\.$",
        ),
        ({"definition": "referring-boxes/1"}, r"^unknown metric 'mask\.ap50'; "),
        ({"interval": "normal"}, r"^interval must be 'percentile' or 'bca', got 'normal'\.$"),
        (
            {"ceilings": (Ceiling(metric="mask.ap50", at_most=0.5, each_image=True),)},
            r"^each_image is for detections_per_image alone, got 'mask\.ap50'\.$",
        ),
        (
            {"class_floors": (ClassFloor(metric="detections_per_image", at_least=0.5),)},
            r"^'detections_per_image' has no value of one category\.$",
        ),
        (
            {"class_floors": (ClassFloor(metric="mask.ap50", at_least=float("nan")),)},
            r"^at_least of mask\.ap50 must lie in the range of the metric, got nan\.$",
        ),
        (
            {"class_floors": (ClassFloor(metric="mask.ap50", at_least=0.1, categories=("a", "a")),)},
            r"^categories of mask\.ap50 must name each once, got \['a', 'a'\]\.$",
        ),
        (
            {"class_floors": (ClassFloor(metric="mask.recall50", at_least=0.1, min_objects=-1),)},
            r"^min_objects of mask\.recall50 must lie from 0 to 1e\+09, got -1\.$",
        ),
        (
            {"class_floors": (ClassFloor(metric="mask.recall50", at_least=0.1, confidence=1.0),)},
            r"^confidence of mask\.recall50 must lie from 0\.5 to 0\.9999, got 1\.0\.$",
        ),
        (
            {"class_floors": (ClassFloor(metric="mask.ap50", at_least=0.1, confidence=0.95),)},
            r"^confidence is for recall50 and ar_\* alone, got 'mask\.ap50'\.$",
        ),
        ({"max_uses": 0}, r"^max_uses must lie from 1 to 1e\+09, got 0\.$"),
        ({"definition": "judged/1"}, r"^definition must be one of .*, got 'judged/1'\.$"),
        ({"floors": (Floor(metric="judged.all", at_least=50.0),)}, r"^unknown metric 'judged\.all'; "),
        (
            {"must_pass": (MustPass(metric="mask.ap_small", at_least=0.1, image_ids=(1,)),)},
            r"^'mask\.ap_small' has no value on one image\.$",
        ),
        (
            {"must_pass": (MustPass(metric="detections_per_image", at_least=1.0, image_ids=(1,)),)},
            r"^must_pass needs a metric that should rise, got 'detections_per_image'\.$",
        ),
        (
            {"must_pass": (MustPass(metric="mask.ap50", at_least=0.1, image_ids=()),)},
            r"^image_ids of mask\.ap50 must name at least one image\.$",
        ),
        (
            {"must_pass": (MustPass(metric="mask.ap50", at_least=0.1, image_ids=(3, 3)),)},
            r"^image_ids of mask\.ap50 must name each once, got \[3, 3\]\.$",
        ),
        (
            {"sample_sizes": (SampleSize(metric="mask.ap_small", images=1, objects=1),)},
            r"^'mask\.ap_small' has no count: it cannot be recomputed from the tables\.$",
        ),
        (
            {"sample_sizes": (SampleSize(metric="mask.ap50", images=0, objects=1),)},
            r"^images of mask\.ap50 must lie from 1 to 1e\+09, got 0\.$",
        ),
    ],
)
def test_rules_that_cannot_be_applied_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        policy(**changes)


def test_rules_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy().alpha = 1.0
