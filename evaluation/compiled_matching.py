"""Compiled loops of COCO's matching; the readable rule is ``evaluation.matching``.

Every image is worked on alone, however they are shared out over threads. Arithmetic is that of ``COCOeval``
and ``maskApi.c`` of pycocotools, operation by operation: no number differs in the last bit. Bit t of a set of
thresholds stands for threshold t. All is in one file, for numba sees a change in a function's own file only.

Shape suffixes:
    N = detections of all images, or masks   G = regions of all images   D, E = masks of one image
    P = detections of one image and category   Q = regions of the same   C = their pairs, or characters
    T = thresholds of IoU   A = area ranges   L = run lengths
"""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

Array: TypeAlias = npt.NDArray[Any]
Several: TypeAlias = tuple[Array, ...]
Masks: TypeAlias = tuple[Array, Array, Array]
"""Run lengths, where those of each mask begin, and area and frame (left, top, right, bottom in pixels, all
inside) of each mask."""

NOBODY = -1
ALL = np.int64(2**10 - 1)
"""Every threshold."""


@njit(cache=True, nogil=True)
def match(
    begin: int, end: int, use_masks: bool, flat: Several, text: tuple[Any, ...], rules: Several, out: Several,
    box_region_N: Array,
) -> tuple[int, bool, int]:  # fmt: skip
    """Match the detections of images ``begin`` to ``end - 1``.

    Args:
        begin: First image.
        end: Image after the last one.
        use_masks: Whether masks are compared.
        flat: first, by_image, categories, boxes_xywh, height, width; of regions first, by_image, categories,
            boxes_xywh, areas, is_crowd.
        text: Characters and beginnings of the masks found, of the regions, and the first of both.
        rules: Thresholds (T,), lowest and highest area (A,).
        out: Filled: right and ignored thresholds (A, N), region at the first one, its IoU, and mask IoU with
            ``box_region_N``, (N,) each.
        box_region_N: Region of which the mask IoU is wanted, or ``NOBODY``.

    Returns:
        Image, whether it is a detection, and its place, where run lengths do not fill a mask; else -1.
    """
    first, by_image, category_N, box_N4, height_I, width_I = flat[:6]
    region_first, regions_by_image, category_G, box_G4, area_G, is_crowd_G = flat[6:]
    for image in range(begin, end):
        d_begin, d_end = first[image], first[image + 1]
        q, g_end = region_first[image], region_first[image + 1]
        height, pixels, origin = height_I[image], height_I[image] * width_I[image], (d_begin, q)
        found, bad = decode_all(use_masks, text[0], text[1], text[4], d_begin, d_end, height, pixels)
        if bad >= 0:
            return image, True, bad
        true, bad = decode_all(use_masks, text[2], text[3], text[5], q, g_end, height, pixels)
        if bad >= 0:
            return image, False, bad
        for d in range(d_end - d_begin if use_masks else 0):
            g = box_region_N[d_begin + d]
            if g != NOBODY:
                out[4][d_begin + d] = mask_iou(found, d, true, g - q, is_crowd_G[g])
        leave_alone(d_begin, d_end, use_masks, found[2], box_N4, rules, out[1])
        p = d_begin
        while p < d_end:
            category, p_begin = category_N[by_image[p]], p
            while p < d_end and category_N[by_image[p]] == category:
                p += 1
            while q < g_end and category_G[regions_by_image[q]] < category:
                q += 1
            q_begin = q
            while q < g_end and category_G[regions_by_image[q]] == category:
                q += 1
            if q > q_begin:
                found_P, region_Q = by_image[p_begin:p], regions_by_image[q_begin:q]
                pairs = candidates(
                    use_masks, found_P, region_Q, found, true, origin, box_N4, box_G4, is_crowd_G, rules[0][0]
                )
                greedy(found_P, region_Q, pairs, area_G, is_crowd_G, rules, out)
    return -1, False, -1


@njit(cache=True, nogil=True)
def fill_areas(text_C: Array, first: Array, pixels_N: Array, area_N: Array) -> int:
    """Write the areas of masks in pixels; return the first that is not filled exactly, or -1."""
    for n in range(len(area_N)):
        runs_L = np.empty(first[n + 1] - first[n], np.int32)
        stop = decode(text_C[first[n] : first[n + 1]], pixels_N[n], runs_L, 0)
        if stop < 0:
            return n
        area_N[n] = runs_L[1:stop:2].sum()
    return -1


