import base64
import io
import struct
import sys
import zlib
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from models.segmentation.config import PredictionConfig, SegmenterConfig
from models.segmentation.hub import new_segmenter
from tasks.data.commit import commit_directory
from tasks.serving.pyfunc import ServedSegmenter, decode_image


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A committed tiny segmenter with random weights that finds regions everywhere."""
    network = SegmenterConfig(
        num_categories=2,
        image_scale=1.0,
        width=32,
        num_convolutions=1,
        mask_channels=4,
        window_size=8,
        window_margin=0.1,
    )
    prediction = PredictionConfig(
        score_threshold=0.0, suppression_iou=0.5, detections_per_image=5, mask_threshold=0.3
    )
    torch.manual_seed(0)
    segmenter = new_segmenter(["nucleus", "debris"], network, prediction)
    target = tmp_path_factory.mktemp("served") / "segmenter"
    commit_directory(target, segmenter.save_pretrained, schema="groundwork.segmenter/1")
    return target


@pytest.fixture(scope="module")
def served(folder):
    served = ServedSegmenter()
    served.load_context(SimpleNamespace(artifacts={"model": str(folder)}))
    return served


def picture(height=48, width=64, seed=0):
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def encoded(image, form="PNG"):
    stream = io.BytesIO()
    image.save(stream, format=form)
    return base64.b64encode(stream.getvalue()).decode()


def table(*texts):
    return pd.DataFrame({"image_base64": list(texts)})


def test_every_region_is_a_row_with_its_mask(served):
    images = [picture(48, 64), picture(40, 33, seed=1)]
    rows = served.predict(None, table(*map(encoded, images)))
    assert set(rows["image"]) == {0, 1}
    for number, image in enumerate(images):
        (expected,) = served._model.predict([np.array(image)])
        mine = rows[rows["image"] == number]
        np.testing.assert_array_equal(mine[["left", "top", "right", "bottom"]], expected.boxes_xyxy)
        np.testing.assert_array_equal(mine["score"], expected.scores)
        names = [("nucleus", "debris")[index] for index in expected.categories]
        assert list(mine["category"]) == names
        for mask, (_, row) in zip(expected.masks, mine.iterrows(), strict=True):
            size = [row["mask_height"], row["mask_width"]]
            assert size == [image.height, image.width]
            np.testing.assert_array_equal(
                coco_mask.decode({"size": size, "counts": row["mask_counts"]}), mask
            )


def test_an_empty_table_gives_an_empty_table_with_the_same_columns(served):
    rows = served.predict(None, table())
    assert len(rows) == 0
    assert list(rows.columns) == list(served.predict(None, table(encoded(picture()))).columns)
    assert rows.dtypes["image"] == "int64"


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK"])
def test_pictures_of_other_kinds_become_rgb(mode):
    form = "JPEG" if mode == "CMYK" else "PNG"
    assert decode_image(encoded(picture().convert(mode), form), 0).mode == "RGB"


def _claims(width, height):
    """Return a PNG of a few bytes that claims a size."""

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return base64.b64encode(content).decode()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "row 7: image_base64 must be text"),
        (3.0, "row 7: image_base64 must be text"),
        ("not base64!", "row 7: not a whole PNG or JPEG in base64"),
        ("", "row 7: not a whole PNG or JPEG in base64"),
        (base64.b64encode(b"<html>").decode(), "row 7: not a whole PNG or JPEG in base64"),
        (encoded(picture(), "GIF"), "row 7: not a whole PNG or JPEG in base64"),
        (encoded(picture(), "JPEG")[:1000], "row 7: not a whole PNG or JPEG in base64"),
        (_claims(9000, 9000), "row 7: image has 9000x9000 pixels, more than allowed"),
        (_claims(60000, 60000), "row 7: not a whole PNG or JPEG in base64"),
    ],
)
def test_what_is_no_picture_is_refused_with_its_row(text, message):
    with pytest.raises(ValueError, match=message):
        decode_image(text, 7)


def test_a_table_without_the_column_is_refused(served):
    with pytest.raises(ValueError, match=r"model_input must have a column image_base64, got \['image'\]\."):
        served.predict(None, pd.DataFrame({"image": ["x"]}))


def test_a_recorded_model_answers_through_mlflow_like_the_model_itself(served, folder, tmp_path, monkeypatch):
    import mlflow

    from tasks.services.runs import FinishedRun, record_run
    from tasks.services.settings import Settings
    from tasks.services.tracking import connect

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))  # loading puts the code of the model before ours
    tracker = connect(Settings.load(tmp_path))
    record_run(tracker, FinishedRun(run_key="served", name="served", model=folder))
    (logged,) = tracker.client.search_logged_models([tracker.experiment_id])
    loaded = mlflow.pyfunc.load_model(logged.artifact_location)
    given = table(encoded(picture()))
    pd.testing.assert_frame_equal(loaded.predict(given), served.predict(None, given))
    example = loaded.input_example
    assert list(example.columns) == ["image_base64"]
    loaded.predict(example)
