"""A training of queries small enough for tests: real images and losses, a Swin of a few thousand weights."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from models.segmentation.instance_hub import new_instance_segmenter
from models.segmentation.recipes import ImageSizes, InstanceRecipe, Optimizer, Schedule, reduced
from tasks.config import load_file
from tasks.data.instance_batches import ImageStore
from tasks.data.records import ImageRecord, RegionRecord
from tasks.operations.instance_lesson import InstanceLesson
from tasks.operations.recipe_files import TrainingSettings
from tasks.operations.training_steps import Training
from tests.models.segmentation.test_instance_models import query

FOLDER = Path(__file__).resolve().parents[3] / "configs" / "recipes"
NAMES = ("circle", "square", "triangle")


def tiny_recipe(**changes) -> InstanceRecipe:
    given = reduced(load_file(FOLDER / "tiny_query.yaml", InstanceRecipe))
    return replace(
        given,
        num_categories=3,
        images=ImageSizes(crop=64, jitter=(0.8, 1.6)),
        images_per_step=4,
        optimizer=Optimizer(name="sgd", learning_rate=0.01, weight_decay=0.01, gradient_norm=1.0),
        schedule=Schedule(unit="steps", length=100, drops=(4,), warmup_steps=2, warmup_ratio=0.1),
        **changes,
    )


def write_images(folder: Path, num_images: int = 5) -> list[ImageRecord]:
    """Bright rectangles of one category each on noise; one image holds nothing."""
    folder.mkdir(exist_ok=True)
    generator, records = np.random.default_rng(0), []
    for number in range(num_images):
        pixels = generator.integers(0, 60, (64, 80, 3), dtype=np.uint8)
        boxes = [] if number == 4 else [(6, 8, 30, 28), (40, 20, 70, 60)][: 1 + number % 2]
        regions = []
        for place, (left, top, right, bottom) in enumerate(boxes):
            pixels[top:bottom, left:right, place] = 220
            regions.append(
                RegionRecord(
                    region_id=10 * number + place + 1,
                    category=NAMES[place],
                    box_xyxy=(float(left), float(top), float(right), float(bottom)),
                )
            )
        Image.fromarray(pixels).save(folder / f"{number}.png")
        records.append(
            ImageRecord(
                image_id=100 + number,
                file=f"{number}.png",
                height=64,
                width=80,
                sha256="",
                regions=tuple(regions),
            )
        )
    return records


def tiny_training(images: Path, checkpoints: Path, *, steps=6, bfloat16=False, **settings) -> Training:
    recipe = tiny_recipe()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = new_instance_segmenter(NAMES, recipe)
        model.segmenter = query()
    for module in model.segmenter.modules():
        if hasattr(module, "drop_prob"):  # what a network draws differs from part to part
            module.drop_prob = 0.0
    store = ImageStore(write_images(images), images, NAMES)
    return Training(
        lesson=InstanceLesson(model=model, store=store, seed=settings.get("seed", 0)),
        settings=TrainingSettings(
            **({"average_decay": 0.5, "checkpoint_every": 2, "log_every": 2} | settings)
        ),
        steps=steps,
        checkpoints=checkpoints,
        run_key="a run",
        bfloat16=bfloat16,
    )