@njit(cache=True, nogil=True)
def decode_all(
    use_masks: bool, text_C: Array, first: Array, shift: int, begin: int, end: int, height: int, pixels: int
) -> tuple[Masks, int]:
    """Decode the masks of an image; with the place of the first that is not filled exactly, or -1."""
    count = end - begin if use_masks else 0
    start_D, frame_D5 = np.zeros(count + 1, np.int64), np.zeros((count, 5), np.int64)
    runs_L = np.empty(first[end - shift] - first[begin - shift] if count else 0, np.int32)
    for d in range(count):
        place = begin - shift + d
        stop = decode(text_C[first[place] : first[place + 1]], pixels, runs_L, start_D[d])
        if stop < 0:
            return (runs_L, start_D, frame_D5), d
        start_D[d + 1] = stop
        measure(runs_L[start_D[d] : stop], height, frame_D5[d])
    return (runs_L, start_D, frame_D5), -1


@njit(cache=True, nogil=True)
def decode(text_C: Array, pixels: int, runs_L: Array, start: int) -> int:
    """Write the run lengths of one mask from ``start`` on; -1 if they do not fill it exactly."""
    stop, total, place = start, np.int64(0), 0
    while place < len(text_C):
        value, shift, more = np.int64(0), 0, True
        while more:
            if place == len(text_C) or shift > 40:
                return -1
            code = np.int64(text_C[place]) - 48
            if code < 0 or code > 63:
                return -1
            value |= (code & 31) << shift
            place += 1
            shift += 5
            more = (code & 32) != 0
            if not more and (code & 16) != 0:
                value |= np.int64(-1) << shift
        if stop - start > 2:
            value += runs_L[stop - 2]
        total += value
        if value < 0 or total > pixels:
            return -1
        runs_L[stop] = value
        stop += 1
    return stop if total == pixels else -1


@njit(cache=True, nogil=True)
def measure(runs_L: Array, height: int, frame_5: Array) -> None:
    """Write area, left, top, right and bottom of a mask; left > right if it is empty."""
    area, left, top, right, bottom, begin, column, base = 0, 2**40, height, -1, -1, 0, -1, 0
    for place in range(1, len(runs_L), 2):
        begin += int(runs_L[place - 1])
        end = begin + int(runs_L[place])
        if end > begin:
            if column < 0:
                left = column = begin // height
                base = column * height
            while begin >= base + height:
                base += height
                column += 1
            if end > base + height:
                top, bottom = 0, height - 1
                while end > base + height:
                    base += height
                    column += 1
            else:
                top, bottom = min(top, begin - base), max(bottom, end - 1 - base)
            right = column
            area += end - begin
        begin = end
    frame_5[0], frame_5[1], frame_5[2], frame_5[3], frame_5[4] = area, left, top, right, bottom


@njit(cache=True, nogil=True)
def mask_iou(found: Masks, d: int, true: Masks, e: int, crowd: bool) -> float:
    """Return the IoU of two masks in [0, 1]; with a crowd, the share of the detection inside it."""
    (runs_L, start_D, frame_D5), (true_L, start_E, frame_E5) = found, true
    if frame_D5[d, 1] > frame_E5[e, 3] or frame_E5[e, 1] > frame_D5[d, 3]:
        return 0.0
    if frame_D5[d, 2] > frame_E5[e, 4] or frame_E5[e, 2] > frame_D5[d, 4]:
        return 0.0
    shared = intersect(runs_L[start_D[d] : start_D[d + 1]], true_L[start_E[e] : start_E[e + 1]])
    if shared == 0:
        return 0.0
    return float(shared) / float(frame_D5[d, 0] if crowd else frame_D5[d, 0] + frame_E5[e, 0] - shared)


@njit(cache=True, nogil=True)
def intersect(first_L: Array, other_L: Array) -> int:
    """Count the pixels of both masks."""
    shared, i, j = 0, 1, 1
    if len(first_L) < 2 or len(other_L) < 2:
        return shared
    begin_i, begin_j = int(first_L[0]), int(other_L[0])
    end_i, end_j = begin_i + int(first_L[1]), begin_j + int(other_L[1])
    while True:
        low, high = max(begin_i, begin_j), min(end_i, end_j)
        shared += max(high - low, 0)
        if end_i <= end_j:
            i += 2
            if i >= len(first_L):
                return shared
            begin_i = end_i + int(first_L[i - 1])
            end_i = begin_i + int(first_L[i])
        else:
            j += 2
            if j >= len(other_L):
                return shared
            begin_j = end_j + int(other_L[j - 1])
            end_j = begin_j + int(other_L[j])


