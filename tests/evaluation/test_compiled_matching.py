import numpy as np
import pytest
from pycocotools import mask as rle_c

from evaluation.compiled_matching import box_iou, decode, fill_areas, intersect, mask_iou, measure
from evaluation.flat import text_of
from evaluation.masks import box_iou as box_iou_of
from evaluation.masks import mask_iou as mask_iou_of
from evaluation.masks import to_xywh


def draw(seed, count=12, height=11, width=7):
    """Blocks with holes; the first is empty, the second full."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((count, height, width), dtype=np.uint8)
    masks[1] = 1
    for mask in masks[2:]:
        top, left = rng.integers(0, height - 1), rng.integers(0, width - 1)
        mask[top : top + rng.integers(1, height), left : left + rng.integers(1, width)] = 1
        mask[rng.random(mask.shape) < 0.2] = 0
    return masks


def encode(masks):
    found = [rle_c.encode(np.asfortranarray(mask)) for mask in masks]
    return [{"size": item["size"], "counts": item["counts"].decode()} for item in found]


def decoded(rle, height, width):
    """Return run lengths, and area and frame."""
    text, _ = text_of([rle])
    runs, frame = np.empty(len(text), np.int32), np.zeros(5, np.int64)
    stop = decode(text, height * width, runs, 0)
    measure(runs[:stop], height, frame)
    return runs[:stop], frame


@pytest.mark.parametrize("seed", range(5))
def test_run_lengths_area_and_frame_are_those_of_the_pixels(seed):
    for mask, rle in zip(draw(seed), encode(draw(seed)), strict=True):
        runs, frame = decoded(rle, *mask.shape)
        pixels = np.repeat(np.arange(len(runs)) % 2, runs)
        np.testing.assert_array_equal(pixels.reshape(mask.shape, order="F"), mask)
        down, across = np.nonzero(mask)
        assert frame[0] == len(down)
        if len(down):
            assert frame[1:].tolist() == [across.min(), down.min(), across.max(), down.max()]
        else:
            assert frame[1] > frame[3]


def test_long_runs_take_several_characters():
    mask = np.zeros((400, 300), dtype=np.uint8)
    mask[10:390, 20] = 1
    runs, frame = decoded(encode([mask])[0], 400, 300)
    assert runs.tolist() == [20 * 400 + 10, 380, 400 * 279 + 10]
    assert frame.tolist() == [380, 20, 10, 20, 389]


@pytest.mark.parametrize("seed", range(5))
def test_overlaps_of_masks_are_those_of_pycocotools_to_the_last_bit(seed):
    masks = draw(seed)
    rles = encode(masks)
    parts = [decoded(rle, 11, 7) for rle in rles]
    shapes = (
        np.concatenate([part[0] for part in parts]),
        np.cumsum([0] + [len(part[0]) for part in parts]),
        np.stack([part[1] for part in parts]),
    )
    for crowd in (False, True):
        ours = [[mask_iou(shapes, d, shapes, e, crowd) for e in range(len(masks))] for d in range(len(masks))]
        np.testing.assert_array_equal(ours, mask_iou_of(rles, rles, np.full(len(masks), crowd)))
    for d in range(len(masks)):
        assert intersect(parts[d][0], parts[3][0]) == (masks[d] & masks[3]).sum()


def test_overlaps_of_boxes_are_those_of_pycocotools_to_the_last_bit():
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 10, (40, 2))
    boxes = np.concatenate([low, low + rng.uniform(0.1, 6, (40, 2))], axis=1)
    sides = to_xywh(boxes)
    for crowd in (False, True):
        ours = [[box_iou(sides, n, sides, g, crowd) for g in range(40)] for n in range(40)]
        np.testing.assert_array_equal(ours, box_iou_of(boxes, boxes, np.full(40, crowd)))


def test_areas_stop_at_the_first_mask_that_is_not_filled():
    masks = draw(0)
    text, first = text_of(encode(masks))
    pixels, area = np.full(len(masks), masks[0].size), np.zeros(len(masks))
    assert fill_areas(text, first, pixels, area) == -1
    np.testing.assert_array_equal(area, masks.sum(axis=(1, 2)))
    pixels[4] += 1
    assert fill_areas(text, first, pixels, area) == 4


@pytest.mark.parametrize("text", [b"", b"0", b"1o", b"oooooooooooo0", b"~", b"!", b"1N1", b"P"])
def test_text_that_is_no_mask_of_the_size_is_noticed(text):
    """Too few pixels, too many, an unfinished number, a number of too many digits, negative ones, letters."""
    assert decode(np.frombuffer(text, np.uint8), 5, np.empty(len(text), np.int32), 0) == -1
