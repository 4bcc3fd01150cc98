import json

from tasks.data.fiftyone_fields import FORMAT_VERSION, dataset_metadata

# Names and types that fiftyone 1.0.2 writes for a data set of images.
THEIRS = {
    "id": "fiftyone.core.fields.ObjectIdField",
    "filepath": "fiftyone.core.fields.StringField",
    "tags": "fiftyone.core.fields.ListField",
    "metadata": "fiftyone.core.fields.EmbeddedDocumentField",
    "created_at": "fiftyone.core.fields.DateTimeField",
    "last_modified_at": "fiftyone.core.fields.DateTimeField",
    "_media_type": "fiftyone.core.fields.StringField",
    "_rand": "fiftyone.core.fields.FloatField",
    "_dataset_id": "fiftyone.core.fields.ObjectIdField",
}
KEYS = {
    "name", "ftype", "embedded_doc_type", "subfield", "fields", "db_field", "description", "info",
    "read_only", "created_at",
}  # fmt: skip


def test_fields_are_those_of_the_format():
    metadata = dataset_metadata("segmenter-val", {"split": "val"}, ("cell", "glass"))
    fields = {field["name"]: field for field in metadata["sample_fields"]}
    for name, kind in THEIRS.items():
        assert fields[name]["ftype"] == kind, name
    assert all(set(field) == KEYS for field in fields.values())
    assert fields["id"]["db_field"] == "_id"
    assert fields["predictions"]["embedded_doc_type"] == "fiftyone.core.labels.Detections"
    labels = fields["predictions"]["fields"][0]
    assert labels["embedded_doc_type"] == "fiftyone.core.labels.Detection"
    assert {"id", "label", "bounding_box", "mask", "confidence", "eval", "eval_iou"} <= {
        field["name"] for field in labels["fields"]
    }
    assert metadata["version"] == FORMAT_VERSION == "1.0.0"
    assert metadata["classes"]["predictions"] == ["cell", "glass"]
    assert metadata["info"] == {"split": "val"}
    assert len(metadata["_id"]["$oid"]) == 24


def test_no_clock_and_no_place():
    first, second = (dataset_metadata("segmenter-val", {}, ("cell",)) for _ in range(2))
    assert json.dumps(first) == json.dumps(second)
    assert "/" not in json.dumps(first)
