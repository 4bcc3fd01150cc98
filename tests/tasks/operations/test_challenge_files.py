import json

import pytest

from tasks.data.commit import verify_directory
from tasks.data.strict_json import read_json
from tasks.data.target_directory import check_target
from tasks.errors import UnavailableError, UsageError
from tasks.operations.challenge_files import describe_answer, write_answer, write_failure
from tasks.operations.challenging import EVAL_SCHEMA, Question, judge_against
from tests.tasks.operations.twins import make_twin, one_each, remember

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("release")]


def test_a_folder_holds_the_last_answer_and_nothing_of_the_one_before(copied, tmp_path):
    root, settings, _ = copied
    remember(root / "artifacts" / "segmenter", root, settings)
    weak = str(make_twin(root, "weak", settings, one_each))
    better, weaker = Question(model="champion", against=weak), Question(model=weak, against="champion")
    out = tmp_path / "report"
    for question in (weaker, better):
        given = judge_against(question, root, settings)
        write_answer(question, given, out)
        verify_directory(out, schema="groundwork.eval/1")
        document = read_json(out / "evaluation.json")
        assert document == json.loads(json.dumps(describe_answer(question, given, out)))
        assert document["verdict"] in (out / "summary.md").read_text()
        assert read_json(out / "decision.json") == given.decision
        for name in ("model", "against"):
            verify_directory(out / name)
        assert document["page"] == str(out / "comparison" / "comparison.html")
        assert (out / "comparison" / "comparison.html").stat().st_size > 1000
    assert document["data"]["version"] == "checkout"
    error = UnavailableError("is gone.", obj="champion", hint="Wait.")
    write_failure(weaker, error, out)
    assert sorted(path.name for path in out.iterdir()) == ["evaluation.json", "manifest.json", "summary.md"]
    assert read_json(out / "evaluation.json")["exit_code"] == 6
    assert read_json(out / "evaluation.json")["verdict"] is None


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    for out in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(UsageError) as caught:
            check_target(out, schema=EVAL_SCHEMA)
        assert "only an earlier 'groundwork.eval/1' is replaced" in str(caught.value)
    (tmp_path / "empty").mkdir()
    check_target(tmp_path / "empty", schema=EVAL_SCHEMA)
    check_target(tmp_path / "new", schema=EVAL_SCHEMA)
