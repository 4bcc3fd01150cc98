"""``groundwork gate | promote | rollback | history | report``: decide, apply, undo, show."""

from dataclasses import asdict

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
        ]
        emit({**judged.decision, "path": str(judged.path)}, as_json=as_json, lines=lines)
        if judged.verdict != "promote":
            raise typer.Exit(4)


def promote(
    first: bool = typer.Option(False, "--first", help="Allow a first champion where there never was one."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would happen; change nothing."),
    as_json: bool = JsonOption,
) -> None:
    """Make the current candidate champion, if the gate says so. Exit code 4 if it does not.

    Examples: `groundwork promote --dry-run` · `groundwork promote`
    """
    with errors_for_people(as_json=as_json):
        from tasks.operations.judging import require_current
        from tasks.operations.promotion import promote_candidate
        from tasks.operations.workspace import exclusive
        from tasks.services.settings import Settings

        say = listen()
        root = repository()
        settings = Settings.load(root)
        with exclusive(settings):
            require_current(root)
            result = promote_candidate(root, settings, first=first, dry_run=dry_run, say=say)
        emit(result, as_json=as_json, lines=[result["summary"]])
        if result["verdict"] != "promote":
            raise typer.Exit(4)


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
        from tasks.operations.layout import MODEL_NAME
        from tasks.services.ledger import open_ledger
        from tasks.services.settings import Settings

        entries = open_ledger(Settings.load(repository())).history(MODEL_NAME)
        rows = [
            (
                item.sequence,
                item.kind,
                item.mlflow_version or "-",
                item.bundle_id,
                item.who,
                item.when,
                item.why,
            )
            for item in entries
        ]
        columns = ("entry", "kind", "version", "bundle", "who", "when", "why")
        lines = table("", columns, rows) if rows else ["no champion yet: run `groundwork run --first`"]
        emit({"entries": [asdict(item) for item in entries]}, as_json=as_json, lines=lines)


def report(
    open_page: bool = typer.Option(False, "--open", help="Open the page in the browser."),
    as_json: bool = JsonOption,
) -> None:
    """Render the report of the current candidate again, from its files.

    Examples: `groundwork report` · `groundwork report --open`
    """
    with errors_for_people(as_json=as_json):
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
