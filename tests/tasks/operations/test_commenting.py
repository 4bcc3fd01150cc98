import json

import pytest

from tasks.data.commit import commit_directory
from tasks.errors import DataError, IntegrityError, UnavailableError
from tasks.operations.commenting import read_decision, standing_decision

DECISION = {"schema": "groundwork.decision/1", "verdict": "promote"}


def write(folder, content):
    commit_directory(
        folder,
        lambda staging: (staging / "decision.json").write_text(content),
        schema="groundwork.decision/1",
    )
    return folder / "decision.json"


def test_a_decision_is_read(tmp_path):
    assert read_decision(write(tmp_path / "kept", json.dumps(DECISION))) == DECISION
    alone = tmp_path / "decision.json"
    alone.write_text(json.dumps(DECISION))
    assert read_decision(alone) == DECISION


def test_an_edited_decision_is_damage(tmp_path):
    path = write(tmp_path / "kept", json.dumps(DECISION | {"verdict": "reject"}))
    path.write_text(json.dumps(DECISION))
    with pytest.raises(IntegrityError) as caught:
        read_decision(path)
    assert str(caught.value) == f"{path}: was changed after it was made. Do not use it. Make it again."


def test_what_is_no_decision(tmp_path):
    with pytest.raises(UnavailableError, match="there is no such file"):
        read_decision(tmp_path / "decision.json")
    with pytest.raises(IntegrityError, match=r"is no groundwork\.decision/1"):
        read_decision(write(tmp_path / "a", '{"schema": "groundwork.metrics/1"}'))
    with pytest.raises(IntegrityError):
        read_decision(write(tmp_path / "b", "[]"))
    with pytest.raises(DataError, match="NaN is not a JSON number"):
        read_decision(write(tmp_path / "c", '{"schema": NaN}'))


@pytest.mark.end_to_end
@pytest.mark.slow
def test_the_decision_of_the_candidate(copied):
    root, settings, result = copied
    assert standing_decision(root, settings).parent.name == result["decision_id"]
