"""A contract about nothing, or kept by nothing, is a failure."""

import json
import math
from pathlib import Path

import pandas as pd
import pytest

from tasks.errors import UsageError
from tasks.services.expectations import (
    ColumnContract,
    Contract,
    TableContract,
    load_contract,
    run_contract,
)

CONTRACT = Path(__file__).parents[3] / "configs" / "expectations" / "coco_instances.yaml"

COLUMNS = (
    ColumnContract(name="id", unique=True, between=(1, 100)),
    ColumnContract(name="x", between=(0.0, 10.0)),
    ColumnContract(name="kind", one_of=("a", "b")),
)


def contract(*columns, rows=(1, 5)):
    table = TableContract(name="things", rows=rows, columns=columns or COLUMNS)
    return Contract(schema="groundwork.expectations/1", tables=(table,))


def frame(**columns):
    return pd.DataFrame({"id": [1, 2, 3], "x": [0.0, 5.0, 10.0], "kind": ["a", "b", "a"], **columns})


def broken(table, rules=None):
    outcomes = run_contract(rules or contract(), {"things": table})
    assert outcomes
    assert json.dumps([outcome.to_json() for outcome in outcomes], allow_nan=False)
    return {(outcome.column, outcome.expectation): outcome for outcome in outcomes if not outcome.passed}


def test_a_kept_contract():
    outcomes = run_contract(contract(), {"things": frame()})
    assert [(outcome.column, outcome.expectation) for outcome in outcomes] == [
        (None, "expect_table_row_count_to_be_between"),
        ("id", "expect_column_values_to_not_be_null"),
        ("id", "expect_column_values_to_be_unique"),
        ("id", "expect_column_values_to_be_between"),
        ("x", "expect_column_values_to_not_be_null"),
        ("x", "expect_column_values_to_be_between"),
        ("kind", "expect_column_values_to_not_be_null"),
        ("kind", "expect_column_values_to_be_in_set"),
    ]
    assert all(outcome.passed and outcome.rows == 3 and outcome.unexpected == 0 for outcome in outcomes)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"id": [1, 2, 2]}, {("id", "unique"): 2}),
        ({"id": [0, 2, 3]}, {("id", "between"): 1}),
        ({"x": [0.0, 5.0, math.inf]}, {("x", "between"): 1}),
        ({"x": [0.0, 5.0, -math.inf]}, {("x", "between"): 1}),
        ({"x": [0.0, 5.0, math.nan]}, {("x", "null"): 1, ("x", "between"): 1}),
        ({"x": [math.nan] * 3}, {("x", "null"): 3, ("x", "between"): 3}),
        ({"x": [None] * 3}, {("x", "null"): 3, ("x", "between"): 3}),
        ({"kind": ["a", "b", "c"]}, {("kind", "set"): 1}),
        ({"kind": ["a", "b", None]}, {("kind", "null"): 1, ("kind", "set"): 1}),
    ],
)
def test_one_bad_cell_breaks_it(columns, expected):
    found = broken(frame(**columns))
    assert {
        (column, name.rsplit("_", 1)[1]): outcome.unexpected for (column, name), outcome in found.items()
    } == expected


def test_an_empty_table():
    found = broken(frame().iloc[:0])
    assert (None, "expect_table_row_count_to_be_between") in found
    assert len(found) == 8


def test_too_many_rows():
    found = broken(pd.concat([frame()] * 3, ignore_index=True).assign(id=range(1, 10)))
    assert [(key, outcome.detail) for key, outcome in found.items()] == [
        ((None, "expect_table_row_count_to_be_between"), "9 rows")
    ]


def test_an_absent_column_or_table():
    found = broken(frame().drop(columns="x"))
    assert found[("x", "column_exists")].detail == "the column is absent."
    assert len(found) == 1
    (outcome,) = run_contract(contract(), {})
    assert (outcome.passed, outcome.expectation) == (False, "table_exists")
    outcomes = run_contract(contract(), {"things": frame(), "others": frame()})
    assert [outcome.expectation for outcome in outcomes if not outcome.passed] == ["table_in_contract"]


def test_what_cannot_be_judged_is_broken():
    found = broken(frame(x=["a", "b", "c"]))
    outcome = found[("x", "expect_column_values_to_be_between")]
    assert outcome.detail.startswith("could not be judged: ")
    assert len(outcome.detail) < 300


def write(tmp_path, text):
    (tmp_path / "contract.yaml").write_text(text)
    return tmp_path / "contract.yaml"


HEAD = "schema: groundwork.expectations/1\ntables:\n"
TABLE = "  - {name: things, rows: [1, 5], columns: [{name: id%s}]}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD.replace("tables:", "tables: []"), "tables must be named once each, and not be none, got []"),
        (HEAD + TABLE % "" * 2, "tables must be named once each"),
        (
            HEAD + "  - {name: things, rows: [0, 5], columns: [{name: id}]}",
            "the first at least 1, got (0, 5)",
        ),
        (HEAD + "  - {name: things, rows: [5, 1], columns: [{name: id}]}", "two numbers in order"),
        (HEAD + "  - {name: things, columns: [{name: id}]}", "missing key 'rows'"),
        (HEAD + "  - {name: things, rows: [1, 5], columns: []}", "columns must be named once each"),
        (HEAD + TABLE % ", mostly: 0.95", "unknown key 'mostly'"),
        (HEAD + TABLE % ", between: [0, .inf]", "between must be two finite numbers in order"),
        (HEAD + TABLE % ", between: [.nan, 1]", "between must be two finite numbers in order"),
        (HEAD + TABLE % ", between: [0]", "must have 2 items, got 1"),
        (HEAD + TABLE % ", one_of: []", "one_of must name at least one value"),
        (HEAD.replace("/1", "/2") + TABLE % "", "must be one of 'groundwork.expectations/1'"),
        (HEAD + "  - {name: things, name: more}", "duplicate key"),
        ("!!python/object/apply:os.system [echo]", "not valid YAML"),
    ],
)
def test_contracts_that_could_not_fail_are_refused(tmp_path, text, message):
    with pytest.raises(UsageError) as caught:
        load_contract(write(tmp_path, text))
    assert message in caught.value.message


def test_the_contract_of_the_project_covers_every_column():
    from tasks.data.tables import annotation_tables

    rules = load_contract(CONTRACT)
    frames = annotation_tables([])
    assert {table.name: {column.name for column in table.columns} for table in rules.tables} == {
        name: set(table.columns) for name, table in frames.items()
    }


def test_nothing_is_imported_before_it_is_needed():
    import subprocess
    import sys

    code = "import sys, tasks.services.expectations; sys.exit('great_expectations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
