"""Records, images and a model of instances; the whole way is tested with ``fitting``."""

from dataclasses import replace

import pytest
import torch

from models.segmentation.recipes import InstanceRecipe, reduced
from tasks.config import load_file
from tasks.data.commit import hash_file
from tasks.errors import UsageError
from tasks.operations.fit_request import INSTANCE_SCHEMA, FitRequest
from tasks.operations.fitting_instances import prepare_instances
from tests.tasks.operations.tiny_instances import FOLDER
from tests.tasks.stages.tiny_training import prepare


def test_the_pupil_follows_from_the_seed(tmp_path):
    inputs = prepare(tmp_path)
    request = FitRequest(
        recipe="tiny_solo", data=inputs["about"].parent, images=inputs["dataset"], out=tmp_path / "model"
    )
    recipe = reduced(load_file(FOLDER / "tiny_solo.yaml", InstanceRecipe))
    with pytest.raises(UsageError, match=r"1 categories, the data has 3\. Say `--set num_categories=3`"):
        prepare_instances(request, recipe, seed=3)
    recipe = replace(recipe, num_categories=3)
    torch.rand(5)
    first, second = (prepare_instances(request, recipe, seed=3) for _ in range(2))
    weights = [pupil.model.state_dict() for pupil in (first, second)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert first.schema == INSTANCE_SCHEMA
    assert first.inputs["prepared_sha256"] == hash_file(inputs["prepared"])
    assert first.body is first.lesson.network.pyramid.body
    assert first.lesson.num_images == 4
