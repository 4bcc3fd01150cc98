"""The questions that region samples hold: each turn of a user, with the answer that follows it.

An answer is text, so a region that it cites is named as models name it, ``region1`` onwards.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tasks.data.region_records import RegionMark, RegionSample, RegionTurn, region_name

OTHER: Final = "dialogue"
"""The kind of what was not made of facts."""
_KIND: Final = re.compile(r"(?:describe|exists|choose)(?:-[a-z]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionQuestion:
    """One question of a sample."""

    question_id: str
    """``<dataset>/<split>/<id of the sample>#<number of the question, from 1>``: unique in a directory."""
    sample: RegionSample
    turn: int
    """Its place among the turns of the sample, from 0."""
    reference: str | None
    """The answer that follows; None where the sample ends with the question."""
    kind: str
    """How it was made: ``describe-text``, ``describe-label``, ``exists-nearest``, ..., or ``dialogue``."""

    @property
    def text(self) -> str:
        """What is asked, with regions by name."""
        return spoken(self.sample.turns[self.turn])


def questions_of(samples: Iterable[RegionSample]) -> list[RegionQuestion]:
    """Return every question, in the order of the samples and their turns."""
    return [
        RegionQuestion(
            question_id=f"{sample.dataset}/{sample.split}/{sample.sample_id}#{turn // 2 + 1}",
            sample=sample,
            turn=turn,
            reference=spoken(sample.turns[turn + 1]) if turn + 1 < len(sample.turns) else None,
            kind=kind_of(sample),
        )
        for sample in samples
        for turn in range(0, len(sample.turns), 2)
    ]


def kind_of(sample: RegionSample) -> str:
    """Return how the questions of a sample were made: the end of its id, where facts were asked about."""
    suffix = sample.sample_id.rpartition("/")[2]
    return suffix if _KIND.fullmatch(suffix) else OTHER


def spoken(turn: RegionTurn) -> str:
    """Write a turn as text, with regions by name: ``region1`` onwards."""
    return "".join(
        region_name(part.index) if isinstance(part, RegionMark) else part for part in turn.parts
    ).strip()
