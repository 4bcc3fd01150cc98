"""What is wrong with a dataset: every violation counted, the first ten of each rule kept in full."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

SHOWN = 10
"""Findings of one rule that are kept in full; all are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One violation of one rule by one object."""

    rule: str
    """A code such as ``image-size-mismatch``."""
    obj: str
    """File and id."""
    sentence: str


@dataclass(slots=True)
class Findings:
    """Counts all findings and keeps the first ten per rule. Nothing is dropped from the data, or repaired."""

    counts: dict[str, int] = field(default_factory=dict)
    """Rule -> number of violations."""
    first: list[Finding] = field(default_factory=list)

    def add(self, rule: str, obj: str, sentence: str) -> None:
        """Count one violation."""
        number = self.counts.get(rule, 0)
        self.counts[rule] = number + 1
        if number < SHOWN:
            self.first.append(Finding(rule=rule, obj=obj, sentence=sentence))

    def extend(self, found: Iterable[Finding]) -> None:
        """Count every violation of a check."""
        for finding in found:
            self.add(finding.rule, finding.obj, finding.sentence)

    @property
    def total(self) -> int:
        """Number of violations of all rules."""
        return sum(self.counts.values())

    def summary(self) -> str:
        """Return ``3 box-outside, 1 image-missing``, most frequent first."""
        ordered = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
        return ", ".join(f"{number} {rule}" for rule, number in ordered)

    def lines(self) -> list[str]:
        """Return one line per kept finding, and one per rule that has more."""
        lines = []
        for rule, number in sorted(self.counts.items()):
            kept = [finding for finding in self.first if finding.rule == rule]
            lines += [f"{rule}: {finding.obj}: {finding.sentence}" for finding in kept]
            if number > len(kept):
                lines.append(f"{rule}: and {number - len(kept)} more")
        return lines

    def to_json(self) -> dict[str, Any]:
        """Return plain values: per rule the count and the first findings."""
        return {
            rule: {
                "count": number,
                "first": [
                    {key: value for key, value in asdict(finding).items() if key != "rule"}
                    for finding in self.first
                    if finding.rule == rule
                ],
            }
            for rule, number in sorted(self.counts.items())
        }
