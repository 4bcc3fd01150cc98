import base64
import io

import numpy as np
import pytest
from PIL import Image

from tasks.data.records import ImageRecord
from tasks.errors import DataError, UnavailableError
from tasks.report.photographs import contact_sheet, crop_photographs, load_photograph


def _record(name: str, height: int, width: int) -> ImageRecord:
    return ImageRecord(image_id=1, file=name, height=height, width=width, sha256="0" * 64)


def test_a_large_image_is_reduced_and_a_bright_one_left_as_it_is(tmp_path) -> None:
    Image.new("RGB", (800, 400), (200, 180, 170)).save(tmp_path / "a.png")
    photograph = load_photograph(tmp_path, _record("a.png", 400, 800))
    assert (photograph.picture.size, photograph.gain) == ((384, 192), 1.0)
    head, _, body = photograph.data_uri().partition(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(body))) as shown:
        assert shown.size == (384, 192)


def test_a_dark_image_is_brightened_and_says_so(tmp_path) -> None:
    pixels = np.full((32, 32, 3), 4, dtype=np.uint8)
    pixels[8:24, 8:24] = 38
    Image.fromarray(pixels).save(tmp_path / "a.png")
    photograph = load_photograph(tmp_path, _record("a.png", 32, 32))
    assert photograph.gain == pytest.approx(5.0)
    assert photograph.picture.getpixel((16, 16)) == (190, 190, 190)


@pytest.mark.parametrize("content", [b"", b"no image"])
def test_what_is_no_image_is_named(tmp_path, content: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.jpg: not an image: "):
        load_photograph(tmp_path, _record("a.jpg", 8, 8))


def test_what_is_missing_is_named(tmp_path) -> None:
    with pytest.raises(UnavailableError, match=r"a\.jpg: is missing\. Run `groundwork data pull`\."):
        load_photograph(tmp_path, _record("a.jpg", 8, 8))


def test_a_sheet_holds_every_pair() -> None:
    pairs = [(str(index), Image.new("RGB", (84, 40), (index, 0, 99))) for index in range(5)]
    sheet = contact_sheet(pairs, columns=3, legend=[("missed", "#ff4d5e")])
    assert sheet.size == (16 + 3 * 100, 44 + 2 * 80)
    assert {(index, 0, 99) for index in range(5)} <= {colour for _, colour in sheet.getcolors(1 << 16)}


def test_parts_of_an_image_are_brightened_alike_and_reduced(tmp_path) -> None:
    pixels = np.full((32, 64, 3), 4, dtype=np.uint8)
    pixels[8:24, 8:24] = 38
    Image.fromarray(pixels).save(tmp_path / "a.png")
    views = [(0, 0, 8, 8), (8, 8, 16, 16), (0, 0, 64, 32)]
    dark, bright, whole = crop_photographs(tmp_path, _record("a.png", 32, 64), views, longest_side=32)
    assert [part.gain for part in (dark, bright, whole)] == pytest.approx([5.0] * 3)
    assert dark.picture.getpixel((4, 4)) == (20, 20, 20)
    assert bright.picture.getpixel((8, 8)) == (190, 190, 190)
    assert [part.picture.size for part in (dark, bright, whole)] == [(8, 8), (16, 16), (32, 16)]


def test_parts_of_an_absent_image(tmp_path) -> None:
    with pytest.raises(UnavailableError, match=r"a\.png: is missing\. Run `groundwork data pull`\."):
        crop_photographs(tmp_path, _record("a.png", 8, 8), [(0, 0, 8, 8)], longest_side=8)
