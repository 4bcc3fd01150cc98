"""Check a dataset: every typed rule, then the data contract. Used by the stage and before an import."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.data.commit import Manifest, describe, hash_file
from tasks.data.importing import DATASET_SCHEMA
from tasks.data.tables import annotation_tables
from tasks.data.validation import VALIDATION_SCHEMA, inspect_dataset
from tasks.errors import DataError
from tasks.services.expectations import Outcome, load_contract, run_contract

CONTRACT = Path("configs/expectations/coco_instances.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What was found."""

    report: dict[str, Any]
    """Content of a validation report."""
    lines: tuple[str, ...]
    """The first findings of each rule, and every broken expectation."""
    summary: str
    """Counts a rule; empty if all is well."""

    @property
    def passed(self) -> bool:
        """Say whether nothing was found."""
        return bool(self.report["passed"])


def check_dataset(dataset: Path, manifest: Manifest, contract: Path) -> Checked:
    """Decode every image, check every annotation, run the contract on the tables.

    Raises:
        DataError: If the annotations cannot even be read.
        UsageError: If the contract is malformed or could not fail.
    """
    rules = load_contract(contract)
    inspection = inspect_dataset(dataset, manifest)
    outcomes = run_contract(rules, annotation_tables(inspection.splits))
    broken = [outcome for outcome in outcomes if not outcome.passed]
    parts = [inspection.findings.summary()] if inspection.findings.total else []
    parts += [f"{len(broken)} of {len(outcomes)} expectations broken"] if broken else []
    report = {
        "schema": VALIDATION_SCHEMA,
        "dataset_sha256": manifest.sha256,
        "contract_sha256": hash_file(contract),
        "passed": not parts,
        "counts": inspection.counts,
        "findings": inspection.findings.to_json(),
        "expectations": [outcome.to_json() for outcome in outcomes],
    }
    lines = (*inspection.findings.lines(), *(_line(outcome) for outcome in broken))
    return Checked(report=report, lines=lines, summary="; ".join(parts))


def check_folder(folder: Path, repository: Path) -> dict[str, Any]:
    """Check a dataset where it lies, before it is imported.

    Returns:
        The report, with a summary in words.

    Raises:
        DataError: With the first findings of each rule.
        IntegrityError: If the folder holds a link.
    """
    if not folder.is_dir():
        raise DataError("is no directory.", obj=str(folder), hint="Give the folder above annotations/.")
    checked = check_dataset(folder, describe(folder, schema=DATASET_SCHEMA), repository / CONTRACT)
    if not checked.passed:
        raise DataError(
            "\n  ".join([f"{checked.summary}.", *checked.lines]),
            obj=str(folder),
            hint="Correct the source and check it again.",
        )
    return {
        **checked.report,
        "summary": f"every rule holds ({len(checked.report['expectations'])} expectations)",
    }


def _line(outcome: Outcome) -> str:
    place = outcome.table if outcome.column is None else f"{outcome.table}.{outcome.column}"
    number = f"{outcome.unexpected} of {outcome.rows}" if outcome.unexpected else "failed"
    return f"{outcome.expectation}: {place}: {number}: {outcome.detail}"
