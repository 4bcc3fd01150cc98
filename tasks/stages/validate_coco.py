"""Stage: check a dataset with typed rules, then its tables against a contract."""

import json
import sys
from pathlib import Path
from typing import Any

from tasks.data.commit import commit_file, verify_directory
from tasks.data.importing import DATASET_SCHEMA
from tasks.errors import DataError
from tasks.operations.checking import check_dataset
from tasks.stages._command import run_stage

FAILED = "failed.json"
"""Name of the report of a dataset that did not pass, beside the file that would have said that it did."""


def run(*, dataset: Path, contract: Path, out: Path) -> None:
    """Verify every byte, decode every image, check every annotation; write a report only if all is well.

    A dataset that breaks a rule leaves ``out`` absent, the first findings of each rule on stderr, and the
    full report in ``failed.json`` beside ``out``.
    """
    checked = check_dataset(dataset, verify_directory(dataset, schema=DATASET_SCHEMA), contract)
    failed = out.with_name(FAILED)
    if checked.passed:
        failed.unlink(missing_ok=True)
        commit_file(out, _dump(checked.report))
        return
    out.unlink(missing_ok=True)
    commit_file(failed, _dump(checked.report))
    sys.stderr.write("".join(f"{line}\n" for line in checked.lines))
    raise DataError(
        f"{checked.summary}.",
        obj=str(dataset),
        hint=f"Correct the source and import it again; {failed} has the whole list.",
    )


def _dump(report: dict[str, Any]) -> bytes:
    return (json.dumps(report, indent=1, allow_nan=False) + "\n").encode()


if __name__ == "__main__":
    run_stage(run)
