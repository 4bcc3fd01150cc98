"""DVC: which bytes are which version, and which stages have to run.

Reading uses DVC's Python API. Everything that writes runs the ``dvc`` command in its own process group:
``Repo.reproduce`` depends on the working directory, and a stage outlives a killed ``dvc`` otherwise.
"""

import json
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks import errors
from tasks.data.commit import Manifest, verify_directory
from tasks.errors import GroundworkError, UnavailableError
from tasks.services.dvc_process import run_dvc, run_quietly

_FAILURES = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, GroundworkError)
}
_UNCHANGED = re.compile(r"didn't change, skipping")
_RESTORED = re.compile(r"is cached - skipping run")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of dvc.yaml, as the orchestrator needs it."""

    name: str
    description: str
    worker: str
    """Which machine it wants: ``cpu`` or ``gpu``."""
    timeout: float
    """Seconds."""
    retries: int
    progress: str | None
    """File to which the stage appends one JSON object per logged step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduced:
    """What happened to one stage."""

    stage: str
    outcome: str
    """``ran``, ``reused`` (nothing changed) or ``restored`` (from an earlier run with these inputs)."""


def stages(repository: Path, target: str | None = None) -> list[Stage]:
    """Read the stages of dvc.yaml in an order in which they can run.

    Args:
        repository: Root of the project.
        target: Stop at this stage: only it and what it depends on.

    Raises:
        UnavailableError: If the project is not a DVC repository or the graph cannot be read.
    """
    import networkx
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(repository)) as repo:
            graph = repo.index.graph
            named = {stage.name: stage for stage in graph if getattr(stage, "name", None)}
            wanted = set(graph)
            if target is not None:
                wanted = {named[target]} | networkx.descendants(graph, named[target])
            order = [stage for stage in networkx.dfs_postorder_nodes(graph) if stage in wanted]
            return [_stage(stage) for stage in order if getattr(stage, "name", None)]
    except (DvcException, KeyError) as error:
        raise UnavailableError(
            f"DVC cannot read the pipeline ({error}).",
            obj=str(repository / "dvc.yaml"),
            hint="Run `groundwork doctor`.",
        ) from error


def _stage(stage: Any) -> Stage:  # noqa: ANN401
    meta = stage.meta or {}
    return Stage(
        name=stage.name,
        description=stage.desc or stage.name,
        worker=meta.get("worker", "cpu"),
        timeout=float(meta.get("timeout", 3600)),
        retries=int(meta.get("retries", 0)),
        progress=meta.get("progress"),
    )


def changed_stages(repository: Path) -> list[str]:
    """Return the names of stages that would run again, in no particular order."""
    lines = run_quietly(["status", "--json"], repository).splitlines()
    answer = next((line for line in reversed(lines) if line.startswith("{")), None)  # after any warnings
    if answer is None:
        raise UnavailableError(
            f"`dvc status` gave no answer: {' '.join(lines)[-300:]}", obj="dvc", hint="Run `dvc status`."
        )
    return [name for name in json.loads(answer) if not name.endswith(".dvc")]


def reproduce(
    stage: Stage, repository: Path, *, force: bool = False, on_line: Callable[[str], None] | None = None
) -> Reproduced:
    """Bring one stage up to date.

    Args:
        stage: The stage; its dependencies must be up to date.
        repository: Root of the project.
        force: Run it although nothing changed.
        on_line: Called with every line that the stage prints; what DVC says around it is left out.

    Raises:
        GroundworkError: The stage's own failure with its own exit code; UnavailableError for DVC's.
    """
    arguments = ["repro", "--single-item", stage.name] + (["--force"] if force else [])
    with tempfile.TemporaryDirectory(prefix="groundwork-") as folder:
        failure = Path(folder) / "error.json"
        code, lines = run_dvc(
            arguments,
            repository,
            on_line=on_line,
            timeout=stage.timeout,
            extra={"STAGE_ERROR_FILE": str(failure)},
        )
        if code != 0:
            raise _failure_of(stage, failure, lines)
    text = "\n".join(lines)
    if _UNCHANGED.search(text):
        return Reproduced(stage=stage.name, outcome="reused")
    return Reproduced(stage=stage.name, outcome="restored" if _RESTORED.search(text) else "ran")


