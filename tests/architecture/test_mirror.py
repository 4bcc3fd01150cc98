"""Every module has a test of the same name."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("flows", "tasks", "models", "evaluation")
MODULES = sorted(
    path.relative_to(ROOT)
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if path.name != "__init__.py"
)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_module_has_a_test(module):
    test = ROOT / "tests" / module.parent / f"test_{module.stem.strip('_')}.py"
    assert test.exists(), f"{module}: write {test.relative_to(ROOT)}"
