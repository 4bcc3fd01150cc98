"""Sweeps of the colour window over the boxes of masks, compiled for the CPU.

A field is zero outside the box of its mask before and after every sweep: nothing is computed there. Every
number is summed in one fixed order, so the result does not depend on how the work is cut.

Letters:
    B = images   H = height   W = width   P = fields   M = masks
    Y, X = rows and columns of a part of an image, with or without a margin   D = later places of the window
"""

from itertools import pairwise

import numpy as np
import torch
from numba import njit

from models.affinity.fast import workers
from models.affinity.fast.windows import Floats, Ints, Offsets, Window, later_places, windows


def propagate(
    value_PHW: Floats,
    guidance_BCHW: Floats,
    inside_MHW: Floats,
    mask_P: Ints,
    image_P: Ints,
    reach: int,
    factor: float,
    iterations: int,
) -> Floats:
    """Average each field over its window again and again; the mask multiplies before and after each sweep.

    Args:
        value_PHW: Fields, C-contiguous. Like the guidance and the masks float32 or all float64, in which the
            sums are made.
        guidance_BCHW: Finite images, C-contiguous.
        inside_MHW: Masks, C-contiguous. Where one is zero nothing is read and the result is zero.
        mask_P: Mask of each field.
        image_P: Image of each field.
        reach: Half of ``kernel_size - 1``, at least 0.
        factor: One over the squared colour distance at which the affinity has dropped to 1/e. Normal.
        iterations: Number of sweeps, at least 0.

    Returns:
        Swept fields, shape and type of ``value_PHW``. In float32 affinities below exp(-32) count as zero.
    """
    out_PHW = np.zeros_like(value_PHW)
    box_M4 = np.zeros((len(inside_MHW), 4), np.int64)

    def find(begin: int, end: int) -> None:
        for mask in range(begin, end):
            _support(inside_MHW[mask], box_M4[mask])

    workers.run(find, len(inside_MHW))
    box_P4 = box_M4[mask_P]
    used_P = np.flatnonzero(box_P4[:, 2] > box_P4[:, 0])
    window = windows(guidance_BCHW, box_P4[used_P], image_P[used_P], reach, factor)
    later_D2, jobs = later_places(reach), _jobs(box_P4, used_P, reach * iterations)

    def sweep(begin: int, end: int) -> None:
        for field, first, last in jobs[begin:end]:
            part, rows = window[int(image_P[field])], (*box_P4[field].tolist(), first, last)
            fields = (value_PHW[field], inside_MHW[mask_P[field]], out_PHW[field])
            _sweep_rows(part, later_D2, fields, rows, iterations)

    workers.run(sweep, len(jobs))
    return out_PHW


