import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.infra.ci.comment_service import READER, TOKEN, CommentService

CI = Path(__file__).resolve().parents[3] / "infra" / "ci"
sys.path.insert(0, str(CI))
import comment as comment_command  # noqa: E402
import comment_text  # noqa: E402

MARKER = "<!-- groundwork:evaluate -->"
TEXT = "## Evaluation gate: ❌ reject\n\n- because\n"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(params=["github", "gitlab"])
def service(request):
    with CommentService(request.param) as service:
        yield service


@pytest.fixture
def comment(service, tmp_path, capsys):
    """Run the command with a text; returns what it said, on both streams."""

    def run(text=TEXT, *, code=0, **changes):
        path = tmp_path / "comment.md"
        path.write_text(text)
        assert comment_command.main([str(path)], {**service.environment(), **changes}) == code
        said = "".join(capsys.readouterr())
        assert "CANARY" not in said
        return said

    return run


def writes(service):
    return [method for method, _ in service.requests if method != "GET"]


def test_one_comment_is_made_changed_and_left_alone(service, comment):
    assert comment() == "created comment 101\n"
    assert comment() == "comment 101 is up to date\n"
    assert comment("## promote", COMMENT_COMMIT=COMMIT) == "updated comment 101\n"
    (kept,) = service.comments.values()
    assert kept["body"] == (
        f"{MARKER}\n## promote\n\n<sub>About commit {COMMIT}. This comment is kept up to date.</sub>"
    )
    assert writes(service) == ["POST", "PATCH" if service.kind == "github" else "PUT"]


def test_it_is_found_on_a_late_page_and_nobody_elses_is_touched(service, comment):
    strangers = {service.add(f"{MARKER}\nnot ours", author="mallory") for _ in range(3)}
    for number in range(250):
        service.add(f"comment {number}\n{MARKER}")
    ours = service.add(f"{MARKER}\nold")
    assert comment() == f"updated comment {ours}\n"
    assert all(service.comments[number]["body"].endswith("not ours") for number in strangers)
    assert len([path for _, path in service.requests if "page=3" in path]) == 1
    assert not [path for _, path in service.requests if "page=4" in path]


def test_two_at_the_same_moment_become_one(service, comment):
    first, second = service.add(f"{MARKER}\na"), service.add(f"{MARKER}\nb")
    assert comment() == f"updated comment {first}\n"
    assert second not in service.comments


def test_another_key_is_another_comment(service, comment):
    comment()
    assert comment(COMMENT_KEY="nightly") == "created comment 102\n"
    assert len(service.comments) == 2


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_a_lost_answer_does_not_make_a_second_comment(service, comment, status):
    """The first is written although the answer says otherwise; the next attempt looks before it writes."""
    service.bad_days = [(status, {"Retry-After": "0"}, True)]
    said = comment()
    assert "comment 101 is up to date" in said
    assert f"answered {status} to POST" in said
    assert len(service.comments) == 1


def test_a_service_that_stays_away_is_unavailable(service, comment):
    service.bad_days = [(503, {}, False)] * 9
    said = comment(code=6)
    assert said.count("Trying again") == 3
    assert said.endswith("(a bad day). Run it again later.\n")
    service.shutdown()
    service.server_close()
    assert "gives no answer" in comment(code=6)


def test_a_comment_that_goes_away_meanwhile_is_looked_for_again(service, comment):
    first = service.add(f"{MARKER}\na")
    service.bad_days = [(404, {}, False)]
    said = comment()
    assert f"comment {first} went away meanwhile. Trying again" in said
    assert said.startswith(f"updated comment {first}\n")


def test_what_the_token_may_not_do_is_said_with_the_cure(service, comment):
    cure = "permissions: pull-requests: write" if service.kind == "github" else "scope `api`"
    assert cure in comment(code=2, COMMENT_TOKEN=READER)
    said = comment(code=2, COMMENT_TOKEN=TOKEN + "-expired")
    assert "answered 401 to GET" in said
    assert "Bad credentials ***" in said
    assert not re.search("^::error", said, re.MULTILINE)
    assert "answered 404" in comment(code=2, COMMENT_NUMBER="13")
    assert not service.comments


