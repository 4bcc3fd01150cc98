"""Documents and pictures -> queries -> IoU without the ignored pixels, worked out by hand."""

import json

import numpy as np
import pytest
from PIL import Image

from evaluation.ref_masks import evaluate_masks
from tasks.data.reasonseg import read_reason_masks, read_reasonseg
from tasks.data.rle import decode_mask
from tasks.errors import DataError

SIZE = (10, 12)


def box(label, left, top, right, bottom, **more):
    """A rectangle that covers these pixels, the last ones included."""
    return {"label": label, "points": [[left, top], [right, top], [right, bottom], [left, bottom]], **more}


def write(folder, name="a", *, shapes=(), text=("the thing that tells time",), is_sentence=False, **more):
    folder.mkdir(exist_ok=True)
    document = {"text": list(text), "is_sentence": is_sentence, "shapes": list(shapes), **more}
    (folder / f"{name}.json").write_text(json.dumps(document))
    Image.new("RGB", SIZE[::-1]).save(folder / f"{name}.jpg")
    return folder


def mask_of(rle):
    return decode_mask(rle).astype(int)


def test_ignored_pixels_take_no_part(tmp_path):
    # 4x4 pixels are meant; a column of 4 of them, and 4 outside, are ignored by a smaller shape on top.
    shapes = [box("target", 0, 0, 3, 3), box("Ignore_1", 3, 0, 4, 3), {"label": "flag", "points": []}]
    truth = write(tmp_path / "truth", shapes=shapes)
    write(truth, "b", shapes=[box("target", 0, 0, 1, 0)], is_sentence=True, text=["one", "two"])
    records = read_reasonseg(truth, split="val")
    assert [(item.name, item.is_sentence, item.texts) for item in records] == [
        ("a", False, ("the thing that tells time",)),
        ("b", True, ("one", "two")),
    ]
    assert mask_of(records[0].target).sum() == 12
    assert mask_of(records[0].ignored).sum() == 8
    assert records[1].ignored is None
    found = np.zeros(SIZE, dtype=np.uint8)
    found[0:2, 0:6] = 255  # 6 of the 12 pixels, 4 ignored ones, 2 wrong ones
    (tmp_path / "found").mkdir()
    Image.fromarray(found).save(tmp_path / "found" / "a.png")
    masks = read_reason_masks(tmp_path / "found", records)
    result = evaluate_masks([item.to_expression() for item in records], masks)
    assert result.per_expression["intersection"].tolist() == [6, 0]
    assert result.per_expression["union"].tolist() == [14, 2]
    assert result.per_expression["iou"].tolist() == pytest.approx([6 / 14, 0.0])
    names = [scores.name for scores in result.splits]
    assert names == ["val", "val/long", "val/short"]
    assert result.splits[0].value("ref_mask.ciou") == pytest.approx(6 / 16)
    assert result.splits[0].value("ref_mask.giou") == pytest.approx(3 / 14)


def test_the_smaller_shape_lies_on_top(tmp_path):
    inner, outer = box("target", 2, 2, 3, 3), box("ignore", 0, 0, 5, 5)
    for name, shapes in (("a", [inner, outer]), ("b", [outer, inner])):
        write(tmp_path / "truth", name, shapes=shapes)
    records = read_reasonseg(tmp_path / "truth", split="val")
    assert [mask_of(item.target).sum() for item in records] == [4, 4]
    assert [mask_of(item.ignored).sum() for item in records] == [32, 32]


def test_a_query_without_a_shape_means_nothing(tmp_path):
    records = read_reasonseg(write(tmp_path / "truth"), split="val")
    assert mask_of(records[0].target).sum() == 0
    empty = {1: np.zeros(SIZE, dtype=bool)}
    result = evaluate_masks([records[0].to_expression()], empty)
    assert result.splits[0].value("ref_mask.n_acc") == 1.0


