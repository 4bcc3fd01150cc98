"""Compiled loops on all cores: they let go of the interpreter lock, so that plain threads suffice."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def share_out(
    work: Callable[[int, int], None], count: int, *, at_once: int, threads: int | None = None
) -> None:
    """Call ``work(begin, end)`` on ranges that cover ``range(count)``.

    What it does in a range must depend on that range alone: then the result is the same to the last bit,
    however many threads there are.

    Args:
        work: Writes its results somewhere.
        count: Number of items, at least 0.
        at_once: Length of a range; the last one may be shorter.
        threads: How many ranges at once; None for one on each core.

    Raises:
        Exception: What the first range that fails raises.
    """
    from numba import config

    if threads is None:
        threads = config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]  # set when numba starts
    begins = range(0, count, at_once)
    ranges = [(begin, min(begin + at_once, count)) for begin in begins]
    if threads <= 1 or len(ranges) <= 1:
        for begin, end in ranges:
            work(begin, end)
        return
    with ThreadPoolExecutor(threads) as pool:
        # In order, so that the first range with an error is the one that is heard of.
        for done in [pool.submit(work, begin, end) for begin, end in ranges]:
            done.result()
