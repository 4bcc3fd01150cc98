"""Write a tiny COCO data set of coloured shapes on noise, with exact boxes and masks.

The same arguments give the same bytes. No image of it is ever committed.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

CATEGORIES = ("circle", "square", "triangle")
_COLOURS = ((220, 60, 50), (60, 200, 80), (70, 90, 230), (230, 210, 70))

Mask = NDArray[np.bool_]


def write_shapes_world(
    folder: Path, *, num_train: int = 8, num_val: int = 4, seed: int = 0, size: int = 64
) -> Path:
    """Write ``annotations/instances_{train,val}.json``, ``train/``, ``val/`` and a README.

    Every image holds three or four shapes that do not touch, at least one of each category; masks are
    compressed run lengths; ids start at 1 and are unique over both splits.

    Args:
        folder: Created if absent.
        num_train: Number of training images.
        num_val: Number of validation images.
        seed: Decides every pixel.
        size: Side of the square images, in pixels; at least 32.

    Returns:
        ``folder``.
    """
    generator = np.random.default_rng(seed)
    next_image = next_annotation = 1
    for split, num_images in (("train", num_train), ("val", num_val)):
        images, annotations = [], []
        (folder / split).mkdir(parents=True, exist_ok=True)
        for index in range(num_images):
            pixels, shapes = _draw(generator, index, size)
            name = f"{split}_{index:03d}.jpg"
            Image.fromarray(pixels).save(folder / split / name, quality=95)
            images.append({"id": next_image, "file_name": name, "width": size, "height": size})
            for category, mask in shapes:
                annotations.append(annotation(mask, next_annotation, next_image, category + 1))
                next_annotation += 1
            next_image += 1
        categories = [{"id": number, "name": name} for number, name in enumerate(CATEGORIES, start=1)]
        document = {"images": images, "annotations": annotations, "categories": categories}
        path = folder / "annotations" / f"instances_{split}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(document))
    (folder / "README.md").write_text("# Shapes world\nSeeded shapes for tests. Licence: CC0 1.0.\n")
    return folder


def annotation(mask: Mask, annotation_id: int, image_id: int, category_id: int) -> dict[str, Any]:
    """Describe one bool mask of shape (height, width) as a COCO annotation."""
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": category_id,
        "iscrowd": 0,
        "bbox": [float(number) for number in coco_mask.toBbox(rle)],
        "area": float(mask.sum()),
        "segmentation": {"size": list(mask.shape), "counts": rle["counts"].decode("ascii")},
    }


def _draw(generator: np.random.Generator, index: int, size: int) -> tuple[NDArray[np.uint8], list[Any]]:
    """Draw one image: noise, then one shape in three or four quarters of the canvas."""
    coarse = generator.integers(20, 90, size=(8, 8, 3))
    pixels = np.kron(coarse, np.ones((-(-size // 8), -(-size // 8), 1), dtype=np.int64))[:size, :size]
    pixels = pixels + generator.integers(-8, 9, size=(size, size, 3))
    quarters = generator.permutation(4)[: generator.integers(3, 5)]
    shapes = []
    for number, quarter in enumerate(quarters):
        category = (index + number) % len(CATEGORIES)
        mask = _shape(generator, category, int(quarter), size)
        colour = np.array(_COLOURS[generator.integers(len(_COLOURS))])
        pixels[mask] = colour + generator.integers(-12, 13, size=(int(mask.sum()), 3))
        shapes.append((category, mask))
    return np.clip(pixels, 0, 255).astype(np.uint8), shapes


def _shape(generator: np.random.Generator, category: int, quarter: int, size: int) -> Mask:
    """Return the bool mask of one shape that lies inside its quarter of the canvas."""
    half = size // 2
    radius = int(generator.integers(half // 5, half // 2 - 1))
    top, left = (quarter // 2) * half, (quarter % 2) * half
    offset_y, offset_x = generator.integers(radius + 1, half - radius, size=2)
    y, x = np.mgrid[:size, :size]
    dy, dx = y - top - offset_y, x - left - offset_x
    if category == 0:
        mask = dy**2 + dx**2 <= radius**2
    elif category == 1:
        mask = (abs(dy) <= radius) & (abs(dx) <= radius)
    else:
        mask = (dy <= radius) & (2 * abs(dx) <= dy + radius)
    return np.asarray(mask, dtype=np.bool_)
