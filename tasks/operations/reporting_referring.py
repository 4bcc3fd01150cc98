"""Render the page of one or two models that answer referring expressions."""

from pathlib import Path

from tasks.data.target_directory import check_target
from tasks.report.referring_page import REPORT_SCHEMA, render_referring
from tasks.report.referring_sources import ReferringInputs


def report_referring(inputs: ReferringInputs, out: Path) -> Path:
    """Write the page as a committed directory, and replace nothing but an earlier page.

    Returns:
        The page.

    Raises:
        UsageError: If ``out`` holds something else.
        IntegrityError: If an input was damaged, or two of them are not about the same data and models.
        DataError: If an input is malformed.
        UnavailableError: If an input or an image is absent.
    """
    check_target(out, schema=REPORT_SCHEMA)
    return render_referring(inputs, out)
