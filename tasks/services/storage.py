"""Objects in S3: multipart transfers, create-once, and errors that name the object.

The only importer of boto3. Transfers carry boto3's checksums; a store that does not understand them is
served with ``AWS_REQUEST_CHECKSUM_CALCULATION=when_required``. What was written is proved by reading it
back, because not every store checks what it receives.
"""

import hashlib
import random
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.errors import IntegrityError, UnavailableError

_PART = 16 << 20
"""Size of one part of a multipart transfer, in bytes."""
_ATTEMPTS = 5
_TAKEN = {"PreconditionFailed", "412"}
_COLLISION = {"ConditionalRequestConflict", "409"}
_MISSING = {"NoSuchKey", "404", "NotFound"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"}
_DENIED = {"AccessDenied", "403", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A place in S3. All keys are relative to ``url``."""

    url: str
    """``s3://bucket/prefix`` without a slash at the end."""
    name: str
    prefix: str
    """Empty, or ends with a slash."""
    client: Any

    def names(self, folder: str) -> list[str]:
        """List every key that starts with ``folder``, in order; follows all pages."""
        with _named_errors(self.url):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.name, Prefix=self.prefix + folder
            )
            return sorted(
                item["Key"].removeprefix(self.prefix) for page in pages for item in page.get("Contents", ())
            )

    def read(self, key: str) -> bytes:
        """Return a small object.

        Raises:
            UnavailableError: If it is missing or the store cannot be reached.
        """
        with _named_errors(self.address(key)):
            body: bytes = self.client.get_object(Bucket=self.name, Key=self.prefix + key)["Body"].read()
            return body

    def create(self, key: str, content: bytes) -> bool:
        """Write a small object unless the key is taken; False if it is."""
        from botocore.exceptions import ClientError

        for attempt in range(_ATTEMPTS):
            with _named_errors(self.address(key)):
                try:
                    self.client.put_object(
                        Bucket=self.name, Key=self.prefix + key, Body=content, IfNoneMatch="*"
                    )
                except ClientError as error:
                    code = error.response["Error"]["Code"]
                    if code in _TAKEN:
                        return False
                    if code not in _COLLISION or attempt == _ATTEMPTS - 1:
                        raise
                else:
                    return True
            time.sleep(random.uniform(0.0, 0.1 * 2**attempt))
        return False

    def prove_create_once(self) -> None:
        """Check that the store honours ``If-None-Match``; one that ignores it would lose promotions.

        Raises:
            UnavailableError: If a key that exists can be created again.
        """
        key = f"probe/{uuid.uuid4().hex}"
        self.create(key, b"1")
        taken = not self.create(key, b"2")
        with _named_errors(self.address(key)):
            self.client.delete_object(Bucket=self.name, Key=self.prefix + key)
        if not taken:
            raise UnavailableError(
                "the store ignores If-None-Match, so two promotions could both win.",
                obj=self.url,
                hint="Use a store with conditional writes, or a ledger in a local file.",
            )

    def upload(self, path: Path, key: str, *, sha256: str) -> None:
        """Copy a file to the store and read it back.

        Raises:
            IntegrityError: If what is stored is not what was sent.
            UnavailableError: If the store fails more often than is bearable.
        """
        from boto3.s3.transfer import TransferConfig

        transfer = TransferConfig(multipart_threshold=_PART, multipart_chunksize=_PART)
        with _named_errors(self.address(key)):
            self.client.upload_file(str(path), self.name, self.prefix + key, Config=transfer)
        if (stored := self.sha256(key)) != sha256:
            raise IntegrityError(
                f"the copy has sha256 {stored}, the file {sha256}.",
                obj=self.address(key),
                hint="Run the command again; if it happens twice, do not trust the store.",
            )

    def download(self, key: str, path: Path) -> None:
        """Copy an object to a file; the caller checks the content against its manifest."""
        with _named_errors(self.address(key)):
            self.client.download_file(self.name, self.prefix + key, str(path))

    def sha256(self, key: str) -> str | None:
        """Hash what is stored, in hex; None if there is no such object."""
        from botocore.exceptions import ClientError

        digest = hashlib.sha256()
        with _named_errors(self.address(key)):
            try:
                body = self.client.get_object(Bucket=self.name, Key=self.prefix + key)["Body"]
            except ClientError as error:
                if error.response["Error"]["Code"] in _MISSING:
                    return None
                raise
            for block in body.iter_chunks(1 << 20):
                digest.update(block)
        return digest.hexdigest()

    def address(self, key: str) -> str:
        """Return the full address of a key, for messages."""
        return f"{self.url}/{key}"


def connect(url: str, endpoint_url: str | None = None) -> Bucket:
    """Prepare a client for ``s3://bucket/prefix``; nothing is sent before the first call.

    Credentials and region come from boto3's own chain; the region falls back to ``us-east-1``.
    """
    import boto3
    from botocore.config import Config

    name, _, prefix = url.removeprefix("s3://").partition("/")
    settings = Config(
        connect_timeout=5,
        read_timeout=30,
        retries={"max_attempts": _ATTEMPTS, "mode": "standard"},
        s3={"addressing_style": "path"} if endpoint_url else None,
    )
    session = boto3.Session()
    client = session.client(
        "s3", endpoint_url=endpoint_url, region_name=session.region_name or "us-east-1", config=settings
    )
    return Bucket(
        url=url.rstrip("/"), name=name, prefix=f"{prefix.strip('/')}/" if prefix else "", client=client
    )


@contextmanager
def _named_errors(obj: str) -> Iterator[None]:
    """Turn every failure of boto3 into one that names the object, the cause and the cure."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        yield
    except ClientError as error:
        raise _refused(error.response, obj) from error
    except NoCredentialsError as error:
        raise UnavailableError(
            "no credentials for S3.", obj=obj, hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        ) from error
    except (BotoCoreError, Boto3Error, OSError) as error:
        raise UnavailableError(
            f"S3 cannot be reached ({type(error).__name__}).",
            obj=obj,
            hint="Check GROUNDWORK_S3_ENDPOINT_URL and the network, then run the command again.",
        ) from error


def _refused(response: dict[str, Any], obj: str) -> UnavailableError:
    code = str(response.get("Error", {}).get("Code", "unknown"))
    request = response.get("ResponseMetadata", {}).get("RequestId", "none")
    if code in _MISSING:
        what, hint = "the object is missing", "Restore it, or put it again."
    elif code == "NoSuchBucket":
        what, hint = "the bucket does not exist", "Create it, or correct the address in the environment."
    elif code in _EXPIRED:
        what, hint = "the credentials have expired", "Renew them, then run the command again."
    elif code in _DENIED:
        what, hint = "access is denied", "Check the credentials and the bucket's policy."
    elif code == "RequestTimeTooSkewed":
        what, hint = "the clock of this machine is wrong", "Set the clock, then run the command again."
    else:
        what, hint = "S3 refused the request", "Run the command again in a moment."
    return UnavailableError(f"{what} ({code}, request {request}).", obj=obj, hint=hint)
