"""A small project of its own: the code of this checkout, a tiny dataset, a tiny model."""

import gc
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from tests.tiny.shapes import write_shapes_world

ROOT = Path(__file__).resolve().parents[1]
CODE = ("flows", "tasks", "models", "evaluation", "configs")

PARAMS = """
dataset:
  source: source
segmenter:
  seed: 0
  steps: 60
  batch_size: 4
  crop_size: 96
  smallest_zoom: 0.9
  largest_zoom: 1.1
  learning_rate: 0.003
  weight_decay: 0.0001
  warmup_fraction: 0.2
  gradient_norm: 10.0
  average_decay: 0.9
  image_scale: 1.5
  width: 32
  num_convolutions: 1
  mask_channels: 8
  window_size: 16
  window_margin: 0.2
  box_jitter: 0.0
  regions_per_image: 4
  projection_weight: 1.0
  global_weight: 1.0
  local_weight: 1.0
  affinity_warmup: 10
  zeta_image: 0.1
  zeta_label: 0.1
  zeta_local: 0.2
  local_kernel: 3
  local_iterations: 3
  log_every: 5
  checkpoint_every: 20
predict:
  score_threshold: 0.05
  suppression_iou: 0.5
  detections_per_image: 20
  mask_threshold: 0.5
"""

# A tiny model is not good: the rules are the same, the limits are not.
GATE = """
split: val
floors: [{metric: mask.recall50, at_least: 0.0}]
ceilings: [{metric: detections_per_image, at_most: 20}]
primary: {metric: box.recall50, min_gain: 0.0}
non_inferior: []
alpha: 0.05
resamples: 200
seed: 1
"""


# A process for each would cost much more: most of a short run is imports and Prefect's server.
ONE_AFTER_ANOTHER = """
import json, os, sys
from typer.testing import CliRunner
from flows.cli import app

answers = []
for folder, *arguments in json.loads(sys.argv[1]):
    os.chdir(folder)
    done = CliRunner().invoke(app, [*arguments, "--json"])
    answers.append([done.exit_code, json.loads(done.stdout or "null"), done.stderr])
json.dump(answers, open("answers.json", "w"))
"""


@dataclass(frozen=True)
class Project:
    """A checkout in a temporary folder."""

    root: Path
    environment: dict[str, str]

    def groundwork(self, *arguments: str, code: int = 0) -> dict:
        """Run a command with --json and return its document."""
        done = self.command("flows.cli", *arguments, "--json")
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr[-3000:]}"
        return json.loads(done.stdout)

    def command(self, module: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        """Run a module in the project."""
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=self.root,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def replace(self, file: str, old: str, new: str) -> None:
        """Edit a file of the project."""
        path = self.root / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


def make_project(folder: Path) -> Project:
    """Copy the code, write a dataset, and commit both."""
    root = folder / "project"
    for name in CODE:
        shutil.copytree(ROOT / name, root / name)  # with what is compiled: times of the sources are kept
    for name in ("dvc.yaml", ".dvcignore", ".gitignore", "requirements.lock"):
        shutil.copy(ROOT / name, root / name)
    (root / ".dvc" / "tmp").mkdir(parents=True)
    for name in ("config", ".gitignore"):
        shutil.copy(ROOT / ".dvc" / name, root / ".dvc" / name)
    (root / "data").mkdir()
    (root / "params.yaml").write_text(PARAMS)
    (root / "configs" / "gates" / "segmenter.yaml").write_text(GATE)
    write_shapes_world(root / "source", num_train=8, num_val=6)
    git = ["git", "-c", "user.name=Tester", "-c", "user.email=tester@example.org"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "Start"]):
        subprocess.run([*git, *arguments], cwd=root, check=True, capture_output=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GROUNDWORK_")}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(root),
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(folder / "dvc-site"),
        "GROUNDWORK_WHO": "tester",
        "OMP_NUM_THREADS": "1",
    }
    environment.pop("MLFLOW_TRACKING_URI", None)
    return Project(root=root, environment=environment)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Do not look for garbage while a million objects are made that all stay: a fifth of the collection."""
    gc.disable()
    config.add_cleanup(gc.unfreeze)  # the interpreter ends cleanly only if it may free everything


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end, so no later search for garbage need visit it."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Keep the tests of a file, and the files of a group, on one worker: what they share is made once.

    xdist 3.8 writes the group into an attribute that pytest 9.2 does not read any more, so its own grouping
    does nothing; the marks in the files remain what says who belongs together. The largest groups come first.
    """
    from xdist.scheduler import LoadGroupScheduling

    mark = re.compile(r'^pytestmark = .*xdist_group\("(\w+)"\)', re.MULTILINE)
    found = {
        path: mark.search(path.read_text(encoding="utf-8")) for path in (ROOT / "tests").rglob("test_*.py")
    }
    groups = {path.relative_to(ROOT).as_posix(): match[1] for path, match in found.items() if match}

    class ByFile(LoadGroupScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return groups.get(file, file)

    return ByFile(config, log) if config.getvalue("dist") == "loadgroup" else None


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A fresh project in which nothing has run."""
    return make_project(tmp_path)


@pytest.fixture
def branched(released: tuple[Project, dict], tmp_path: Path) -> tuple[Project, dict]:
    """A copy of the released project that a test may change. MLflow's artifacts stay where they were."""
    project, result = released
    root = tmp_path / "branch"
    shutil.copytree(project.root, root, ignore=shutil.ignore_patterns("prefect"))
    site = {"PYTHONPATH": str(root), "DVC_SITE_CACHE_DIR": str(tmp_path / "dvc-site")}
    return Project(root=root, environment={**project.environment, **site}), result


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict]:
    """A project with a first champion, and what the command printed. Tests leave it as it is."""
    project = make_project(tmp_path_factory.mktemp("released"))
    return project, project.groundwork("run", "--first")


@pytest.fixture(scope="session")
def later_runs(
    released: tuple[Project, dict], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[int, dict, Project]]:
    """Runs after the first, by name: again, by night, and of a project whose data are bad.

    One new process makes them all; each result is the exit code, the document and the project.
    """
    project, _ = released
    bad = make_project(tmp_path_factory.mktemp("bad"))
    train, val = (next((bad.root / "source" / split).iterdir()) for split in ("train", "val"))
    train.write_bytes(train.read_bytes()[:200])
    Image.open(val).transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((32, 32)).save(val)
    runs = {
        "again": (project, "run"),
        "night": (project, "run", "--nightly"),
        "bad data": (bad, "run", "--first"),
    }
    commands = [[str(where.root), *arguments] for where, *arguments in runs.values()]
    done = subprocess.run(
        [sys.executable, "-c", ONE_AFTER_ANOTHER, json.dumps(commands)],
        cwd=project.root,
        env=project.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-3000:]}"
    answers = json.loads((bad.root / "answers.json").read_text())
    return {
        name: (code, document, where)
        for (name, (where, *_)), (code, document, _) in zip(runs.items(), answers, strict=True)
    }
