"""The frames hold what the files say; what a column cannot hold is missing, not guessed."""

import pandas as pd
import pytest

from tasks.data.coco import CocoSplit, read_split
from tasks.data.tables import annotation_tables
from tests.tiny.shapes import write_shapes_world


def test_shapes_world(tmp_path):
    folder = write_shapes_world(tmp_path, num_train=3, num_val=2)
    splits = [read_split(folder, name) for name in ("train", "val")]
    frames = annotation_tables(splits)
    assert {name: len(frame) for name, frame in frames.items()} == {
        "images": 5,
        "annotations": sum(len(split.annotations) for split in splits),
        "categories": 6,
    }
    assert frames["images"]["file"].tolist()[3:] == ["val/val_000.jpg", "val/val_001.jpg"]
    assert frames["images"]["regions"].sum() == len(frames["annotations"])
    assert frames["categories"]["label"].tolist()[0] == "train/circle"
    row, first = frames["annotations"].iloc[0], splits[0].annotations[0]
    assert [row["left"], row["top"], row["width"], row["height"]] == first["bbox"]
    assert row["share_of_image"] == pytest.approx(first["bbox"][2] * first["bbox"][3] / 64**2)
    assert not any(frame.isna().any(axis=None) for frame in frames.values())


def test_junk_is_missing():
    split = CocoSplit(
        name="train",
        file="x.json",
        images=({"id": [1], "file_name": 7, "width": "9", "height": None},),
        annotations=({"id": True, "bbox": [1, 2], "iscrowd": "0"}, {"bbox": ["1", 2, 3, 4], "image_id": [1]}),
        categories=({"name": None}, {}),
    )
    frames = annotation_tables([split])
    assert frames["images"][["image_id", "file", "width", "height"]].isna().all(axis=None)
    assert frames["annotations"]["left"].isna().all()
    assert frames["annotations"]["share_of_image"].isna().all()
    assert frames["annotations"]["top"].tolist()[1] == 2
    assert frames["categories"]["label"].isna().all()


def test_empty_tables_keep_their_columns():
    frames = annotation_tables([])
    assert all(isinstance(frame, pd.DataFrame) and len(frame) == 0 for frame in frames.values())
    assert "share_of_image" in frames["annotations"].columns
