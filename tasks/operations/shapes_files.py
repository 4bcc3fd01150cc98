"""The shapes world in the formats of real datasets: their readers are tried where the truth is known.

``instances`` and images as COCO has them (``annotations/``, ``train/``, ``val/``); ``lvis/``; ``refcoco/``;
``osprey/`` with each of its kinds of files; ``llava/``; ``visual_genome/``.
"""

import io
import json
import pickle
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from PIL import Image

from tasks.data.commit import Manifest, commit_directory
from tasks.data.importing import SPLITS, annotation_file
from tasks.data.llava_files import IMAGE_MARK
from tasks.data.region_facts import FactRegion, RegionFacts
from tasks.data.region_records import RegionSample, RegionTurn, SampleRegion
from tasks.data.region_samples import exists_samples
from tasks.data.rle import mask_area
from tasks.data.shapes_facts import (
    scene_dialogue,
    scene_facts,
    scene_file,
    scene_parts,
    scene_questions,
    scene_short_form,
)
from tasks.data.shapes_world import COLOURS, SHAPES, Scene, WorldSettings, draw_scene

SCHEMA: Final = "groundwork.shapes/1"
CATEGORIES: Final = tuple(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES)
"""Category ids count from 1 in this order."""
_Row = dict[str, Any]
_World = dict[str, list[Scene]]


def write_shapes_files(
    target: Path, *, seed: int, num_train: int, num_val: int, settings: WorldSettings
) -> Manifest:
    """Write a world in every format.

    Args:
        target: Directory to create; one that exists is replaced as a whole.
        seed: Of the world.
        num_train: Scenes to train on; they are numbered from 1.
        num_val: Scenes held out; their numbers follow.
        settings: What scenes look like.

    Returns:
        The manifest; the same arguments give the same bytes.

    Raises:
        ValueError: If a split would have no scene.
    """
    if min(num_train, num_val) < 1:
        raise ValueError(f"each split needs a scene, got {num_train} and {num_val}.")
    numbers = {"train": range(1, num_train + 1), "val": range(num_train + 1, num_train + num_val + 1)}
    world = {name: [draw_scene(seed, number, settings) for number in numbers[name]] for name in SPLITS}

    def write(folder: Path) -> None:
        for split, scenes in world.items():
            for scene in scenes:
                _write(folder / scene_file(scene, split), _png(scene))
            _write_json(folder / annotation_file(split), _coco(scenes))
            _write_json(folder / f"lvis/lvis_v1_{split}.json", _lvis(scenes, split))
            _write_json(folder / f"llava/{split}.json", [_llava(scene, split, seed) for scene in scenes])
            for name, document in _osprey(scenes, split, seed).items():
                _write_json(folder / f"osprey/{name}_{split}.json", document)
        for name, document in _visual_genome(world).items():
            _write_json(folder / f"visual_genome/{name}.json", document)
        references, instances = _refcoco(world)
        _write_json(folder / "refcoco/instances.json", instances)
        # The authors' files are pickles of Python 2; what is written here is lists, dicts, text and numbers.
        _write(folder / "refcoco/refs(unc).p", pickle.dumps(references, protocol=2))
        _write(folder / "README.md", b"# Shapes world\nSeeded shapes. Licence: CC0 1.0.\n")

    return commit_directory(target, write, schema=SCHEMA, provenance={"seed": seed})


def osprey_text(turn: RegionTurn) -> str:
    """Write a turn as Osprey's files have it: a region is ``<region1>``, counted from 1."""
    return "".join(part if isinstance(part, str) else f"<region{part.index + 1}>" for part in turn.parts)


