"""``groundwork gate | promote | rollback | history | report``: decide, apply, undo, show."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import typer

from flows.console import JsonOption, emit, errors_for_people, listen, repository, table


def gate(
    first: bool = typer.Option(False, "--first", help="Allow a first champion where there never was one."),
    as_json: bool = JsonOption,
) -> None:
    """Judge the candidate against the champion; change nothing. Exit code 4 unless it may be promoted.

    Examples: `groundwork gate` · `groundwork gate --json`
    """
    with errors_for_people(as_json=as_json):
        from tasks.operations.judging import judge_candidate, require_current
        from tasks.operations.workspace import exclusive
        from tasks.services.settings import Settings

        say = listen()
        root = repository()
        settings = Settings.load(root)
        with exclusive(settings):
            require_current(root)
            judged = judge_candidate(root, settings, first=first, say=say)
        lines = [
            f"verdict: {judged.verdict} ({judged.outcome})",
            *(f"  {reason}" for reason in judged.reasons),
            *(f"  note: {remark}" for remark in judged.remarks),
        ]
        document = {**judged.decision, "remarks": judged.remarks, "path": str(judged.path)}
        emit(document, as_json=as_json, lines=lines)
        if judged.verdict != "promote":
            raise typer.Exit(4)


def promote(
    first: bool = typer.Option(False, "--first", help="Allow a first champion where there never was one."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would happen; change nothing."),
    override: bool = typer.Option(
        False, "--override", help="Promote although the gate said no; needs --why and --until."
    ),
    why: str | None = typer.Option(None, help="Of an override: the reason; it is kept in the ledger."),
    until: str | None = typer.Option(None, help="Of an override: its last day, UTC, as 2026-12-31."),
    who: str | None = typer.Option(None, help="Of an override: who does it. Default: git identity or login."),
    as_json: bool = JsonOption,
) -> None:
    """Make the current candidate champion, if the gate says so. Exit code 4 if it does not.

    An override promotes against a missed limit or a comparison, never against evidence that cannot be
    judged. After its last day `groundwork doctor` and every nightly run fail until it is renewed or replaced.

    Examples: `groundwork promote --dry-run` ·
    `groundwork promote --override --why "demo for the board" --until 2026-12-31`
    """
    with errors_for_people(as_json=as_json):
        from tasks.operations.judging import require_current
        from tasks.operations.workspace import exclusive
        from tasks.services.settings import Settings

        apply = _applying(first=first, override=override, why=why, until=until, who=who)
        say = listen()
        root = repository()
        settings = Settings.load(root)
        with exclusive(settings):
            require_current(root)
            result = apply(root, settings, dry_run=dry_run, say=say)
        emit(result, as_json=as_json, lines=[result["summary"], *(f"  note: {n}" for n in result["remarks"])])
        if result["verdict"] not in {"promote", "override"}:
            raise typer.Exit(4)


def _applying(
    *, first: bool, override: bool, why: str | None, until: str | None, who: str | None
) -> Callable[..., dict[str, Any]]:
    """Choose between the gate's promotion and a person's."""
    from tasks.errors import UsageError
    from tasks.operations.overriding import override_gate, read_override
    from tasks.operations.promotion import promote_candidate

    if override and first:
        raise UsageError(
            "--first asks the gate for a first champion, --override goes past the gate.",
            obj="groundwork promote",
            hint="Leave one of them out.",
        )
    if override:
        return partial(override_gate, read_override(why, until, who))
    if why or until or who:
        raise UsageError(
            "--why, --until and --who belong to an override.",
            obj="groundwork promote",
            hint="Add --override, or leave them out: the gate gives its own reasons.",
        )
    return partial(promote_candidate, first=first)


def rollback(
    why: str = typer.Option(..., help="The reason; it is kept in the ledger."),
    to: int | None = typer.Option(
        None, help="Entry of `groundwork history` to return to. Default: the one before."
    ),
    who: str | None = typer.Option(None, help="Who does it. Default: git identity or login name."),
    as_json: bool = JsonOption,
) -> None:
    """Make the previous champion champion again, and keep who, when and why.

    Examples: `groundwork rollback --why "misses dark nuclei"` · `groundwork rollback --to 3 --why "audit"`
    """
    with errors_for_people(as_json=as_json):
        from tasks.operations.promotion import roll_back
        from tasks.services.settings import Settings

        root = repository()
        result = roll_back(root, Settings.load(root), why=why, to=to, who=who)
        emit(result, as_json=as_json, lines=[result["summary"]])


def history(as_json: bool = JsonOption) -> None:
    """Show every change of champion: who, when and why.

    Examples: `groundwork history` · `groundwork history --json`
    """
    with errors_for_people(as_json=as_json):
        from tasks.operations.circumstances import today
        from tasks.operations.layout import MODEL_NAME
        from tasks.services.ledger import open_ledger
        from tasks.services.settings import Settings

        entries = open_ledger(Settings.load(repository())).history(MODEL_NAME)
        day = today()
        rows = [
            (
                item.sequence,
                item.kind,
                item.mlflow_version or "-",
                item.bundle_id,
                item.who,
                item.when,
                f"{item.until or '-'}{' (over)' if item.is_over(day) else ''}",
                item.why,
            )
            for item in entries
        ]
        columns = ("entry", "kind", "version", "bundle", "who", "when", "until", "why")
        lines = table("", columns, rows) if rows else ["no champion yet: run `groundwork run --first`"]
        emit({"entries": [asdict(item) for item in entries]}, as_json=as_json, lines=lines)


def report(
    form: str = typer.Option("html", "--format", help="`html`: the page; `markdown`: the text of a comment."),
    decision: Path | None = typer.Option(
        None, help="Of markdown: the decision.json to speak of. Default: that of the current candidate."
    ),
    base: str | None = typer.Option(
        None, help="Of markdown: git revision; say if the rules of the gate changed since."
    ),
    open_page: bool = typer.Option(False, "--open", help="Open the page in the browser."),
    as_json: bool = JsonOption,
) -> None:
    """Render the report of the current candidate again, from its files; or a decision as markdown.

    Examples: `groundwork report` · `groundwork report --open` ·
    `groundwork report --format markdown --decision report/decision.json --base origin/main`
    """
    with errors_for_people(as_json=as_json):
        _check_form(form, decision or base, open_page=open_page)
        if form == "markdown":
            _comment(decision, base, as_json=as_json)
            return
        from tasks.operations.judging import require_current
        from tasks.operations.reporting import report_candidate
        from tasks.operations.workspace import exclusive
        from tasks.services.settings import Settings

        say = listen()
        root = repository()
        settings = Settings.load(root)
        with exclusive(settings):
            require_current(root)
            page = report_candidate(root, settings, say=say)
        emit({"report": str(page)}, as_json=as_json, lines=[str(page)])
        if open_page:
            typer.launch(page.as_uri())


def _check_form(form: str, of_markdown: object, *, open_page: bool) -> None:
    from tasks.errors import UsageError

    if form not in {"html", "markdown"}:
        raise UsageError(f"{form!r} is neither html nor markdown.", obj="--format", hint="Name one of them.")
    if form == "html" and of_markdown is not None:
        raise UsageError(
            "--decision and --base belong to markdown.",
            obj="groundwork report",
            hint="Add --format markdown.",
        )
    if form == "markdown" and open_page:
        raise UsageError("markdown is no page.", obj="--open", hint="Leave it out.")


def _comment(decision: Path | None, base: str | None, *, as_json: bool) -> None:
    from tasks.operations.commenting import read_decision, standing_decision
    from tasks.operations.rule_changes import compare_rules
    from tasks.report.markdown import render_decision
    from tasks.services.settings import Settings

    root = repository()
    path = decision or standing_decision(root, Settings.load(root), say=listen())
    content = read_decision(path)
    changes = None if base is None else compare_rules(root, base, content)
    text = render_decision(content, changes=changes)
    emit({"decision": str(path), "markdown": text}, as_json=as_json, lines=text.splitlines())
