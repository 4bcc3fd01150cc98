"""What can be said of a Triton kernel where there is no GPU: it computes the right numbers in Triton's
interpreter, and it compiles to machine code for a device that is not here.

The interpreter is chosen when Triton is first imported, so it gets a process of its own, which runs the
functions ``check_*`` of the test modules that it is given.
"""

import importlib
import json
import os
import subprocess
import sys
import traceback

import torch


def checks(module):
    return [name for name in vars(module) if name.startswith("check_")]


def interpret(module_names):
    """Run the checks of modules in the interpreter; return what went wrong by module and name, or ""."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.models.affinity.fast.no_gpu", *module_names],
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def compare(found, expected, tolerance=0.0):
    """Like torch.testing.assert_close, whose first call in a process takes two seconds."""
    found, expected = found.cpu(), expected.cpu()
    assert found.dtype == expected.dtype, (found.dtype, expected.dtype)
    assert found.shape == expected.shape, (found.shape, expected.shape)
    if not torch.allclose(found, expected, rtol=0.0, atol=tolerance):
        raise AssertionError(f"{found}\nis not\n{expected}")


def machine_code(kernel, **arguments):
    """Compile a kernel for a GPU of compute capability 9.0.

    ``arguments`` gives each parameter a type ("*fp32", "i32") or the number it is specialised for; Triton
    specialises compile-time constants, and integers that are 1.
    """
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    constants = {name: value for name, value in arguments.items() if not isinstance(value, str)}
    signature = {name: arguments[name] if name not in constants else "constexpr" for name in arguments}
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    target = GPUTarget("cuda", 90, 32)
    return triton.compile(source, target=target, options={"enable_fp_fusion": False}).asm["cubin"]


def _outcome(check):
    try:
        check()
    except Exception:
        return traceback.format_exc()
    return ""


def _main(module_names):
    modules = {name: importlib.import_module(name) for name in module_names}
    found = {
        name: {check: _outcome(getattr(module, check)) for check in checks(module)}
        for name, module in modules.items()
    }
    sys.stdout.write(f"\n{json.dumps(found)}\n")


if __name__ == "__main__":
    _main(sys.argv[1:])
