"""Addresses and credentials: from the environment, and from nowhere else.

Every variable starts with ``GROUNDWORK_``, but for MLflow's own ``MLFLOW_TRACKING_URI``. Nothing needs to be
set: the defaults keep everything in ``.groundwork`` inside the repository. Credentials of S3 are never read
here; boto3 finds them by its own rules.
"""

import difflib
import getpass
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from tasks.errors import UsageError

_PREFIX = "GROUNDWORK_"
_S3 = re.compile(r"s3://[a-z0-9][a-z0-9.-]{2,62}(/[A-Za-z0-9._/-]*)?")


class Settings(BaseSettings):
    """Where things are kept and who is asking. Frozen; make one with `Settings.load`."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix=_PREFIX, frozen=True, extra="ignore", populate_by_name=True
    )

    home: Path = Path(".groundwork")
    """Everything that is neither code nor data of the repository; mode 0700."""
    tracking_uri: str = Field(default="", validation_alias="MLFLOW_TRACKING_URI")
    """MLflow: ``sqlite:///...`` or ``http(s)://...``. Default: ``<home>/mlflow.db``."""
    ledger_url: str = ""
    """Promotion ledger: ``sqlite:///...`` or ``s3://bucket/prefix``. Default: ``<home>/ledger.db``."""
    bundles_url: str = ""
    """Bundle store: a directory or ``s3://bucket/prefix``. Default: ``<home>/bundles``."""
    remote_url: str = ""
    """Remote of DVC: a directory or ``s3://bucket/prefix``. Default: ``<home>/remote``."""
    s3_endpoint_url: str | None = None
    """Address of an S3 service that is not Amazon's."""
    who: str = ""
    """Name that the promotion ledger records. Default: ``user@host``."""

    @classmethod
    def load(cls, repository: Path) -> "Settings":
        """Read the environment; relative paths are taken from the repository. Creates nothing.

        Raises:
            UsageError: If a variable is unknown or its value is not an address of the kind it needs.
        """
        _refuse_unknown(os.environ, cls)
        try:
            given = cls()
        except ValidationError as error:
            first = error.errors()[0]
            name = _variable(str(first["loc"][0]) if first["loc"] else "")
            raise UsageError(
                f"{first['msg']}.", obj=name, hint=f"Correct or unset {name}, see `groundwork config show`."
            ) from error
        repository = repository.resolve()
        home = repository / given.home.expanduser()
        values: dict[str, Any] = {
            "home": home,
            "MLFLOW_TRACKING_URI": given.tracking_uri or f"sqlite:///{home / 'mlflow.db'}",
            "ledger_url": _database(given.ledger_url or str(home / "ledger.db"), repository),
            "bundles_url": _place("bundles_url", given.bundles_url or str(home / "bundles"), repository),
            "remote_url": _place("remote_url", given.remote_url or str(home / "remote"), repository),
            "s3_endpoint_url": given.s3_endpoint_url,
            "who": given.who or f"{getpass.getuser()}@{socket.gethostname()}",
        }
        _check_tracking(values["MLFLOW_TRACKING_URI"])
        return cls.model_construct(**{**values, "tracking_uri": values.pop("MLFLOW_TRACKING_URI")})

    @property
    def artifacts(self) -> Path:
        """Folder of MLflow's artifacts when its database is a local file."""
        return self.home / "mlartifacts"

    def shown(self) -> dict[str, str]:
        """Return what may be printed: the password of an address is replaced by ``***``."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: redact("" if value is None else str(value)) for name, value in values.items()}

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self.shown().items())})"

    __str__ = __repr__


def private_directory(folder: Path) -> Path:
    """Create a directory that only its owner can enter, and return it.

    A directory that exists keeps its mode: it may be shared on purpose.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
    return folder


def redact(address: str) -> str:
    """Replace the user and password of an address by ``***``; other text is returned unchanged."""
    parts = urlsplit(address)
    if "@" not in parts.netloc:
        return address
    return urlunsplit(parts._replace(netloc="***@" + parts.netloc.rpartition("@")[2]))


def _refuse_unknown(environment: Mapping[str, str], settings: type[Settings]) -> None:
    known = [_variable(name) for name in settings.model_fields if name != "tracking_uri"]
    for name in sorted(environment):
        if name.startswith(_PREFIX) and name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {close[0]}?" if close else f"Known are {', '.join(known)}."
            raise UsageError("unknown environment variable.", obj=name, hint=hint)


def _variable(field: str) -> str:
    return (
        "MLFLOW_TRACKING_URI" if field in {"tracking_uri", "MLFLOW_TRACKING_URI"} else _PREFIX + field.upper()
    )


def _database(url: str, repository: Path) -> str:
    if url.startswith("sqlite:///"):
        url = url.removeprefix("sqlite:///")
    return _place("ledger_url", url, repository)


def _place(field: str, url: str, repository: Path) -> str:
    """Return an S3 address unchanged and a directory as an absolute path."""
    if url.startswith("s3://"):
        if not _S3.fullmatch(url):
            raise UsageError(
                f"expected s3://bucket/prefix, got {redact(url)!r}.",
                obj=_variable(field),
                hint="Use letters, digits, '.', '_', '-' and '/'.",
            )
        return url.rstrip("/")
    if "://" in url:
        raise UsageError(
            f"expected a path or s3://bucket/prefix, got {redact(url)!r}.",
            obj=_variable(field),
            hint=f"Correct or unset {_variable(field)}.",
        )
    return str(repository / Path(url).expanduser())


def _check_tracking(uri: str) -> None:
    if not uri.startswith(("sqlite:///", "http://", "https://")):
        raise UsageError(
            f"expected sqlite:///... or http(s)://..., got {redact(uri)!r}.",
            obj="MLFLOW_TRACKING_URI",
            hint="Unset it to keep runs in a local database.",
        )
