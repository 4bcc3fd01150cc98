"""Which way of computing affinity can run here, and which one is taken.

    reference   dense matrices in float64, any device; for tests
    cpu         compiled loops (numba), CPU tensors
    torch       sorts, scans and scatters in plain PyTorch, any device
    triton      kernels compiled on the spot (Triton), CUDA tensors

All give the same answer. "auto" takes "cpu" for CPU tensors where numba can be imported, else "torch". The
"triton" kernels were compared with the others in Triton's interpreter only and never ran on a GPU, so "auto"
takes "torch" on CUDA until a benchmark speaks for "triton".
"""

from functools import cache
from typing import Literal, get_args

import torch

Backend = Literal["reference", "cpu", "torch", "triton"]

BACKENDS: tuple[Backend, ...] = get_args(Backend)
"""Every backend, the plainest first."""

_ONLY_ON: dict[Backend, str] = {"cpu": "cpu", "triton": "cuda"}
"""Kind of device whose tensors a backend accepts; the others accept all."""


def problems() -> dict[Backend, str | None]:
    """Say of each backend why it cannot run here, or None where it can.

    The first call imports numba and Triton (a second or two); later calls cost nothing.

    Example:
        >>> problems()["reference"] is None
        True
    """
    return {backend: _problem(backend) for backend in BACKENDS}


def choose(requested: Backend | Literal["auto"], device: torch.device) -> Backend:
    """Settle which backend handles tensors on a device.

    Args:
        requested: A backend, or "auto" for the fastest one known to be right.
        device: Where the tensors live.

    Returns:
        The requested backend where one was named, never another in its place.

    Raises:
        ValueError: If there is no such backend, or it cannot run here or on that device.

    Example:
        >>> choose("auto", torch.device("meta"))
        'torch'
    """
    if requested == "auto":
        return "cpu" if device.type == "cpu" and _problem("cpu") is None else "torch"
    if requested not in BACKENDS:
        names = ", ".join(map(repr, ("auto", *BACKENDS)))
        raise ValueError(f"backend must be one of {names}, got {requested!r}.")
    kind = _ONLY_ON.get(requested, device.type)
    if kind != device.type:
        raise ValueError(
            f"backend {requested!r} takes {kind} tensors, got one on {str(device)!r}: move it to {kind!r}, "
            "or pass backend='auto'."
        )
    problem = _problem(requested)
    if problem is not None:
        raise ValueError(f"backend {requested!r} cannot run here: {problem} Pass backend='auto'.")
    return requested


@cache
def _problem(backend: Backend) -> str | None:
    """Load a backend's code once; a broken library raises anything, and that is the answer."""
    try:
        match backend:
            case "cpu":
                from models.affinity.fast import box_sweeps, compiled  # noqa: F401
            case "triton":
                return _triton_problem()
            case "reference" | "torch":
                pass
    except Exception as error:
        return f"{type(error).__name__}: {str(error).strip().rstrip('.') or 'no text'}."
    return None


def _triton_problem() -> str | None:
    """Compile and run a small kernel: the driver or a C compiler may be missing though Triton is there."""
    from models.affinity.fast import triton_edges

    if not torch.cuda.is_available():
        return "PyTorch finds no CUDA device."
    weight_BM = triton_edges.edge_weights(torch.arange(4.0, device="cuda").reshape(1, 1, 2, 2))
    expected = [[4.0, 4.0, 1.0, 1.0]]
    return None if weight_BM.tolist() == expected else f"A kernel gave {weight_BM.tolist()}, not {expected}."
