"""How fast is affinity propagation? Every size beside its peers, in one run.

    groundwork bench affinity
    python -m benchmarks.affinity --published my_published.py --plot

Each number is the median of 9 runs after warm-up; all ways of one computation take turns, so that ratios mean
something on a machine that does other things too. Peers that everybody has are SciPy's spanning tree and the
unfold formulation; ``--published`` adds a module that the reader made from the authors' release (see
``affinity_peers.Published``). Takes about fifteen minutes on two cores. With a CUDA device the backends are
profiled there instead; ``--device cpu`` keeps to the processor.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numba
import numpy as np
import scipy
import torch
from torch import Tensor

from benchmarks import affinity_cases as cases_of
from benchmarks.affinity_cases import Case, Methods
from benchmarks.affinity_device import profile, traffic
from benchmarks.affinity_memory import measure
from benchmarks.affinity_peers import Published, load_published
from benchmarks.affinity_plot import draw
from benchmarks.machine import describe
from benchmarks.timing import Timing, interleave

RESULTS = Path(__file__).resolve().parent / "results"
TREE, CHANNELS, CASCADE, LOCAL, BACKENDS = "tree and pass", "many channels", "cascade", "local", "backends"
SQUARES = [
    (96, 96),
    (200, 304),
    (320, 320),
    (512, 512),
    (800, 1216),
    (1024, 1024),
    (2048, 2048),
    (4096, 4096),
]
ONE_IMAGE = [Case(name=TREE, height=height, width=width) for height, width in SQUARES]
BATCHES = [
    Case(name=TREE, height=height, width=width, images=images, channels=channels)
    for height, width, images, channels in (
        (96, 96, 32, 3), (320, 320, 8, 3), (200, 304, 32, 3),
        (128, 128, 8, 256), (200, 304, 8, 256), (512, 512, 1, 256),
    )
]  # fmt: skip
MANY = [Case(name=CHANNELS, height=height, width=width, channels=32) for height, width in SQUARES[1:3]]
INSTANCES = [
    Case(name=CASCADE, height=height, width=width, images=images, instances=instances)
    for height, width, images, instances in ((96, 96, 8, 64), (200, 304, 2, 32), (200, 304, 1, 32))
]
WINDOWS = [
    Case(name=name, height=height, width=width, images=images, instances=instances)
    for name, height, width, images, instances in (
        (LOCAL, 96, 96, 1, 1), (LOCAL, 200, 304, 1, 1), (LOCAL, 320, 320, 1, 1), (LOCAL, 512, 512, 1, 1),
        (LOCAL, 200, 304, 8, 8), (LOCAL, 200, 304, 1, 16), (LOCAL, 320, 320, 8, 8),
        (cases_of.LOCAL_UNMASKED, 200, 304, 1, 1),
    )
]  # fmt: skip
CURVES = [
    Case(name=BACKENDS, height=side, width=side)
    for side in (16, 24, 32, 64, 96, 192, 320, 512, 1024, 2048, 4096)
]


def main() -> None:
    """Time, print the table or the document, store the numbers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--published", type=Path, help="Python file around the authors' release")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, two runs; stores nothing by itself")
    parser.add_argument("--json", action="store_true", help="print the document instead of the table")
    parser.add_argument(
        "--plot", type=Path, nargs="?", const=RESULTS / "affinity.png", help="picture to draw"
    )
    parser.add_argument("--out", type=Path, help="where the numbers go; default: benchmarks/results")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: cuda if any")
    arguments = parser.parse_args()
    try:
        published = None if arguments.published is None else load_published(arguments.published)
        device = chosen(arguments.device)
    except ValueError as error:
        parser.error(str(error))
    document = run(published, device, quick=arguments.quick)
    out = arguments.out or (None if arguments.quick else RESULTS / result_name(device))
    if out is not None:
        out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if arguments.plot is not None:
        draw(document, arguments.plot)
    print(json.dumps(document) if arguments.json else "\n".join(table(document)))


def chosen(device: str) -> torch.device:
    """Settle the device.

    Raises:
        ValueError: If there is no CUDA device although one is asked for.
    """
    there = torch.cuda.is_available()
    if device == "cuda" and not there:
        raise ValueError("--device cuda needs a CUDA device, and PyTorch finds none: use --device cpu.")
    return torch.device("cuda" if there and device != "cpu" else "cpu")


def run(published: Published | None, device: torch.device, *, quick: bool) -> dict[str, Any]:
    """Time everything and return the document that is stored."""
    machine = describe() | {
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "numba": numba.__version__,
        "wait_policy": os.environ.get("OMP_WAIT_POLICY", "active"),
    }
    runs = 2 if quick else 9
    settings = {
        "runs": runs,
        "quick": quick,
        "device": str(device),
        "published": published is not None,
        "zeta_first": cases_of.ZETA_FIRST,
        "zeta_second": cases_of.ZETA_SECOND,
        "zeta_local": cases_of.ZETA_LOCAL,
        "window": cases_of.WINDOW,
        "sweeps": cases_of.SWEEPS,
    }
    document: dict[str, Any] = {"machine": machine, "settings": settings, "rows": []}
    for case, methods in _cases(published, device, quick=quick):
        document["rows"].append(row_of(case, methods, runs=runs))
        print("\n".join(_lines(document["rows"][-1])), file=sys.stderr)
    if device.type == "cuda":
        found = profile(device, quick=quick)
        return document | {"device": found, "traffic": traffic(found["copy_bytes_per_second"])}
    side = 64 if quick else 2048
    return document | {"memory": measure(side, side), "traffic": traffic()}


