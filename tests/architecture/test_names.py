"""What import contracts cannot say: names and sizes."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("flows", "tasks", "models", "evaluation")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
DRAWERS = {"utils", "helpers", "common", "base", "core", "misc"}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_no_file_is_a_drawer_or_too_long(path):
    assert path.stem not in DRAWERS
    assert len(path.read_text().splitlines()) <= 300, f"{name(path)}: split it along an idea"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_no_function_is_longer_than_a_screen(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            length = node.end_lineno - node.lineno + 1
            assert length <= 60, f"{name(path)}:{node.lineno} {node.name} has {length} lines"


def test_flow_files_cannot_shadow_a_package():
    """Loading ``flows/x.py`` by path puts ``flows/`` first on sys.path."""
    clashes = {path.stem for path in (ROOT / "flows").iterdir()} & set(PACKAGES)
    assert not clashes


def test_nothing_unpickles_or_runs_remote_code():
    needles = ("pickle.load", "torch.load(", "weights_only=False", "trust_remote_code=True", "yaml.load(")
    for path in SOURCES:
        text = path.read_text()
        found = [needle for needle in needles if needle in text]
        assert not found, f"{name(path)}: {found}"
