"""Rules for ids, references, names and categories: what needs neither a pixel nor a polygon."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tasks.data.coco import CocoSplit
from tasks.data.findings import Finding
from tasks.data.importing import check_file_name
from tasks.data.strict_json import JsonValue

_NEEDED = {
    "images": ("id", "file_name", "width", "height"),
    "annotations": ("id", "image_id", "category_id", "bbox"),
    "categories": ("id", "name"),
}
_MAX_SIDE = 1 << 20


def check_tables(splits: Iterable[CocoSplit]) -> Iterator[Finding]:
    """Check the tables of every split, alone and against each other."""
    splits = list(splits)
    for split in splits:
        yield from _check_fields(split)
        yield from _check_images(split)
        yield from _check_references(split)
        yield from _check_categories(split)
        yield from _check_amounts(split)
    yield from _check_ids(splits)
    yield from _check_same_categories(splits)


def is_id(value: JsonValue) -> bool:
    """Say whether a value can be an id: an integer of at least 1. Scorers treat id 0 as "no match"."""
    return type(value) is int and value >= 1


def describe_row(split: CocoSplit, table: str, row: Mapping[str, Any]) -> str:
    """Name a row for people: file, table and id."""
    label = {"images": "image", "annotations": "annotation", "categories": "category"}[table]
    name = f" ({row['file_name']!r})" if isinstance(row.get("file_name"), str) else ""
    return f"{split.file}: {label} {row.get('id')!r}{name}"


def _tables(split: CocoSplit) -> Iterator[tuple[str, tuple[dict[str, Any], ...]]]:
    yield "images", split.images
    yield "annotations", split.annotations
    yield "categories", split.categories


def _check_fields(split: CocoSplit) -> Iterator[Finding]:
    for table, rows in _tables(split):
        for index, row in enumerate(rows):
            obj = f"{describe_row(split, table, row)}, entry {index}"
            if missing := [name for name in _NEEDED[table] if name not in row]:
                yield Finding(rule="field-missing", obj=obj, sentence=f"lacks {', '.join(missing)}.")
            if "id" in row and not is_id(row["id"]):
                sentence = f"id must be an integer of at least 1, got {row['id']!r}."
                yield Finding(rule="id-invalid", obj=obj, sentence=sentence)


def _check_ids(splits: list[CocoSplit]) -> Iterator[Finding]:
    """Find ids that are used twice: annotations in the whole dataset, images and categories in a split."""
    seen: dict[tuple[str, Any], str] = {}
    for split in splits:
        for table, rows in _tables(split):
            for index, row in enumerate(rows):
                scope = table if table == "annotations" else f"{split.name} {table}"
                key, place = (scope, row.get("id")), f"{split.file} entry {index}"
                if not is_id(row.get("id")):
                    continue
                if key in seen:
                    sentence = f"is also the id of {seen[key]}; this one is entry {index}."
                    yield Finding(rule="id-duplicate", obj=describe_row(split, table, row), sentence=sentence)
                seen.setdefault(key, place)


def _check_images(split: CocoSplit) -> Iterator[Finding]:
    seen: dict[str, Any] = {}
    for row in split.images:
        obj, name = describe_row(split, "images", row), row.get("file_name")
        reason = check_file_name(name) if isinstance(name, str) else "is not text"
        if reason is not None:
            yield Finding(rule="file-name-unsafe", obj=obj, sentence=f"file_name {name!r} {reason}.")
        elif name in seen:
            yield Finding(
                rule="file-duplicate", obj=obj, sentence=f"is also the file of image {seen[name]!r}."
            )
        else:
            seen[str(name)] = row.get("id")
        size = row.get("width"), row.get("height")
        if any(type(side) is not int or not 1 <= side <= _MAX_SIDE for side in size):
            sentence = f"width and height must be integers from 1 to {_MAX_SIDE}, got {size}."
            yield Finding(rule="image-size-invalid", obj=obj, sentence=sentence)


def _check_references(split: CocoSplit) -> Iterator[Finding]:
    images = {row.get("id") for row in split.images if is_id(row.get("id"))}
    categories = {row.get("id") for row in split.categories if is_id(row.get("id"))}
    for row in split.annotations:
        obj = describe_row(split, "annotations", row)
        image, category, crowd = row.get("image_id"), row.get("category_id"), row.get("iscrowd", 0)
        if not is_id(image) or image not in images:
            yield Finding(
                rule="annotation-orphan", obj=obj, sentence=f"image_id {image!r} is not in the file."
            )
        if not is_id(category) or category not in categories:
            sentence = f"category_id {category!r} is not in the file."
            yield Finding(rule="category-unknown", obj=obj, sentence=sentence)
        if type(crowd) is not int or crowd not in (0, 1):
            yield Finding(rule="iscrowd-invalid", obj=obj, sentence=f"iscrowd must be 0 or 1, got {crowd!r}.")


def _check_categories(split: CocoSplit) -> Iterator[Finding]:
    names = Counter(str(row.get("name")) for row in split.categories)
    for row in split.categories:
        obj, name = describe_row(split, "categories", row), row.get("name")
        if not isinstance(name, str) or not name.strip() or not name.isprintable() or name != name.strip():
            sentence = f"name must be printable text without space around it, got {name!r}."
            yield Finding(rule="category-name-invalid", obj=obj, sentence=sentence)
        elif names[name] > 1:
            yield Finding(rule="category-duplicate", obj=obj, sentence=f"the name {name!r} is used twice.")


def _check_amounts(split: CocoSplit) -> Iterator[Finding]:
    for table, rows in _tables(split):
        if not rows:
            yield Finding(rule="split-empty", obj=split.file, sentence=f"0 {table}.")
    counted = [row.get("category_id") for row in split.annotations if row.get("iscrowd", 0) == 0]
    if split.annotations and not counted:
        yield Finding(rule="split-empty", obj=split.file, sentence="every annotation is a crowd.")
    if split.name == "train":
        present = {category for category in counted if is_id(category)}
        for row in split.categories:
            if is_id(row.get("id")) and row["id"] not in present:
                sentence = f"{row.get('name')!r} has 0 instances to learn from."
                yield Finding(
                    rule="class-empty", obj=describe_row(split, "categories", row), sentence=sentence
                )


def _check_same_categories(splits: list[CocoSplit]) -> Iterator[Finding]:
    """Compare id and name: a renamed or reordered category would be scored as another one."""
    tables = [{repr(row.get("id")): row.get("name") for row in split.categories} for split in splits]
    for split, table in zip(splits[1:], tables[1:], strict=True):
        for key in sorted(tables[0].keys() | table.keys()):
            first, second = tables[0].get(key), table.get(key)
            if first != second:
                sentence = f"category {key} is {second!r} here and {first!r} in {splits[0].file}."
                yield Finding(rule="category-mismatch", obj=split.file, sentence=sentence)
