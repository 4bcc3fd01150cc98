"""A folder of images becomes label maps that can be scored and learned from."""

import numpy as np
import pytest
import torch
from PIL import Image

from models.segmentation.semantic_hub import new_semantic_segmenter
from tasks.data.commit import commit_directory, verify_directory
from tasks.data.label_directory import open_labels
from tasks.data.label_maps import read_label_map
from tasks.errors import DataError, IntegrityError, UsageError
from tasks.operations.fit_request import INSTANCE_SCHEMA, SEMANTIC_SCHEMA
from tasks.operations.scoring import ScoreRequest, score_files
from tasks.operations.segmenting import SEGMENTED_SCHEMA, Segmenting, load_semantic, segment_folder
from tests.tasks.operations.tiny_semantic import tiny_recipe

NAMES, VALUES = ("road", "sky", "tree", "car"), (0, 40, 7, 253)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        built = new_semantic_segmenter(NAMES, VALUES, tiny_recipe())
    folder = tmp_path_factory.mktemp("model") / "model"
    commit_directory(folder, built.save_pretrained, schema=SEMANTIC_SCHEMA)
    return folder


@pytest.fixture
def images(tmp_path):
    (tmp_path / "images").mkdir()
    for number, size in enumerate([(40, 50), (33, 64), (8, 20)]):
        pixels = np.random.default_rng(number).integers(0, 255, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
    return tmp_path / "images"


def test_label_maps_of_every_image(model, images, tmp_path):
    said = []
    wanted = Segmenting(model=model, images=images, out=tmp_path / "out")
    document = segment_folder(wanted, say=said.append)
    manifest = verify_directory(tmp_path / "out", schema=SEGMENTED_SCHEMA)
    assert document["manifest_sha256"] == manifest.sha256
    assert (document["images"], document["counts"]["share"]) == (3, 1.0)
    assert said == ["segmenting 3/3, 2.png"]
    found = open_labels(tmp_path / "out", "train")
    _, segmenter = load_semantic(model)
    for record in found.records:
        pixels = np.array(Image.open(images / record.image))
        labels = read_label_map(tmp_path / "out" / record.label, values=VALUES)
        places = segmenter.predict([pixels])[0].cpu().numpy()
        assert (labels == np.array(VALUES)[places]).all()
    assert segment_folder(wanted)["manifest_sha256"] == manifest.sha256
    scores = score_files(
        ScoreRequest(
            kind="semantic",
            truth=tmp_path / "out" / "labels",
            predictions=tmp_path / "out" / "labels",
            classes=tmp_path / "out" / "classes.json",
        )
    )
    assert scores["metrics"][0]["value"] == 1.0
    assert scores["intervals"]["semantic.mean_iou"]["low"] == 1.0


def test_folders_that_are_none(model, images, tmp_path):
    with pytest.raises(UsageError, match="is not a directory"):
        segment_folder(Segmenting(model=model, images=tmp_path / "none", out=tmp_path / "out"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no image"):
        segment_folder(Segmenting(model=model, images=tmp_path / "empty", out=tmp_path / "out"))
    with pytest.raises(UsageError, match="holds files that this command did not write"):
        segment_folder(Segmenting(model=model, images=images, out=images))
    (images / "notes.txt").write_text("a")
    with pytest.raises(DataError, match=r"holds 1 files that are no images: 'notes\.txt'\."):
        segment_folder(Segmenting(model=model, images=images, out=tmp_path / "out"))
    (images / "notes.txt").unlink()
    (images / "1.png").write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match=r"1\.png"):
        segment_folder(Segmenting(model=model, images=images, out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_models_that_are_none(model, images, tmp_path):
    other = tmp_path / "other"
    commit_directory(other, lambda folder: (folder / "a").write_text("a"), schema=INSTANCE_SCHEMA)
    with pytest.raises(IntegrityError, match=r"Name a model that `groundwork fit` made from a semantic rec"):
        load_semantic(other)
    with pytest.raises(IntegrityError, match="Name a model"):
        load_semantic(tmp_path)

    def without_weights(folder):
        (folder / "config.json").write_bytes((model / "config.json").read_bytes())

    commit_directory(tmp_path / "half", without_weights, schema=SEMANTIC_SCHEMA)
    with pytest.raises(DataError, match=r"half: cannot be built: .* Train it again with `groundwork fit`"):
        load_semantic(tmp_path / "half")
