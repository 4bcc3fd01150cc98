import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from evaluation.instances import ImageTruth
from evaluation.masks import areas
from evaluation.proposals import SIZES, TOP, ImageProposals, check_images, evaluate_proposals
from tests.evaluation.scenes import coco100, rle


def truth_of(boxes, *, image_id=1, categories=None, is_crowd=None, size=(100, 100)):
    count = len(boxes)
    return ImageTruth(
        image_id=image_id,
        height=size[0],
        width=size[1],
        region_ids=np.arange(1, count + 1),
        categories=np.array(categories if categories is not None else [0] * count, dtype=np.int64),
        boxes_xyxy=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        masks=tuple(rle([x, y, r - x, b - y], *size) for x, y, r, b in boxes),
        is_crowd=np.array(is_crowd if is_crowd is not None else [False] * count, dtype=bool),
    )


def proposals_of(boxes, scores=None, *, image_id=1):
    count = len(boxes)
    return ImageProposals(
        image_id=image_id,
        boxes_xyxy=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        scores=np.array(scores if scores is not None else np.linspace(0.9, 0.1, count), dtype=np.float64),
    )


def flooded(images):
    """Proposals around the regions of COCO images and between them; up to 1,000 and more an image."""
    document, _, truths, _, _ = coco100("box")
    generator = np.random.default_rng(5)
    out = []
    for truth in truths[:images]:
        corners = np.repeat(truth.boxes_xyxy, 45, axis=0)
        sides = np.tile(corners[:, 2:] - corners[:, :2], 2)
        moved = corners + generator.normal(0, 0.12, size=corners.shape) * sides
        boxes = np.concatenate(
            [np.minimum(moved[:, :2], moved[:, 2:]), np.maximum(moved[:, :2], moved[:, 2:])], 1
        )
        boxes = np.maximum(boxes, 0.0)
        boxes = boxes[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])]
        order = generator.permutation(len(boxes))
        scores = np.round(generator.random(len(boxes)), 3)  # some are equal
        out.append(ImageProposals(image_id=truth.image_id, boxes_xyxy=boxes[order], scores=scores))
    return document, truths[:images], out


def test_equals_pycocotools_without_categories():
    document, truths, proposals = flooded(25)
    assert max(len(item.scores) for item in proposals) > 900
    assert sum(truth.is_crowd.any() for truth in truths) > 1
    ids = [truth.image_id for truth in truths]
    results = [
        {
            "image_id": item.image_id,
            "category_id": document["categories"][0]["id"],
            "bbox": [*box[:2], box[2] - box[0], box[3] - box[1]],
            "score": score,
        }
        for item in proposals
        for box, score in zip(item.boxes_xyxy.tolist(), item.scores.tolist(), strict=True)
    ]
    regions = zip(
        (region for truth in truths for region in truth.region_ids.tolist()),
        (area for truth in truths for area in areas(truth.masks).tolist()),
        strict=True,
    )
    area_of = dict(regions)
    annotations = [a | {"area": area_of.get(a["id"], a["area"])} for a in document["annotations"]]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = document | {"annotations": annotations, "info": {}}
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.params.useCats, evaluation.params.imgIds = 0, ids
        evaluation.params.maxDets = list(TOP)
        evaluation.evaluate()
        evaluation.accumulate()
    recall_TAM = evaluation.eval["recall"][:, 0]
    recall_TM = recall_TAM[:, 0]
    result = evaluate_proposals(truths, proposals)
    for m, k in enumerate(TOP):
        for a, size in enumerate(SIZES, start=1):
            expected = pytest.approx(recall_TAM[:, a, m].mean(), abs=1e-12)
            assert result.values[f"proposals.ar_{k}_{size}"] == expected
        assert result.values[f"proposals.ar_{k}"] == pytest.approx(recall_TM[:, m].mean(), abs=1e-12)
        assert result.values[f"proposals.recall50_{k}"] == pytest.approx(recall_TM[0, m], abs=1e-12)
    assert 0.1 < result.values["proposals.ar_10_small"] < result.values["proposals.ar_900_large"] < 1.0
    assert 0.1 < result.values["proposals.ar_10"] < result.values["proposals.ar_900"] < 1.0


