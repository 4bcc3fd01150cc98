"""Where numbers were made."""

import platform
from pathlib import Path
from typing import Any

import torch

from models.blocks.precision import has_fast_bfloat16


def describe() -> dict[str, Any]:
    """Name the processor, its cores, the threads in use and the versions that decide speed."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": len(models),
        "threads": torch.get_num_threads(),
        "bfloat16": has_fast_bfloat16(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
