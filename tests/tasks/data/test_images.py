"""Files that are not what they claim, and the defined way of every pixel format to RGB."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from tasks.data.images import MAX_PIXELS, ImageProblem, decode_image, read_rgb, read_size
from tasks.errors import DataError

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5


def picture(size=(64, 48)):
    generator = np.random.default_rng(0)
    return Image.fromarray(generator.integers(0, 256, size=(size[1], size[0], 3), dtype=np.uint8))


def encoded(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def bomb(width, height):
    """Return a PNG whose header promises far more pixels than it holds."""

    def chunk(name, content):
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def problem_of(path, **size):
    with pytest.raises(ImageProblem) as caught:
        decode_image(path, **size)
    return caught.value.rule, caught.value.sentence


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "the file is empty"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "text/html"),
        (b"\n  <HTML><head>", "text/html"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "application/xml"),
        (b"<svg xmlns='x'/>", "image/svg+xml"),
        (b'{"message": "rate limited"}', "application/json"),
        (b"%PDF-1.7", "application/pdf"),
        (b"PK\x03\x04rest", "application/zip"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "a Git LFS pointer"),
        (b"hello", "text/plain"),
        (b"\x00\x01\x02", "application/octet-stream"),
        (b"\xff\xd8\xff", "application/octet-stream"),
        (encoded(picture(), "GIF"), "image/gif"),
    ],
)
def test_not_an_image(tmp_path, content, kind):
    (tmp_path / "a.jpg").write_bytes(content)
    assert problem_of(tmp_path / "a.jpg") == ("image-not-an-image", f"not an image: {kind}.")


@pytest.mark.parametrize(
    ("kind", "name"), [("JPEG", "a.jpg"), ("PNG", "a.png"), ("WEBP", "a.webp"), ("TIFF", "a.tif")]
)
@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_truncated(tmp_path, kind, name, share):
    content = encoded(picture(), kind)
    (tmp_path / name).write_bytes(content)
    assert decode_image(tmp_path / name).shape == (48, 64, 3)
    (tmp_path / name).write_bytes(content[: int(len(content) * share)])
    assert problem_of(tmp_path / name)[0] in ("image-undecodable", "image-not-an-image")


@pytest.mark.parametrize("size", [(8001, 8000), (12_000, 12_000), (30_000, 30_000), (2**31 - 1, 2**31 - 1)])
def test_bombs_are_refused_by_their_header(tmp_path, size):
    (tmp_path / "a.png").write_bytes(bomb(*size))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rule, sentence = problem_of(tmp_path / "a.png")
    assert rule == "image-too-large"
    assert str(MAX_PIXELS) in sentence


def test_size(tmp_path):
    picture().save(tmp_path / "a.png")
    assert decode_image(tmp_path / "a.png", height=48, width=64).shape == (48, 64, 3)
    expected = "image-size-mismatch", "the file is 64x48, the annotations say 48x64."
    assert problem_of(tmp_path / "a.png", height=64, width=48) == expected


def test_exif_orientation_is_refused_not_guessed(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture().save(tmp_path / "a.jpg", exif=exif)
    assert problem_of(tmp_path / "a.jpg")[0] == "image-exif-rotated"
    exif[0x0112] = 1
    picture().save(tmp_path / "a.jpg", exif=exif)
    assert decode_image(tmp_path / "a.jpg").shape == (48, 64, 3)


def test_other_faults(tmp_path):
    picture().save(tmp_path / "a.jpg", "PNG")
    assert problem_of(tmp_path / "a.jpg") == (
        "image-wrong-extension",
        "the content is PNG, the name ends in '.jpg'.",
    )
    picture().save(tmp_path / "a.png", save_all=True, append_images=[picture((64, 48)).rotate(90)])
    assert problem_of(tmp_path / "a.png") == ("image-animated", "holds more than one picture.")
    Image.fromarray(GREY.astype(np.float32)).save(tmp_path / "a.tif")
    assert problem_of(tmp_path / "a.tif")[0] == "image-mode"
    assert problem_of(tmp_path / "none.png") == ("image-missing", "no such file.")


def test_the_door_for_stages(tmp_path):
    picture().save(tmp_path / "a.png")
    assert (read_rgb(tmp_path / "a.png", height=48, width=64) == np.asarray(picture())).all()
    with pytest.raises(DataError, match=r"a\.png: the file is 64x48, the annotations say 64x49\."):
        read_rgb(tmp_path / "a.png", height=49, width=64)


def red_and_clear():
    """Return an RGBA image: left half opaque red, right half clear over hidden green."""
    pixels = np.zeros((6, 8, 4), dtype=np.uint8)
    pixels[:, :4] = (255, 0, 0, 255)
    pixels[:, 4:] = (0, 255, 0, 0)
    return Image.fromarray(pixels)


def grey_rgb(values):
    return np.repeat(values[:, :, None], 3, axis=2)


def test_grey_bilevel_and_sixteen_bits(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.png")
    assert (decode_image(tmp_path / "a.png") == grey_rgb(GREY)).all()
    Image.fromarray(GREY > 100).save(tmp_path / "a.png")
    assert (decode_image(tmp_path / "a.png") == grey_rgb(np.where(GREY > 100, 255, 0))).all()
    deep = np.array([[0, 128, 129, 257], [65535, 65278, 32768, 256]], dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "a.png")
    expected = grey_rgb(np.array([[0, 0, 1, 1], [255, 254, 128, 1]]))
    assert (decode_image(tmp_path / "a.png") == expected).all()


def test_palette_cmyk_and_transparency(tmp_path):
    colours = Image.fromarray(GREY).convert("P", palette=Image.Palette.ADAPTIVE, colors=64)
    colours.save(tmp_path / "a.png")
    assert (decode_image(tmp_path / "a.png") == np.asarray(colours.convert("RGB"))).all()
    Image.new("CMYK", (8, 6), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    assert abs(decode_image(tmp_path / "a.jpg").astype(int) - (255, 0, 0)).max() <= 3
    red_and_clear().save(tmp_path / "a.png")
    pixels = decode_image(tmp_path / "a.png")
    assert (pixels[:, :4] == (255, 0, 0)).all()
    assert (pixels[:, 4:] == 255).all()
    colours.save(tmp_path / "a.png", transparency=colours.getpixel((0, 0)))
    assert (decode_image(tmp_path / "a.png")[0, 0] == 255).all()


def test_the_size_alone_is_read_from_the_header(tmp_path):
    picture().save(tmp_path / "a.png")
    assert read_size(tmp_path / "a.png") == (48, 64)
    with pytest.raises(DataError, match=r"b\.png: no such file"):
        read_size(tmp_path / "b.png")


@pytest.mark.parametrize("read", [read_rgb, read_size])
def test_a_file_that_is_cut_off_says_so(tmp_path, read):
    content, path = encoded(picture(), "PNG"), tmp_path / "a.png"
    path.write_bytes(content[:60])
    with pytest.raises(DataError, match=r"a\.png: is truncated: it ends before its last pixel\.") as caught:
        read(path)
    assert caught.value.hint == "Fetch or export the file again, or leave it out."
    path.write_bytes(content[:200] + b"\xff" + content[201:])
    with pytest.raises(DataError, match=r"a\.png: is damaged: broken data stream"):
        read(path)


def test_hints_are_of_the_file_alone(tmp_path):
    path = tmp_path / "a.jpg"
    with pytest.raises(DataError, match=r"no such file\. Correct the path, or fetch the file\."):
        read_rgb(path)
    path.write_bytes(encoded(picture(), "PNG"))
    with pytest.raises(DataError, match=r"Give the file the ending of what it holds\."):
        read_rgb(path)
    path.write_bytes(encoded(picture(), "JPEG")[:1500])
    with pytest.raises(DataError, match="is truncated"):
        read_rgb(path)