def test_by_hand():
    # Regions A, B. Proposals by score: A at IoU 0.8 (8 of 10 columns), A again exactly, B at IoU 0.6.
    # A is taken by the first up to 0.80, by the second above; B is found at 0.50, 0.55, 0.60:
    # (10 + 3) of 20 pairs.
    truth = truth_of([[0, 0, 10, 10], [50, 50, 60, 60]])
    found = proposals_of([[0, 0, 8, 10], [0, 0, 10, 10], [50, 50, 56, 60]])
    result = evaluate_proposals([truth], [found])
    assert result.values["proposals.ar_10"] == pytest.approx(13 / 20)
    assert result.values["proposals.recall50_10"] == 1.0
    assert result.values["proposals.oracle_recall"] == 1.0
    assert result.values["proposals.per_image"] == 3.0
    row = result.per_image.iloc[0].to_dict()
    assert (row["num_regions"], row["found_10"], row["found50_10"], row["covered"]) == (2, 13, 2, 2)


def test_only_the_best_count():
    region = [0, 0, 10, 10]
    boxes = [[50, 50, 60, 60]] * 10 + [region]
    late = evaluate_proposals([truth_of([region])], [proposals_of(boxes)])
    assert [late.values[f"proposals.ar_{k}"] for k in TOP] == [0.0, 1.0, 1.0, 1.0]
    # Equal scores keep the order of the proposals.
    equal = evaluate_proposals([truth_of([region])], [proposals_of(boxes, [0.5] * 11)])
    assert equal.values["proposals.ar_10"] == 0.0
    assert equal.values["proposals.oracle_recall"] == 1.0


def test_one_proposal_covers_many_regions_but_finds_one():
    truth = truth_of([[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 40, 40]], is_crowd=[False, False, True])
    result = evaluate_proposals([truth], [proposals_of([[0, 0, 10, 10], [0, 0, 40, 40]])])
    assert result.values["proposals.recall50_10"] == 0.5
    assert result.values["proposals.oracle_recall"] == 1.0
    assert result.per_image["num_regions"].tolist() == [2]


def test_sizes_by_hand():
    # 32 x 32 is small and medium at once, 96 x 96 medium and large. One proposal overlaps the small region
    # (IoU 0.75) and the crowd; one lies on the large region (IoU 0.5 exactly); nothing is near the third.
    truth = truth_of(
        [[0, 0, 32, 32], [100, 100, 196, 196], [200, 0, 210, 10], [0, 0, 60, 60]],
        is_crowd=[False, False, False, True],
        size=(300, 300),
    )
    found = proposals_of([[0, 0, 32, 24], [100, 100, 196, 148]])
    result = evaluate_proposals([truth], [found])
    row = result.per_image.iloc[0].to_dict()
    assert [row[f"num_regions_{size}"] for size in SIZES] == [2, 2, 1]
    assert [row[f"found_10_{size}"] for size in SIZES] == [6, 7, 1]
    values = [result.values[f"proposals.ar_10_{size}"] for size in SIZES]
    assert values == pytest.approx([6 / 20, 7 / 20, 1 / 10])
    assert result.values["proposals.ar_10"] == pytest.approx(7 / 30)
    small = evaluate_proposals([truth_of([[0, 0, 9, 9]])], [proposals_of([])])
    assert small.values.undefined == {
        f"proposals.ar_{k}_{size}": f"no image has a {size} region"
        for size in ("medium", "large")
        for k in TOP
    }


