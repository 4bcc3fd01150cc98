import os
import select
import signal
import threading

import numpy as np
import pytest
import torch

from models.affinity.fast import workers
from models.affinity.global_ import GlobalPropagation
from models.affinity.spanning_tree import minimum_spanning_tree
from tests.models.affinity.dense import images


@pytest.fixture
def threads():
    """Sets the number of threads, and sets it back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("number", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 100])
def test_every_item_is_worked_on_once(threads, number, count):
    threads(number)
    seen, ranges, lock = np.zeros(count, np.int64), [], threading.Lock()

    def work(seen, mark, begin, end):
        with lock:
            ranges.append((begin, end))
            seen[begin:end] += mark

    workers.run(work, count, seen, 3)
    assert (seen == 3).all()
    assert len(ranges) == min(number, count)
    assert all(begin < end for begin, end in ranges)
    sizes = [end - begin for begin, end in ranges]
    assert not sizes or max(sizes) - min(sizes) <= 1


def test_one_piece_runs_in_the_caller(threads):
    threads(4)
    names = []
    workers.run(lambda begin, end: names.append((threading.current_thread().name, begin, end)), 1)
    threads(1)
    workers.run(lambda begin, end: names.append((threading.current_thread().name, begin, end)), 9)
    here = threading.current_thread().name
    assert names == [(here, 0, 1), (here, 0, 9)]


def test_pieces_run_at_the_same_time(threads):
    threads(3)
    barrier = threading.Barrier(3, timeout=30)
    workers.run(lambda begin, end: barrier.wait(), 3)


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_an_error_in_any_piece_reaches_the_caller(threads, bad):
    threads(3)

    def work(begin, end):
        if begin == bad:
            raise ArithmeticError(f"piece {begin}")

    with pytest.raises(ArithmeticError, match=rf"^piece {bad}$"):
        workers.run(work, 3)
    seen = []
    workers.run(lambda begin, end: seen.append(begin), 3)  # the threads are still there
    assert sorted(seen) == [0, 1, 2]


def test_calls_may_meet(threads):
    threads(2)
    totals = np.zeros(8, np.int64)

    def call(place):
        def work(begin, end):
            totals[place] += 0  # reads and writes its own place
            parts[begin:end] = 1

        parts = np.zeros(50, np.int64)
        workers.run(work, 50)
        totals[place] = parts.sum()

    callers = [threading.Thread(target=call, args=(place,)) for place in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert totals.tolist() == [50] * 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_a_forked_child_computes_the_same(threads):
    threads(2)
    guidance_BCHW, x_BCHW = images(1, 4, 3, (12, 11), 0).float(), images(5, 4, 2, (12, 11), 0).float()

    def compute():
        return GlobalPropagation(zeta=0.3)(x_BCHW, minimum_spanning_tree(guidance_BCHW)).numpy().tobytes()

    expected = compute()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, b"same" if compute() == expected else b"other")
        finally:
            os._exit(0)
    os.close(writing)
    answered, _, _ = select.select([reading], [], [], 60.0)
    if not answered:  # it waits for threads that it does not have
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reading, "rb") as answer:
        assert answer.read() == b"same"
    assert os.waitpid(child, 0)[1] == 0
