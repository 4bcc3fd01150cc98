"""Phrases and boxes of Visual Genome, joined with the sizes of their images."""

import json

import pytest

from tasks.data.visual_genome import read_visual_genome
from tasks.errors import DataError

IMAGE = {
    "image_id": 4,
    "width": 80,
    "height": 60,
    "url": "https://cs.stanford.edu/people/rak248/VG_100K_2/4.jpg",
}
REGION = {
    "region_id": 11,
    "image_id": 4,
    "phrase": " the <image> clock ",
    "x": 1,
    "y": 2,
    "width": 30,
    "height": 20,
}


def written(folder, *regions, images=(IMAGE,), entries=None):
    descriptions, data = folder / "region_descriptions.json", folder / "image_data.json"
    descriptions.write_text(json.dumps([{"id": 4, "regions": list(regions)}] if entries is None else entries))
    data.write_text(json.dumps(list(images)))
    return descriptions, data


def test_phrases_and_boxes(tmp_path):
    (facts,) = read_visual_genome(*written(tmp_path, REGION), dataset="mine", split="train")
    assert (facts.dataset, facts.split, facts.image_id) == ("mine", "train", "4")
    assert (facts.file, facts.size) == ("VG_100K_2/4.jpg", (60, 80))
    assert facts.regions[0].texts == ("the <image> clock",)
    assert facts.regions[0].region.box_xyxy == (1.0, 2.0, 31.0, 22.0)
    assert facts.regions[0].region.mask is None


def test_boxes_are_cut_only_if_asked(tmp_path):
    files = written(tmp_path, REGION | {"x": -20, "width": 200})
    with pytest.raises(
        DataError, match=r"region 11: bbox \[-20, 2, 200, 20\] lies outside the image of 80x60"
    ):
        read_visual_genome(*files, dataset="vg")
    assert read_visual_genome(*files, dataset="vg", cut=True)[0].regions[0].region.box_xyxy == (
        0.0,
        2.0,
        80.0,
        22.0,
    )
    with pytest.raises(DataError, match="region 11: bbox must have a positive width and height"):
        read_visual_genome(*written(tmp_path, REGION | {"x": 90}), dataset="vg", cut=True)


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ({"phrase": " "}, "region 11: a text about a region is blank"),
        ({"phrase": 3}, "region 11: a region must have 'phrase' of type str"),
        ({"image_id": 5}, "region 11: is of image 5"),
        ({"width": 0}, "region 11: bbox must have a positive width and height"),
        ({"x": None}, "region 11: a region must have 'x' of type int or float"),
    ],
)
def test_bad_regions_are_named(tmp_path, region, message):
    files = written(tmp_path, REGION | region)
    with pytest.raises(DataError, match=message) as caught:
        read_visual_genome(*files, dataset="vg")
    assert caught.value.obj == f"{files[0]} image 4"


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"entries": []}, "must be a list of objects, and not empty"),
        ({"entries": {"a": 1}}, "must be a list of objects"),
        ({"entries": [{"id": "4", "regions": []}]}, "an entry must have 'id' of type int"),
        (
            {"entries": [{"id": 4, "regions": []}] * 2},
            "image 4: appears a second time, in entries 1 and 2",
        ),
        (
            {"entries": [{"id": 4, "regions": [REGION, REGION]}]},
            "region 11: its id appears a second time, in images 4 and 4",
        ),
        (
            {
                "entries": [
                    {"id": 4, "regions": [REGION]},
                    {"id": 6, "regions": [REGION | {"image_id": 6}]},
                ],
                "images": [IMAGE, IMAGE | {"image_id": 6}],
            },
            "region 11: its id appears a second time, in images 4 and 6",
        ),
        (
            {"entries": [{"id": 4, "regions": [REGION | {"region_id": "11"}]}]},
            "a region must have 'region_id' of type int, got '11'",
        ),
        ({"entries": [{"id": 5, "regions": []}]}, "is not in image_data.json"),
        ({"entries": [{"id": 4, "regions": ["x"]}]}, "region 1: a region must be an object, got str"),
        ({"images": [IMAGE, IMAGE]}, "entry 2: image 4 appears a second time, first in entry 1"),
        ({"images": [IMAGE | {"width": 0}]}, "image size must be positive, got 0x60"),
        ({"images": [IMAGE | {"url": "4.jpg"}]}, "url must end in <folder>/<file>, got '4.jpg'"),
        ({"images": [IMAGE | {"url": "https://a/../b/"}]}, "url must end in"),
        ({"images": [{"image_id": 4}]}, "an image must have 'width' of type int"),
    ],
)
def test_bad_files_are_named(tmp_path, keywords, message):
    with pytest.raises(DataError, match=message):
        read_visual_genome(*written(tmp_path, **keywords), dataset="vg")
