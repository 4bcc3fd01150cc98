"""LLaVA's and ALLaVA's files of conversations about whole images, as records.

Source: Liu et al., "Visual Instruction Tuning" (arXiv 2304.08485) and https://github.com/haotian-liu/LLaVA: a
list of ``{"id", "image", "conversations": [{"from": "human" | "gpt", "value"}]}``; ``<image>`` in the first
question says that the image is shown there. Entries without ``image`` are conversations in words alone.

The mark is taken out: a record's image stands at the start. Everything else in a text is text, so is
``<image>`` in an answer. Sizes are not told and are None.
"""

from pathlib import Path
from typing import Final

from tasks.data.answer_files import invalid, read_json_lines
from tasks.data.importing import check_file_name
from tasks.data.osprey_files import entry_id, named, role_of
from tasks.data.refcoco import check_types
from tasks.data.region_records import RegionSample, RegionTurn
from tasks.data.strict_json import JsonValue

IMAGE_MARK: Final = "<image>"


def read_llava_samples(path: Path, *, dataset: str, split: str = "train") -> list[RegionSample]:
    """Read a file of conversations.

    Args:
        path: A list, or JSON lines.
        dataset: Stands in the samples.
        split: Stands in the samples.

    Returns:
        One sample an entry, in order, without regions; its id is the place of the entry, from 1, and its own.

    Raises:
        DataError: With file, place and entry, if it is malformed, its questions have not exactly one
            ``<image>`` in all where it has an image, and none where it has not, that one is not in the first
            question, speakers do not take turns, or the last word is not the assistant's.
    """
    samples = []
    for number, (where, row) in enumerate(read_json_lines(path), start=1):
        try:
            samples.append(_sample(row, number, dataset, split))
        except ValueError as error:
            raise invalid(named(where, row), str(error)) from error
    return samples


def _sample(row: JsonValue, number: int, dataset: str, split: str) -> RegionSample:
    check_types(row, "a sample", conversations=list)
    file = row.get("image")
    if file is not None and (type(file) is not str or check_file_name(file)):
        raise ValueError(f"image must be a file name, got {str(file)[:80]!r}.")
    return RegionSample(
        dataset=dataset,
        split=split,
        sample_id=entry_id(row, number),
        file=file,
        size=None,
        turns=_turns(row["conversations"], has_image=file is not None),
    )


def _turns(rows: list[JsonValue], *, has_image: bool) -> tuple[RegionTurn, ...]:
    turns = []
    found: list[int] = []
    for number, row in enumerate(rows, start=1):
        check_types(row, f"turn {number}", value=str)
        role, text = role_of(row, number), row["value"]
        if role == "user" and IMAGE_MARK in text:
            found += [number] * text.count(IMAGE_MARK)
            text = _without_mark(text) if has_image and found == [1] else text
        turns.append(RegionTurn(role=role, parts=(text,)))
    if found != [1] * has_image:
        raise ValueError(
            f"a sample {'with' if has_image else 'without'} an image must have {int(has_image)} {IMAGE_MARK} "
            f"in its first question and none in others, got {len(found)} in turns {found[:10]}."
        )
    if not turns or turns[-1].role != "assistant":
        raise ValueError(f"a conversation must end with an answer, got {len(turns)} turns.")
    return tuple(turns)


def _without_mark(text: str) -> str:
    """Take out the mark and the line end that ties it to the question."""
    before, _, after = text.partition(IMAGE_MARK)
    return before.removesuffix("\n") + (after.removeprefix("\n") if not before.strip() else after)
