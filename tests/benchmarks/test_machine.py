import json

import torch

from benchmarks.machine import describe


def test_the_machine_is_json_and_names_what_decides_speed():
    machine = json.loads(json.dumps(describe()))
    assert machine["torch"] == torch.__version__
    assert machine["threads"] >= 1
    assert set(machine) == {"processor", "cores", "threads", "bfloat16", "torch", "python"}
