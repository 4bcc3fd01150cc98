"""Files -> maps -> panoptic quality: two samples whose scores the published tool gives, and every refusal."""

import copy
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.panoptic import PanopticCategory, evaluate_panoptic, match_panoptic
from tasks.data.panoptic_png import MAX_ID, read_panoptic
from tasks.errors import DataError
from tests.evaluation.test_panoptic import spoiled

DATA = Path(__file__).resolve().parents[2] / "data"
COCO, TOOL = DATA / "coco_panoptic", DATA / "panopticapi"


def score(truth, found):
    counts = [
        match_panoptic(
            truth.read_map(image_id), found.read_map(image_id), num_categories=len(truth.categories)
        )
        for image_id in truth.sizes
    ]
    return evaluate_panoptic(counts, categories=truth.categories)


@cache
def coco():
    return json.loads((COCO / "panoptic.json").read_text())


def write_maps(folder, document, change):
    """Write the maps of a document as changed by a function of ids and segments, and the new document."""
    entries = []
    for entry in document["annotations"]:
        ids = np.array(Image.open(COCO / "panoptic" / entry["file_name"]), dtype=np.int64) @ [1, 256, 65536]
        ids, segments = change(ids, entry["segments_info"])
        left = set(np.unique(ids).tolist())
        segments = [segment for segment in segments if segment["id"] in left]
        colours = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)
        Image.fromarray(colours).save(folder / entry["file_name"])
        entries.append(
            {"image_id": entry["image_id"], "file_name": entry["file_name"], "segments_info": segments}
        )
    path = folder.parent / f"{folder.name}.json"
    path.write_text(json.dumps({"annotations": entries}))
    return path


def test_truth_against_itself_is_1():
    document, folder = COCO / "panoptic.json", COCO / "panoptic"
    truth = read_panoptic(document, folder)
    result = score(truth, read_panoptic(document, folder, truth=truth))
    assert [metric.value for metric in result.values.metrics] == [1.0] * 9
    assert truth.categories[0] == PanopticCategory(name="person", is_thing=True)
    assert len(truth.categories) == len(truth.category_ids) == 133
    assert list(truth.sizes) == [194, 285, 7511]


@pytest.mark.parametrize("place", range(2))
def test_a_spoiled_copy_has_the_score_of_the_published_tool(tmp_path, place):
    expected = json.loads((COCO / "official.json").read_text())[place]
    ids = sorted(category["id"] for category in coco()["categories"])
    (tmp_path / "found").mkdir()
    path = write_maps(
        tmp_path / "found", coco(), lambda m, segments: spoiled(m, segments, ids, tuple(expected["shift"]))
    )
    truth = read_panoptic(COCO / "panoptic.json", COCO / "panoptic")
    result = score(truth, read_panoptic(path, tmp_path / "found", truth=truth))
    for metric in result.values.metrics:
        assert metric.value == pytest.approx(expected["averages"][metric.name], abs=1e-12)


def test_the_sample_of_the_published_tool_reads():
    truth = read_panoptic(TOOL / "panoptic_examples.json", TOOL)
    maps = [truth.read_map(image_id) for image_id in truth.sizes]
    assert [len(item.segments) for item in maps] == [
        len(entry["segments_info"])
        for entry in sorted(truth.annotations.values(), key=lambda entry: entry["image_id"])
    ]
    assert any(segment.is_crowd for item in maps for segment in item.segments)


TINY = {
    "images": [{"id": 5, "height": 1, "width": 4}, {"id": 9, "height": 1, "width": 4}],
    "categories": [{"id": 7, "name": "cell", "isthing": 1}, {"id": 3, "name": "glass", "isthing": 0}],
    "annotations": [
        {
            "image_id": 5,
            "file_name": "5.png",
            "segments_info": [
                {"id": 65536 + 256 + 1, "category_id": 7, "area": 2, "iscrowd": 0},
                {"id": 2, "category_id": 3, "area": 1, "iscrowd": 0},
            ],
        },
        {"image_id": 9, "file_name": "9.png", "segments_info": []},
    ],
}


def tiny(folder, change=None, name="truth"):
    document = copy.deepcopy(TINY)
    if change is not None:
        change(document)
    first, second = [(1, 1, 1), (1, 1, 1), (2, 0, 0), (0, 0, 0)], [(0, 0, 0)] * 4
    for number, row in ((5, first), (9, second)):
        Image.fromarray(np.array([row], dtype=np.uint8)).save(folder / f"{number}.png")
    path = folder / f"{name}.json"
    path.write_text(json.dumps(document))
    return path


def test_ids_are_put_together_from_three_bytes(tmp_path):
    truth = read_panoptic(tiny(tmp_path), tmp_path)
    item = truth.read_map(5)
    assert item.ids_HW.tolist() == [[65793, 65793, 2, 0]]
    # Places in the list of categories, which is by rising id: glass, cell.
    assert [(segment.id, segment.category) for segment in item.segments] == [(65793, 1), (2, 0)]
    assert truth.read_map(9).segments == ()


def test_an_image_without_prediction_is_missed(tmp_path):
    truth = read_panoptic(tiny(tmp_path), tmp_path)

    def lose(document):
        del document["images"], document["categories"]
        document["annotations"] = document["annotations"][1:]

    found = read_panoptic(tiny(tmp_path, lose, "found"), tmp_path, truth=truth)
    assert found.read_map(5) is None
    assert score(truth, found).values["panoptic.pq"] == 0.0


