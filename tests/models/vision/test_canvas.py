from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from torch.nn import functional

from models.vision.canvas import (
    CLIP_MEAN,
    CLIP_STD,
    IMAGENET_MEAN,
    IMAGENET_STD,
    Canvas,
    pad_square,
    stretch,
    tiles,
)

KINDS: dict[str, Callable[..., Canvas]] = {
    "stretch": lambda image: stretch(image, 48),
    "pad_square": lambda image: pad_square(image, 48),
    "tiles": lambda image: tiles(image, 48, most=9),
}


def picture(height: int, width: int) -> np.ndarray:
    """A smooth picture with some noise."""
    rows, columns = np.mgrid[:height, :width]
    waves = [128 + 60 * np.sin(rows / 9 + channel) + 50 * np.cos(columns / 7) for channel in range(3)]
    noise = np.random.default_rng(0).normal(0, 6, (height, width, 3))
    return (np.stack(waves, axis=2) + noise).clip(0, 255).astype(np.uint8)


def colours(canvas: torch.Tensor) -> torch.Tensor:
    """Undo CLIP's normalisation: values from 0 to 255."""
    return (canvas * torch.tensor(CLIP_STD)[:, None, None] + torch.tensor(CLIP_MEAN)[:, None, None]) * 255


def test_stretching_is_what_pillow_does() -> None:
    image = picture(120, 200)
    canvas = stretch(image, 96)
    expected = np.asarray(PillowImage.fromarray(image).resize((96, 96), PillowImage.Resampling.BILINEAR))
    ours = colours(canvas.pixels_T3HW[0]).permute(1, 2, 0)
    assert canvas.pixels_T3HW.shape == (1, 3, 96, 96)
    assert (ours - torch.tensor(expected).float()).abs().max() <= 1.01
    assert (canvas.layout.count, canvas.layout.tile) == (1, 96)
    assert canvas.transform.map_points(torch.tensor([[200, 120]])).tolist() == [[96, 96]]


@pytest.mark.parametrize("size", [(120, 200), (201, 120), (150, 150)])
def test_a_padded_square_is_what_pillow_does(size: tuple[int, int]) -> None:
    image = picture(*size)
    canvas = pad_square(image, 96)
    square = PillowImage.new("RGB", (max(size), max(size)), tuple(int(255 * mean) for mean in CLIP_MEAN))
    square.paste(PillowImage.fromarray(image), ((max(size) - size[1]) // 2, (max(size) - size[0]) // 2))
    expected = np.asarray(square.resize((96, 96), PillowImage.Resampling.BICUBIC))
    ours = colours(canvas.pixels_T3HW[0]).permute(1, 2, 0)
    # Pillow rounds between its two passes as well.
    assert (ours - torch.tensor(expected).float()).abs().max() <= 1.6


def test_padding_is_about_zero_and_where_the_transform_says() -> None:
    canvas = pad_square(np.full((60, 120, 3), 255, np.uint8), 96)
    left, top, right, bottom = canvas.transform.map_boxes(torch.tensor([0, 0, 120, 60])).int().tolist()
    assert (left, top, right, bottom) == (0, 24, 96, 72)
    pixels = canvas.pixels_T3HW[0]
    assert pixels[:, : top - 2].abs().max() < 0.02
    assert pixels[:, bottom + 2 :].abs().max() < 0.02
    assert pixels[:, top + 2 : bottom - 2].min() > 1.5


def test_tiles_put_together_are_the_resized_image() -> None:
    image = picture(100, 150)
    canvas = tiles(image, 48, most=9)
    layout = canvas.layout
    assert (layout.rows, layout.columns, layout.overview) == (2, 3, True)
    assert canvas.pixels_T3HW.shape == (7, 3, 48, 48)
    rows = [torch.cat(list(canvas.pixels_T3HW[row * 3 : row * 3 + 3]), dim=2) for row in range(2)]
    whole = torch.cat(rows, dim=1)
    normal = (
        torch.tensor(image).permute(2, 0, 1) / 255 - torch.tensor(CLIP_MEAN)[:, None, None]
    ) / torch.tensor(CLIP_STD)[:, None, None]
    expected = functional.interpolate(normal[None], size=(96, 144), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(whole, expected, rtol=0.0, atol=2e-5)
    overview = functional.interpolate(normal[None], size=(32, 48), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(canvas.pixels_T3HW[6, :, :32], overview, rtol=0.0, atol=2e-5)
    assert not canvas.pixels_T3HW[6, :, 32:].any()
    assert canvas.transform.canvas == (96, 144)


def test_what_the_image_does_not_cover_is_zero() -> None:
    canvas = tiles(picture(100, 110), 48, most=6)
    height, width = canvas.layout.canvas
    _, _, right, bottom = canvas.transform.map_boxes(torch.tensor([0, 0, 110, 100])).round().int().tolist()
    rows, columns = canvas.layout.rows, canvas.layout.columns
    whole = (
        canvas.pixels_T3HW[:-1]
        .reshape(rows, columns, 3, 48, 48)
        .permute(2, 0, 3, 1, 4)
        .reshape(3, height, width)
    )
    assert (right, bottom) != (width, height)
    assert not whole[:, bottom:].any()
    assert not whole[:, :, right:].any()
    assert whole[:, bottom - 1, : right - 1].any()


def test_a_single_tile_has_no_overview() -> None:
    canvas = tiles(picture(48, 48), 48, most=9)
    assert (canvas.layout.rows, canvas.layout.columns, canvas.layout.overview) == (1, 1, False)
    assert canvas.pixels_T3HW.shape == (1, 3, 48, 48)


def test_the_statistics_of_imagenet() -> None:
    canvas = stretch(np.full((4, 4, 3), 255, np.uint8), 8, colours="imagenet")
    for channel in range(3):
        white = (1 - IMAGENET_MEAN[channel]) / IMAGENET_STD[channel]
        torch.testing.assert_close(canvas.pixels_T3HW[0, channel], torch.full((8, 8), white))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 9)])
def test_strips_become_canvases(kind: str, size: tuple[int, int]) -> None:
    canvas = KINDS[kind](np.full((*size, 3), 200, np.uint8))
    assert canvas.pixels_T3HW.shape == (canvas.layout.count, 3, 48, 48)
    assert canvas.pixels_T3HW.isfinite().all()
    assert (canvas.pixels_T3HW.amax((1, 2, 3)) > 0.1).any()
    assert canvas.transform.map_masks(torch.ones(1, *size, dtype=torch.bool)).any()


def test_a_very_long_strip_needs_no_square_of_its_length() -> None:
    for size in ((3, 60_000), (60_000, 3)):
        canvas = pad_square(np.zeros((*size, 3), np.uint8), 32)
        assert canvas.pixels_T3HW.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_tensor_is_as_good_as_an_array_and_stays_as_it_is(kind: str) -> None:
    image = picture(30, 50)
    before = image.copy()
    assert torch.equal(KINDS[kind](image).pixels_T3HW, KINDS[kind](torch.tensor(image)).pixels_T3HW)
    assert np.array_equal(image, before)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_image_is_named(kind: str) -> None:
    with pytest.raises(TypeError, match=r"images must be uint8, got torch\.float32"):
        KINDS[kind](np.zeros((4, 4, 3), np.float32))
    for shape in ((0, 4, 3), (4, 4), (4, 4, 4), (3, 8, 8)):
        with pytest.raises(ValueError, match=r"images must have shape \(height, width, 3\), got \("):
            KINDS[kind](np.zeros(shape, np.uint8))
