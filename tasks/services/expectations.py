"""Run a data contract with Great Expectations; the only module that imports it.

Great Expectations passes an empty table, an empty suite, a column of NaN against ``between`` and infinity
against a lower bound. A contract here cannot be written so: every table has bounds on its rows, every column
is complete, every bound has two finite ends, there is no ``mostly``; and a result counts as passed only if it
looked at every row.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tasks.config import load_file

if TYPE_CHECKING:
    import pandas as pd

_EXAMPLES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnContract:
    """What holds for every value of a column; that none is missing always does."""

    name: str
    unique: bool = False
    between: tuple[float, float] | None = None
    """Inclusive bounds, both finite."""
    one_of: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse a rule that nothing could break, or that nothing could keep."""
        if self.between is not None and not -math.inf < self.between[0] <= self.between[1] < math.inf:
            raise ValueError(f"between must be two finite numbers in order, got {self.between}.")
        if self.one_of is not None and not self.one_of:
            raise ValueError("one_of must name at least one value.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableContract:
    """What holds for a table."""

    name: str
    rows: tuple[int, int]
    """Inclusive bounds on the number of rows, at least 1."""
    columns: tuple[ColumnContract, ...]

    def __post_init__(self) -> None:
        """Refuse a contract that an empty table keeps."""
        if not 1 <= self.rows[0] <= self.rows[1]:
            raise ValueError(f"rows must be two numbers in order, the first at least 1, got {self.rows}.")
        names = [column.name for column in self.columns]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"columns must be named once each, and not be none, got {names}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What holds for all tables of a dataset."""

    schema: Literal["groundwork.expectations/1"]
    tables: tuple[TableContract, ...]

    def __post_init__(self) -> None:
        """Refuse a contract about nothing."""
        names = [table.name for table in self.tables]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"tables must be named once each, and not be none, got {names}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One expectation, kept or broken."""

    table: str
    column: str | None
    expectation: str
    passed: bool
    rows: int
    """Values that were looked at."""
    unexpected: int
    """Values that break the expectation."""
    detail: str
    """The first of them, or the reason why the expectation could not be judged."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def load_contract(path: Path) -> Contract:
    """Read a contract.

    Raises:
        UsageError: If it is malformed, or could be kept by an empty table.
    """
    return load_file(path, Contract)


def run_contract(contract: Contract, frames: "Mapping[str, pd.DataFrame]") -> list[Outcome]:
    """Judge every table; a table or column that is absent breaks its expectations.

    Returns:
        One outcome per expectation, in the order of the contract, never none.
    """
    context, expectations = _great_expectations()
    source = context.data_sources.add_pandas("contract")
    outcomes: list[Outcome] = []
    for table in contract.tables:
        frame = frames.get(table.name)
        if frame is None:
            outcomes.append(_unjudged(table.name, None, "table_exists", "the table is absent."))
        else:
            outcomes += _run_table(table, frame, source.add_dataframe_asset(table.name), expectations)
    for name in sorted(frames.keys() - {table.name for table in contract.tables}):
        outcomes.append(_unjudged(name, None, "table_in_contract", "the contract says nothing about it."))
    return outcomes


def _run_table(
    table: TableContract,
    frame: "pd.DataFrame",
    asset: Any,  # noqa: ANN401
    expectations: Any,  # noqa: ANN401
) -> list[Outcome]:
    missing = [column.name for column in table.columns if column.name not in frame.columns]
    outcomes = [_unjudged(table.name, name, "column_exists", "the column is absent.") for name in missing]
    present = [column for column in table.columns if column.name not in missing]
    planned = [expectations.ExpectTableRowCountToBeBetween(min_value=table.rows[0], max_value=table.rows[1])]
    for column in present:
        planned += _plan_column(column, expectations)
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    for expectation in planned:  # one by one: a suite returns its results in another order
        result = batch.validate(expectation, result_format="SUMMARY").to_json_dict()
        outcomes.append(_judge(table.name, len(frame), result))
    return outcomes


def _plan_column(column: ColumnContract, expectations: Any) -> list[Any]:  # noqa: ANN401
    planned = [expectations.ExpectColumnValuesToNotBeNull(column=column.name)]
    if column.unique:
        planned.append(expectations.ExpectColumnValuesToBeUnique(column=column.name))
    if column.between is not None:
        low, high = column.between
        planned.append(
            expectations.ExpectColumnValuesToBeBetween(column=column.name, min_value=low, max_value=high)
        )
    if column.one_of is not None:
        planned.append(
            expectations.ExpectColumnValuesToBeInSet(column=column.name, value_set=list(column.one_of))
        )
    return planned


def _judge(table: str, rows: int, result: Mapping[str, Any]) -> Outcome:
    """Believe a success only if every row was looked at and none was missing."""
    configuration, values = result["expectation_config"], result["result"]
    column, name = configuration["kwargs"].get("column"), configuration["type"]
    if not values:
        return _unjudged(table, column, name, f"could not be judged: {_reason(result['exception_info'])}")
    looked_at = values["observed_value"] if column is None else values["element_count"]
    gaps = values.get("missing_count") or 0
    detail = f"{gaps} values are missing. " if gaps else ""
    if examples := values.get("partial_unexpected_list"):
        detail += f"first: {', '.join(str(example)[:60] for example in examples[:_EXAMPLES])}"
    if column is None:
        detail = f"{looked_at} rows"
    return Outcome(
        table=table,
        column=column,
        expectation=name,
        passed=result["success"] is True and looked_at == rows > 0 and gaps == 0,
        rows=int(looked_at),
        unexpected=int(values.get("unexpected_count") or 0) + int(gaps),
        detail=detail.strip(),
    )


def _unjudged(table: str, column: str | None, expectation: str, reason: str) -> Outcome:
    return Outcome(
        table=table, column=column, expectation=expectation, passed=False, rows=0, unexpected=0, detail=reason
    )


def _reason(information: Mapping[str, Any]) -> str:
    """Dig the message out of the exception, which may be nested one level by metric."""
    nested = [information, *(value for value in information.values() if isinstance(value, Mapping))]
    messages = [str(item["exception_message"]) for item in nested if item.get("exception_message")]
    return messages[0].splitlines()[0][:200] if messages else "no reason given."


def _great_expectations() -> tuple[Any, Any]:
    """Import the library when it is needed (it takes seconds), without analytics or progress bars."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations
    from great_expectations import expectations
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = great_expectations.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context, expectations
