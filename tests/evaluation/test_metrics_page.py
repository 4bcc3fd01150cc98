"""docs/metrics.md names every definition, and nothing that does not exist."""

import importlib
import pkgutil
import re
from pathlib import Path
from typing import get_args

import evaluation
from evaluation.definition import Definition
from evaluation.judged import judged_definition
from evaluation.questions import Measure

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")


def definitions():
    names = {
        judged_definition(["a"], highest=10.0).name,
        "tags/1",
        *(f"{name}/1" for name in get_args(Measure)),
    }
    for module in pkgutil.iter_modules(evaluation.__path__):
        for value in vars(importlib.import_module(f"evaluation.{module.name}")).values():
            names |= {value.name} if isinstance(value, Definition) else set()
    return names


def test_every_definition_is_on_the_page():
    named = set(re.findall(r"`([a-z0-9_.-]+/\d+)`", PAGE))
    assert named == definitions()


def test_every_module_and_test_exists():
    rows = [line.split("|") for line in PAGE.splitlines() if line.startswith("| `")]
    assert len(rows) > 15
    for row in rows:
        for module in re.findall(r"`(\w+)`", row[1]):
            assert (ROOT / "evaluation" / f"{module}.py").exists(), module
        for test in re.findall(r"`([\w/]+)`", row[-2]):
            path = ROOT / f"{test}.py" if "/" in test else ROOT / "tests" / "evaluation" / f"{test}.py"
            assert path.exists(), test