def test_a_crowd_of_a_prediction_is_any_segment(tmp_path):
    def crowd(document):
        document["annotations"][0]["segments_info"][0]["iscrowd"] = 1

    truth = read_panoptic(tiny(tmp_path, crowd), tmp_path)
    assert [segment.is_crowd for segment in truth.read_map(5).segments] == [True, False]
    found = read_panoptic(tmp_path / "truth.json", tmp_path, truth=truth)
    assert not any(segment.is_crowd for segment in found.read_map(5).segments)


def put(place, key, value):
    def change(document):
        row = document
        for step in place:
            row = row[step]
        row[key] = value

    return change


FIRST = ("annotations", 0, "segments_info", 0)
DOCUMENT_RULES = [
    (put((), "images", None), "the document must have 'images' of type list, got None."),
    (put((), "images", []), "must have images and categories."),
    (put(("images", 1), "id", 5), "image 5 appears twice."),
    (put(("images", 1), "height", 0), "image 9 has the size 4x0."),
    (put(("categories", 1), "id", 7), "category 7 ('glass') has the id or name of another."),
    (put(("categories", 1), "name", "cell"), "category 3 ('cell') has the id or name of another."),
    (put(("categories", 1), "name", 4), "category 3 must have a name, a text."),
    (put(("categories", 1), "isthing", 2), "isthing of category 3 must be 0 or 1, got 2."),
    (put(("annotations", 0), "image_id", 6), "annotation of image 6, which is not one of 2 images."),
    (put(("annotations", 1), "image_id", 5), "image 5 has two annotations."),
    (put((), "annotations", [TINY["annotations"][0]]), "1 images have no annotation, first: [9]."),
    (put(("annotations", 0), "file_name", "../5.png"), "of image 5 has an empty part, '.' or '..'."),
    (put(FIRST, "id", 2), "image 5 segment 2 appears twice."),
    (put(FIRST, "id", 0), f"image 5 segment 0: the id must be from 1 to {MAX_ID}."),
    (put(FIRST, "id", MAX_ID + 1), f"the id must be from 1 to {MAX_ID}."),
    (put(FIRST, "category_id", 8), "image 5 segment 65793: category 8 is not among the categories."),
    (put(FIRST, "iscrowd", 2), "image 5 segment 65793: iscrowd must be 0 or 1, got 2."),
    (put(FIRST, "area", None), "a segment of image 5 must have 'area' of type int, got None."),
    (put(FIRST, "area", 2.5), "a segment of image 5 must have 'area' of type int, got 2.5."),
]


@pytest.mark.parametrize(("change", "message"), DOCUMENT_RULES)
def test_documents_that_are_refused(tmp_path, change, message):
    with pytest.raises(DataError) as caught:
        read_panoptic(tiny(tmp_path, change), tmp_path)
    assert message in caught.value.message
    assert caught.value.obj == str(tmp_path / "truth.json")
    assert caught.value.hint == "Check that document and PNG files belong together."


MAP_RULES = [
    (put(FIRST, "id", 65794), "1 ids of pixels belong to no segment, first: [65793]."),
    (put(FIRST, "area", 3), "segment 65793 has 2 pixels, its area says 3."),
    (
        lambda document: document["annotations"][1]["segments_info"].append(
            {"id": 4, "category_id": 7, "area": 1}
        ),
        "segment 4 has no pixel.",
    ),
    (put(("images", 0), "width", 5), "the file is 4x1, 5x1 is expected."),
]


@pytest.mark.parametrize(("change", "message"), MAP_RULES)
def test_maps_that_are_refused(tmp_path, change, message):
    truth = read_panoptic(tiny(tmp_path, change), tmp_path)
    with pytest.raises(DataError) as caught:
        [truth.read_map(image_id) for image_id in truth.sizes]
    assert message in caught.value.message


def test_predictions_that_are_refused(tmp_path):
    truth = read_panoptic(tiny(tmp_path), tmp_path)
    for change, message in (
        (put(("categories", 0), "name", "glass"), "category 7 is 'glass', in the truth 'cell'."),
        (
            put((), "categories", {}),
            "the document must have 'categories' of type list or NoneType, got dict.",
        ),
        (put(FIRST, "category_id", 1), "category 1 is not among the categories."),
        (put(("annotations", 0), "image_id", 1), "annotation of image 1, which is not one of 2 images."),
    ):
        with pytest.raises(DataError) as caught:
            read_panoptic(tiny(tmp_path, change, "found"), tmp_path, truth=truth)
        assert message in caught.value.message


def test_areas_of_predictions_may_be_left_out_but_not_wrong(tmp_path):
    truth = read_panoptic(tiny(tmp_path), tmp_path)

    def leave_out(document):
        for segment in document["annotations"][0]["segments_info"]:
            del segment["area"]

    found = read_panoptic(tiny(tmp_path, leave_out, "found"), tmp_path, truth=truth)
    assert score(truth, found).values["panoptic.pq"] == 1.0
    wrong = read_panoptic(tiny(tmp_path, put(FIRST, "area", 1), "found"), tmp_path, truth=truth)
    with pytest.raises(DataError, match="has 2 pixels, its area says 1"):
        wrong.read_map(5)
