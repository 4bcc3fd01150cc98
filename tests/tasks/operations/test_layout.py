from pathlib import Path

from tasks.config import read_yaml
from tasks.operations import layout
from tasks.operations.checking import CONTRACT

ROOT = Path(__file__).resolve().parents[3]


def test_the_paths_are_those_of_dvc_yaml():
    stages = read_yaml(ROOT / "dvc.yaml")["stages"]
    outs = [
        next(iter(out)) if isinstance(out, dict) else out
        for stage in stages.values()
        for out in stage["outs"]
    ]
    deps = {dep for stage in stages.values() for dep in stage["deps"]}
    for path in (layout.MODEL, layout.PREDICTIONS, layout.EVALUATION):
        assert path.as_posix() in outs
    for path in (layout.ABOUT, layout.VAL_RECORDS):
        assert path.parent.as_posix() in outs
    assert layout.DATASET.as_posix() in deps
    assert CONTRACT.as_posix() in deps
    assert layout.TRAINING_STAGE in stages
    assert (ROOT / layout.GATE).exists()
