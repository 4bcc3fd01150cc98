"""What does not fit together is refused before anything is built."""

from pathlib import Path

import pytest

from tasks.errors import UsageError
from tasks.operations.fit_request import FitRequest, check_request
from tests.tasks.operations.tiny_semantic import tiny_recipe


def request(out, **given):
    return FitRequest(
        **({"recipe": "tiny_points", "data": Path("labels"), "images": Path("images"), "out": out} | given)
    )


def test_a_request_that_fits(tmp_path):
    wanted = request(tmp_path / "model")
    check_request(wanted, tiny_recipe())
    assert wanted.checkpoints == tmp_path / "model.checkpoints"


def test_norms_and_weights_go_together(tmp_path):
    with pytest.raises(UsageError, match=r"norm 'frozen' needs trained weights\. Say `--backbone FILE`"):
        check_request(request(tmp_path / "model"), tiny_recipe(norm="frozen"))
    given = request(tmp_path / "model", backbone=tmp_path / "none.safetensors")
    with pytest.raises(UsageError, match="norm 'group' cannot use trained weights"):
        check_request(given, tiny_recipe())
    with pytest.raises(UsageError, match=r"none\.safetensors: there is no such file\."):
        check_request(given, tiny_recipe(norm="frozen"))


def test_what_is_not_ours_stays(tmp_path):
    (tmp_path / "model").mkdir()
    with pytest.raises(UsageError, match="exists and was not made by this command"):
        check_request(request(tmp_path / "model"), tiny_recipe())


def test_a_run_that_did_not_end_is_not_begun_again(tmp_path):
    (tmp_path / "model.checkpoints" / "step-7").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"did not end\. Say --resume to go on with it"):
        check_request(request(tmp_path / "model"), tiny_recipe())
    check_request(request(tmp_path / "model", resume=True), tiny_recipe())
