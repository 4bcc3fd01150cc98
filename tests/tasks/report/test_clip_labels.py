import base64
import json
import re

import numpy as np
import pytest
from PIL import Image

from tasks.data.label_maps import encode_label_map
from tasks.data.semantic_records import SemanticClasses
from tasks.errors import DataError
from tasks.report.clip_labels import SHOWN, ClipTally, class_colours, paint_labels, render_clip_labels

NASTY = '<script>alert("x")</script> & {{ 7 * 7 }}'
CLASSES = SemanticClasses(names=("background", NASTY, "ship"), values=(0, 7, 3), background=(0,))


def encoded(values):
    return base64.b64encode(encode_label_map(values)).decode("ascii")


def line(number, confidence):
    labels = np.zeros((6, 8), np.uint8)
    labels[:2], labels[5] = 7, 255
    return {
        "image": f"{number:02d}.png",
        "sha256": "a" * 64,
        "height": 6,
        "width": 8,
        "confidence": confidence,
        "pixels": [24, 16, 0],
        "unlabelled": 8,
        "label": encoded(labels),
        "sure": encoded(np.full((2, 3), 128, np.uint8)),
    }


def tallied(lines):
    tally = ClipTally(3)
    for part in lines:
        tally.add(part)
    return tally


def info(tally):
    return {
        "code": {"version": "1", "commit": "abc", "dirty": True},
        "weights": {"name": None, "revision": None, "sha256": "b" * 64, "files": {"config.json": "c" * 64}},
        "words": {"background": ["sky", "grass"], NASTY: ["cat"], "ship": ["ship"]},
        "templates": {"count": 85, "sha256": "d" * 64},
        "parameters": {"denoise": 0.5},
        "images_sha256": "e" * 64,
        **tally.counts(CLASSES),
    }


@pytest.fixture
def lines(tmp_path):
    for number in range(20):
        Image.fromarray(np.full((6, 8, 3), 10 * number, np.uint8)).save(tmp_path / f"{number:02d}.png")
    return [line(number, 0.5 + number / 50) for number in range(20)]


def test_counts_are_sums_over_pixels(lines):
    counts = tallied(lines).counts(CLASSES)
    assert counts["counts"] == {
        "images": 20,
        "pixels": 20 * 48,
        "labelled": 20 * 40,
        "share": pytest.approx(40 / 48, abs=1e-6),
        "mean_confidence": pytest.approx(0.5 + 9.5 / 50),
    }
    assert counts["classes"][1] == {"value": 7, "name": NASTY, "labelled": 20 * 16, "images": 20}
    assert counts["classes"][2]["images"] == 0
    json.dumps(counts)


def test_a_page_shows_images_labels_and_confidence(lines, tmp_path):
    tally = tallied(lines)
    page = render_clip_labels(info(tally), tally, classes=CLASSES, images=tmp_path)
    assert page == render_clip_labels(info(tally), tallied(lines[::-1]), classes=CLASSES, images=tmp_path)
    assert page.count("<figure") == 2 * SHOWN
    lowest = page[page.index('id="lowest"') : page.index('id="lineage"')]
    assert re.findall(r'title="(\d+)\.png"', lowest) == [f"{number:02d}" for number in range(SHOWN)]
    for text in ("16.7 %", "1 of 3 classes found nowhere", "sky, grass", "85, sha256 " + "d" * 64):
        assert text in page
    assert "<script>" not in page
    assert "{{ 7 * 7 }}" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    (tmp_path / "00.png").unlink()
    with pytest.raises(DataError, match=r"00\.png: no such file"):
        render_clip_labels(info(tally), tally, classes=CLASSES, images=tmp_path)


def test_surroundings_are_grey_and_what_has_no_label_is_not_painted():
    colours = class_colours(CLASSES)
    assert max(colours[0]) - min(colours[0]) < 30
    assert len({tuple(colours[value]) for value in CLASSES.values}) == 3
    pixels = np.zeros((1, 2, 3), np.uint8)
    pixels[...] = (30, 60, 90)
    painted = paint_labels(pixels, np.array([[7, 255]], np.uint8), colours)
    assert painted[0, 1].tolist() == [60, 60, 60]
    assert painted[0, 0].tolist() == np.rint(0.35 * 60 + 0.65 * colours[7]).tolist()