def test_a_token_does_not_follow_to_another_address(service, comment):
    service.moved = True
    assert "a token is not sent after it" in comment(code=2)
    assert all("elsewhere" not in path for _, path in service.requests)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"COMMENT_TOKEN": ""}, "COMMENT_TOKEN is not set."),
        ({"COMMENT_TOKEN": "a b"}, "COMMENT_TOKEN has another form than expected."),
        ({"COMMENT_NUMBER": "12/../13"}, "COMMENT_NUMBER has another form than expected: '12/../13'."),
        ({"COMMENT_KEY": "a -->"}, "COMMENT_KEY must be lower-case letters, digits and '-', got 'a -->'."),
        ({"COMMENT_COMMIT": "@team"}, "COMMENT_COMMIT must be a commit, got '@team'."),
        ({"GITHUB_ACTIONS": "", "GITLAB_CI": ""}, "this is neither GitHub Actions nor GitLab CI"),
        (
            {"GITHUB_API_URL": "http://api.example.org", "CI_API_V4_URL": "http://api.example.org"},
            "must be an https address, got 'http://api.example.org': a token is sent there.",
        ),
        ({"GITHUB_REPOSITORY": "me", "CI_PROJECT_ID": "me"}, "has another form than expected: 'me'."),
    ],
)  # fmt: skip
def test_what_is_set_wrong_is_named(service, comment, changes, said):
    assert said in comment(code=2, **changes)
    assert not service.requests


def test_without_a_file_it_says_how_it_is_called(capsys):
    assert comment_command.main([], {}) == 2
    assert "python3 comment.py report/comment.md" in capsys.readouterr().err


def test_without_a_report_an_old_verdict_does_not_stay(service, comment, tmp_path):
    comment()
    assert comment(" \n") == "updated comment 101\n"
    assert service.comments[101]["body"].startswith(f"{MARKER}\n## Evaluation gate: ⚠️ no decision\n")
    assert comment_text.read_text(tmp_path / "missing.md") == comment_text.NO_REPORT
    (tmp_path / "bytes.md").write_bytes(b"\xff")
    with pytest.raises(Exception, match=r"bytes\.md cannot be read \(UnicodeDecodeError\)"):
        comment_text.read_text(tmp_path / "bytes.md")


ROWS = st.lists(st.text(alphabet="ab 🙂|", max_size=30), max_size=40)


@given(ROWS, ROWS, st.integers(700, 2500))
def test_a_long_text_loses_whole_rows_and_says_so(cells, reasons, limit):
    rows = [f"| `{cell}` | 1 |" for cell in cells]
    lines = ["## Head", "", "| a | b |", "| --- | ---: |", *rows, "", *(f"- {line}" for line in reasons)]
    text = "\n".join([*lines, "", "| judged | by |", "| --- | --- |", "| dataset | x |"])
    short = comment_text.shorten(text, limit)
    assert comment_text.length(short) <= limit
    if comment_text.length(text) <= limit:
        assert short == text
        return
    kept = short.split("\n")
    said = re.fullmatch(r"\*(\d+) rows and reasons were left out .*", kept.pop())
    assert set(kept) <= {*text.split("\n"), ""}
    assert len(text.split("\n")) - len(kept) + 1 == int(said[1])
    assert "| --- | ---: |" in kept


def test_a_text_at_the_limit_of_the_service(service, comment):
    reasons = "\n".join(f"- reason {number} 🙂 {'x' * 90}" for number in range(2000))
    comment(f"## Head\n\n{reasons}", COMMENT_COMMIT=COMMIT)
    (kept,) = service.comments.values()
    assert 60_000 < comment_text.length(kept["body"]) <= 65_536
    assert re.search(r"\*\d+ rows and reasons were left out", kept["body"])
    assert "do not fit" not in kept["body"]
    said = comment("y" * 70_000, code=2)
    assert "the text has 70000 characters besides its rows" in said
