"""Several samples in one row, none of which sees another; and batches of samples that are about as long.

Padding costs what it weighs: a batch with one long sample computes its length for all. Rows are filled with
several samples instead; a mask keeps their attention apart and positions start anew with each.

Shape suffixes:
    B = samples   P = rows   L = positions of the longest row   D = width of the language model
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from models.region_lm.conversation import IGNORED
from models.region_lm.sequence import Spliced


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Packed:
    """What a language model reads, several samples a row."""

    embedding_PLD: Tensor
    """Zero at padding."""
    label_PL: Tensor
    """int64. The first position of a sample is never learned: what stands before it is another sample."""
    position_PL: Tensor
    """int64: counts the positions of each sample from 0; 0 at padding."""
    sample_PL: Tensor
    """int64: number of the sample among those of its row, from 1; 0 at padding."""


def plan_packs(lengths: Sequence[int], capacity: int) -> tuple[tuple[int, ...], ...]:
    """Fill rows with samples: the longest first, each into the first row that has room for it.

    Args:
        lengths: Positions of each sample.
        capacity: Positions of a row.

    Returns:
        For each row the samples in it, in rising order. First fit of falling lengths takes at most 11/9 of
        the fewest rows, and 2/3 of a row (Dósa 2007).

    Raises:
        ValueError: If a sample has no position or does not fit into a row of its own.
    """
    for number, length in enumerate(lengths):
        if not 0 < length <= capacity:
            raise ValueError(f"sample {number} has {length} positions; a row takes 1 to {capacity}.")
    rows: list[list[int]] = []
    room: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda place: (-lengths[place], place)):
        place = next((row for row, left in enumerate(room) if lengths[number] <= left), len(rows))
        if place == len(rows):
            rows.append([])
            room.append(capacity)
        rows[place].append(number)
        room[place] -= lengths[number]
    return tuple(tuple(sorted(row)) for row in rows)


def choose_packs(lengths: Sequence[int], *, longest: int, width: int) -> tuple[tuple[int, ...], ...] | None:
    """Choose how long rows are, so that least is computed.

    A position costs its products with weights and, in a row of L, scores with all L of them: with a width of
    D about ``1 + L / (6 D)`` (Kaplan et al., https://arxiv.org/abs/2001.08361, table 1).

    Args:
        lengths: Positions of each sample.
        longest: Row that a model can read, at least the longest sample.
        width: Of the language model.

    Returns:
        As ``plan_packs``; None where one sample a row costs as little.
    """
    most = max(lengths)
    limit = max(most, min(longest, sum(lengths)))

    def cost(rows: int, length: int) -> float:
        return rows * length * (1.0 + length / (6.0 * width))

    best, least = None, cost(len(lengths), most)
    for capacity in (*range(most, limit, max(1, most // 4)), limit):
        packs = plan_packs(lengths, capacity)
        found = cost(len(packs), max(sum(lengths[number] for number in row) for row in packs))
        if found < least:
            best, least = packs, found
    return best


def pack(spliced: Spliced, packs: Sequence[Sequence[int]]) -> Packed:
    """Put samples into rows.

    Args:
        spliced: B samples, padded on either side.
        packs: For each row the samples in it; every sample stands in one row.

    Returns:
        As many rows as packs, padded on the right.

    Raises:
        ValueError: If a sample is missing or stands twice.
    """
    count, placed = len(spliced.mask_BL), [list(row) for row in packs]
    if sorted(number for row in placed for number in row) != list(range(count)):
        raise ValueError(f"packs must hold each of the {count} samples once, got {placed}.")
    present = spliced.mask_BL.bool()
    first_BL = spliced.position_BL == 0
    label_BL = spliced.label_BL.masked_fill(first_BL, IGNORED)
    number_BL = torch.zeros_like(spliced.mask_BL)
    for row in packs:
        for place, number in enumerate(row, start=1):
            number_BL[number] = place

    def rows_of(values_BL: Tensor, *, fill: int = 0) -> Tensor:
        joined = [torch.cat([values_BL[number][present[number]] for number in row]) for row in packs]
        longest = max(len(row) for row in joined)
        padding = (0, 0) * (values_BL.ndim - 2)
        padded = [functional.pad(row, (*padding, 0, longest - len(row)), value=fill) for row in joined]
        return torch.stack(padded)

    return Packed(
        embedding_PLD=rows_of(spliced.embedding_BLD),
        label_PL=rows_of(label_BL, fill=IGNORED),
        position_PL=rows_of(spliced.position_BL),
        sample_PL=rows_of(number_BL),
    )


def block_mask(sample_PL: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the mask that keeps samples apart, to be added to attention scores.

    Args:
        sample_PL: Numbers of samples, 0 at padding.
        dtype: Of the scores.

    Returns:
        Shape (P, 1, L, L): 0 where a position (second to last axis) may see another one (last axis) that does
        not come after it and is of its sample, the lowest number elsewhere. Padding sees itself: a row of
        lowest numbers alone would be a mean over everything.
    """
    length = sample_PL.shape[1]
    places = torch.arange(length, device=sample_PL.device)
    seen_PLL = (sample_PL[:, :, None] == sample_PL[:, None, :]) & (places[:, None] >= places[None, :])
    zero = torch.zeros((), dtype=dtype, device=sample_PL.device)
    return torch.where(seen_PLL, zero, torch.finfo(dtype).min)[:, None]


def group_by_length(
    lengths: Sequence[int], batch: int, generator: torch.Generator, *, pool: int = 50
) -> list[list[int]]:
    """Draw batches of samples that are about as long, in an order that lengths do not decide.

    Args:
        lengths: Positions of each sample.
        batch: Samples of a batch; the last one drawn may be smaller.
        generator: Decides the order.
        pool: Batches whose samples are sorted together: more makes batches more even and less random.

    Returns:
        Each sample in one batch.

    Raises:
        ValueError: If batch or pool is below 1.
    """
    if batch < 1 or pool < 1:
        raise ValueError(f"batch and pool must be at least 1, got {batch} and {pool}.")
    order = torch.randperm(len(lengths), generator=generator).tolist()
    batches = []
    for start in range(0, len(order), batch * pool):
        near = sorted(order[start : start + batch * pool], key=lambda number: -lengths[number])
        batches += [near[first : first + batch] for first in range(0, len(near), batch)]
    return [batches[place] for place in torch.randperm(len(batches), generator=generator).tolist()]
