"""Scribbles on the shapes world, and a training of a network that is small enough for tests."""

from dataclasses import replace
from pathlib import Path

import torch

from models.segmentation.recipes import Optimizer
from models.segmentation.semantic_hub import new_semantic_segmenter
from models.segmentation.semantic_recipes import PolynomialSchedule, SemanticRecipe, reduced_semantic
from tasks.config import load_file
from tasks.data.label_directory import open_labels
from tasks.data.semantic_batches import SemanticStore
from tasks.data.semantic_datasets import SemanticFolders
from tasks.operations.recipe_files import TrainingSettings
from tasks.operations.semantic_lesson import SemanticLesson
from tasks.operations.training_steps import Training
from tasks.operations.weakening import Weakening, weaken_folder
from tests.tiny.shapes import write_shapes_world

FOLDER = Path(__file__).resolve().parents[3] / "configs" / "recipes"


def scribbled_world(folder: Path) -> tuple[Path, Path]:
    """Write images and scribbles on them; return both folders."""
    world = write_shapes_world(folder / "world", num_train=3, num_val=2)
    weaken_folder(Weakening(source=world, out=folder / "labels", kind="scribbles", seed=1))
    return world, folder / "labels"


def tiny_recipe(**changes) -> SemanticRecipe:
    given = reduced_semantic(load_file(FOLDER / "tiny_scribbles.yaml", SemanticRecipe))
    return replace(
        given,
        num_classes=4,
        crops=replace(given.crops, size=48),
        images_per_step=4,
        supervision=replace(given.supervision, tree_energy_weight=0.4, propagation_stride=2),
        optimizer=Optimizer(name="sgd", learning_rate=0.01, weight_decay=0.01, gradient_norm=1.0),
        schedule=PolynomialSchedule(unit="steps", length=100, power=0.9),
        **changes,
    )


def tiny_training(folder: Path, checkpoints: Path, *, steps=4, bfloat16=False, **settings) -> Training:
    """Build a training on the folder of ``scribbled_world``."""
    found = open_labels(folder / "labels", "train")
    folders = SemanticFolders(images=folder / "world", labels=folder / "labels", classes=found.classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = new_semantic_segmenter(found.classes.names, found.classes.values, tiny_recipe())
    store = SemanticStore(found.records, folders)
    return Training(
        lesson=SemanticLesson(model=model, store=store, seed=settings.get("seed", 0)),
        settings=TrainingSettings(
            **({"average_decay": 0.5, "checkpoint_every": 2, "log_every": 1} | settings)
        ),
        steps=steps,
        checkpoints=checkpoints,
        run_key="a run",
        bfloat16=bfloat16,
    )
