import io

import numpy as np
import pytest
from PIL import Image

from tasks.data.label_maps import PADDING, UNLABELLED
from tasks.report.weak_sheet import Tile, contact_sheet, paint_marks

GREY = np.full((40, 60, 3), 100, dtype=np.uint8)


def labels_with(value, where=(slice(10, 13), slice(20, 23))):
    labels = np.full((40, 60), UNLABELLED, dtype=np.uint8)
    labels[where] = value
    return labels


def test_marks_are_coloured_and_the_image_shows_through():
    picture = paint_marks(GREY, labels_with(3))
    marked = (np.ptp(picture.astype(int), axis=2) > 30).nonzero()
    assert (marked[0].min(), marked[0].max(), marked[1].min(), marked[1].max()) == (8, 14, 18, 24)
    assert (picture[0, 0] == 255 - round(0.55 * 155)).all()
    other = paint_marks(GREY, labels_with(4))
    assert (picture[11, 21] != other[11, 21]).any()
    assert np.array_equal(picture, paint_marks(GREY, labels_with(3)))


def test_no_colour_hides_another_mark_or_stands_for_padding():
    labels = labels_with(0)
    labels[10:13, 23:26] = 253
    picture = paint_marks(GREY, labels)
    assert (picture[11, 22] != picture[11, 23]).any()
    assert np.ptp(paint_marks(GREY, labels_with(PADDING)).astype(int)) == 0


def test_sheets():
    tiles = [Tile(pixels=GREY, labels=labels_with(n), caption=f"image {n}") for n in range(4)]
    sheet = contact_sheet(tiles, columns=3)
    with Image.open(io.BytesIO(sheet)) as image:
        assert image.format == "JPEG"
        assert image.width == 3 * 308 + 8
        assert image.height == 2 * (40 + 18 + 8) + 8
    assert sheet == contact_sheet(tiles, columns=3)
    with Image.open(io.BytesIO(contact_sheet(tiles[:1]))) as image:
        assert image.width == 308 + 8
    wide = Tile(pixels=np.tile(GREY, (1, 20, 1)), labels=np.tile(labels_with(1), (1, 20)), caption="")
    with Image.open(io.BytesIO(contact_sheet([wide]))) as image:
        assert image.height == 18 + 10 + 16


def test_refusals():
    with pytest.raises(ValueError, match=r"the image has shape \(40, 60\), its labels have \(3, 3\)"):
        paint_marks(GREY, np.zeros((3, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match="a sheet needs a tile and a column, got 0 tiles and 3 columns"):
        contact_sheet([])
    with pytest.raises(ValueError, match="got 1 tiles and 0 columns"):
        contact_sheet([Tile(pixels=GREY, labels=labels_with(0), caption="")], columns=0)


def test_an_image_shines_through_labels_that_cover_it():
    half = np.where(np.arange(60) < 30, 0, 200).astype(np.uint8)
    image = np.repeat(np.tile(half, (40, 1))[:, :, None], 3, axis=2)
    full = np.full((40, 60), 3, dtype=np.uint8)
    picture = paint_marks(image, full).astype(int)
    assert np.abs(picture[0, 0] - picture[0, 59]).min() >= 50
    mark = paint_marks(image, labels_with(3, (slice(0, 40), slice(20, 50)))).astype(int)
    assert (mark[5, 25] == mark[5, 45]).all()
    assert (np.abs(2 * picture[0, 0] - mark[5, 25] - (255 - round(0.55 * 255))) <= 2).all()
