import random

import pytest
import torch
from torch.nn import functional

from models.blocks.image_transform import ImageTransform, fitted

SIZES = [(1, 1), (1, 500), (500, 1), (3, 7), (480, 640), (333, 500), (1080, 1920), (97, 31)]


def transforms(source: tuple[int, int]) -> list[ImageTransform]:
    return [
        ImageTransform.stretched(source, (336, 200)),
        ImageTransform.letterboxed(source, (672, 1008)),
        ImageTransform.letterboxed(source, (96, 96)),
        ImageTransform.centred(source, 336),
    ]


def iou(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return (first & second).sum((1, 2)) / (first | second).sum((1, 2))


def rectangle(size: tuple[int, int], top: int, left: int, height: int, width: int) -> torch.Tensor:
    mask = torch.zeros(1, *size, dtype=torch.bool)
    mask[:, top : top + height, left : left + width] = True
    return mask


@pytest.mark.parametrize("source", SIZES)
def test_boxes_and_points_come_back(source: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    boxes = torch.rand(50, 4, generator=generator) * torch.tensor([source[1], source[0]] * 2)
    for transform in transforms(source):
        exact = transform.unmap_boxes(transform.map_boxes(boxes.double()))
        torch.testing.assert_close(exact, boxes.double(), rtol=0.0, atol=1e-9)
        torch.testing.assert_close(
            transform.unmap_boxes(transform.map_boxes(boxes)), boxes, rtol=1e-6, atol=1e-4
        )
        torch.testing.assert_close(transform.map_points(boxes[:, :2]), transform.map_boxes(boxes)[:, :2])
        points = transform.unmap_points(transform.map_points(boxes[:, 2:]))
        torch.testing.assert_close(points, boxes[:, 2:], rtol=1e-6, atol=1e-4)


def test_the_image_lies_where_it_is_said() -> None:
    whole = torch.tensor([[0, 0, 640, 480]])
    assert ImageTransform.stretched((480, 640), (512, 512)).map_boxes(whole).tolist() == [[0, 0, 512, 512]]
    boxed = ImageTransform.letterboxed((480, 640), (336, 336))
    torch.testing.assert_close(boxed.map_boxes(whole), torch.tensor([[0.0, 0.0, 336.0, 252.0]]))
    centred = ImageTransform.centred((480, 640), 336)
    torch.testing.assert_close(centred.map_boxes(whole), torch.tensor([[0.0, 42.0, 336.0, 294.0]]))
    assert centred.inverse.canvas == (480, 640)
    assert centred.inverse.source == (336, 336)


def test_an_odd_pad_takes_the_smaller_half_first() -> None:
    transform = ImageTransform.centred((3, 6), 6)
    assert transform.offset == (0.0, 1.0)


def test_a_strip_keeps_a_pixel() -> None:
    assert fitted((1, 5000), (336, 336)) == (1, 336)
    assert fitted((5000, 1), (336, 336)) == (336, 1)
    assert fitted((480, 640), (672, 1008)) == (672, 896)


@pytest.mark.parametrize("source", [(40, 60), (123, 77), (200, 200)])
def test_large_masks_come_back(source: tuple[int, int]) -> None:
    rows, columns = torch.meshgrid(torch.arange(source[0]), torch.arange(source[1]), indexing="ij")
    disc = ((rows - source[0] // 2) ** 2 + (columns - source[1] // 2) ** 2 < 14**2)[None]
    corner = rectangle(source, 0, 0, 11, 17)
    masks = torch.cat([disc, corner, torch.ones_like(disc)])
    for transform in (
        ImageTransform.stretched(source, (512, 512)),
        ImageTransform.letterboxed(source, (336, 672)),
        ImageTransform.centred(source, 336),
    ):
        mapped = transform.map_masks(masks)
        assert mapped.shape == (3, *transform.canvas)
        assert (iou(transform.unmap_masks(mapped), masks) >= 0.95).all()


def test_masks_survive_a_smaller_canvas() -> None:
    source = (600, 900)
    masks = torch.cat([rectangle(source, 100, 200, 180, 240), rectangle(source, 0, 0, 600, 450)])
    for transform in (ImageTransform.stretched(source, (256, 256)), ImageTransform.centred(source, 336)):
        assert (iou(transform.unmap_masks(transform.map_masks(masks)), masks) >= 0.95).all()


def test_a_mask_lies_where_its_box_lies() -> None:
    transform = ImageTransform.centred((30, 60), 120)
    mapped = transform.map_masks(rectangle((30, 60), 5, 10, 10, 20))
    assert torch.equal(mapped, rectangle((120, 120), 40, 20, 20, 40))


@pytest.mark.parametrize("source", SIZES)
def test_no_mask_is_lost(source: tuple[int, int]) -> None:
    draw = random.Random(0)
    places = [(draw.randrange(source[0]), draw.randrange(source[1])) for _ in range(5)]
    masks = torch.cat([rectangle(source, *place, 1, 1) for place in places])
    small = [ImageTransform.stretched(source, (4, 4)), ImageTransform.centred(source, 7)]
    for transform in (*transforms(source), *small):
        mapped = transform.map_masks(masks)
        assert mapped.any((1, 2)).all()
        assert transform.inverse.map_masks(mapped).any((1, 2)).all()


def test_a_thin_line_keeps_only_the_pixels_it_covers_most() -> None:
    transform = ImageTransform.stretched((12, 12), (3, 3))
    mapped = transform.map_masks(rectangle((12, 12), 5, 0, 1, 12))
    assert mapped[0].tolist() == [[False] * 3, [True] * 3, [False] * 3]


def test_coverage_is_counted() -> None:
    masks = torch.rand(6, 24, 36, generator=torch.Generator().manual_seed(0)) < 0.5
    share = functional.adaptive_avg_pool2d(masks.double(), (8, 12))
    assert torch.equal(ImageTransform.stretched((24, 36), (8, 12)).map_masks(masks), share >= 0.5 - 1e-9)
    # Enlarged by 2.5: each canvas pixel is 2 x 2 pixels of the image enlarged by 5.
    fine = masks.repeat_interleave(5, dim=1).repeat_interleave(5, dim=2).double()
    share = functional.adaptive_avg_pool2d(fine, (60, 90))
    assert torch.equal(ImageTransform.stretched((24, 36), (60, 90)).map_masks(masks), share >= 0.5 - 1e-9)


def test_nothing_stays_nothing() -> None:
    transform = ImageTransform.centred((480, 640), 336)
    assert not transform.map_masks(torch.zeros(1, 480, 640, dtype=torch.bool)).any()
    assert transform.map_masks(torch.zeros(0, 480, 640, dtype=torch.bool)).shape == (0, 336, 336)
    # Rows 0 to 41 are padding.
    assert not transform.unmap_masks(rectangle((336, 336), 0, 0, 42, 336)).any()
    assert transform.unmap_masks(rectangle((336, 336), 0, 0, 43, 336)).any()


def test_whole_numbers_become_float32_and_floats_keep_their_type() -> None:
    transform = ImageTransform.stretched((10, 10), (5, 5))
    assert transform.map_boxes(torch.tensor([[0, 0, 4, 4]])).dtype == torch.float32
    assert transform.map_boxes(torch.zeros(0, 4, dtype=torch.float64)).dtype == torch.float64
    assert transform.map_points(torch.zeros(2, 3, 2)).shape == (2, 3, 2)


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match=r"source must be at least 1 pixel along each side, got \(0, 5\)"):
        ImageTransform.stretched((0, 5), (10, 10))
    with pytest.raises(ValueError, match=r"canvas must be at least 1 pixel along each side, got \(10, 0\)"):
        ImageTransform.stretched((5, 5), (10, 0))
    with pytest.raises(ValueError, match=r"scale must be positive, got \(0\.0, 1\.0\)"):
        ImageTransform(source=(5, 5), canvas=(5, 5), scale=(0.0, 1.0))
    transform = ImageTransform.stretched((8, 6), (4, 4))
    with pytest.raises(ValueError, match=r"boxes must have a last dimension of 4, got shape \(2,\)"):
        transform.map_boxes(torch.zeros(2))
    with pytest.raises(ValueError, match=r"points must have a last dimension of 2, got shape \(1, 4\)"):
        transform.unmap_points(torch.zeros(1, 4))
    with pytest.raises(TypeError, match=r"masks must be bool, got torch\.float32"):
        transform.map_masks(torch.zeros(1, 8, 6))
    with pytest.raises(ValueError, match=r"masks must have shape \(regions, 8, 6\), got \(1, 6, 8\)"):
        transform.map_masks(torch.zeros(1, 6, 8, dtype=torch.bool))