@njit(cache=True, nogil=True)
def box_iou(box_N4: Array, n: int, box_G4: Array, g: int, crowd: bool) -> float:
    """Return the IoU of two boxes of left, top, width and height, in [0, 1]; crowds as for masks."""
    across = min(box_N4[n, 2] + box_N4[n, 0], box_G4[g, 2] + box_G4[g, 0]) - max(box_N4[n, 0], box_G4[g, 0])
    if across <= 0:
        return 0.0
    down = min(box_N4[n, 3] + box_N4[n, 1], box_G4[g, 3] + box_G4[g, 1]) - max(box_N4[n, 1], box_G4[g, 1])
    if down <= 0:
        return 0.0
    shared, area = across * down, box_N4[n, 2] * box_N4[n, 3]
    return float(shared / (area if crowd else area + box_G4[g, 2] * box_G4[g, 3] - shared))


@njit(cache=True, nogil=True)
def leave_alone(
    begin: int, end: int, use_masks: bool, frame_D5: Array, box_N4: Array, rules: Several, ignored_AN: Array
) -> None:
    """Start with no detection right, and those out of an area range ignored there."""
    _, low_A, high_A = rules
    for a in range(len(low_A)):
        for n in range(begin, end):
            area = float(frame_D5[n - begin, 0]) if use_masks else box_N4[n, 2] * box_N4[n, 3]
            ignored_AN[a, n] = ALL if area < low_A[a] or area > high_A[a] else 0


@njit(cache=True, nogil=True)
def candidates(
    use_masks: bool, found_P: Array, region_Q: Array, found: Masks, true: Masks, origin: tuple[int, int],
    box_N4: Array, box_G4: Array, is_crowd_G: Array, lowest: float,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """List the pairs whose IoU reaches the lowest threshold: beginnings (P + 1,), place among Q, IoU."""
    start_P, count = np.zeros(len(found_P) + 1, np.int64), 0
    place_C, iou_C = np.empty(4 * len(found_P), np.int64), np.empty(4 * len(found_P), np.float64)
    for p in range(len(found_P)):
        for q in range(len(region_Q)):
            n, g = found_P[p], region_Q[q]
            if use_masks:
                iou = mask_iou(found, n - origin[0], true, g - origin[1], is_crowd_G[g])
            else:
                iou = box_iou(box_N4, n, box_G4, g, is_crowd_G[g])
            if iou >= lowest:
                if count == len(place_C):
                    place_C = np.concatenate((place_C, np.empty(count, np.int64)))
                    iou_C = np.concatenate((iou_C, np.empty(count, np.float64)))
                place_C[count], iou_C[count] = q, iou
                count += 1
        start_P[p + 1] = count
    return start_P, place_C, iou_C


@njit(cache=True, nogil=True)
def greedy(
    found_P: Array, region_Q: Array, pairs: Several, area_G: Array, is_crowd_G: Array, rules: Several,
    out: Several,
) -> None:  # fmt: skip
    """Give the detections of one image and category their regions, in every area range and threshold.

    Counted regions come before those that are crowds or out of range; among equal overlaps the last wins.
    """
    (start_P, place_C, iou_C), (threshold_T, low_A, high_A) = pairs, rules
    right_AN, ignored_AN, region_N, iou_N, _ = out
    free_Q, skip_Q = np.empty(len(region_Q), np.int64), np.empty(len(region_Q), np.bool_)
    for a in range(len(low_A)):
        for q in range(len(region_Q)):
            g = region_Q[q]
            free_Q[q], skip_Q[q] = ALL, is_crowd_G[g] or area_G[g] < low_A[a] or area_G[g] > high_A[a]
        for p in range(len(found_P)):
            if start_P[p] == start_P[p + 1]:
                continue
            n = found_P[p]
            right, ignored = np.int64(0), np.int64(ignored_AN[a, n])
            for t in range(len(threshold_T)):
                bit, best, chosen = np.int64(1) << t, min(threshold_T[t], 1 - 1e-10), NOBODY
                for skipped in (False, True):
                    for c in range(start_P[p], start_P[p + 1]):
                        q = place_C[c]
                        is_free = (free_Q[q] & bit) != 0 or is_crowd_G[region_Q[q]]
                        if is_free and skip_Q[q] == skipped and iou_C[c] >= best:
                            best, chosen = iou_C[c], q
                    if chosen != NOBODY:
                        break
                if chosen == NOBODY:
                    continue
                free_Q[chosen] &= ~bit
                right = right if skip_Q[chosen] else right | bit
                ignored = ignored | bit if skip_Q[chosen] else ignored & ~bit
                if a == 0 and t == 0:
                    region_N[n], iou_N[n] = region_Q[chosen], best
            right_AN[a, n], ignored_AN[a, n] = right, ignored
