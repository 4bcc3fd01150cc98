"""The pickle of a state dict of PyTorch, read without running anything.

Such a pickle asks for little: ordered dicts, tensors made of storages, and the names of those storages. Here
these are marks on the stack that stand for themselves; nothing is imported or called, and any other wish is
refused by name.

Source: what ``torch.save`` writes, protocols 2 and later, and ``tasks.data.plain_pickle`` for the rest.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tasks.data.plain_pickle import Machine, NotPlain
from tasks.errors import IntegrityError

_STORAGES: Final = {
    "torch.FloatStorage": "float32",
    "torch.HalfStorage": "float16",
    "torch.BFloat16Storage": "bfloat16",
    "torch.DoubleStorage": "float64",
    "torch.LongStorage": "int64",
    "torch.IntStorage": "int32",
}
_ORDERED: Final = "collections.OrderedDict"
_TENSOR: Final = "torch._utils._rebuild_tensor_v2"
_PARAMETER: Final = "torch._utils._rebuild_parameter"
_KNOWN: Final = {*_STORAGES, _ORDERED, _TENSOR, _PARAMETER}


@dataclass(frozen=True, slots=True)
class _Known:
    """A global that a state dict may name; it stands for itself."""

    name: str


@dataclass(frozen=True, slots=True)
class StorageMark:
    """A file of the zip, in which items lie one after the other."""

    dtype: str
    key: str
    items: int


@dataclass(frozen=True, slots=True)
class TensorMark:
    """A tensor as the pickle describes it, true or not."""

    storage: StorageMark
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class _StateDictMachine(Machine):
    """The machine for plain data, with marks for what a state dict names."""

    def action(self, code: int) -> "Callable[[Machine], None] | None":
        return self.named.get(code) or super().action(code)

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.named: dict[int, Callable[[Machine], None]] = {
            ord("c"): lambda _: self.global_of_lines(),
            0x93: lambda _: self.global_of_stack(),
            ord("Q"): lambda _: self.storage(),
            ord("R"): lambda _: self.rebuild(),
            ord("b"): lambda _: self.forget_state(),
        }

    def global_of_lines(self) -> None:
        """Mark a global whose name follows, or refuse it."""
        name = f"{self.line().decode('latin-1')}.{self.line().decode('latin-1')}"
        if name not in _KNOWN:
            self.place = self.start + 1
            raise NotPlain(self.offence(ord("c")))
        self.push(_Known(name))

    def global_of_stack(self) -> None:
        """Mark a global whose name is on the stack, or refuse it."""
        if f"{self.stack[-2]}.{self.stack[-1]}" not in _KNOWN:
            raise NotPlain(self.offence(0x93))
        module, name = self.last(2)
        self.push(_Known(f"{module}.{name}"))

    def storage(self) -> None:
        """Mark a storage of the file."""
        match self.last(1)[0]:
            case ("storage", _Known(name), str(key), str(), int(items)) if name in _STORAGES and items >= 0:
                self.push(StorageMark(_STORAGES[name], key, items))
            case _:
                raise ValueError("a storage is not described as PyTorch does")

    def rebuild(self) -> None:
        """Mark what a known function would make of its arguments; none is called."""
        function, arguments = self.last(2)
        match function, arguments:
            case _Known(name), () if name == _ORDERED:
                self.push({})
            case _Known(name), (StorageMark() as storage, int(offset), tuple(shape), tuple(stride), *_) if (
                name == _TENSOR
            ):
                self.push(TensorMark(storage, offset, shape, stride))
            case _Known(name), (TensorMark() as view, bool(), _) if name == _PARAMETER:
                self.push(view)
            case _:
                name = function.name if isinstance(function, _Known) else type(function).__name__
                raise NotPlain(f"a call of {name} with arguments of another kind")

    def forget_state(self) -> None:
        """Leave out what a dict says about itself: versions of its modules."""
        target, state = self.last(2)
        if type(target) is not dict or type(state) is not dict or state.keys() != {"_metadata"}:
            raise NotPlain("the instruction BUILD on what is no state dict")
        self.push(target)


def read_state(content: bytes, *, source: str) -> dict[str, TensorMark]:
    """Read what a state dict says about its tensors.

    Args:
        content: The whole pickle.
        source: What to name in an error, e.g. the file.

    Returns:
        Tensors by name, in the order of the file; shapes and strides are not checked.

    Raises:
        IntegrityError: If it is malformed, or asks for anything but tensors, which is named.
    """
    machine = _StateDictMachine(content)
    try:
        state = machine.run()
    except NotPlain as error:
        reason = f"holds {error} at byte {machine.start} of its pickle: no state dict needs it."
        raise refused(source, reason) from error
    except (IndexError, TypeError, ValueError) as error:
        reason = f"has a malformed pickle, at byte {machine.start}: {str(error)[:200]}."
        raise refused(source, reason) from error
    if type(state) is not dict:
        raise refused(source, "holds no state dict.")
    for name, mark in state.items():
        if type(mark) is not TensorMark:
            raise refused(source, f"holds {name[:200]!r}, which is no tensor, in its state dict.")
    return state


def refused(source: str, message: str) -> IntegrityError:
    """Return the error for a file that is not read."""
    return IntegrityError(
        message,
        obj=source,
        hint="Nothing in it was run. Fetch it again, or ask its authors for safetensors.",
    )
