"""Small scenes full of edge cases: equal scores and overlaps, crowds, empty masks, images with nothing."""

import numpy as np
from pycocotools import mask as rle_c

from evaluation.instances import ImageDetections, ImageTruth

HEIGHT, WIDTH = 24, 30


def random_scene(seed, *, images=6, categories=3):
    """Return truths, detections and names of categories; some are of no region, some of no detection."""
    rng = np.random.default_rng(seed)
    truths, detections = [], []
    for image in range(images):
        # Areas beyond 32 and 96 pixels a side take a large image now and then.
        scale = int(rng.choice([1, 1, 5]))
        size = {"image_id": 3 * image + 2, "height": HEIGHT * scale, "width": WIDTH * scale}
        num_regions, num_found = rng.choice([0, 1, 5], p=[0.2, 0.2, 0.6]), rng.choice([0, 2, 9])
        boxes, masks = _shapes(rng, num_regions, scale)
        truths.append(
            ImageTruth(
                **size,
                region_ids=rng.permutation(100)[:num_regions],
                categories=rng.integers(0, categories - 1, num_regions),
                boxes_xyxy=boxes,
                masks=masks,
                is_crowd=rng.random(num_regions) < 0.3,
            )
        )
        copied = rng.integers(0, max(num_regions, 1), num_found)
        own_boxes, own_masks = _shapes(rng, num_found, scale)
        copies = (rng.random(num_found) < 0.7) & (num_regions > 0)
        detections.append(
            ImageDetections(
                **size,
                categories=np.where(
                    copies & (rng.random(num_found) < 0.8),
                    truths[-1].categories[copied] if num_regions else 0,
                    rng.integers(0, categories, num_found),
                ).astype(np.int64),
                boxes_xyxy=np.where(copies[:, None], boxes[copied] if num_regions else own_boxes, own_boxes),
                masks=tuple(
                    masks[place] if copy else mask
                    for place, copy, mask in zip(copied, copies, own_masks, strict=True)
                ),
                scores=rng.choice([0.1, 0.5, 0.5, 0.9, 1.0], num_found),
            )
        )
    return truths, detections, [f"kind {number}" for number in range(categories)]


def _shapes(rng, count, scale):
    """Draw boxes on a coarse grid, so that overlaps repeat, and masks in them with holes; some are empty."""
    low = rng.integers(0, 4, (count, 2)) * 4
    high = low + rng.integers(1, 4, (count, 2)) * 4
    masks = []
    for (left, top), (right, bottom) in zip(low * scale, high * scale, strict=True):
        mask = np.zeros((HEIGHT * scale, WIDTH * scale), dtype=np.uint8, order="F")
        mask[top:bottom, left:right] = rng.random() < 0.9
        mask[top + 1 : top + 1 + int(rng.integers(0, 3)), left + 1 : right - 1] = 0
        encoded = rle_c.encode(mask)
        masks.append({"size": encoded["size"], "counts": encoded["counts"].decode()})
    return np.concatenate([low, high], axis=1).astype(np.float64) * scale, tuple(masks)


def as_documents(truths, detections, names, kind):
    """Return a scene as COCO's annotations, with areas of masks, and results of one kind."""
    annotations, results = [], []
    for truth, found in zip(truths, detections, strict=True):
        columns = zip(truth.categories.tolist(), truth.boxes_xyxy, truth.masks, truth.is_crowd, strict=True)
        for category, box, mask, crowd in columns:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": truth.image_id,
                    "category_id": category + 1,
                    "bbox": [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()],
                    "segmentation": mask,
                    "area": float(rle_c.area(mask)),
                    "iscrowd": int(crowd),
                }
            )
        columns = zip(found.categories.tolist(), found.boxes_xyxy, found.masks, found.scores, strict=True)
        for category, box, mask, score in columns:
            shape = [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()] if kind == "box" else mask
            results.append(
                {
                    "image_id": found.image_id,
                    "category_id": category + 1,
                    {"box": "bbox", "mask": "segmentation"}[kind]: shape,
                    "score": float(score),
                }
            )
    document = {
        "images": [{"id": item.image_id, "height": item.height, "width": item.width} for item in truths],
        "categories": [{"id": number, "name": name} for number, name in enumerate(names, start=1)],
        "annotations": annotations,
    }
    return document, results
