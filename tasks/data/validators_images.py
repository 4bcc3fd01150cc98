"""Rules for image files: each listed, present, whole, of the stated size. Every pixel is decoded once."""

from collections.abc import Iterator
from pathlib import Path

from tasks.data.coco import CocoSplit
from tasks.data.commit import Manifest
from tasks.data.findings import Finding
from tasks.data.images import ImageProblem, decode_image
from tasks.data.importing import check_file_name
from tasks.data.leakage import Look, look_at
from tasks.data.validators_tables import describe_row, is_id


def check_images(dataset: Path, split: CocoSplit, manifest: Manifest) -> Iterator[Finding | Look]:
    """Decode every image of a split.

    Args:
        dataset: Directory that the manifest describes.
        split: Tables of the split; rows whose file name is unsafe are left to the table rules.
        manifest: Verified by the caller; tells which files there are, and their hashes.

    Yields:
        A finding for what is wrong, a look for each image that decodes.
    """
    present = {name for name in manifest.files if name.startswith(f"{split.name}/")}
    listed = set()
    for row in split.images:
        name = row.get("file_name")
        if not isinstance(name, str) or check_file_name(name) is not None:
            continue
        file, obj = f"{split.name}/{name}", describe_row(split, "images", row)
        if file in listed:
            continue
        listed.add(file)
        if file not in present:
            yield Finding(rule="image-missing", obj=obj, sentence=f"there is no file {file!r}.")
            continue
        height, width = row.get("height"), row.get("width")
        try:
            rgb = decode_image(
                dataset / file,
                height=height if is_id(height) else None,
                width=width if is_id(width) else None,
            )
        except ImageProblem as problem:
            yield Finding(rule=problem.rule, obj=obj, sentence=problem.sentence)
        else:
            yield look_at(file, manifest.files[file][0], rgb)
    for file in sorted(present - listed):
        yield Finding(rule="image-unlisted", obj=file, sentence=f"is not in {split.file}.")
