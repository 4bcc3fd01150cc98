import os
import subprocess
import sys

import pytest

from tasks.errors import UnavailableError
from tasks.operations.workspace import exclusive
from tasks.services.settings import Settings

HOLD = """
import sys, time
from pathlib import Path
from tasks.operations.workspace import exclusive
from tasks.services.settings import Settings
with exclusive(Settings.load(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(60)
"""


def test_one_run_at_a_time_and_a_killed_one_lets_go(tmp_path):
    settings = Settings.load(tmp_path)
    with exclusive(settings):
        pass
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        held = rf"another run is going on here \(process {other.pid}\)"
        with pytest.raises(UnavailableError, match=held), exclusive(settings):
            pass
        other.kill()
    with exclusive(settings):
        assert (settings.home / "workspace.lock").read_text() == str(os.getpid())
