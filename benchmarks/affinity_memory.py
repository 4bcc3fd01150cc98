"""Peak memory of building one tree and propagating over it, above its inputs and its result.

    python -m benchmarks.affinity_memory 2048 2048

Runs in a process of its own, so that nothing else counts. The peak is the resident set's, which holds what
NumPy, PyTorch and compiled loops allocate alike; Linux sets it back on request.
"""

import gc
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.affinity_inputs import guidance
from models.affinity.global_ import GlobalPropagation
from models.affinity.spanning_tree import minimum_spanning_tree

ROOT = Path(__file__).resolve().parents[1]
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def measure(height: int, width: int) -> dict[str, Any] | None:
    """Measure in a fresh process; None where the system is not Linux.

    Returns:
        ``bytes_per_pixel`` between the resident set just before and the peak, less the result, and the sizes.
    """
    if not CLEAR.exists():
        return None
    command = [sys.executable, "-m", "benchmarks.affinity_memory", str(height), str(width)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def main() -> None:
    """Measure in this process and print JSON."""
    height, width = map(int, sys.argv[1:3])
    propagate = GlobalPropagation(zeta=0.01)
    warm_B3HW = guidance(1, 32, 48)
    propagate(warm_B3HW[:, :1], minimum_spanning_tree(warm_B3HW))
    image_B3HW = guidance(1, height, width)
    x_B1HW = torch.full((1, 1, height, width), 0.25)
    gc.collect()
    CLEAR.write_text("5", encoding="ascii")
    before = _kibibytes("VmRSS")
    y_B1HW = propagate(x_B1HW, minimum_spanning_tree(image_B3HW))
    above = 1024 * (_kibibytes("VmHWM") - before)
    result = y_B1HW.numel() * y_B1HW.element_size()
    pixels = height * width
    print(
        json.dumps(
            {
                "height": height,
                "width": width,
                "peak_bytes_above_inputs": above,
                "result_bytes": result,
                "bytes_per_pixel": round((above - result) / pixels, 2),
            }
        )
    )


def _kibibytes(field: str) -> int:
    lines = STATUS.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    main()
