"""Models as directories: what was saved is loaded whole; anything else is refused with the next command."""

import pytest
import torch

from tasks.data.commit import commit_directory
from tasks.errors import DataError, IntegrityError
from tasks.operations.converting import REGION_MODEL_SCHEMA
from tasks.operations.region_model_files import (
    check_region_model,
    load_region_model,
    read_region_processor,
    region_model_writer,
)
from tests.models.region_lm.systems import mixed, new_system
from tests.tasks.operations.asked import write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "osprey")


def test_a_model_and_its_processor(model):
    loaded = load_region_model(model)
    assert loaded.sha256 == check_region_model(model)
    assert not loaded.model.training
    processor, made = new_system("osprey_tiny")
    batch = loaded.processor(mixed("osprey_tiny"))
    with torch.no_grad():
        found = loaded.model(batch.to(loaded.model.device)).logits.cpu()
        assert torch.allclose(found, made(processor(mixed("osprey_tiny"))).logits, atol=1e-5)
    assert read_region_processor(model).settings == processor.settings


def test_a_directory_of_something_else(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        IntegrityError, match="Name a directory that `groundwork convert` or `groundwork tune`"
    ):
        load_region_model(tmp_path / "empty")
    commit_directory(
        tmp_path / "bare", lambda folder: (folder / "x").write_text("x"), schema=REGION_MODEL_SCHEMA
    )
    with pytest.raises(DataError, match=r"has no processor: .*region_processor\.json is missing"):
        load_region_model(tmp_path / "bare")


def test_weights_that_are_not_there(tmp_path):
    processor, model = new_system("osprey_tiny")
    write = region_model_writer(model, processor)

    def without_weights(folder):
        write(folder)
        (folder / "model.safetensors").unlink()

    commit_directory(tmp_path / "m", without_weights, schema=REGION_MODEL_SCHEMA)
    with pytest.raises(DataError, match="cannot be built: "):
        load_region_model(tmp_path / "m")
