"""Before the first step of classes of pixels: label maps, images and model fit together."""

import torch

from models.segmentation.semantic_hub import new_semantic_segmenter
from models.segmentation.semantic_recipes import SemanticRecipe
from tasks.data.label_directory import open_labels
from tasks.data.semantic_batches import SemanticStore
from tasks.data.semantic_datasets import SemanticFolders
from tasks.errors import UsageError
from tasks.operations.fit_request import SEMANTIC_SCHEMA, FitRequest, Pupil
from tasks.operations.semantic_lesson import SemanticLesson


def prepare_semantic(request: FitRequest, recipe: SemanticRecipe, *, seed: int) -> Pupil:
    """Open a directory of label maps and build the model from the seed alone.

    Raises:
        UsageError: If it is no such directory, has no record of the split, or another number of classes than
            the recipe.
        DataError: If the records are damaged.
        IntegrityError: If the directory is not what its manifest says.
    """
    found = open_labels(request.data, request.split)
    folders = SemanticFolders(images=request.images, labels=request.data, classes=found.classes)
    names = found.classes.names
    if recipe.num_classes != len(names):
        raise UsageError(
            f"the recipe has {recipe.num_classes} classes, the data has {len(names)}.",
            obj=str(request.data),
            hint=f"Say `--set num_classes={len(names)}`.",
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = new_semantic_segmenter(names, found.classes.values, recipe)
    return Pupil(
        model=model,
        lesson=SemanticLesson(model=model, store=SemanticStore(found.records, folders), seed=seed),
        body=model.segmenter.body,
        schema=SEMANTIC_SCHEMA,
        inputs={"labels_sha256": found.sha256, "split": request.split},
    )
