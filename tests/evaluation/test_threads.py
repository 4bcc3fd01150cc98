import threading

import pytest

from evaluation.threads import share_out


@pytest.mark.parametrize("threads", [None, 1, 3])
def test_every_item_is_worked_on_once(threads):
    seen = []
    share_out(lambda begin, end: seen.extend(range(begin, end)), 10, at_once=4, threads=threads)
    assert sorted(seen) == list(range(10))
    share_out(lambda begin, end: seen.append("more"), 0, at_once=4, threads=threads)
    assert "more" not in seen


def test_ranges_are_worked_on_at_the_same_time():
    both = threading.Barrier(2, timeout=30)
    share_out(lambda begin, end: both.wait(), 2, at_once=1, threads=2)


@pytest.mark.parametrize("threads", [1, 4])
def test_the_first_range_that_fails_is_heard_of(threads):
    def work(begin, end):
        if begin >= 3:
            raise ValueError(f"range from {begin}")

    with pytest.raises(ValueError, match=r"^range from 3$"):
        share_out(work, 9, at_once=3, threads=threads)
