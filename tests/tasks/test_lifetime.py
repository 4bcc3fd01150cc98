import os
import signal
import subprocess
import sys
import threading
import time

from tasks.lifetime import stop_signals

CHILD = """
import signal, sys, time, pathlib
from tasks.lifetime import end_with_parent
signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path(sys.argv[1]).write_text("told"), sys.exit()))
end_with_parent()
print("up", flush=True)
time.sleep(60)
"""
PARENT = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]])
time.sleep(60)
"""


def test_a_child_is_told_when_its_parent_is_killed(tmp_path):
    told = tmp_path / "told"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD, str(told)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout.readline() == "up\n"
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    for _ in range(100):
        if told.exists():
            break
        time.sleep(0.1)
    assert told.read_text() == "told"
    parent.stdout.close()


def test_being_asked_to_stop_is_noted_and_then_as_before():
    before = signal.getsignal(signal.SIGTERM)
    with stop_signals() as received:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert received == ["SIGTERM", "SIGINT"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_other_threads_hear_of_no_signal():
    seen = []

    def work():
        with stop_signals() as received:
            seen.append(received)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [[]]
