import pytest

from tasks.errors import GroundworkError, UsageError
from tasks.operations.benchmarking import run_benchmark


@pytest.fixture
def checkout(tmp_path):
    def write(text):
        (tmp_path / "benchmarks").mkdir()
        (tmp_path / "benchmarks" / "speed.py").write_text(f"import os, sys\n{text}\n")
        return tmp_path

    return write


def test_what_it_prints_comes_back_and_progress_is_said(checkout):
    root = checkout(
        "print('one', file=sys.stderr)\nprint('two', file=sys.stderr)\n"
        "print(sys.argv[1:], os.getcwd(), os.environ['OMP_WAIT_POLICY'])"
    )
    said = []
    printed = run_benchmark("speed", ["--quick"], root, say=said.append)
    assert printed == f"['--quick'] {root} passive\n"
    assert said == ["one", "two"]


def test_long_output_does_not_block(checkout):
    root = checkout("print('x' * 300_000)\nprint('y' * 300_000, file=sys.stderr)")
    assert len(run_benchmark("speed", [], root, say=len)) == 300_001


def test_a_place_without_benchmarks_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"there is no benchmarks/speed\.py here.*Clone the repository"):
        run_benchmark("speed", [], tmp_path, say=print)


def test_refused_arguments_are_a_usage_error(checkout):
    root = checkout("print('speed.py: error: no such size', file=sys.stderr)\nsys.exit(2)")
    with pytest.raises(UsageError, match=r"speed\.py: error: no such size"):
        run_benchmark("speed", [], root, say=len)


def test_a_failure_shows_its_last_line(checkout):
    root = checkout("raise RuntimeError('out of luck')")
    with pytest.raises(GroundworkError, match=r"ended with exit code 1: RuntimeError: out of luck") as caught:
        run_benchmark("speed", [], root, say=len)
    assert caught.value.exit_code == 1
