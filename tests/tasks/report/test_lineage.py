from tasks.report.lineage import lineage_rows

NESTED = {
    "dataset": {"sha256": "ab" * 32, "split": "val"},
    "code": {"commit": "0f" * 20, "uncommitted_changes": True},
    "config": {f"segmenter.key{number}": number for number in range(12)},
    "lock": {"sha256": None},
    "MLflow run": "http://tracker.test/#/runs/1",
}


def test_rows_keep_their_order_and_say_what_they_are() -> None:
    rows = {row.name: row for row in lineage_rows(NESTED, {"decision": "cd" * 32})}
    assert list(rows) == ["Dataset", "Code", "Configuration", "Lock file", "MLflow run", "Report made from"]
    assert rows["Dataset"].lines == (("sha256", "ab" * 32), ("split", "val"))
    code = rows["Code"]
    assert (code.text, code.is_code, code.warning) == ("0f" * 20, True, "with uncommitted changes")
    assert rows["Lock file"].text == "unknown"
    assert not rows["MLflow run"].is_code
    assert [row.name for row in rows.values() if row.is_folded] == ["Configuration"]
    assert rows["Report made from"].lines == (("decision", "cd" * 32),)


def test_dotted_names_are_the_same_as_mappings() -> None:
    dotted = {
        "code.commit": "0f" * 20,
        "code.uncommitted_changes": "True",
        "dataset.sha256": "ab" * 32,
        "dataset.split": "val",
    }
    code, dataset, _ = lineage_rows(dotted, {})
    assert (code.name, code.text, code.warning) == ("Code", "0f" * 20, "with uncommitted changes")
    assert dataset.lines == (("sha256", "ab" * 32), ("split", "val"))


def test_a_clean_checkout_has_no_warning() -> None:
    row = lineage_rows({"code": {"commit": "0f" * 20, "uncommitted_changes": False}}, {})[0]
    assert row.warning == ""
