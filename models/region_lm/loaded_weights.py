"""What transformers says of weights that it loaded, made an error where something would silently be lost.

It gives random values, or none at all, to weights that a file lacks, passes over those that it has no place
for, and only writes a warning.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedModel

_SHOWN = 3
"""Names in a message."""


def load_checked(
    load: Callable[..., Any],
    folder: Path,
    *,
    surplus: Callable[[PreTrainedModel, str], bool],
    **options: Any,  # noqa: ANN401 - of transformers
) -> Any:  # noqa: ANN401 - of the class that loads
    """Load a model, and compare what it has with what the files had.

    A head that is tied to the embeddings is not missing: transformers ties it.

    Args:
        load: ``from_pretrained`` of a class.
        folder: Passed to it.
        surplus: Whether a weight of that name, for which the model has no place, is a loss.
        options: Passed to it.

    Raises:
        ValueError: If a weight is missing, has another shape, or is a surplus that is a loss.
        OSError: If there are no files.
    """
    model, found = load(folder, output_loading_info=True, ignore_mismatched_sizes=True, **options)
    _refuse(folder, "are missing", list(found["missing_keys"]))
    _refuse(folder, "have another shape than config.json says", [key[0] for key in found["mismatched_keys"]])
    lost = [name for name in found["unexpected_keys"] if surplus(model, name)]
    _refuse(folder, "have no place in the model that config.json describes", lost)
    return model


def always(model: nn.Module, name: str) -> bool:
    """Say that any surplus is a loss: of files that were written by ourselves."""
    del model, name
    return True


def of_a_part(model: PreTrainedModel, name: str) -> bool:
    """Tell whether a surplus weight belongs to a part that the model has, which then is not what was trained.

    One more block, a bias or an adapter of a layer is a loss. A tower for images or a head of another task is
    none: it stands beside what is read.
    """
    steps = name.split(".")
    own = 2 if steps[0] == model.base_model_prefix else 1
    return ".".join(steps[:own]) in dict(model.named_modules())


def _refuse(folder: Path, fault: str, names: Sequence[str]) -> None:
    if names:
        first = ", ".join(sorted(names)[:_SHOWN])
        more = ", ..." if len(names) > _SHOWN else ""
        raise ValueError(
            f"{folder}: weights {fault} ({len(names)}): {first}{more}. Fetch or save the whole model again."
        )
