"""refs(*).p and grefs(*).json joined with instances; the pickles are made here, as Python 2 wrote them."""

import json
import os
import pickle

import pytest

from evaluation.ref_masks import evaluate_masks
from tasks.data.refcoco import check_types, read_references
from tasks.data.referring import to_box_expression, to_mask_expression
from tasks.data.region_facts import facts_of_expressions
from tasks.data.rle import decode_mask
from tasks.errors import DataError

INSTANCES = {
    "images": [
        {"id": 9, "file_name": "COCO_train2014_000000000009.jpg", "height": 6, "width": 8},
        {"id": 25, "file_name": "COCO_train2014_000000000025.jpg", "height": 6, "width": 8},
    ],
    "annotations": [
        {
            "id": 1,
            "image_id": 9,
            "bbox": [0, 0, 3, 3],
            "segmentation": [[0, 0, 3, 0, 3, 3, 0, 3]],
            "iscrowd": 0,
        },
        {
            "id": 2,
            "image_id": 9,
            "bbox": [2, 2, 3, 3],
            "segmentation": [[2, 2, 5, 2, 5, 5, 2, 5], [1, 1, 2, 2]],
        },
        {"id": 3, "image_id": 25, "bbox": [1, 1, 7.4, 4], "segmentation": [[1, 1, 7, 1, 7, 5]], "iscrowd": 0},
        {
            "id": 4,
            "image_id": 9,
            "bbox": [0, 0, 8, 6],
            "segmentation": {"size": [6, 8], "counts": [0, 48]},
            "iscrowd": 1,
        },
    ],
    "categories": [{"id": 1, "name": "person"}],
}


def reference(**changes):
    values = {
        "ref_id": 47,
        "ann_id": 1,
        "image_id": 9,
        "category_id": 1,
        "split": "testA",
        "file_name": "COCO_train2014_000000000009_1.jpg",
        "sent_ids": [139, 140],
        "sentences": [
            {"sent_id": 139, "sent": "left man", "raw": "Left man", "tokens": ["left", "man"]},
            {"sent_id": 140, "sent": "man in black", "raw": "Man in black", "tokens": ["man", "in", "black"]},
        ],
    }
    return values | changes


OTHER = reference(
    ref_id=48, ann_id=3, image_id=25, split="val", sentences=[{"sent_id": 139, "sent": "caf\xe9 table"}]
)


def files(folder, references, *, instances=INSTANCES, name="refs(unc).p", protocol=2):
    place = folder / "instances.json"
    place.write_text(json.dumps(instances))
    path = folder / name
    content = references if isinstance(references, bytes) else pickle.dumps(references, protocol)
    path.write_bytes(json.dumps(references).encode() if name.endswith(".json") else content)
    return path, place


def fails(folder, references, **keywords):
    with pytest.raises(DataError) as caught:
        read_references(*files(folder, references, **keywords), source="refcoco/unc")
    return caught.value


def test_others_of_the_category_are_counted(tmp_path):
    instances = json.loads(json.dumps(INSTANCES))
    kinds = [(1, 0), (1, 0), (2, 0), (1, 1)]  # of annotations 1 to 4; the last one is a crowd
    for row, (category, crowd) in zip(instances["annotations"], kinds, strict=True):
        row |= {"category_id": category, "iscrowd": crowd}
    instances["annotations"].append(instances["annotations"][0] | {"id": 5, "category_id": 2})

    def read(*references):
        path, place = files(tmp_path, list(references), instances=instances, name="grefs(unc).json")
        return [record.distractors for record in read_references(path, place, source="grefcoco/unc")]

    one, none = reference(ref_id=1, ann_id=[1]), reference(ref_id=2, ann_id=[-1])
    both, mixed = reference(ref_id=3, ann_id=[1, 2]), reference(ref_id=4, ann_id=[1, 5])
    assert read(one, none, both, mixed) == [1, 1, None, None, 0, 0, 1, 1]
    instances["annotations"][0]["category_id"] = [1]
    assert read(one) == [None, None]
    del instances["annotations"][0]["category_id"]
    assert read(one) == [None, None]