def _coco(scenes: Sequence[Scene]) -> _Row:
    rows = [
        {
            "id": _object_id(scene, index),
            "image_id": scene.number,
            "category_id": CATEGORIES.index(fact.region.label or "") + 1,
            "iscrowd": 0,
            "area": _area(fact.region),
            **_place(fact.region),
        }
        for scene in scenes
        for index, fact in enumerate(_objects(scene))
    ]
    images = [{**_image(scene), "file_name": Path(scene_file(scene, "any")).name} for scene in scenes]
    categories = [{"id": number, "name": name} for number, name in enumerate(CATEGORIES, start=1)]
    return {"images": images, "annotations": rows, "categories": categories}


def _lvis(scenes: Sequence[Scene], split: str) -> _Row:
    """Every image is annotated for every category, so the absent ones are negative."""
    document = _coco(scenes)
    for row, scene in zip(document["images"], scenes, strict=True):
        there = {CATEGORIES.index(shape.category) + 1 for shape in scene.objects}
        absent = [number for number in range(1, len(CATEGORIES) + 1) if number not in there]
        row |= {"neg_category_ids": absent, "not_exhaustive_category_ids": []}
        row["coco_url"] = f"http://shapes.invalid/{scene_file(scene, split)}"
        del row["file_name"]
    for row in document["categories"]:
        row |= {"frequency": "f", "name": row["name"].replace(" ", "_")}
    return document


def _refcoco(world: _World) -> tuple[list[_Row], _Row]:
    references: list[_Row] = []
    tables: _Row = {"images": [], "annotations": [], "categories": _coco([])["categories"]}
    sentences = 0
    for split, scenes in world.items():
        part = _coco(scenes)
        tables["annotations"] += part["annotations"]
        tables["images"] += [{**_image(scene), "file_name": scene_file(scene, split)} for scene in scenes]
        for scene in scenes:
            for index, fact in enumerate(scene_facts(scene, split, say="expressions").regions):
                if not fact.texts:
                    continue
                ids = list(range(sentences, sentences + len(fact.texts)))
                sentences += len(ids)
                references.append(
                    {
                        "ref_id": len(references) + 1,
                        "ann_id": _object_id(scene, index),
                        "category_id": CATEGORIES.index(fact.region.label or "") + 1,
                        "image_id": scene.number,
                        "file_name": scene_file(scene, split),
                        "split": split,
                        "sent_ids": ids,
                        "sentences": [
                            {"sent_id": number, "sent": text, "raw": text, "tokens": text.split()}
                            for number, text in zip(ids, fact.texts, strict=True)
                        ],
                    }
                )
    return references, tables


def _osprey(scenes: Sequence[Scene], split: str, seed: int) -> dict[str, Any]:
    facts = [scene_facts(scene, split, say="caption") for scene in scenes]
    parts = (scene_parts(scene, split) for scene in scenes)
    return {
        "conversation": [_conversation(scene_dialogue(scene, split)) for scene in scenes],
        "short_form": [_conversation(scene_short_form(scene, split)) for scene in scenes],
        "part": [_conversation(sample) for sample in parts if sample is not None],
        "lvis_positive_negative": [
            _conversation(sample)
            for sample in exists_samples(facts, seed=seed, negative="nearest", categories=CATEGORIES)
        ],
        "description": [_described(image) for image in facts],
        "categories": [_categorized(image) for image in facts],
        "captioned_regions": _captioned(scenes, facts),
        "captioned_images": _expressions(scenes, split),
    }


def _conversation(sample: RegionSample) -> _Row:
    names = {"user": "human", "assistant": "gpt"}
    return {
        "id": sample.sample_id,
        **_sized(sample.file or "", sample.size or (0, 0)),
        "annotation": [_place(region) for region in sample.regions],
        "conversations": [{"from": names[turn.role], "value": osprey_text(turn)} for turn in sample.turns],
    }


def _described(image: RegionFacts) -> _Row:
    return {
        "id": image.image_id,
        **_sized(image.file, image.size),
        "annotation": [_place(fact.region) for fact in image.regions],
        "description": [f"<region{n}>: A {fact.texts[0]}." for n, fact in enumerate(image.regions, start=1)],
    }


