"""A box-only COCO file with images, and a segmenter in a committed directory."""

import base64
import io
import json

import numpy as np
import torch
from PIL import Image

from models.segmentation.hub import new_segmenter
from tasks.data.commit import commit_directory
from tasks.data.segmenter_directory import SEGMENTER_SCHEMA
from tests.models.segmentation.tiny import THRESHOLDS, TRAINING
from tests.tiny.shapes import write_shapes_world

CATEGORIES = ["circle", "square", "triangle"]


def shapes(folder, *, images=5, masks=False):
    """Write a folder with one split of shapes; its annotations have no masks."""
    world = write_shapes_world(folder, num_train=images, num_val=1, seed=1, size=48)
    path = world / "annotations" / "instances_train.json"
    document = json.loads(path.read_text())
    document["info"] = {"description": "shapes", "year": 2020}
    document["licenses"] = [{"id": 1, "name": "CC0"}]
    document["images"][0]["license"] = 1
    for row in document["annotations"]:
        row["colour"] = "kept"
        if not masks:
            del row["segmentation"], row["area"]
    path.write_text(json.dumps(document))
    return world


def tiny_model(folder):
    """Save a segmenter with random weights."""

    def write(staging):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = new_segmenter(CATEGORIES, TRAINING.architecture(3), THRESHOLDS)
        model.save_pretrained(staging)

    commit_directory(folder, write, schema=SEGMENTER_SCHEMA)
    return folder


def label_map_of(line, key="label"):
    """Decode a label map, or the map of how sure it is, out of a line of a part."""
    with Image.open(io.BytesIO(base64.b64decode(line[key]))) as picture:
        return np.asarray(picture)
