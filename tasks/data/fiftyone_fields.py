"""``metadata.json`` of a data set for FiftyOne: the name and type of every field that its samples have."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

FORMAT_VERSION: Final = "1.0.0"
"""Release of FiftyOne whose form this is: later ones read it and bring it up to date."""

_FIELDS: Final = "fiftyone.core.fields"
_CREATED: Final = {"$date": "1970-01-01T00:00:00Z"}
"""The form wants a date; a clock would make equal exports differ. Importing sets a new one."""

_Json = dict[str, Any]


def dataset_metadata(name: str, info: Mapping[str, Any], categories: Sequence[str]) -> _Json:
    """Describe the data set.

    Args:
        name: Of the data set, unless the importer gives another one.
        info: Where everything comes from; JSON values.
        categories: Every class that a label may have.
    """
    labels = ("ground_truth", "ground_truth_boxes", "predictions", "predicted_boxes")
    return {
        "_id": {"$oid": hashlib.sha256(name.encode()).hexdigest()[:24]},
        "name": name,
        "slug": name,
        "version": FORMAT_VERSION,
        "created_at": _CREATED,
        "last_modified_at": _CREATED,
        "last_loaded_at": _CREATED,
        "sample_collection_name": f"samples.{name}",
        "persistent": False,
        "media_type": "image",
        "group_media_types": {},
        "tags": [],
        "info": dict(info),
        "app_config": {
            "grid_media_field": "filepath",
            "media_fallback": False,
            "media_fields": ["filepath"],
            "modal_media_field": "filepath",
            "plugins": {},
        },
        "classes": {field: list(categories) for field in labels},
        "default_classes": list(categories),
        "mask_targets": {},
        "default_mask_targets": {},
        "skeletons": {},
        "sample_fields": _sample_fields(),
        "frame_fields": [],
        "saved_views": [],
        "workspaces": [],
        "annotation_runs": {},
        "brain_methods": {},
        "evaluations": {},
        "runs": {},
    }


def _sample_fields() -> list[_Json]:
    regions = [_field("region_id", "Int"), _field("iscrowd", "Boolean"), _field("eval", "String")]
    detections = [_field("eval", "String"), _field("eval_region_id", "Int"), _field("eval_iou", "Float")]
    return [
        _field("id", "ObjectId", db_field="_id"),
        _field("filepath", "String"),
        _field("tags", "List", subfield=f"{_FIELDS}.StringField"),
        _field(
            "metadata",
            "EmbeddedDocument",
            document="fiftyone.core.metadata.ImageMetadata",
            fields=[
                _field("size_bytes", "Int"),
                _field("mime_type", "String"),
                _field("width", "Int"),
                _field("height", "Int"),
                _field("num_channels", "Int"),
            ],
        ),
        _field("created_at", "DateTime", read_only=True),
        _field("last_modified_at", "DateTime", read_only=True),
        _field("_media_type", "String"),
        _field("_rand", "Float"),
        _field("_dataset_id", "ObjectId"),
        _field("image_id", "Int"),
        *(_field(f"{kind}_{name}", "Int") for kind in ("box", "mask") for name in ("tp", "fp", "fn")),
        *(_field(f"{kind}_f1", "Float") for kind in ("box", "mask")),
        _detections("ground_truth", regions),
        _detections("ground_truth_boxes", regions),
        _detections("predictions", detections),
        _detections("predicted_boxes", detections),
    ]


def _detections(name: str, extra: list[_Json]) -> _Json:
    labels = _field(
        "detections",
        "List",
        document="fiftyone.core.labels.Detection",
        subfield=f"{_FIELDS}.EmbeddedDocumentField",
        fields=[
            _field("id", "ObjectId", db_field="_id"),
            _field("tags", "List", subfield=f"{_FIELDS}.StringField"),
            _field(
                "attributes",
                "Dict",
                document="fiftyone.core.labels.Attribute",
                subfield=f"{_FIELDS}.EmbeddedDocumentField",
            ),
            _field("label", "String"),
            _field("bounding_box", "List", subfield=f"{_FIELDS}.FloatField"),
            _field("mask", "Array"),
            _field("mask_path", "String"),
            _field("confidence", "Float"),
            _field("index", "Int"),
            *extra,
        ],
    )
    return _field(name, "EmbeddedDocument", document="fiftyone.core.labels.Detections", fields=[labels])


def _field(
    name: str,
    kind: str,
    *,
    document: str | None = None,
    subfield: str | None = None,
    fields: Sequence[_Json] = (),
    db_field: str | None = None,
    read_only: bool = False,
) -> _Json:
    return {
        "name": name,
        "ftype": f"{_FIELDS}.{kind}Field",
        "embedded_doc_type": document,
        "subfield": subfield,
        "fields": list(fields),
        "db_field": db_field or name,
        "description": None,
        "info": None,
        "read_only": read_only,
        "created_at": _CREATED,
    }
