"""Progress in a pipe is plain lines; on a terminal it is a bar."""

import sys

from tasks.stages import _progress
from tasks.stages._progress import StageProgress


def test_plain_lines_are_few_and_end_with_the_last(capsys, monkeypatch):
    now = iter([0.0, 1.0, 5.0, 6.0, 10.0])
    monkeypatch.setattr(_progress.time, "monotonic", lambda: next(now))
    with StageProgress("training", 4) as progress:
        for done in range(1, 5):
            progress.update(done, f"loss {done}")
    assert capsys.readouterr().err.splitlines() == [
        "training 2/4, 5 s left, loss 2",
        "training 4/4, 0 s left, loss 4",
    ]


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with StageProgress("predicting", 2) as progress:
        progress.update(1)
        progress.say("one more")
        progress.update(2)
    said = capsys.readouterr().err
    assert "one more" in said
    assert "predicting" in said
