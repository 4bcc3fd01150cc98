"""Which run a checkpoint belongs to: the hash of all that decides its weights, the code among it."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import models
from tasks.data.commit import hash_file
from tasks.operations import training_recipes, training_steps


def digest(value: dict[str, Any]) -> str:
    """Return the sha256 of JSON values, whatever the order of their keys, in hex."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()


def hash_code(modules: Sequence[ModuleType]) -> str:
    """Hash the sources of modules, of the trainer and of everything in ``models``."""
    files = [Path(str(module.__file__)) for module in (*modules, training_steps, training_recipes)]
    sources = [*Path(models.__file__).parent.rglob("*.py"), *files]
    return digest({"sources": [hash_file(path) for path in sorted(sources)]})
