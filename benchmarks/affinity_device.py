"""Where the time goes on a CUDA device: against the traffic of memory, and beside the launches of kernels.

The same code runs on CPU tensors, where it only proves that it runs.

Shape suffixes:
    B = images   C = channels   H = height   W = width
"""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch.profiler import ProfilerActivity
from torch.profiler import profile as record

from benchmarks.affinity_inputs import guidance, instances
from benchmarks.timing import interleave
from models.affinity.backends import Backend, problems
from models.affinity.fast.traffic import traffic_bytes
from models.affinity.global_ import GlobalPropagation
from models.affinity.spanning_tree import minimum_spanning_tree

SIZES = ((300, 96, 96), (32, 200, 304))
"""Trees, rows and columns."""
ZETA = 0.01
ASSUMED_RATE = 4.3e12
"""Bytes an H200 copies in a second, read plus written, where no device is there to be asked."""


def traffic(rate: float = ASSUMED_RATE) -> dict[str, Any]:
    """Say how many bytes the ``torch`` backend moves at each size, and how long that takes at least.

    Args:
        rate: Bytes a second.

    Returns:
        For each size the bytes of each phase of tree and pass (the field and the ones it is divided by are
        two channels), and ``floor_ms`` of them all; ``pass_floor_ms`` is the pass if it touched every value
        once.
    """
    sizes = []
    for trees, height, width in SIZES:
        moved = traffic_bytes(height, width, trees, 2)
        least = moved.pop("spread_floor")
        sizes.append(
            {
                "trees": trees,
                "height": height,
                "width": width,
                "bytes": moved,
                "floor_ms": round(1e3 * sum(moved.values()) / rate, 3),
                "pass_floor_ms": round(1e3 * least / rate, 4),
            }
        )
    return {"bytes_per_second": rate, "sizes": sizes}


def profile(device: torch.device, *, quick: bool = False) -> dict[str, Any]:
    """Profile every backend that works on the device.

    Returns:
        ``copy_bytes_per_second`` (read plus written), and ``profiles``: for each size and backend the timing
        of tree, pass and both, the launches of both, ``launch_share``, the part of the time in which the
        device did nothing but wait for the next kernel, and the time over what the traffic alone would take.
    """
    sizes = [(2, 12, 16)] if quick else SIZES
    wanted: tuple[Backend, ...] = ("torch", "triton")
    cannot = problems()
    usable = [name for name in wanted if cannot[name] is None]
    rate = copy_rate(device, size=2**16 if quick else 2**30)
    runs = 2 if quick else 9
    return {
        "backends": {name: cannot[name] or "used" for name in wanted},
        "copy_bytes_per_second": rate,
        "profiles": [profile_size(device, name, size, rate, runs=runs) for size in sizes for name in usable],
    }


def copy_rate(device: torch.device, *, size: int) -> float:
    """Measure how fast the device copies its own memory, in bytes read plus bytes written a second."""
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    timings, _ = interleave({"copy": partial(target.copy_, source)}, runs=9)
    return 2e3 * size / timings["copy"].median_ms


def profile_size(
    device: torch.device, backend: Backend, size: tuple[int, int, int], rate: float, *, runs: int
) -> dict[str, Any]:
    """Time and profile one backend at one size; ``rate`` is the device's in bytes a second."""
    trees, height, width = size
    image_BCHW = guidance(trees, height, width).to(device)
    x_B1HW = instances(trees, height, width)[0][:, None].to(device)
    propagate = GlobalPropagation(zeta=ZETA)
    structure = minimum_spanning_tree(image_BCHW, backend=backend)
    build = partial(minimum_spanning_tree, image_BCHW, backend=backend)
    methods: dict[str, Callable[[], object]] = {
        "tree and pass": lambda: propagate(x_B1HW, build()),
        "tree alone": build,
        "pass alone": partial(propagate, x_B1HW, structure),
    }
    timings, _ = interleave(methods, runs=runs)
    whole = methods["tree and pass"]
    launches, busy_ms = kernels(whole)
    moved = traffic_bytes(height, width, trees, 2)
    least = moved.pop("spread_floor")
    whole_ms, pass_ms = (timings[name].median_ms for name in ("tree and pass", "pass alone"))
    return {
        "trees": trees,
        "height": height,
        "width": width,
        "backend": backend,
        "times": {name: asdict(timing) for name, timing in timings.items()},
        "launches": launches,
        "busy_ms": round(busy_ms, 4),
        "launch_share": round(max(0.0, 1 - busy_ms / whole_ms), 3),
        "time_over_traffic": round(whole_ms * rate / 1e3 / sum(moved.values()), 2),
        "pass_over_floor": round(pass_ms * rate / 1e3 / least, 2),
        "pass_waits_for_host": waits_for_host(methods["pass alone"], device),
    }


def kernels(call: Callable[[], object]) -> tuple[int, float]:
    """Count the kernels that a call starts on the device, and add up the milliseconds in which they run."""
    there = torch.cuda.is_available()
    with record(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if there else [])]) as recorded:
        call()
        if there:
            torch.cuda.synchronize()
    ran = [event for event in recorded.events() or () if event.device_type.name == "CUDA"]
    return len(ran), sum(event.time_range.elapsed_us() for event in ran) / 1e3


def waits_for_host(call: Callable[[], object], device: torch.device) -> bool | None:
    """Say whether a call ever stops for the device; None where there is nothing to stop for."""
    if device.type != "cuda":
        return None
    torch.cuda.set_sync_debug_mode("error")
    try:
        call()
    except RuntimeError:
        return True
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return False
