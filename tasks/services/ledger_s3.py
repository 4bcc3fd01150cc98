"""The lines of the promotion ledger as S3 objects: one per sequence, each created once."""

from dataclasses import dataclass

from tasks.errors import IntegrityError
from tasks.services.storage import Bucket, connect


@dataclass(frozen=True, slots=True)
class S3Entries:
    """A ledger for many machines. ``If-None-Match: *`` lets exactly one writer take a place."""

    bucket: Bucket

    @classmethod
    def open(cls, url: str, endpoint_url: str | None) -> "S3Entries":
        """Connect to ``s3://bucket/prefix``; nothing is sent before the first call."""
        return cls(connect(url, endpoint_url))

    @property
    def source(self) -> str:
        """The address, for messages."""
        return self.bucket.url

    def read(self, model: str) -> list[str]:
        """Return the lines of a model in the order of their sequence.

        Raises:
            IntegrityError: If a place is missing or an object does not belong here.
            UnavailableError: If the store cannot be reached.
        """
        names = self.bucket.names(f"ledger/{model}/")
        expected = [_key(model, sequence) for sequence in range(1, len(names) + 1)]
        if sorted(names) != expected:
            odd = sorted(set(names) ^ set(expected))
            raise IntegrityError(
                f"the history of {model} has gaps or foreign objects: {', '.join(odd[:5])}.",
                obj=self.source,
                hint="Restore the objects from the bucket's versions, then run `groundwork doctor`.",
            )
        return [self.bucket.read(name).decode(errors="replace") for name in expected]

    def create(self, model: str, sequence: int, decision_id: str, document: str) -> bool:
        """Take a place; False if it is taken. The decision is part of the document, which readers check."""
        del decision_id
        if sequence == 1:
            self.bucket.prove_create_once()
        return self.bucket.create(_key(model, sequence), document.encode())


def _key(model: str, sequence: int) -> str:
    return f"ledger/{model}/{sequence:08d}.json"
