"""Files of labels and scores -> mean average precision and F1, worked out by hand."""

import json

import numpy as np
import pytest

from evaluation.tags import evaluate_tags
from tasks.data.tag_labels import read_tags
from tasks.errors import DataError

TRUTH = "image,sky,dog,cat\na.jpg,1,-1,0\nb.jpg,-1,1,1\nc.jpg,1,1,-1\n"
SCORES = "image,cat,dog,sky\nc.jpg,0.1,0.9,-3e-1\na.jpg,0.2,0.8,0.7\nb.jpg,.5,0.3,+0.6\n"


def write(folder, truth=TRUTH, scores=SCORES):
    name = "truth.json" if isinstance(truth, dict) else "truth.csv"
    (folder / name).write_text(json.dumps(truth) if isinstance(truth, dict) else truth)
    (folder / "scores.csv").write_text(scores)
    return folder / name, folder / "scores.csv"


def test_by_hand(tmp_path):
    files = read_tags(*write(tmp_path), unseen=["dog"])
    records = files.records
    assert files.images == ("a.jpg", "b.jpg", "c.jpg")
    assert files.num_seen == 2
    assert records.image_ids.tolist() == [1, 2, 3]
    assert records.label_ids == ("sky", "cat", "dog")
    assert records.annotations_NC.tolist() == [[1, 0, -1], [-1, 1, 1], [1, -1, 1]]
    assert records.scores_NC.tolist() == [[0.7, 0.2, 0.8], [0.6, 0.5, 0.3], [-0.3, 0.1, 0.9]]
    values = evaluate_tags(records, num_seen=2, top=(1,)).values
    # sky ranks a, b, c, of which a and c are right: (1/1 + 2/3) / 2. cat ranks b, c: 1.
    assert values["seen.map"] == pytest.approx(((1 + 2 / 3) / 2 + 1) / 2)
    # dog, on b and c, the images that have it: c, b, both right.
    assert values["zsl.map"] == 1.0


def test_a_document_says_what_the_others_are(tmp_path):
    document = {
        "labels": ["sky", "dog", "cat"],
        "others": -1,
        "images": [
            {"image": "a.jpg", "positive": ["sky"]},
            {"image": "b.jpg", "positive": ["dog", "cat"]},
            {"image": "c.jpg", "positive": ["sky", "dog"], "negative": ["cat"]},
        ],
    }
    rows = read_tags(*write(tmp_path, document)).records.annotations_NC.tolist()
    assert rows == [[1, -1, -1], [-1, 1, 1], [1, 1, -1]]
    unknown = read_tags(*write(tmp_path, document | {"others": 0})).records.annotations_NC.tolist()
    assert unknown == [[1, 0, 0], [0, 1, 1], [1, 1, -1]]


def test_names_with_commas_and_quotes(tmp_path):
    truth = 'image,"bird, big","a ""b"""\n"x,1.jpg",1,-1\n'
    files = read_tags(*write(tmp_path, truth, truth))
    assert files.records.label_ids == ("bird, big", 'a "b"')
    assert files.images == ("x,1.jpg",)
    assert files.records.scores_NC.dtype == np.float64


def fails(folder, truth=TRUTH, scores=SCORES, **options):
    with pytest.raises(DataError) as caught:
        read_tags(*write(folder, truth, scores), **options)
    return f"{caught.value.obj}: {caught.value.message}".removeprefix(str(folder))


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        (
            TRUTH.replace("a.jpg,1", "a.jpg,2"),
            "/truth.csv image 'a.jpg': label 'sky' must be 1, 0 or -1, got 2.",
        ),
        (TRUTH.replace("a.jpg,1", "a.jpg,0.5"), "must be 1, 0 or -1, got 0.5."),
        (TRUTH.replace("b.jpg,", "a.jpg,"), "/truth.csv line 3: image 'a.jpg' is blank or appears a second"),
        (TRUTH.replace("dog", "sky"), "/truth.csv line 1: label 'sky' is blank or appears a second time."),
        (TRUTH.replace("image,", "file,"), "/truth.csv line 1: must be image,<label>,..., got 'file,sky,dog"),
        (TRUTH + "d.jpg,1\n", "/truth.csv line 5: must have 4 cells, got 2."),
        (TRUTH + "\n", "/truth.csv line 5: must have 4 cells, got 0."),
        ("image,sky\n", "/truth.csv: has no image."),
        ("", "/truth.csv line 1: must be image,<label>,..., got ''."),
        ('image,sky\n"a.jpg,1\n', "/truth.csv: is not CSV in UTF-8: unexpected end of data."),
    ],
)
def test_truth_that_is_refused(tmp_path, truth, message):
    assert message in fails(tmp_path, truth)


@pytest.mark.parametrize(
    "cell", ["nan", "inf", "-Infinity", "1e999", "1_0", "", " 7", "0x1", "1e", "--1", "\u0663"]
)
def test_scores_must_be_finite_numbers(tmp_path, cell):
    message = fails(tmp_path, scores=SCORES.replace("0.2", cell))
    assert message.startswith("/scores.csv line 3: must hold finite numbers: ")


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (SCORES.replace("b.jpg", "d.jpg"), "1 images are missing, first: ['b.jpg']."),
        (SCORES + "d.jpg,1,1,1\n", "1 images are unknown, first: ['d.jpg']."),
        (SCORES.replace("cat", "cow"), "1 labels are missing, first: ['cat']."),
    ],
)
def test_images_and_labels_must_be_those_of_the_truth(tmp_path, scores, message):
    assert fails(tmp_path, scores=scores) == f"/scores.csv: {message}"


def test_unseen_labels_that_are_refused(tmp_path):
    message = fails(tmp_path, unseen=["cow"])
    assert message == "/truth.csv: 1 unseen labels are not among its labels, first: ['cow']."
    assert fails(tmp_path, unseen=["dog", "dog"]) == "/truth.csv: an unseen label is named twice."


GOOD = {"labels": ["sky", "dog", "cat"], "others": -1, "images": [{"image": "a.jpg", "positive": ["sky"]}]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"others": 1}, "others must be -1 or 0, got 1."),
        ({"others": None}, "the document must have 'others' of type int, got None."),
        ({"images": []}, "must have images, and labels that are texts."),
        ({"labels": ["sky", 3]}, "must have images, and labels that are texts."),
        ({"labels": ["sky", "sky"]}, "label 'sky' is blank or appears a second time."),
        ({"images": GOOD["images"] * 2}, "image 'a.jpg' is blank or appears a second time."),
        ({"images": [{"image": "a", "positive": ["cow"]}]}, "image 'a': 'cow' is not one of the labels."),
        (
            {"images": [{"image": "a", "positive": ["sky"], "negative": ["sky"]}]},
            "image 'a' lists 'sky' twice.",
        ),
        ({"images": [{"image": "a"}]}, "an image must have 'positive' of type list, got None."),
    ],
)
def test_documents_that_are_refused(tmp_path, change, message):
    assert fails(tmp_path, GOOD | change) == f"/truth.json: {message}"


def test_too_many_cells(tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.data.tag_labels.MAX_CELLS", 8)
    assert fails(tmp_path) == "/truth.csv line 4: more than 8 cells."
    rows = [{"image": str(number), "positive": []} for number in range(3)]
    assert "3 images of 3 labels are more than 8 cells." in fails(tmp_path, GOOD | {"images": rows})


def test_files_that_are_not_there(tmp_path):
    truth, scores = write(tmp_path)
    scores.unlink()
    with pytest.raises(DataError, match=r"scores\.csv: cannot be read: No such file"):
        read_tags(truth, scores)
