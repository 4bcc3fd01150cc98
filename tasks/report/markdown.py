"""A decision as the text of a comment: made from the decision file and nothing else, all of it escaped."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tasks.errors import DataError
from tasks.report.charts import DASH
from tasks.report.markdown_text import code, prose, table
from tasks.report.verdict import read_verdict

DECISION_SCHEMA = "groundwork.decision/1"
_SIGNS = {"promote": "✅", "reject": "❌", "inconclusive": "❔"}
_GOOD = ("better", "not worse")


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleChanges:
    """How the rules in ``configs/gates`` differ from those of a base revision."""

    base: str
    """The revision, as it was asked for."""
    files: tuple[tuple[str, str], ...]
    """Path and ``changed``, ``added`` or ``removed``."""
    judged_by_base: bool
    """Whether the rules of the decision are among those of the base revision."""


def render_decision(decision: Any, *, changes: RuleChanges | None = None) -> str:  # noqa: ANN401 - any JSON
    """Write the comment about one decision.

    Args:
        decision: Content of ``decision.json``. Every string in it is taken for a stranger's.
        changes: How the rules differ from a base revision; None: nobody compared.

    Returns:
        Markdown that ends with a line break. Each row and each reason is one line.

    Raises:
        DataError: If it is no decision.
    """
    try:
        if decision["schema"] != DECISION_SCHEMA:
            raise ValueError(f"schema is {decision['schema']!r}, expected {DECISION_SCHEMA!r}")
        return _join(_blocks(decision, changes))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise DataError(
            f"is no decision of the gate ({type(error).__name__}: {error}).",
            obj="decision",
            hint="Name a decision.json: `groundwork report --format markdown --decision FILE`.",
        ) from error


def render_failure(error: dict[str, Any], exit_code: int) -> str:
    """Write the comment about an evaluation that ended without a decision.

    Args:
        error: ``code``, ``message``, ``object`` and ``hint`` of the failure.
        exit_code: That the command ended with.
    """
    again = " Running it again may help." if exit_code == 6 else ""
    return _join(
        [
            ["## Evaluation gate: ⚠️ no decision"],
            [
                f"The evaluation ended with {code(str(error['code']))} (exit code {exit_code}): nothing was "
                f"judged, so nothing may be promoted.{again}"
            ],
            [
                f"- at fault: {code(str(error['object']))}",
                f"- cause: {prose(str(error['message']))}",
                f"- next: {prose(str(error['hint']))}",
            ],
        ]
    )


def _blocks(decision: dict[str, Any], changes: RuleChanges | None) -> list[list[str]]:
    verdict = read_verdict(decision, in_force=False)
    return [
        [f"## Evaluation gate: {_SIGNS[verdict.kind]} {verdict.word.lower()}"],
        [prose(verdict.sentence)],
        _about_changes(changes),
        _comparisons(decision),
        _limits(decision["floors"]),
        _listed("Objections", verdict.objections),
        _listed("Reasons", verdict.reasons),
        _listed("Notes", verdict.remarks),
        _behind(decision),
    ]


def _join(blocks: Sequence[Sequence[str]]) -> str:
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _about_changes(changes: RuleChanges | None) -> list[str]:
    if changes is None:
        return []
    base = code(changes.base)
    if not changes.files:
        same = "are" if changes.judged_by_base else "are not among"
        return [f"The rules {same} those of {base}."]
    files = ", ".join(f"{code(path)} ({prose(how)})" for path, how in changes.files)
    judged = (
        f"The rules that judged here are also those of {base}."
        if changes.judged_by_base
        else f"**The rules that judged here are not those of {base}**: review them for themselves."
    )
    return [f"⚠️ **The thresholds of the gate change in this very change:** {files}. {judged}"]


def _comparisons(decision: dict[str, Any]) -> list[str]:
    if not decision["comparisons"]:
        return []
    level = f"{100 * (1 - decision['alpha']):g} % interval"
    rows = [
        [
            code(item["metric"]),
            _number(item["candidate"]),
            _number(item["champion"]),
            _signed(item["difference"]),
            f"{_signed(item['interval'][0])} to {_signed(item['interval'][1])}",
            _signed(item["margin"]),
            f"{_sign(item['outcome'])} {prose(item['outcome'])}",
        ]
        for item in decision["comparisons"]
    ]
    columns = ["compared", "candidate", "champion", "difference", level, "margin", "outcome"]
    return table(columns, rows, numbers={1, 2, 3, 4, 5})


def _limits(floors: list[dict[str, Any]]) -> list[str]:
    rows = [
        [
            code(floor["metric"]),
            _of_what(floor),
            DASH if floor["value"] is None else _number(floor["value"]),
            _required(floor),
            "✅ met" if floor["passed"] is True else "❌ missed",
        ]
        for floor in floors
    ]
    return table(["limit", "of", "value", "required", "outcome"], rows, numbers={2}) if rows else []


def _of_what(floor: dict[str, Any]) -> str:
    of = []
    if floor.get("category") is not None:
        of.append(f"category {code(str(floor['category']))}")
    if floor.get("image_id") is not None:
        of.append(f"image {code(str(floor['image_id']))}")
    return ", ".join(of) or "all"


def _required(floor: dict[str, Any]) -> str:
    parts = [f"at least {_number(floor['at_least'])}"] if floor.get("at_least") is not None else []
    parts += [f"at most {_number(floor['at_most'])}"] if floor.get("at_most") is not None else []
    upper = floor.get("upper")
    return " and ".join(parts) + (
        f" (upper end of its interval: {_number(upper)})" if upper is not None else ""
    )


def _listed(title: str, sentences: Sequence[str]) -> list[str]:
    return [f"**{title}**", "", *(f"- {prose(sentence)}" for sentence in sentences)] if sentences else []


def _behind(decision: dict[str, Any]) -> list[str]:
    """Name everything that the decision depends on."""
    champion = decision["champion"]
    rows = [
        ("candidate", _side(decision["candidate"])),
        ("champion", "none" if champion is None else _side(champion)),
        ("dataset", code(decision["dataset_sha256"])),
        ("policy", code(decision["policy_sha256"])),
        (
            "metric definition",
            f"{code(decision['definition']['name'])} {code(decision['definition_sha256'])}",
        ),
        (
            "intervals",
            f"{prose(str(decision.get('interval', 'percentile')))}, paired bootstrap over images, "
            f"{int(decision['resamples'])} resamples, seed {int(decision['seed'])}",
        ),
        ("decision", code(decision["decision_id"])),
    ]
    return table(["judged", "by its sha256"], [[name, value] for name, value in rows])


def _side(side: dict[str, Any]) -> str:
    entry = "" if side["sequence"] is None else f", entry {int(side['sequence'])} of the ledger"
    return f"model {code(side['model_sha256'])}{entry}"


def _sign(outcome: str) -> str:
    return "✅" if outcome in _GOOD else "❔" if outcome == "inconclusive" else "❌"


def _number(value: float) -> str:
    return f"{float(value):.4f}"


def _signed(value: float) -> str:
    return f"{float(value):+.4f}"
