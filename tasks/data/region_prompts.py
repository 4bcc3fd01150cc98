"""Region samples -> what a model is told: where the image stands, and how a region is named in words.

A region stands where it is mentioned. If an answer cites one, or one of several comes up more than once,
all are listed first, each with its name, ``region1`` onwards, and the text uses the names. What the
assistant cites is always a name, because it can only say words.

Source: the forms of Osprey (https://github.com/CircleRadon/Osprey); sentences are ours.
"""

from typing import Final

from models.region_lm.conversation import Part, Token
from models.region_lm.mentions import Mention, Utterance
from models.region_lm.tokens import IMAGE
from tasks.data.region_records import RegionMark, RegionSample, RegionTurn, region_name

OVERVIEW: Final = "\nThis is the whole picture.\n"
"""Stands behind the image where regions are spoken of."""


def to_utterances(sample: RegionSample, *, listed: bool | None = None) -> tuple[Utterance, ...]:
    """Say what a model is told.

    Args:
        sample: Its image, if any, stands at the start of the first turn.
        listed: Whether all regions are listed first, by name; None: as the header of this module says.

    Returns:
        One utterance a turn.

    Raises:
        ValueError: If an answer cites a region and regions are not to be listed: it would have no name.
    """
    if listed is False and _cites(sample):
        raise ValueError(f"an answer of sample {sample.sample_id} cites a region, so regions must be listed.")
    named = bool(sample.regions) and (are_listed(sample) if listed is None else listed)
    utterances = [
        Utterance(role=turn.role, parts=_parts(turn, named=named or turn.role == "assistant"))
        for turn in sample.turns
    ]
    opening = _opening(sample, named=named)
    if opening:
        first = utterances[0]
        utterances[0] = Utterance(role=first.role, parts=(*opening, *first.parts))
    return tuple(utterances)


def are_listed(sample: RegionSample) -> bool:
    """Say whether all regions are listed first, by name: as the header of this module says."""
    asked = [index for turn in sample.turns if turn.role == "user" for index in turn.marks]
    return _cites(sample) or (len(sample.regions) > 1 and len(set(asked)) < len(asked))


def _cites(sample: RegionSample) -> bool:
    return any(turn.marks for turn in sample.turns if turn.role == "assistant")


def _opening(sample: RegionSample, *, named: bool) -> tuple[Part | Mention, ...]:
    if sample.file is None:
        return ()
    if not sample.regions:
        return Token(IMAGE), "\n"
    parts: list[Part | Mention] = [Token(IMAGE), OVERVIEW]
    if named:
        for index in range(len(sample.regions)):
            parts += [f"{', ' if index else ''}{region_name(index)} ", Mention(index)]
        parts.append(". ")
    return tuple(parts)


def _parts(turn: RegionTurn, *, named: bool) -> tuple[Part | Mention, ...]:
    def said(index: int) -> Part | Mention:
        return region_name(index) if named else Mention(index)

    return tuple(said(part.index) if isinstance(part, RegionMark) else part for part in turn.parts)
