from tasks.services.ledger import open_ledger
from tasks.services.settings import Settings
from tests.tasks.services.proposals import proposal


def test_before_anything_was_trained(answer):
    assert answer("history") == {"entries": []}
    for command in ("gate", "promote", "report"):
        error = answer(command, code=6)["error"]
        assert error["message"].startswith("data, code or parameters changed since configure_segmenter")
        assert error["hint"] == "Run `groundwork eval` first."
    error = answer("rollback", "--why", "because", code=2)["error"]
    assert error["message"] == "has no champion yet."


def test_an_override_needs_a_reason_and_a_day_and_a_promotion_takes_neither(answer):
    """Said before anything is looked at, so that a typing error costs nothing."""

    def message(*given: str) -> str:
        return answer("promote", *given, code=2)["error"]["message"]

    for given in ((), ("--why", "demo"), ("--until", "2026-12-31"), ("--why", " ", "--until", "2026-12-31")):
        assert message("--override", *given) == "needs a reason and a last day."
    past = ("--override", "--why", "demo", "--until", "2020-01-31")
    assert "got 2020-01-31" in message(*past)
    assert message("--why", "demo") == "--why, --until and --who belong to an override."
    expected = "--first asks the gate for a first champion, --override goes past the gate."
    assert message(*past, "--first") == expected


def test_the_history_shows_until_when_an_override_holds(project, said, answer):
    ledger = open_ledger(Settings.load(project.root))
    ledger.append(proposal("a"), expected_sequence=0)
    over = proposal("b", kind="override", overrules="decision-1", until="2020-01-31", why="a demo")
    ledger.append(over, expected_sequence=1)
    assert answer("history")["entries"][1]["until"] == "2020-01-31"
    lines = said("history").splitlines()
    assert lines[0].split() == ["entry", "kind", "version", "bundle", "who", "when", "until", "why"]
    assert "override" in lines[3]
    assert "2020-01-31 (over)  a demo" in lines[3]
