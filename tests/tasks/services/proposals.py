"""Proposals for the tests of the ledger."""

from tasks.services.ledger_entry import GENESIS, Proposal

OLD = (
    '{"bundle_id":"bundle-a","dataset_sha256":"' + "1" * 64 + '","decision_id":"decision-a",'
    '"entry_hash":"1683dbff2a6ed7d8fe82025dd79a62e903aa9c20e0b6616cab24ff6dd9c612a8","kind":"promote","metrics":{"mask.ap":0.5},"mlflow_version":"1","model":"segmenter",'
    '"model_sha256":"' + "0" * 64 + '","previous_bundle_id":null,"previous_hash":"' + GENESIS + '",'
    '"restores":null,"sequence":1,"when":"2026-01-01T00:00:00+00:00","who":"ada@host",'
    '"why":"better in every floor"}'
)
"""``proposal("a")`` as a release wrote it that knew no overrides."""


def proposal(name="a", **changes):
    values = {
        "kind": "promote",
        "model": "segmenter",
        "bundle_id": f"bundle-{name}",
        "model_sha256": "0" * 64,
        "mlflow_version": "1",
        "decision_id": f"decision-{name}",
        "dataset_sha256": "1" * 64,
        "metrics": {"mask.ap": 0.5},
        "who": "ada@host",
        "why": "better in every floor",
    }
    return Proposal(**(values | changes))