@pytest.mark.parametrize("name", ["refs(unc).p", "refs(google).p", "refs(umd).p"])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_one_record_per_sentence(tmp_path, protocol, name):
    path, instances = files(tmp_path, [reference(), OTHER], protocol=protocol, name=name)
    first, second, third = read_references(path, instances, source="refcoco/unc")
    assert [record.expression_id for record in (first, second, third)] == [1, 2, 3]
    assert [record.expression for record in (first, second, third)] == [
        "left man",
        "man in black",
        "caf\xe9 table",
    ]
    assert [record.split for record in (first, second, third)] == ["testA", "testA", "val"]
    assert first.object_key == second.object_key == "47" != third.object_key
    assert first.source == "refcoco/unc"
    assert (first.file, first.height, first.width) == ("COCO_train2014_000000000009.jpg", 6, 8)
    (region,) = first.regions
    assert (region.region_id, region.box_xyxy) == (1, (0.0, 0.0, 3.0, 3.0))
    assert decode_mask(region.mask).sum() == 9
    assert third.regions[0].box_xyxy == (1.0, 1.0, 8.0, 5.0), "a box ends at the border"
    assert to_box_expression(first).box_xyxy == (0.0, 0.0, 3.0, 3.0)


def test_text_of_python_2_is_latin_1(tmp_path):
    """Byte strings, as cPickle of Python 2 wrote them."""
    content = (
        b"\x80\x02]q\x01}q\x02(U\x06ref_idq\x03K/U\x06ann_idK\x01U\x08image_idK\tU\x05splitU\x03val"
        b"U\tsentences]}(U\x07sent_idK\x05U\x04sentU\x04caf\xe9uaua."
    )
    path, instances = files(tmp_path, content)
    (record,) = read_references(path, instances, source="refcoco/unc")
    assert (record.expression, record.object_key, record.split) == ("caf\xe9", "47", "val")


def test_polygons_of_two_points_are_dropped_and_masks_can_stay_unread(tmp_path):
    path, instances = files(tmp_path, [reference(ann_id=2)])
    with_masks, _ = read_references(path, instances, source="refcoco/unc")
    without, _ = read_references(path, instances, source="refcoco/unc", masks=False)
    assert decode_mask(with_masks.regions[0].mask).sum() == 9
    assert without.regions[0].mask is None


def test_grefcoco_has_none_one_or_many(tmp_path):
    """Two 3x3 squares that share a cell: 17 cells; no target: an empty mask; the crowd is left out."""
    rows = [
        reference(ref_id=1, ann_id=[1, 2]),
        reference(ref_id=2, ann_id=[-1]),
        reference(ref_id=3, ann_id=[]),
        reference(ref_id=4, ann_id=[4, 2]),
        reference(ref_id=5, ann_id=-1),
    ]
    path, instances = files(tmp_path, rows, name="grefs(unc).json")
    records = read_references(path, instances, source="grefcoco/unc")
    assert [len(record.regions) for record in records] == [2, 2, 0, 0, 0, 0, 1, 1, 0, 0]
    assert [record.crowds for record in records] == [0, 0, 0, 0, 0, 0, 1, 1, 0, 0]
    assert facts_of_expressions(records) == []  # none is about one region alone
    expressions = [to_mask_expression(record) for record in records]
    answers = {item.expression_id: item.target for item in expressions}
    result = evaluate_masks(expressions, answers)
    (found,) = result.splits
    assert {metric.value for metric in found.metrics} == {1.0}
    assert result.per_expression["target_pixels"].tolist() == [17, 17, 0, 0, 0, 0, 9, 9, 0, 0]
    assert result.per_expression["has_target"].sum() == 4


