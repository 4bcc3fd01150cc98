"""A label map comes back byte for byte, or not at all."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tasks.data import label_maps
from tasks.data.label_maps import (
    IGNORED,
    PADDED,
    PADDING,
    UNLABELLED,
    encode_label_map,
    read_label_map,
    target_table,
)
from tasks.errors import DataError

LABELS = np.array([[0, 1, 253], [UNLABELLED, PADDING, 1]], dtype=np.uint8)


def write(folder, content, name="a.png"):
    (folder / name).write_bytes(content)
    return folder / name


def saved(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def fails(path, **keywords):
    with pytest.raises(DataError) as caught:
        read_label_map(path, **{"values": [0, 1, 253], **keywords})
    assert caught.value.obj == str(path)
    assert caught.value.hint == "Write one byte per pixel: the class, 255 for unlabelled, 254 for padding."
    return caught.value.message


def test_round_trip(tmp_path):
    path = write(tmp_path, encode_label_map(LABELS))
    found = read_label_map(path, values=[0, 1, 253], height=2, width=3)
    assert found.dtype == np.uint8
    assert found.tolist() == LABELS.tolist()
    assert encode_label_map(LABELS) == encode_label_map(LABELS.copy())


@pytest.mark.parametrize("colours", [4, 256])
def test_a_palette_colours_the_map_and_changes_no_label(tmp_path, colours):
    """A palette of four colours is stored with two bits a pixel."""
    labels = np.array([[0, 1], [2, 3]], dtype=np.uint8)
    image = Image.fromarray(labels)
    image.putpalette([number % 256 for number in range(7, 7 + 3 * colours)])
    path = write(tmp_path, saved(image))
    assert read_label_map(path, values=range(4)).tolist() == labels.tolist()


def test_values_that_are_no_class(tmp_path):
    path = write(tmp_path, encode_label_map(LABELS))
    assert fails(path, values=[0, 253]) == (
        "2 pixels hold values that are no class: [1], the first at row 0, column 1."
    )


def test_another_size(tmp_path):
    path = write(tmp_path, encode_label_map(LABELS))
    assert fails(path, height=2, width=4) == "the label map is 3x2, the image has 4x2."
    assert fails(path, height=3) == "the label map is 3x2, the image has 3x3."


def grey_of_four_bits():
    """Two pixels with the values 1 and 2; decoders would make 17 and 34 of them."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 4, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0\x12")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            saved(Image.new("RGB", (2, 2))),
            "has pixels of mode RGB, a label map has L or P: one byte per pixel.",
        ),
        (
            saved(Image.new("LA", (2, 2))),
            "has pixels of mode LA, a label map has L or P: one byte per pixel.",
        ),
        (saved(Image.new("1", (2, 2))), "has pixels of mode 1, a label map has L or P: one byte per pixel."),
        (
            saved(Image.new("I;16", (2, 2))),
            "has pixels of mode I;16, a label map has L or P: one byte per pixel.",
        ),
        (grey_of_four_bits(), "has 4 bits per grey pixel, a label map has 8: decoders rescale the others."),
        (saved(Image.new("L", (2, 2)), "JPEG"), "is not a PNG that decodes whole (UnidentifiedImageError: "),
        (encode_label_map(LABELS)[:-30], "is not a PNG that decodes whole ("),
        (b"", "is not a PNG that decodes whole (UnidentifiedImageError: "),
        (
            saved(Image.new("L", (2, 2)), save_all=True, append_images=[Image.new("L", (2, 2), 9)]),
            "holds more than one picture.",
        ),
    ],
)
def test_other_files(tmp_path, content, message):
    assert fails(write(tmp_path, content)).startswith(message)


def test_a_huge_map_is_refused_by_its_header(tmp_path, monkeypatch):
    monkeypatch.setattr(label_maps, "MAX_PIXELS", 5)
    assert fails(write(tmp_path, encode_label_map(LABELS))) == "3x2 is more than 5 pixels."
    assert fails(tmp_path / "absent.png") == "no such file."


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (LABELS.astype(np.int64), TypeError, "labels must be uint8, got int64."),
        (LABELS[0], ValueError, r"labels must have shape \(height, width\), got \(3,\)."),
        (LABELS[:0], ValueError, r"labels must have shape \(height, width\), got \(0, 3\)."),
    ],
)
def test_arrays_that_are_no_label_map(labels, error, message):
    with pytest.raises(error, match=message):
        encode_label_map(labels)


def test_bytes_become_targets():
    table = target_table([7, 0, 253])
    assert table[[7, 0, 253, 5, PADDING, UNLABELLED]].tolist() == [0, 1, 2, IGNORED, PADDED, IGNORED]
    assert (IGNORED, PADDED) == (-1, -2)
    with pytest.raises(ValueError, match=r"^values repeat: \[7\]\.$"):
        target_table([7, 1, 7])
    with pytest.raises(ValueError, match=r"^classes must be 0 to 253, got \[-1, 254\]\.$"):
        target_table([254, -1])