def test_documents_in_windows_1252(tmp_path):
    folder = write(tmp_path / "truth", shapes=[box("target", 0, 0, 1, 1)], text=["the person\x92s hat"])
    text = (folder / "a.json").read_text().replace("\\u0092", "\N{RIGHT SINGLE QUOTATION MARK}")
    (folder / "a.json").write_bytes(text.encode("cp1252"))
    assert read_reasonseg(folder, split="val")[0].texts == ("the person\N{RIGHT SINGLE QUOTATION MARK}s hat",)
    (folder / "a.json").write_bytes(text.encode("cp1252").replace(b"\x92", b"\x81"))
    with pytest.raises(DataError, match="is neither UTF-8 nor Windows-1252"):
        read_reasonseg(folder, split="val")


def fails(folder):
    with pytest.raises(DataError) as caught:
        read_reasonseg(folder, split="val")
    assert caught.value.hint == "Correct the file, or fetch it again."
    return caught.value.message


GOOD = box("target", 0, 0, 2, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": []}, "text must be a list of texts, and not empty."),
        ({"text": [3]}, "text must be a list of texts, and not empty."),
        ({"text": [" "]}, "text must have 1 to 100000 characters, got ' '."),
        ({"is_sentence": 1}, "the document must have 'is_sentence' of type bool, got 1."),
        ({"shapes": [GOOD, []]}, "shape 2: a shape must be an object, got list."),
        (
            {"shapes": [GOOD | {"label": "goal"}]},
            "shape 1: label must be target, ignore or flag, got 'goal'.",
        ),
        ({"shapes": [GOOD | {"shape_type": "circle"}]}, "shape 1: shape_type must be polygon, got 'circle'."),
        ({"shapes": [GOOD | {"points": [[0, 0], [1, 1]]}]}, "must have 3 to 100000 points, got 2."),
        ({"shapes": [GOOD | {"points": [[0, 0], [1, 1], [2]]}]}, "shape 1: a point must be two numbers."),
        (
            {"shapes": [GOOD | {"points": [[0, 0], [1, 1], [2, "3"]]}]},
            "shape 1: a point must be two numbers.",
        ),
        ({"shapes": [GOOD | {"points": [[0, 0], [1, 1], [2, 99]]}]}, "far outside the image of 12x10"),
    ],
)
def test_documents_that_are_refused(tmp_path, changes, message):
    assert message in fails(write(tmp_path / "truth", **{"shapes": [GOOD], **changes}))


def test_numbers_that_json_does_not_have(tmp_path):
    folder = write(tmp_path / "truth", shapes=[GOOD])
    path = folder / "a.json"
    path.write_text(path.read_text().replace("[0, 0]", "[NaN, 0]"))
    assert "NaN is not a JSON number" in fails(folder)


def test_pictures_that_are_refused(tmp_path):
    folder = write(tmp_path / "truth", shapes=[GOOD])
    write(folder, "b", shapes=[GOOD])
    (folder / "b.json").unlink()
    assert fails(folder) == "1 pictures have no document, first: ['b.jpg']."
    (folder / "b.jpg").unlink()
    (folder / "a.jpg").write_bytes(b"no picture")
    assert fails(folder) == "is no JPEG whose size can be read: UnidentifiedImageError."
    (folder / "a.jpg").unlink()
    assert fails(folder) == "is no JPEG whose size can be read: FileNotFoundError."


def test_folders_that_are_refused(tmp_path):
    assert fails(tmp_path / "none") == "is not a directory."
    assert fails(tmp_path) == "holds no .json file."


def test_masks_that_are_refused(tmp_path):
    records = read_reasonseg(write(tmp_path / "truth", shapes=[GOOD]), split="val")
    found = tmp_path / "found"

    def fails_with(name, numbers):
        found.mkdir(exist_ok=True)
        Image.fromarray(numbers).save(found / name)
        with pytest.raises(DataError) as caught:
            read_reason_masks(found, records)
        (found / name).unlink()
        return caught.value.message

    empty = np.zeros(SIZE, dtype=np.uint8)
    assert fails_with("c.png", empty) == "1 files are of no query, first: ['c.png']."
    assert fails_with("a.png", empty[:5]) == "the file is 12x5, 12x10 is expected."
    assert fails_with("a.png", empty + 7) == "must hold 0 outside and 1 or 255 inside, got 7."
    with pytest.raises(DataError, match="is not a directory"):
        read_reason_masks(tmp_path / "none", records)
    assert read_reason_masks(found, records) == {1: None}