def _categorized(image: RegionFacts) -> _Row:
    return {
        **_sized(image.file, image.size),
        "categories": [fact.region.label for fact in image.regions],
        "annotations": [{"segmentation": _place(fact.region)["segmentation"]} for fact in image.regions],
    }


def _captioned(scenes: Sequence[Scene], facts: Sequence[RegionFacts]) -> _Row:
    document = _coco(scenes)
    texts = [fact.texts[0] for image in facts for fact in image.regions]
    for row, text in zip(document["annotations"], texts, strict=True):
        row |= {"caption": text, "ignore": False}
    for row, image in zip(document["images"], facts, strict=True):
        row["file_name"] = image.file
    return document


def _expressions(scenes: Sequence[Scene], split: str) -> _Row:
    """Give each expression an image of its own, whose annotation is what it means."""
    images: list[_Row] = []
    rows: list[_Row] = []
    for scene in scenes:
        document = _coco([scene])
        for row, fact in zip(
            document["annotations"], scene_facts(scene, split, say="expressions").regions, strict=True
        ):
            for text in fact.texts:
                number = len(images) + 1
                image = {**_image(scene), "file_name": scene_file(scene, split), "caption": text}
                images.append(image | {"id": number, "original_id": scene.number})
                rows.append(row | {"id": number, "image_id": number, "original_id": row["id"]})
    return {"images": images, "annotations": rows, "categories": _coco([])["categories"]}


def _llava(scene: Scene, split: str, seed: int) -> _Row:
    sample = scene_questions(scene, split, seed=seed)
    row = _conversation(sample)
    row["conversations"][0]["value"] = f"{IMAGE_MARK}\n{row['conversations'][0]['value']}"
    return {"id": sample.sample_id, "image": sample.file, "conversations": row["conversations"]}


def _visual_genome(world: _World) -> dict[str, list[_Row]]:
    scenes = [(scene, split) for split, part in world.items() for scene in part]
    data = [
        {
            "image_id": scene.number,
            "width": scene.image.shape[1],
            "height": scene.image.shape[0],
            "url": f"http://shapes.invalid/{scene_file(scene, split)}",
        }
        for scene, split in scenes
    ]
    descriptions = []
    for scene, split in scenes:
        regions = []
        for index, fact in enumerate(scene_facts(scene, split, say="caption").regions):
            names = zip(("x", "y", "width", "height"), _place(fact.region)["bbox"], strict=True)
            region = {name: int(side) for name, side in names}
            number = {"region_id": _object_id(scene, index), "image_id": scene.number}
            regions.append({**number, "phrase": fact.texts[0], **region})
        descriptions.append({"id": scene.number, "regions": regions})
    return {"image_data": data, "region_descriptions": descriptions}


def _objects(scene: Scene) -> Iterable[FactRegion]:
    return scene_facts(scene, "any", say="caption").regions


def _object_id(scene: Scene, index: int) -> int:
    return scene.number * 10 + index


def _image(scene: Scene) -> _Row:
    return {"id": scene.number, "height": scene.image.shape[0], "width": scene.image.shape[1]}


def _sized(file: str, size: tuple[int, int]) -> _Row:
    return {"file_name": file, "height": size[0], "width": size[1]}


def _place(region: SampleRegion) -> _Row:
    if region.box_xyxy is None or region.mask is None:
        raise ValueError("a region of the shapes world has a box and a mask.")
    left, top, right, bottom = region.box_xyxy
    return {"bbox": [left, top, right - left, bottom - top], "segmentation": region.mask.to_json()}


def _area(region: SampleRegion) -> float:
    return float(mask_area(region.mask)) if region.mask is not None else 0.0


def _png(scene: Scene) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(scene.image).save(stream, format="PNG")
    return stream.getvalue()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _write_json(path: Path, document: object) -> None:
    _write(path, json.dumps(document, sort_keys=True).encode())
