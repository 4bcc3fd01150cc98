"""Put features where their placeholders stand. Everything that needs a position afterwards reads it here.

Shape suffixes:
    B = samples   L = positions of the longest sample   D = width of the language model
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.region_lm.conversation import IGNORED, Encoded

Features = Mapping[str, Sequence[Tensor]]
"""Of one sample: for each placeholder by name its features in the order of the text, each of shape (k, D)."""


class Span(NamedTuple):
    """Where a feature lies."""

    name: str
    """Of the placeholder."""
    place: int
    """Place among the placeholders of this name in the sample."""
    start: int
    """First position in the row of the sample, padding counted."""
    end: int
    """Position after the last one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spliced:
    """What a language model reads."""

    embedding_BLD: Tensor
    """Zero at padding."""
    label_BL: Tensor
    """int64; ``IGNORED`` at features and padding."""
    mask_BL: Tensor
    """int64: 1 where a sample is, 0 at padding."""
    position_BL: Tensor
    """int64: counts the positions of a sample from 0; 0 at padding."""
    spans: tuple[tuple[Span, ...], ...]
    """Of each sample, in the order of the text."""
    text_positions: tuple[tuple[int, ...], ...]
    """Of each sample: where in its row each id lies; a placeholder's is its first position. Ids that were cut
    off have none."""


class _Row(NamedTuple):
    embedding_LD: Tensor
    labels: list[int]
    spans: list[Span]
    text_positions: list[int]


def splice(
    encoded: Sequence[Encoded],
    features: Sequence[Features],
    embed: nn.Module,
    ids: Mapping[str, int],
    *,
    padding_side: Literal["left", "right"] = "right",
    max_length: int | None = None,
) -> Spliced:
    """Replace every placeholder by its features.

    Args:
        encoded: Samples.
        features: Of each sample. The j-th placeholder of a name is replaced by the j-th of its features.
        embed: The language model's embedding of ids: int64 of shape (n,) to (n, D).
        ids: Of the placeholders, by name.
        padding_side: "right" to learn, "left" to generate.
        max_length: Longer samples lose text at their end; None: never.

    Returns:
        Embeddings through which gradients reach features and embeddings, with labels and positions.

    Raises:
        ValueError: If features and placeholders do not match one to one, a feature has not the shape (k, D)
            with k > 0, a feature would be cut, nothing learnable is left of a sample by cutting, or a batch
            is empty.
    """
    if not encoded or len(encoded) != len(features):
        raise ValueError(f"{len(encoded)} samples need as many sets of features, got {len(features)}.")
    names = {number: name for name, number in ids.items()}
    device = next(embed.parameters()).device
    every = torch.tensor([number for sample in encoded for number in sample.ids], device=device)
    parts = torch.split(embed(every), [len(sample.ids) for sample in encoded])
    rows = []
    for place, (sample, given, text_LD) in enumerate(zip(encoded, features, parts, strict=True)):
        try:
            row = _splice_one(sample, given, text_LD, names)
            rows.append(row if max_length is None else _cut(row, max_length))
        except ValueError as error:
            raise ValueError(f"sample {place}: {error}") from None
    return _padded(rows, padding_side)


def _splice_one(sample: Encoded, given: Features, text_LD: Tensor, names: Mapping[int, str]) -> _Row:
    """Build one row. Raises ValueError for what does not fit."""
    _check(sample, given, names, text_LD.shape[1])
    pieces: list[Tensor] = []
    labels: list[int] = []
    spans: list[Span] = []
    text_positions: list[int] = []
    seen = dict.fromkeys(given, 0)
    start, length = 0, 0
    for place, number in enumerate(sample.ids):
        name = names.get(number)
        if name is None:
            text_positions.append(length)
            labels.append(sample.labels[place])
            length += 1
            continue
        feature_KD = given[name][seen[name]].to(text_LD.dtype)
        pieces += [text_LD[start:place], feature_KD]
        spans.append(Span(name, seen[name], length, length + len(feature_KD)))
        text_positions.append(length)
        labels += [IGNORED] * len(feature_KD)
        seen[name] += 1
        start, length = place + 1, length + len(feature_KD)
    return _Row(torch.cat([*pieces, text_LD[start:]]), labels, spans, text_positions)


def _check(sample: Encoded, given: Features, names: Mapping[int, str], width: int) -> None:
    if len(sample.labels) != len(sample.ids):
        raise ValueError(f"{len(sample.ids)} ids need as many labels, got {len(sample.labels)}.")
    wanted = dict.fromkeys(names.values(), 0)
    for number in sample.ids:
        if number in names:
            wanted[names[number]] += 1
    if unknown := sorted(given.keys() - wanted.keys()):
        raise ValueError(f"there is no placeholder {unknown[0]!r}; there are {sorted(wanted)}.")
    for name, count in wanted.items():
        tensors = given.get(name, ())
        if len(tensors) != count:
            raise ValueError(f"{count} placeholders {name!r} need as many features, got {len(tensors)}.")
        for index, tensor in enumerate(tensors):
            if tensor.ndim != 2 or tensor.shape[0] == 0 or tensor.shape[1] != width:
                raise ValueError(
                    f"feature {index} of {name!r} must have the shape (k, {width}) with k > 0, "
                    f"got {tuple(tensor.shape)}."
                )


def _cut(row: _Row, max_length: int) -> _Row:
    """Drop text behind the limit. Raises ValueError if features or all that is learned would go."""
    if len(row.labels) <= max_length:
        return row
    for span in row.spans:
        if span.end > max_length:
            raise ValueError(
                f"{span.name!r} {span.place} ends at position {span.end}, behind max_length {max_length}: "
                "use fewer regions or a longer limit."
            )
    labels = row.labels[:max_length]
    if any(label != IGNORED for label in row.labels) and all(label == IGNORED for label in labels):
        raise ValueError(f"its {len(row.labels)} positions, cut to {max_length}, leave nothing to learn.")
    positions = [place for place in row.text_positions if place < max_length]
    return _Row(row.embedding_LD[:max_length], labels, row.spans, positions)


def _padded(rows: Sequence[_Row], side: Literal["left", "right"]) -> Spliced:
    """Bring rows to one length."""
    longest = max(len(row.labels) for row in rows)
    offsets = [longest - len(row.labels) if side == "left" else 0 for row in rows]
    device = rows[0].embedding_LD.device
    embeddings, labels = [], torch.full((len(rows), longest), IGNORED, device=device)
    mask_BL = torch.zeros((len(rows), longest), dtype=torch.int64, device=device)
    position_BL = torch.zeros_like(mask_BL)
    for number, (row, offset) in enumerate(zip(rows, offsets, strict=True)):
        end = offset + len(row.labels)
        embeddings.append(functional.pad(row.embedding_LD, (0, 0, offset, longest - end)))
        labels[number, offset:end] = torch.tensor(row.labels, device=device)
        mask_BL[number, offset:end] = 1
        position_BL[number, offset:end] = torch.arange(len(row.labels), device=device)
    return Spliced(
        embedding_BLD=torch.stack(embeddings),
        label_BL=labels,
        mask_BL=mask_BL,
        position_BL=position_BL,
        spans=tuple(tuple(_moved(row.spans, offset)) for row, offset in zip(rows, offsets, strict=True)),
        text_positions=tuple(
            tuple(place + offset for place in row.text_positions)
            for row, offset in zip(rows, offsets, strict=True)
        ),
    )


def _moved(spans: Sequence[Span], offset: int) -> Iterator[Span]:
    return (span._replace(start=span.start + offset, end=span.end + offset) for span in spans)
