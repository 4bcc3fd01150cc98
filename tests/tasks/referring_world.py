"""A drawn world of referring expressions, and two kinds of model that answer them well or badly."""

import json

import numpy as np
from PIL import Image, ImageDraw

from tasks.data.referring_predictions import ReferringAnswer, ReferringHeader, write_answers
from tasks.data.referring_prepared import read_split
from tasks.data.rle import encode_mask
from tasks.operations.evaluating_referring import evaluate_referring
from tasks.operations.preparing_referring import prepare_referring

WIDTH, HEIGHT = 64, 48
WORDS = ("red", "square", "the", "left", "of", "near", "small", "one", "behind", "which", "is", "standing")


def write_document(path, *, images=12, each=3, absent=0, seed=0):
    """Write images and expressions in one document; ``absent`` of each image speak of nothing."""
    generator = np.random.default_rng(seed)
    document = {"images": [], "refs": []}
    for image_id in range(1, images + 1):
        size = {"width": WIDTH, "height": HEIGHT}
        name = f"{image_id:04d}.png"
        document["images"].append({"id": image_id, "file_name": name, **size})
        for place in range(each):
            count = int(generator.integers(1, 13))
            row = {
                "ref_id": len(document["refs"]) + 1,
                "image_id": image_id,
                "sent": " ".join(generator.choice(WORDS, size=count).tolist()),
                "split": "val",
                "distractors": str(int(generator.integers(0, 7))),
                **size,
            }
            if place < absent:
                row |= {"no_target": True, "bbox": None}
            else:
                w, h = (int(side) for side in generator.integers(8, 28, size=2))
                x, y = int(generator.integers(0, WIDTH - w)), int(generator.integers(0, HEIGHT - h))
                polygon = [x, y, x + w, y, x + w, y + h, x, y + h]
                row |= {"no_target": False, "bbox": [x, y, w, h], "segmentation": [polygon]}
            document["refs"].append(row)
    path.write_text(json.dumps(document))
    return document


def paint_images(folder, document):
    """Draw each region of the document on its image."""
    folder.mkdir()
    for image in document["images"]:
        picture = Image.new("RGB", (WIDTH, HEIGHT), "#7a8a70")
        pen = ImageDraw.Draw(picture)
        for number, row in enumerate(row for row in document["refs"] if row["image_id"] == image["id"]):
            if row["bbox"]:
                x, y, w, h = row["bbox"]
                pen.rectangle((x, y, x + w - 1, y + h - 1), fill=f"hsl({(number * 97) % 360},80%,60%)")
        picture.save(folder / image["file_name"])
    return folder


def answer(records, *, noise, seed, silent=0.02):
    """Answer with the truth, moved by ``noise`` times its size; now and then with nothing readable.

    What is hard is shared: the same expressions are hard for every seed.
    """
    shared, own = np.random.default_rng(99), np.random.default_rng(seed)
    for record in records:
        hard = shared.uniform(0.5, 1.5)
        moved = own.normal(0, 1, size=4)
        is_silent, is_fooled = own.random() < silent, own.random() < noise
        if is_silent:
            yield ReferringAnswer(expression_id=record.expression_id, text="I can not see that.")
            continue
        mask = np.zeros((record.height, record.width), dtype=np.bool_)
        boxes = []
        for region in record.regions:
            box = np.array(region.box_xyxy)
            sides = np.array([box[2] - box[0], box[3] - box[1]] * 2)
            box = box + noise * hard * moved * sides
            boxes.append(tuple(float(side) for side in box))
            left, top, right, bottom = (max(0, round(side)) for side in box)
            mask[top:bottom, left:right] = True
        if not record.regions and is_fooled:
            mask[10:20, 10:20] = True
        yield ReferringAnswer(
            expression_id=record.expression_id,
            boxes_xyxy=tuple(boxes),
            mask=encode_mask(mask),
            text=f"It is at {boxes}.",
        )


def model_sha(name):
    return name.encode().hex().ljust(64, "0")[:64]


def header_of(about, name, *, split="val"):
    return ReferringHeader(
        dataset_sha256=about.dataset_sha256,
        split=split,
        model_sha256=model_sha(name),
        expressions=about.splits[split].expressions,
    )


def write_model(path, prepared, *, noise, seed, change=lambda answers: answers, **options):
    """Write the answers of one model to the val split, boxes and masks."""
    about, records = read_split(prepared, "val")
    answers = change(list(answer(records, noise=noise, seed=seed, **options)))
    write_answers(path, header_of(about, path.stem), answers, parts=("boxes_xyxy", "mask"))
    return path


def make_pair(
    folder, kind, *, images=12, each=3, absent=0, noises=(0.08, 0.2), change=lambda answers: answers
):
    """Prepare, answer and evaluate two models: ``new`` and ``old`` below the folder, and ``prepared``."""
    document = write_document(folder / "val.json", images=images, each=each, absent=absent)
    prepare_referring([str(folder / "val.json")], source="drawn", out=folder / "prepared")
    for seed, (name, noise) in enumerate(zip(("new", "old"), noises, strict=True), start=1):
        answers = write_model(
            folder / f"{name}.jsonl", folder / "prepared", noise=noise, seed=seed, change=change
        )
        evaluate_referring(
            prepared=folder / "prepared", split="val", predictions=answers, kind=kind, out=folder / name
        )
    return document
