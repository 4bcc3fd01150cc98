"""Whatever becomes of a document, a reader reads it or says what is wrong; no other error leaves it."""

import copy
import json
import random

import pytest

from tasks.data.panoptic_png import read_panoptic
from tasks.data.pope import read_pope
from tasks.data.reasonseg import read_reasonseg
from tasks.data.semantic_png import read_classes
from tasks.data.tag_labels import read_tags
from tasks.data.vqa import read_vqa
from tasks.errors import DataError
from tests.tasks.data import test_panoptic_png as panoptic
from tests.tasks.data import test_reasonseg as reasonseg
from tests.tasks.data import test_vqa as vqa
from tests.tasks.data.test_pope import question
from tests.tasks.data.test_tag_labels import GOOD

ODD = (
    *(None, True, False, 0, -1, 1, 2**62, -(2**62), 1.5, -0.0, 1e300, "", "x", "\x00"),
    *("\N{GREEK SMALL LETTER MU}" * 9, [], {}, [[]], {"a": 1}, [None], ["x"], [1, 2]),
)  # fmt: skip
CLASSES = {"categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]}


def places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def mutate(document, choose):
    """Replace, remove or double one part of a document, anywhere."""
    document = copy.deepcopy(document)
    path = choose.choice(list(places(document)))
    odd = copy.deepcopy(choose.choice(ODD))
    if not path:
        return odd
    parent = document
    for step in path[:-1]:
        parent = parent[step]
    kind = choose.random()
    if kind < 0.2:
        del parent[path[-1]]
    elif kind < 0.3 and isinstance(parent, list):
        parent.append(copy.deepcopy(parent[path[-1]]))
    else:
        parent[path[-1]] = odd
    return document


def read_mutated_panoptic(folder, choose):
    path = panoptic.tiny(folder, name="first")
    truth = read_panoptic(path, folder)
    path.write_text(json.dumps(mutate(panoptic.TINY, choose)))
    files = read_panoptic(path, folder, truth=truth if choose.random() < 0.5 else None)
    return [files.read_map(image_id) for image_id in files.sizes]


def read_mutated_vqa(folder, choose):
    vqa.write(folder)
    name, document = choose.choice([("questions", vqa.QUESTIONS), ("annotations", vqa.ANNOTATIONS)])
    (folder / f"{name}.json").write_text(json.dumps(mutate(document, choose)))
    return read_vqa(folder / "questions.json", folder / "annotations.json")


def read_mutated_tags(folder, choose):
    (folder / "truth.json").write_text(json.dumps(mutate(GOOD, choose)))
    (folder / "scores.csv").write_text("image,sky,dog,cat\na.jpg,1,2,3\n")
    return read_tags(folder / "truth.json", folder / "scores.csv")


def read_mutated_reasonseg(folder, choose):
    shapes = [reasonseg.box("target", 0, 0, 3, 3), reasonseg.box("ignore", 3, 0, 4, 3, shape_type="polygon")]
    path = reasonseg.write(folder / "queries", shapes=shapes) / "a.json"
    path.write_text(json.dumps(mutate(json.loads(path.read_text()), choose)))
    return read_reasonseg(folder / "queries", split="val")


def read_mutated_pope(folder, choose):
    path = folder / "pope_random.json"
    path.write_text(json.dumps(mutate(question(1, "yes"), choose)))
    return read_pope(path)


def read_mutated_classes(folder, choose):
    path = folder / "classes.json"
    path.write_text(json.dumps(mutate(CLASSES, choose)))
    return read_classes(path)


READERS = (
    read_mutated_panoptic,
    read_mutated_vqa,
    read_mutated_tags,
    read_mutated_reasonseg,
    read_mutated_pope,
    read_mutated_classes,
)


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_a_mutated_document_is_read_or_refused(tmp_path, read):
    choose, refused = random.Random(2), 0
    for _ in range(150):
        try:
            read(tmp_path, choose)
        except DataError as error:
            refused += bool(error.obj and error.hint)
    assert 0 < refused < 150
