"""Threads for compiled loops: as many as PyTorch may use, one piece of the work each.

Compiled loops release the interpreter lock, so plain threads suffice. Each item's result depends on that item
alone, never on how the items are shared out.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import torch

_pools: dict[int, ThreadPoolExecutor] = {}

# A forked child has the parent's pool but not its threads; it makes its own.
os.register_at_fork(after_in_child=_pools.clear)


def run(function: Callable[..., object], count: int, *arguments: Any) -> None:
    """Call ``function(*arguments, begin, end)`` on ranges that cover ``range(count)``, in parallel.

    Args:
        function: Works on the items ``begin`` to ``end - 1``; must release the interpreter lock to gain.
        count: Number of items, at least 0.
        arguments: What every call gets first.

    Raises:
        Exception: Whatever ``function`` raises first.
    """
    pieces = min(torch.get_num_threads(), count)
    if pieces <= 1:
        if count:
            function(*arguments, 0, count)
        return
    pool = _pools.get(pieces)
    if pool is None:
        pool = _pools[pieces] = ThreadPoolExecutor(pieces, thread_name_prefix="affinity")
    bounds = [count * piece // pieces for piece in range(pieces + 1)]
    waiting = [pool.submit(function, *arguments, *pair) for pair in pairwise(bounds[1:])]
    function(*arguments, bounds[0], bounds[1])
    for future in waiting:
        future.result()
