"""``groundwork doctor`` and ``groundwork config show``: what is wrong, and what is set."""

import typer

from flows.console import JsonOption, emit, errors_for_people, repository, table


def doctor(as_json: bool = JsonOption) -> None:
    """Check machine, environment and stores, and say what to do. Exit code 6 if something is broken.

    Examples: `groundwork doctor` · `groundwork doctor --json`
    """
    with errors_for_people(as_json=as_json):
        from tasks.operations.checkup import check_up

        findings = check_up(repository())
        rows = [("ok" if item.ok else "BROKEN", item.name, item.detail) for item in findings]
        hints = [f"next: {item.hint}" for item in findings if not item.ok]
        document = {
            "ok": all(item.ok for item in findings),
            "checks": [
                {"name": item.name, "ok": item.ok, "detail": item.detail, "hint": item.hint}
                for item in findings
            ],
        }
        emit(document, as_json=as_json, lines=[*table("", ("", "check", "found"), rows), *hints])
        if not document["ok"]:
            raise typer.Exit(6)


def config_show(as_json: bool = JsonOption) -> None:
    """Show every setting and every parameter, and where it comes from. Passwords are not shown.

    Examples: `groundwork config show` · `groundwork config show --json`
    """
    with errors_for_people(as_json=as_json):
        from tasks.operations.checkup import configuration

        rows = configuration(repository())
        document = {name: {"value": value, "origin": origin} for name, value, origin in rows}
        emit(document, as_json=as_json, lines=table("", ("setting", "value", "from"), rows))
