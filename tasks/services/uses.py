"""How many models a split has judged: whoever looks often enough wins once by luck.

The looks are kept in the store of the promotion ledger, one append-only line per model and version of a
split: it is durable, takes each place once, and is shared by whoever shares the ledger.
"""

import hashlib
import json
from dataclasses import asdict, dataclass

from tasks.errors import IntegrityError
from tasks.services.ledger import Ledger

_SCHEMA = "groundwork.use/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One look: a model is judged on a split. Looking again at the same pair is the same use."""

    dataset_sha256: str
    """Version of the dataset, in hex."""
    split: str
    model_sha256: str
    """Who is judged, in hex."""

    @property
    def name(self) -> str:
        """Return the name under which the store keeps the uses of this version of the split."""
        return f"uses.{hashlib.sha256(f'{self.dataset_sha256} {self.split}'.encode()).hexdigest()[:32]}"


def count_uses(ledger: Ledger, use: Use) -> int:
    """Return the place of a use among all of its split, from 1, and 0 if the model was never judged on it.

    Raises:
        IntegrityError: If the lines are damaged.
        UnavailableError: If the store cannot be reached.
    """
    return _place(_read(ledger, use), use)


def note_use(ledger: Ledger, use: Use) -> int:
    """Count a use once, whoever counts at the same time.

    Returns:
        How many different models were judged on the split when this one first was, itself included.

    Raises:
        IntegrityError: If the lines are damaged.
        UnavailableError: If the store cannot be reached.
    """
    while True:
        uses = _read(ledger, use)
        if place := _place(uses, use):
            return place
        line = json.dumps({"schema": _SCHEMA, **asdict(use)}, sort_keys=True)
        ledger.entries.create(use.name, len(uses) + 1, use.model_sha256, line)


def _place(uses: list[Use], use: Use) -> int:
    return uses.index(use) + 1 if use in uses else 0


def _read(ledger: Ledger, use: Use) -> list[Use]:
    uses = []
    for number, line in enumerate(ledger.entries.read(use.name), start=1):
        try:
            values = json.loads(line)
            if values.pop("schema") != _SCHEMA:
                raise ValueError("another schema")
            found = Use(**values)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise _damaged(ledger, use, number) from error
        if found.name != use.name:
            raise _damaged(ledger, use, number)
        uses.append(found)
    return uses


def _damaged(ledger: Ledger, use: Use, number: int) -> IntegrityError:
    return IntegrityError(
        f"use {number} of split {use.split!r} of dataset {use.dataset_sha256[:12]} was changed or damaged.",
        obj=ledger.entries.source,
        hint="Restore the ledger from a copy, then run `groundwork doctor`.",
    )
