import pytest
import torch

from models.vision.features import VisionFeatures, map_of, one_side, pixels_of, rows_of


def test_a_map_has_its_rows_where_they_were() -> None:
    tokens = torch.arange(2 * 6 * 5).reshape(2, 6, 5)
    features = VisionFeatures(tokens_TNC=tokens, grid=(2, 3), levels=())
    cells = features.as_map()
    assert cells.shape == (2, 5, 2, 3)
    assert torch.equal(cells[:, :, 1, 2], tokens[:, 5])
    assert torch.equal(cells[:, :, 0, 1], tokens[:, 1])
    assert torch.equal(rows_of(map_of(tokens, (3, 2))), tokens)


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match=r"tokens must be \(canvases, 2 \* 3, channels\), got \(2, 5, 4\)"):
        VisionFeatures(tokens_TNC=torch.zeros(2, 5, 4), grid=(2, 3), levels=())
    with pytest.raises(
        ValueError, match=r"levels must be \(2, channels, height, width\), got \[\(1, 4, 2, 3\)\]"
    ):
        VisionFeatures(tokens_TNC=torch.zeros(2, 6, 4), grid=(2, 3), levels=(torch.zeros(1, 4, 2, 3),))


def test_pixels_are_checked() -> None:
    canvas = torch.zeros(2, 3, 8, 8)
    assert pixels_of({"clip": canvas}, "clip", 8) is canvas
    with pytest.raises(ValueError, match=r"pixels must have canvases for 'clip', got \['convnext'\]"):
        pixels_of({"convnext": canvas}, "clip", 8)
    with pytest.raises(
        ValueError, match=r"pixels\['clip'\] must have shape \(canvases, 3, 9, 9\), got \(2, 3, 8, 8\)"
    ):
        pixels_of({"clip": canvas}, "clip", 9)
    with pytest.raises(TypeError, match=r"pixels\['clip'\] must be floating and normalised, got torch.uint8"):
        pixels_of({"clip": canvas.byte()}, "clip", 8)


def test_a_canvas_is_square() -> None:
    assert one_side(336) == 336
    for size in ((336, 336), None, 0):
        with pytest.raises(ValueError, match="image_size must be one number of pixels, got "):
            one_side(size)
