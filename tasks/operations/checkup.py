"""Look at the machine, the environment and the stores before a run does."""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.markers import Marker

from tasks.config import read_yaml
from tasks.errors import GroundworkError
from tasks.operations import layout
from tasks.services.git import code_version
from tasks.services.settings import Settings

_NEEDED_SPACE = 2 * 2**30
"""Bytes that a release of the sample may write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str
    hint: str = ""
    """The next command, where something is broken."""


def check_up(repository: Path) -> list[Finding]:
    """Look at everything; one broken thing does not hide the others."""
    checks: dict[str, tuple[Callable[[Path], str], str]] = {
        "python": (_python, "Run make with PYTHON=python3.12."),
        "lock": (_lock, "Run `make setup`."),
        "torchvision": (_torchvision, "Run `make setup`: torch and torchvision must come as a pair."),
        "git": (_git, "Run `git init` or clone the project."),
        "disk": (_disk, "Free some space."),
        "dataset": (_dataset, "Run `groundwork data pull` or `groundwork data add FOLDER`."),
        "ledger": (_ledger, "Restore the ledger from a copy."),
        "override": (_override, "Restore the ledger from a copy."),
        "tracking": (_tracking, "Start the server, or unset MLFLOW_TRACKING_URI."),
    }
    for backend in ("reference", "cpu", "torch", "triton"):
        checks[f"affinity {backend}"] = (partial(_affinity, backend), "Run `make setup`.")
    return [_look(name, check, repository, hint) for name, (check, hint) in checks.items()]


def _look(name: str, check: Callable[[Path], str], repository: Path, hint: str) -> Finding:
    try:
        return Finding(name=name, ok=True, detail=check(repository))
    except GroundworkError as error:
        return Finding(name=name, ok=False, detail=f"{error.obj}: {error.message}", hint=error.hint)
    except Exception as error:  # a broken library raises anything, and that is the finding
        return Finding(name=name, ok=False, detail=f"{type(error).__name__}: {error}", hint=hint)


def _python(_: Path) -> str:
    if not (3, 11) <= sys.version_info[:2] < (3, 14):
        raise ValueError(f"Python 3.11 to 3.13 is needed, this is {sys.version.split()[0]}")
    return sys.version.split()[0]


def _lock(repository: Path) -> str:
    """Compare what is installed with what requirements.lock names for this machine."""
    wrong, count = [], 0
    for line in (repository / "requirements.lock").read_text(encoding="utf-8").splitlines():
        if "==" not in line or line.startswith((" ", "#")):
            continue
        pin, _, marker = line.rstrip(" \\").partition(" ; ")
        if marker and not Marker(marker).evaluate():
            continue
        name, _, wanted = pin.partition("==")
        count += 1
        try:
            found = version(name)
        except PackageNotFoundError:
            found = "nothing"
        if found != wanted:
            wrong.append(f"{name} is {found}, locked {wanted}")
    if wrong:
        raise ValueError(f"{len(wrong)} of {count} packages differ: {'; '.join(wrong[:5])}")
    return f"{count} packages as locked"


def _torchvision(_: Path) -> str:
    import torch
    import torchvision

    boxes, scores = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.0]]), torch.tensor([0.9, 0.8])
    if torchvision.ops.nms(boxes, scores, 0.5).tolist() != [0]:
        raise ValueError("torchvision.ops.nms gives a wrong answer")
    device = (
        torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else f"{torch.get_num_threads()} CPU threads"
    )
    return f"torch {torch.__version__}, torchvision {torchvision.__version__}, {device}"


def _git(repository: Path) -> str:
    code = code_version(repository)
    if code.commit == "none":
        raise ValueError("no commit: a model could not name the code that made it")
    return code.label


def _disk(repository: Path) -> str:
    free = shutil.disk_usage(repository).free
    if free < _NEEDED_SPACE:
        raise ValueError(
            f"{free / 2**30:.1f} GiB free, {_NEEDED_SPACE / 2**30:.0f} GiB needed at {repository}"
        )
    return f"{free / 2**30:.0f} GiB free"


def _dataset(repository: Path) -> str:
    from tasks.data.commit import verify_directory

    if not (repository / layout.DATASET).exists():
        return "none yet: `groundwork run` imports it"
    return f"{verify_directory(repository / layout.DATASET).sha256[:12]}, every byte verified"


def _ledger(repository: Path) -> str:
    from tasks.services.bundles import open_bundles
    from tasks.services.ledger import open_ledger

    settings = Settings.load(repository)
    champion = open_ledger(settings).champion(layout.MODEL_NAME)
    if champion is None:
        return "no champion yet"
    open_bundles(settings).fetch(champion.bundle_id)
    return f"champion {champion.bundle_id} by entry {champion.sequence}, every byte verified"


def _override(repository: Path) -> str:
    from tasks.operations.watching import refuse_ended_override

    return refuse_ended_override(Settings.load(repository))


def _tracking(repository: Path) -> str:
    from tasks.services import tracking

    settings = Settings.load(repository)
    tracking.connect(settings)
    return settings.shown()["tracking_uri"]


def _affinity(backend: str, _: Path) -> str:
    """A backend that can not run is no fault, another takes its place; but it is said."""
    import torch

    from models.affinity import backends

    kinds = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    automatic = {kind: backends.choose("auto", torch.device(kind)) for kind in kinds}
    problem = {str(name): found for name, found in backends.problems().items()}[backend]
    if problem is not None:
        return (
            f"not usable: {problem} {automatic[kinds[-1] if backend == 'triton' else 'cpu']} is used instead"
        )
    served = [kind for kind, name in automatic.items() if name == backend]
    return f"usable, the automatic choice for {' and '.join(served)} tensors" if served else "usable"


def configuration(repository: Path) -> list[tuple[str, str, str]]:
    """Return (setting, value, origin) for the environment, params.yaml and the gate."""
    shown = Settings.load(repository).shown()
    rows = []
    for name, value in shown.items():
        variable = "MLFLOW_TRACKING_URI" if name == "tracking_uri" else f"GROUNDWORK_{name.upper()}"
        rows.append((name, value, f"environment {variable}" if variable in os.environ else "default"))
    for place in (Path("params.yaml"), layout.GATE):
        rows += [(key, value, str(place)) for key, value in _flat(read_yaml(repository / place))]
    return rows


def _flat(value: object, prefix: str = "") -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [row for key, item in value.items() for row in _flat(item, f"{prefix}.{key}".lstrip("."))]
    return [(prefix, str(value))]
