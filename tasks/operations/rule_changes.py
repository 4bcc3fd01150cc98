"""Whether the rules of the gate changed together with what they judge."""

import tempfile
from pathlib import Path

from evaluation.gate import Policy
from tasks.config import load_file
from tasks.data.strict_json import JsonValue
from tasks.errors import UsageError
from tasks.operations import layout
from tasks.report.markdown import RuleChanges
from tasks.services.git_files import file_at, files_at, find_commit

RULES = layout.GATE.parent


def compare_rules(repository: Path, base: str, decision: JsonValue) -> RuleChanges:
    """Compare ``configs/gates`` of the checkout, and the rules of a decision, with those of a base revision.

    Args:
        repository: Root of the project.
        base: A git revision: commit, tag or branch.
        decision: Content of ``decision.json``.

    Raises:
        UsageError: If there is no such revision.
    """
    commit = find_commit(repository, base)
    if commit is None:
        raise UsageError(
            f"there is no revision {base!r} here.",
            obj="--base",
            hint="Fetch it: `git fetch origin` with enough depth, or name another one.",
        )
    before = {path: file_at(repository, commit, path) for path in files_at(repository, commit, RULES)}
    now = {
        path.relative_to(repository): path.read_bytes()
        for path in sorted((repository / RULES).glob("*.yaml"))
    }
    before = {path: content for path, content in before.items() if path.suffix == ".yaml"}
    files = [(path, "changed") for path in now if path in before and before[path] != now[path]]
    files += [(path, "added") for path in now if path not in before]
    files += [(path, "removed") for path in before if path not in now]
    return RuleChanges(
        base=base,
        files=tuple((path.as_posix(), how) for path, how in sorted(files)),
        judged_by_base=decision["policy_sha256"] in _hashes([text for text in before.values() if text]),
    )


def _hashes(texts: list[bytes]) -> set[str]:
    """Return the identities of the policies among some files; one that cannot be read is none of them."""
    found = set()
    with tempfile.TemporaryDirectory(prefix="groundwork-") as folder:
        for text in texts:
            path = Path(folder) / "policy.yaml"
            path.write_bytes(text)
            try:
                found.add(load_file(path, Policy).sha256)
            except UsageError:
                continue
    return found