class Attack:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("function", [os.system, eval, exec])
def test_code_in_a_pickle_does_not_run(tmp_path, function, protocol):
    marker = tmp_path / "ran"
    text = f"touch {marker}" if function is os.system else f"open({str(marker)!r}, 'w')"
    error = fails(tmp_path, [reference(sentences=Attack(function, (text,)))], protocol=protocol)
    assert f".{function.__name__} at byte" in error.message
    assert error.obj == str(tmp_path / "refs(unc).p")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ref_id": "47"}, "a reference must have 'ref_id' of type int, got '47'."),
        ({"split": None}, "a reference must have 'split' of type str, got None."),
        ({"sentences": []}, "a reference must have a sentence."),
        ({"sentences": [5]}, "a sentence must be an object, got int."),
        ({"sentences": [{"sent_id": 1}]}, "a sentence must have 'sent' of type str, got None."),
        ({"sentences": [{"sent_id": 1, "sent": " "}]}, "expression must have 1 to 10000 characters, got 1."),
        ({"sentences": [{"sent_id": 1, "sent": "a"}] * 2}, "sent_id 1 appears a second time."),
        ({"image_id": 10}, "image 10 is not in the instances."),
        ({"ann_id": 77}, "annotation 77 is not in the instances."),
        ({"ann_id": 3}, "annotation 3 lies on image 25, the reference on 9."),
        ({"ann_id": [4]}, "annotations [4] are crowds; no region is left."),
        ({"ann_id": [1, 1]}, "ann_id repeats: [1, 1]."),
        ({"ann_id": [1, -1]}, "annotation -1 is not in the instances."),
        ({"ann_id": [1.0]}, "ann_id must be integers, got ['1.0']."),
        ({"ann_id": None}, "ann_id must be integers, got ['None']."),
    ],
)
def test_a_broken_reference_is_named(tmp_path, changes, message):
    error = fails(tmp_path, [OTHER, reference(**changes)])
    assert error.message == message
    assert error.obj.endswith(("refs(unc).p reference 2", "refs(unc).p ref_id 47"))
    assert error.hint == "Check that both files are of one dataset, or fetch them again."


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"bbox": [0, 0, 0, 3]},
            "annotation 1: bbox must have a positive width and height, got [0, 0, 0, 3].",
        ),
        ({"bbox": "0 0 3 3"}, "annotation 1: bbox must be 4 numbers, got 0 0 3 3."),
        (
            {"bbox": [-500, -500, 5000, 550]},
            "annotation 1: bbox [-500, -500, 5000, 550] lies outside the image of 8x6.",
        ),
        ({"iscrowd": "0"}, "annotation 1: iscrowd must be 0, 1, true or false, got '0'."),
        ({"iscrowd": None}, "annotation 1: iscrowd must be 0, 1, true or false, got 'None'."),
        (
            {"segmentation": [[0, 0, 1, 1]]},
            "annotation 1: a polygon must have an even count of at least 6 numbers",
        ),
        (
            {"segmentation": [[0, 0, 3, 0, 3, 1e9]]},
            "annotation 1: a polygon spans x 0 to 3, y 0 to 1e+09: outside",
        ),
        ({"segmentation": {"size": [6, 8], "counts": "zz"}}, "annotation 1: counts "),
    ],
)
def test_a_broken_annotation_is_named(tmp_path, changes, message):
    first, *rest = INSTANCES["annotations"]
    error = fails(tmp_path, [reference()], instances=INSTANCES | {"annotations": [first | changes, *rest]})
    assert error.message.startswith(message)
    assert error.obj.endswith("refs(unc).p ref_id 47")


@pytest.mark.parametrize(
    ("instances", "message"),
    [
        ({"images": []}, "must have a list 'annotations'."),
        ([], "must have a list 'images'."),
        (INSTANCES | {"images": INSTANCES["images"] * 2}, "id 9 appears twice in 'images': entries 1 and 3."),
        (
            INSTANCES | {"annotations": [{"id": "1"}]},
            "each of 'annotations' must be an object with an integer 'id'.",
        ),
    ],
)
def test_broken_instances_are_named(tmp_path, instances, message):
    error = fails(tmp_path, [reference()], instances=instances)
    assert (error.obj, error.message) == (str(tmp_path / "instances.json"), message)


def test_an_image_without_a_size_is_named(tmp_path):
    first, second = INSTANCES["images"]
    error = fails(
        tmp_path, [reference()], instances=INSTANCES | {"images": [first | {"height": None}, second]}
    )
    assert error.message == "image 9 must have 'height' of type int, got None."


@pytest.mark.parametrize(
    ("references", "name", "message"),
    [
        ([], "refs(unc).p", "must be a list of references, and not empty."),
        ({"a": 1}, "refs(unc).p", "must be a list of references, and not empty."),
        ([reference()], "refs(unc).pkl", "must end in .p or .json."),
        ([5], "refs(unc).p", "a reference must be an object, got int."),
        (
            [{"ref_id": 1, "image_id": 9, "split": "val", "sentences": []}],
            "refs(unc).p",
            "a reference must have 'ann_id'.",
        ),
    ],
)
def test_broken_files_are_named(tmp_path, references, name, message):
    assert fails(tmp_path, references, name=name).message == message


def test_types_are_exact():
    assert check_types({"a": 1, "b": None}, "a row", a=int, b=(int, type(None))) == {"a": 1, "b": None}
    with pytest.raises(ValueError, match=r"^a row must have 'a' of type int, got True\.$"):
        check_types({"a": True}, "a row", a=int)
    with pytest.raises(ValueError, match=r"^a row must have 'a' of type int or str, got list\.$"):
        check_types({"a": [1]}, "a row", a=(int, str))