def test_a_region_outside_the_range_takes_no_proposal_from_one_inside():
    # Both proposals overlap both regions; the best one fits the medium region better. Among small regions
    # the small one is there for it all the same.
    truth = truth_of([[0, 0, 30, 34], [0, 0, 33, 34]])
    found = proposals_of([[0, 0, 33, 34], [0, 0, 80, 80]])
    result = evaluate_proposals([truth], [found])
    assert result.per_image["found_10_small"].tolist() == [9]  # IoU 30 / 33, up to 0.90
    assert result.per_image["found_10_medium"].tolist() == [10]


def test_nothing_proposed_scores_zero_and_nothing_to_find_is_undefined():
    result = evaluate_proposals([truth_of([[0, 0, 10, 10]])], [proposals_of([])])
    assert {metric.value for metric in result.values.metrics} == {0.0}
    assert result.values["proposals.ar_10_small"] == 0.0
    crowd = truth_of([[0, 0, 10, 10]], is_crowd=[True])
    result = evaluate_proposals([crowd], [proposals_of([[0, 0, 10, 10]])])
    assert [metric.name for metric in result.values.metrics] == ["proposals.per_image"]
    reasons = {f"no image has a {size}region" for size in ("", "small ", "medium ", "large ")}
    assert set(result.values.undefined.values()) == reasons


def test_images_of_the_table_give_the_numbers_and_the_oracle_bounds_all():
    _, truths, proposals = flooded(12)
    result = evaluate_proposals(truths, proposals)
    table = result.per_image
    for k in TOP:
        expected = table[f"found_{k}"].sum() / (10 * table["num_regions"].sum())
        assert result.values[f"proposals.ar_{k}"] == pytest.approx(expected)
        assert (table[f"found50_{k}"] <= table["covered"]).all()
        assert result.values[f"proposals.recall50_{k}"] <= result.values["proposals.oracle_recall"]


def test_refuses_what_does_not_fit():
    box = [0.0, 0.0, 5.0, 5.0]
    for wrong in ([np.nan, 0, 5, 5], [0, 0, np.inf, 5], [5, 0, 5, 5], [-1, 0, 5, 5]):
        with pytest.raises(
            ValueError, match=r"image 1 of the proposals, number 1: box_xyxy must be finite with"
        ):
            proposals_of([box, wrong])
    for wrong in (np.nan, -0.1, 1.1):
        with pytest.raises(ValueError, match=r"number 0: score must be finite and in \[0, 1\], got "):
            proposals_of([box], [wrong])
    with pytest.raises(ValueError, match=r"scores must have shape \(1,\), got \(2,\)"):
        proposals_of([box], [0.1, 0.2])
    with pytest.raises(TypeError, match=r"scores must be float64, got float32"):
        ImageProposals(image_id=1, boxes_xyxy=np.zeros((0, 4)), scores=np.zeros(0, dtype=np.float32))
    with pytest.raises(TypeError, match=r"boxes_xyxy must be float64, got int64"):
        ImageProposals(image_id=1, boxes_xyxy=np.zeros((0, 4), dtype=np.int64), scores=np.zeros(0))
    with pytest.raises(ValueError, match=r"boxes_xyxy must have shape \(N, 4\), got \(4,\)"):
        ImageProposals(image_id=1, boxes_xyxy=np.zeros(4), scores=np.zeros(0))
    truth = truth_of([box])
    with pytest.raises(ValueError, match=r"proposals of image 2 stand where image 1 is expected"):
        evaluate_proposals([truth], [proposals_of([box], image_id=2)])
    with pytest.raises(ValueError, match=r"1 images have regions, 2 have proposals"):
        evaluate_proposals([truth], [proposals_of([box])] * 2)
    with pytest.raises(ValueError, match=r"image ids must rise, got 1 after 1"):
        evaluate_proposals([truth] * 2, [proposals_of([box])] * 2)
    with pytest.raises(ValueError, match=r"no image to score"):
        check_images([], [], name="proposals")