def _cases(
    published: Published | None, device: torch.device, *, quick: bool
) -> Iterator[tuple[Case, Methods]]:
    def size(cases: list[Case]) -> Iterable[Case]:
        return map(_shrunk, cases[:2]) if quick else cases

    curves = cases_of.backends(size(CURVES), device)
    if device.type == "cuda":
        return curves
    return chain(
        cases_of.tree_and_pass(size(ONE_IMAGE), published),
        cases_of.tree_and_pass(size(BATCHES), published),
        cases_of.many_channels(size(MANY)),
        cases_of.cascade(size(INSTANCES), published),
        cases_of.local(size(WINDOWS)),
        curves,
    )


def _shrunk(case: Case) -> Case:
    """Bring a case down to what a test can afford: the code runs, the numbers mean nothing."""
    return replace(
        case,
        height=max(9, case.height // 10),
        width=max(9, case.width // 10),
        images=min(case.images, 2),
        instances=min(case.instances, 2),
        channels=min(case.channels, 4),
    )


def row_of(case: Case, methods: Methods, *, runs: int) -> dict[str, Any]:
    """Time one case.

    Returns:
        The case, the timing of each method, its median over that of the first and per pixel of all images (or
        instances, where they are more), and how far its result is from the first's at most, where both are
        fields.
    """
    timings, results = interleave(methods, runs=runs)
    first = next(iter(methods))
    pixels = case.height * case.width * max(case.images, case.instances)
    gaps = {name: _gap(result, results[first]) for name, result in results.items() if name != first}
    return {
        **asdict(case),
        "times": {name: asdict(timing) for name, timing in timings.items()},
        "over_first": {name: _ratio(timing, timings[first]) for name, timing in timings.items()},
        "ns_per_pixel": {name: round(1e6 * timing.median_ms / pixels, 2) for name, timing in timings.items()},
        "largest_difference": {name: gap for name, gap in gaps.items() if gap is not None},
    }


def _ratio(timing: Timing, first: Timing) -> float:
    return round(timing.median_ms / first.median_ms, 2)


def _gap(result: object, first: object) -> float | None:
    if isinstance(result, Tensor) and isinstance(first, Tensor) and result.shape == first.shape:
        return float((result - first).abs().max())
    return None


def result_name(device: torch.device) -> str:
    """Name the file of a device's numbers."""
    if device.type == "cpu":
        return "affinity.json"
    name = re.sub("[^a-z0-9]+", "-", torch.cuda.get_device_name(device).lower()).strip("-")
    return f"affinity-{name}.json"


def table(document: dict[str, Any]) -> list[str]:
    """Lay the document out for people."""
    lines = [line for row in document["rows"] for line in _lines(row)]
    memory = document.get("memory")
    if memory is not None:
        size = f"{memory['height']}x{memory['width']}"
        lines.append(
            f"peak memory at {size}: {memory['bytes_per_pixel']} bytes a pixel above input and result"
        )
    rate = document["traffic"]["bytes_per_second"]
    lines.append(f"traffic of tree and pass with the torch backend, at {rate / 1e12:.2f} TB/s:")
    for size in document["traffic"]["sizes"]:
        phases = ", ".join(f"{name} {moved / 1e9:.2f} GB" for name, moved in size["bytes"].items())
        name = f"{size['trees']} trees of {size['height']}x{size['width']}"
        lines.append(f"  {name}: {phases}; {size['floor_ms']} ms at least")
    for item in document.get("device", {}).get("profiles", ()):
        name = f"{item['backend']}, {item['trees']} trees of {item['height']}x{item['width']}"
        lines.append(
            f"{name}: {item['times']['tree and pass']['median_ms']:.3f} ms, {item['launches']} launches, "
            f"{item['launch_share']:.0%} of the time idle, {item['time_over_traffic']}x the traffic"
        )
    return lines


def _lines(row: dict[str, Any]) -> list[str]:
    counts = f"{row['images']} image(s), {row['instances']} instance(s), {row['channels']} channels"
    head = f"{row['name']}, {row['height']}x{row['width']}, {counts}"
    return [
        head,
        *(
            f"  {name:<34}{timing['median_ms']:>12.3f} ms  "
            f"({timing['lower_quartile_ms']:.3f} to {timing['upper_quartile_ms']:.3f})"
            f"{row['ns_per_pixel'][name]:>12.1f} ns a pixel{row['over_first'][name]:>9.2f}x"
            for name, timing in row["times"].items()
        ),
    ]


if __name__ == "__main__":
    main()
