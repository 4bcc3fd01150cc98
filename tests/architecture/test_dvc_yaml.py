"""DVC does not follow imports: these tests do."""

import re
from pathlib import Path

import grimp
import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("flows", "tasks", "models", "evaluation")
STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph(*PACKAGES)


def module_path(module: str) -> str:
    path = Path(*module.split("."))
    return f"{path}/__init__.py" if (ROOT / path).is_dir() else f"{path}.py"


def out_paths(stage: dict) -> list[str]:
    return [next(iter(out)) if isinstance(out, dict) else out for out in stage["outs"]]


@pytest.mark.parametrize("name", STAGES)
def test_the_module_of_a_stage_has_its_name(name):
    assert f"python -m tasks.stages.{name} " in STAGES[name]["cmd"]
    assert (ROOT / "tasks" / "stages" / f"{name}.py").exists()


@pytest.mark.parametrize("name", STAGES)
def test_deps_cover_every_import(name, graph):
    module = f"tasks.stages.{name}"
    imported = {module, *graph.find_upstream_modules(module)}
    deps = STAGES[name]["deps"]

    def covered(path: str) -> bool:
        return any(path == dep or path.startswith(f"{dep}/") for dep in deps)

    missing = sorted(
        module_path(item)
        for item in imported
        if not module_path(item).endswith("__init__.py") and not covered(module_path(item))
    )
    assert not missing, f"stage {name} imports {missing}; add them to its deps in dvc.yaml"


@pytest.mark.parametrize("name", STAGES)
def test_no_dep_is_code_that_is_not_imported(name, graph):
    module = f"tasks.stages.{name}"
    imported = {module_path(item) for item in {module, *graph.find_upstream_modules(module)}}
    for dep in STAGES[name]["deps"]:
        if dep.endswith(".py"):
            assert dep in imported, f"stage {name} does not import {dep}; remove it from its deps"


@pytest.mark.parametrize("name", STAGES)
def test_paths_on_the_command_line_are_declared(name):
    stage = STAGES[name]
    declared = [*stage["deps"], *out_paths(stage)]
    for flag, path in re.findall(r"--([a-z-]+) (\S+)", stage["cmd"]):
        if flag == "checkpoints":  # scratch, see the stage
            continue
        inside = any(path == item or path.startswith(f"{item}/") for item in declared)
        assert inside, f"stage {name}: --{flag} {path} is neither a dep nor an out"


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_says_how_it_is_run(name):
    meta = STAGES[name]["meta"]
    assert meta["worker"] in {"cpu", "gpu"}
    assert meta["timeout"] > 0
    assert meta["retries"] >= 0
    assert STAGES[name]["desc"]
