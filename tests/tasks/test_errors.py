"""Exit codes are a contract with shells; an error survives the way between processes."""

import pickle

import pytest

from tasks import errors


@pytest.mark.parametrize(
    ("kind", "code", "exit_code"),
    [
        (errors.GroundworkError, "internal", 1),
        (errors.UsageError, "usage", 2),
        (errors.DataError, "data-invalid", 3),
        (errors.GateRejected, "gate-rejected", 4),
        (errors.IntegrityError, "integrity", 5),
        (errors.UnavailableError, "unavailable", 6),
        (errors.InterruptedRun, "interrupted", 7),
    ],
)
def test_code_text_and_copy(kind, code, exit_code):
    error = kind("has 3 bad rows.", obj="data/x.json", hint="Correct the file.")
    assert (error.code, error.exit_code) == (code, exit_code)
    assert str(error) == "data/x.json: has 3 bad rows. Correct the file."
    assert error.as_dict() == {
        "code": code,
        "message": "has 3 bad rows.",
        "object": "data/x.json",
        "hint": "Correct the file.",
    }
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert copy.as_dict() == error.as_dict()


def test_no_two_errors_share_an_exit_code():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert len({kind.exit_code for kind in kinds}) == len({kind.code for kind in kinds}) == len(kinds)