def _jobs(box_P4: Ints, used_P: Ints, halo: int) -> list[tuple[int, int, int]]:
    """Cut the work into fields and, where fields are fewer than threads, rows: (field, first, one past last).

    A strip of rows is swept on its own and repeats the work of a halo on either side: it is twice as tall.
    """
    threads = torch.get_num_threads()
    strips = -(-threads // max(1, len(used_P)))
    area_P = (box_P4[:, 2] - box_P4[:, 0]) * (box_P4[:, 3] - box_P4[:, 1])
    order = used_P[np.argsort(-area_P[used_P], kind="stable")].tolist()
    jobs = []
    for field in (field for start in range(threads) for field in order[start::threads]):
        top, _, bottom, _ = box_P4[field].tolist()
        pieces = min(strips, max(1, (bottom - top) // max(1, 2 * halo)))
        edges = [top + (bottom - top) * piece // pieces for piece in range(pieces + 1)]
        jobs += [(field, first, last) for first, last in pairwise(edges)]
    return jobs


@njit(cache=True, nogil=True)
def _support(inside_HW: Floats, box_4: Ints) -> None:
    """Write the place of the smallest rectangle around all that is not zero; an empty one stays zero."""
    height, width = inside_HW.shape
    top, left, bottom, right = height, width, 0, 0
    for y in range(height):
        row_W = inside_HW[y]
        count = 0
        for x in range(width):
            count += row_W[x] != 0
        if count == 0:
            continue
        top, bottom = min(top, y), y + 1
        for x in range(left):
            if row_W[x] != 0:
                left = x
                break
        for x in range(width - 1, right - 1, -1):
            if row_W[x] != 0:
                right = x + 1
                break
    if bottom > 0:
        box_4[0], box_4[1], box_4[2], box_4[3] = top, left, bottom, right


@njit(cache=True, nogil=True)
def _sweep_rows(
    window: Window,
    later_D2: Offsets,
    fields: tuple[Floats, Floats, Floats],
    rows: tuple[int, int, int, int, int, int],
    iterations: int,
) -> None:
    """Sweep some rows of the box of one field.

    Each sweep needs one reach more of rows around, so the first is the tallest; all end at the box.

    Args:
        window: Affinities around the box.
        later_D2: What ``later_places`` returned.
        fields: Value, mask and output, each of shape (H, W).
        rows: The box, then the first row wanted and one past the last.
        iterations: Number of sweeps.
    """
    (part_top, part_left, _, _), weight_YDX, inverse_YX = window
    value_HW, inside_HW, out_HW = fields
    top, left, bottom, right, first, last = rows
    reach = weight_YDX.shape[0] - inverse_YX.shape[0]
    begin, end = max(top, first - reach * iterations), min(bottom, last + reach * iterations)
    height, width = end - begin, right - left
    before_YX = np.zeros((height + 2 * reach, width + 2 * reach), value_HW.dtype)
    after_YX, scale_YX = np.zeros_like(before_YX), np.empty((height, width), value_HW.dtype)
    for y in range(height):
        value_X, inside_X = value_HW[begin + y][left:right], inside_HW[begin + y][left:right]
        inverse_X = inverse_YX[begin + y - part_top][left - part_left : right - part_left]
        start_X = before_YX[y + reach][reach : reach + width]
        for x in range(width):
            start_X[x] = value_X[x] * inside_X[x] if inside_X[x] != 0 else 0
            scale_YX[y, x] = inverse_X[x] * inside_X[x]
    for sweep in range(iterations):
        margin = reach * (iterations - 1 - sweep)
        for y in range(max(top, first - margin) - begin, min(bottom, last + margin) - begin):
            corner = begin + y - part_top + reach, left - part_left
            _sweep_row(weight_YDX, corner, later_D2, before_YX, after_YX[y + reach], scale_YX[y], y + reach)
        before_YX, after_YX = after_YX, before_YX
    for y in range(first - begin, last - begin):
        out_HW[begin + y][left:right] = before_YX[y + reach][reach : reach + width]


@njit(cache=True, nogil=True, fastmath={"contract"})
def _sweep_row(
    weight_YDX: Floats,
    corner: tuple[int, int],
    later_D2: Offsets,
    before_YX: Floats,
    after_X: Floats,
    scale_X: Floats,
    y: int,
) -> None:
    """Write the next state of row ``y`` of a field; its weights begin at row and column ``corner``."""
    width, ends = np.uint64(len(scale_X)), np.uint64(len(after_X) - len(scale_X))
    reach, here = ends // np.uint64(2), np.uint64(y)
    row, left = np.uint64(corner[0]), np.uint64(corner[1])
    centre = left + reach
    for x in range(width):
        after_X[reach + x] = before_YX[here, reach + x]
    for d in range(np.uint64(len(later_D2))):
        down, aside = later_D2[d, 0], later_D2[d, 1]
        mirrored = ends - aside
        for x in range(width):
            total = after_X[reach + x]
            total += weight_YDX[row, d, centre + x] * before_YX[here + down, aside + x]
            total += weight_YDX[row - down, d, left + mirrored + x] * before_YX[here - down, mirrored + x]
            after_X[reach + x] = total
    for x in range(width):
        after_X[reach + x] *= scale_X[x]
