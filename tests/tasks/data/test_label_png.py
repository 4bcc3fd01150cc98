"""Labels must come out as they were written, whatever the kind of PNG; everything else is refused."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tasks.data.images import MAX_PIXELS
from tasks.data.label_png import read_label_png
from tasks.errors import DataError


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(path, width, height, depth, colour, rows, palette=b""):
    """Write a PNG by hand: Pillow does not write every depth."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", head)] + ([chunk(b"PLTE", palette)] if palette else [])
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return path


def fails(path, kind="index", **size):
    with pytest.raises(DataError) as caught:
        read_label_png(path, kind, **size)
    assert caught.value.hint == "Correct the file, or make it again."
    assert caught.value.obj == str(path)
    return caught.value.message


def test_grey_of_8_and_16_bits(tmp_path):
    numbers = np.array([[0, 1, 255], [7, 200, 254]], dtype=np.uint8)
    Image.fromarray(numbers).save(tmp_path / "a.png")
    read = read_label_png(tmp_path / "a.png", "index", height=2, width=3)
    assert read.tolist() == numbers.tolist()
    assert read.dtype == np.int32
    wide = np.array([[0, 256, 65535]], dtype=np.uint16)
    Image.fromarray(wide).save(tmp_path / "b.png")
    assert read_label_png(tmp_path / "b.png", "index").tolist() == wide.tolist()


@pytest.mark.parametrize(
    ("depth", "row", "expected"),
    [(1, b"\xa0", [1, 0, 1]), (2, b"\xe4", [3, 2, 1, 0]), (4, b"\xf1", [15, 1]), (8, b"\x05\x09", [5, 9])],
)
def test_a_palette_gives_its_indices(tmp_path, depth, row, expected):
    palette = bytes(range(48)) * 16
    path = png(tmp_path / "a.png", len(expected), 1, depth, 3, [row], palette[: 3 * 2**depth])
    assert read_label_png(path, "index").tolist() == [expected]


def test_colour(tmp_path):
    colours = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    Image.fromarray(colours).save(tmp_path / "a.png")
    assert read_label_png(tmp_path / "a.png", "colour").tolist() == colours.tolist()
    message = fails(tmp_path / "a.png")
    assert message.startswith("holds colour of 8 bits, labels need grey of 8 or 16 bits, or a palette: ")


def test_what_pillow_would_convert_is_refused(tmp_path):
    # Pillow reads 4 bits of grey as 0, 17, 34, ..., and drops the lower byte of 16-bit colour.
    grey = png(tmp_path / "a.png", 2, 1, 4, 0, [b"\x12"])
    assert "holds grey of 4 bits" in fails(grey)
    deep = png(tmp_path / "b.png", 1, 1, 16, 2, [bytes(6)])
    assert "holds colour of 16 bits, labels need colour of 8 bits" in fails(deep, "colour")
    Image.fromarray(np.zeros((1, 1, 4), dtype=np.uint8)).save(tmp_path / "c.png")
    assert "holds colour and alpha of 8 bits" in fails(tmp_path / "c.png", "colour")


def test_files_that_are_no_label_map(tmp_path):
    assert fails(tmp_path / "none.png") == "cannot be read: No such file or directory."
    assert fails(tmp_path).startswith("cannot be read:")
    (tmp_path / "a.png").write_bytes(b"GIF89a" + bytes(60))
    assert fails(tmp_path / "a.png") == "is not a PNG file."
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)).save(
        tmp_path / "b.png"
    )
    content = (tmp_path / "b.png").read_bytes()
    (tmp_path / "b.png").write_bytes(content[: len(content) // 2])
    assert fails(tmp_path / "b.png").startswith("does not decode whole:")
    assert fails(tmp_path / "b.png", height=64, width=63) == "the file is 64x64, 63x64 is expected."


def test_size_is_judged_before_decoding(tmp_path):
    path = png(tmp_path / "a.png", 100_000, 100_000, 8, 0, [b"\0"])
    assert fails(path) == f"100000x100000 is not from 1 to {MAX_PIXELS} pixels: refused before decoding."


def test_an_animation_is_refused(tmp_path):
    frames = [Image.fromarray(np.full((4, 4), number, dtype=np.uint8)) for number in (0, 1)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    assert fails(tmp_path / "a.png") == "holds more than one picture."