def _failure_of(stage: Stage, failure: Path, lines: list[str]) -> GroundworkError:
    if failure.exists():
        return read_failure(failure)
    tail = " | ".join(line for line in lines[-12:] if line.strip())
    return UnavailableError(
        f"the stage failed: {tail}",
        obj=stage.name,
        hint=f"Run `dvc repro {stage.name}` to see all of it.",
    )


def read_failure(path: Path) -> GroundworkError:
    """Return the failure that a stage wrote to the file named by ``STAGE_ERROR_FILE``."""
    document = json.loads(path.read_text(encoding="utf-8"))
    kind = _FAILURES.get(document["code"], GroundworkError)
    return kind(document["message"], obj=document["object"], hint=document["hint"])


def add(path: Path, repository: Path) -> str:
    """Version a directory; returns the content hash that DVC gave it.

    Raises:
        UnavailableError: If DVC fails.
    """
    run_quietly(["add", "--quiet", str(path.relative_to(repository))], repository)
    return content_hash(path)


def content_hash(path: Path) -> str:
    """Read the content hash of a versioned directory from its ``.dvc`` file."""
    from ruamel.yaml import YAML

    document = YAML(typ="safe").load(path.with_name(f"{path.name}.dvc").read_text(encoding="utf-8"))
    return str(document["outs"][0]["md5"])


def configure_remote(url: str, repository: Path, *, endpoint: str | None = None) -> None:
    """Point the remote ``storage`` of this machine at ``url`` (in ``.dvc/config.local``)."""
    remote = {"url": url} | ({"endpointurl": endpoint} if endpoint else {})
    _configure(repository, {"remote": {"storage": remote}})


def _configure(repository: Path, values: dict[str, Any]) -> None:
    from dvc.config import Config, merge

    with Config(str(repository / ".dvc"), validate=False).edit("local") as local:
        local.pop("remote", None)  # an endpoint of before must not stay
        merge(local, values)


def push(path: Path, repository: Path) -> None:
    """Copy the current version of ``path`` to the remote.

    Raises:
        UnavailableError: If the remote cannot be reached or written.
    """
    run_quietly(["push", "--quiet", f"{path.relative_to(repository)}.dvc"], repository)


def pull(path: Path, repository: Path) -> Manifest:
    """Bring back the version that the ``.dvc`` file names, and check every byte.

    Raises:
        UnavailableError: If the remote lacks an object or DVC found one corrupted.
        IntegrityError: If the bytes are not those of the manifest.
    """
    run_quietly(["pull", "--quiet", f"{path.relative_to(repository)}.dvc"], repository)
    return verify_directory(path)


def prove_copy(path: Path, repository: Path) -> Manifest:
    """Pull the version from the remote into an empty place and check every byte there.

    DVC alone accepts a corrupted remote ("up to date"), and a pull in place is served by the local cache;
    so this asks the remote as a stranger would.

    Raises:
        UnavailableError: If the remote lacks an object or cannot be reached.
        IntegrityError: If what comes back is not what the manifest says.
    """
    with tempfile.TemporaryDirectory(prefix="groundwork-proof-") as folder:
        stranger = Path(folder)
        _found(stranger, repository)
        shutil.copy(path.with_name(f"{path.name}.dvc"), stranger / f"{path.name}.dvc")
        run_quietly(["pull", "--quiet", f"{path.name}.dvc"], stranger)
        return verify_directory(stranger / path.name)


def _found(stranger: Path, repository: Path) -> None:
    """Make an empty DVC repository that knows the same remote and shares no cache."""
    (stranger / ".dvc" / "tmp").mkdir(parents=True)
    for name in ("config", "config.local"):
        if (repository / ".dvc" / name).exists():
            shutil.copy(repository / ".dvc" / name, stranger / ".dvc" / name)
    local = {"no_scm": True, "site_cache_dir": str(stranger / "site")}
    _configure(stranger, {"core": local, "remote": {"storage": _remote(repository)}})


def _remote(repository: Path) -> dict[str, str]:
    """Return where the remote is; its address is an absolute path where it is a directory."""
    from dvc.repo import Repo

    with Repo(str(repository)) as repo:
        remote = repo.config["remote"]["storage"]
        return {name: str(remote[name]) for name in ("url", "endpointurl") if remote.get(name)}
