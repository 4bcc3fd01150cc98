import io
import json

from tasks.data.box_table import BoxTable, index_boxes
from tasks.data.pseudo_document import write_document

GIVEN = {
    "categories": [{"id": 1, "name": "<i>x</i>"}],
    "own": {"key": [1.5, "ä"]},
    "images": [
        {"id": 2, "file_name": "b.jpg", "width": 9, "height": 9},
        {"id": 1, "file_name": "a.jpg", "width": 9, "height": 9, "more": None},
    ],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}],
}


def written(tmp_path, given, lines, info):
    (tmp_path / "boxes.json").write_text(json.dumps(given))
    index_boxes(tmp_path / "boxes.json", tmp_path / "boxes.db")
    stream = io.StringIO()
    write_document(stream, BoxTable(tmp_path / "boxes.db"), lines, info)
    return stream.getvalue()


def test_every_key_comes_back_with_the_rows_of_the_parts(tmp_path):
    lines = [{"annotations": []}, {"annotations": [{"id": 1, "score": 0.5}, {"id": 2}]}]
    text = written(tmp_path, GIVEN, lines, {"schema": "x"})
    assert json.loads(text) == GIVEN | {
        "info": {"groundwork": {"schema": "x"}},
        "annotations": [{"id": 1, "score": 0.5}, {"id": 2}],
    }
    assert text.count("\n") == 15  # one row a line


def test_what_info_said_stays(tmp_path):
    document = json.loads(written(tmp_path, GIVEN | {"info": {"year": 1}}, [{"annotations": []}], {}))
    assert document["info"] == {"year": 1, "groundwork": {}}
