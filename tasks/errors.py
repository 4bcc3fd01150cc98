"""Every foreseen failure: a code, the object, the cause and the next command.

The exit codes are a contract with shells and CI: 0 ok, 1 internal bug, 2 usage, 3 data invalid, 4 gate
rejected, 5 integrity or security refusal, 6 dependency unavailable (retry), 7 interrupted (resumable).
"""

from typing import ClassVar


class GroundworkError(Exception):
    """A failure that a user can meet and act upon.

    Args:
        message: What is wrong, in one sentence that shows the offending value.
        obj: The file, record, version or service that is at fault.
        hint: The next command, or the change that cures it.
    """

    code: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, obj: str, hint: str) -> None:
        super().__init__(message)
        self.message, self.obj, self.hint = message, obj, hint

    def __str__(self) -> str:
        return f"{self.obj}: {self.message} {self.hint}".strip()

    def __reduce__(self) -> tuple[object, ...]:
        """Survive pickling between processes although the arguments are keywords."""
        return _rebuild, (type(self), self.message, self.obj, self.hint)

    def as_dict(self) -> dict[str, str]:
        """Return what ``--json`` prints under the key ``error``."""
        return {"code": self.code, "message": self.message, "object": self.obj, "hint": self.hint}


def _rebuild(kind: type[GroundworkError], message: str, obj: str, hint: str) -> GroundworkError:
    return kind(message, obj=obj, hint=hint)


class UsageError(GroundworkError):
    """The command or a configuration file asks for something that does not exist."""

    code, exit_code = "usage", 2


class DataError(GroundworkError):
    """A dataset breaks a rule. Nothing was written, dropped or repaired."""

    code, exit_code = "data-invalid", 3


class GateRejected(GroundworkError):
    """The candidate was judged and not promoted."""

    code, exit_code = "gate-rejected", 4


class IntegrityError(GroundworkError):
    """Bytes are not what their manifest, hash chain or signature says."""

    code, exit_code = "integrity", 5


class UnavailableError(GroundworkError):
    """A service or file that should be there is not: retrying may help."""

    code, exit_code = "unavailable", 6


class InterruptedRun(GroundworkError):
    """The work was stopped and the same command resumes it."""

    code, exit_code = "interrupted", 7
