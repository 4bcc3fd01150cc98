import json

from tasks.data.checkpoints import HISTORY, append_history
from tasks.data.commit import verify_directory
from tasks.operations.finished_runs import commit_run


def test_the_history_goes_with_the_model_and_checkpoints_go_away(tmp_path):
    checkpoints, out = tmp_path / "model.checkpoints", tmp_path / "model"
    checkpoints.mkdir()
    for step, loss in ((1, 2.0), (2, 1.5)):
        append_history(checkpoints, {"step": step, "loss": loss, "seconds": 0.1 * step})
    (checkpoints / "step-1").mkdir()
    found = commit_run(
        out,
        lambda folder: (folder / "weights").write_bytes(b"w"),
        checkpoints=checkpoints,
        schema="test/1",
        provenance={"steps": 2},
    )
    manifest = verify_directory(out, schema="test/1")
    assert found == {"model": str(out), "sha256": manifest.sha256, "steps": 2, "loss": 1.5}
    lines = [json.loads(line) for line in (out / HISTORY).read_text().splitlines()]
    assert lines == [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.5}]
    assert (out / "weights").read_bytes() == b"w"
    assert not checkpoints.exists()
