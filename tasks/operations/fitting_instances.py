"""Before the first step of instances: records, images and model fit together."""

import torch

from models.segmentation.instance_hub import new_instance_segmenter
from models.segmentation.instance_models import QuerySegmenter
from models.segmentation.recipes import InstanceRecipe
from tasks.data.commit import hash_file, read_manifest
from tasks.data.instance_batches import ImageStore
from tasks.data.prepared import read_about, read_records
from tasks.errors import IntegrityError, UsageError
from tasks.operations.fit_request import INSTANCE_SCHEMA, FitRequest, Pupil
from tasks.operations.instance_lesson import InstanceLesson


def prepare_instances(request: FitRequest, recipe: InstanceRecipe, *, seed: int) -> Pupil:
    """Open prepared records and build the model from the seed alone.

    Raises:
        UsageError: If recipe and data have another number of categories.
        DataError: If the records are damaged.
        IntegrityError: If the records are of another dataset than the images.
    """
    about = read_about(request.data / "dataset.json")
    if recipe.num_categories != len(about.categories):
        raise UsageError(
            f"the recipe has {recipe.num_categories} categories, the data has {len(about.categories)}.",
            obj=str(request.data),
            hint=f"Say `--set num_categories={len(about.categories)}`.",
        )
    found = read_manifest(request.images).sha256
    if found != about.dataset_sha256:
        raise IntegrityError(
            f"is version {found[:12]}, the records are of {about.dataset_sha256[:12]}.",
            obj=str(request.images),
            hint="Prepare the records again, or name their dataset with --images.",
        )
    records = request.data / f"{request.split}.jsonl"
    store = ImageStore(read_records(records), request.images, about.categories)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = new_instance_segmenter(about.categories, recipe)
    segmenter = model.segmenter
    return Pupil(
        model=model,
        lesson=InstanceLesson(model=model, store=store, seed=seed),
        body=(
            segmenter.network.model.pixel_level_module.encoder
            if isinstance(segmenter, QuerySegmenter)
            else segmenter.pyramid.body
        ),
        schema=INSTANCE_SCHEMA,
        inputs={"dataset_sha256": about.dataset_sha256, "prepared_sha256": hash_file(records)},
    )
