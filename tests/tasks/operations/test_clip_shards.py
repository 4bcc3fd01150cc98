from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from models.segmentation.mask_clip import class_probabilities, dense_features
from tasks.data.clip_weights import inspect_clip, load_clip
from tasks.data.commit import hash_file
from tasks.data.label_maps import UNLABELLED
from tasks.errors import DataError
from tasks.operations.clip_shards import ClipJob, ClipLabeller, ClipParameters
from tests.models.segmentation.tiny_clip import save_tiny_clip
from tests.tasks.operations.labelling import label_map_of


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return inspect_clip(save_tiny_clip(tmp_path_factory.mktemp("clip")))


@pytest.fixture(scope="module")
def clip(weights):
    return load_clip(weights)


@pytest.fixture
def job(tmp_path, weights):
    generator = np.random.default_rng(0)
    names = ["a.png", "b.png", "c\u2028d.png"]
    for name, size in zip(names, ((40, 60), (17, 90), (8, 8)), strict=True):
        blocks = generator.integers(0, 255, size=(-(-size[0] // 8), -(-size[1] // 8), 3), dtype=np.uint8)
        pixels = np.kron(blocks, np.ones((8, 8, 1), np.uint8))[: size[0], : size[1]]
        Image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / "list").write_text("".join(f"{name}\n" for name in names))
    words = torch.nn.functional.normalize(
        torch.randn(4, 24, generator=torch.Generator().manual_seed(0)), dim=1
    )
    save_file({"words": words, "owners": torch.tensor([0, 0, 1, 2])}, tmp_path / "text.safetensors")
    return ClipJob(
        key="a", images=tmp_path, listing=tmp_path / "list", parts=tmp_path, weights=weights,
        text=tmp_path / "text.safetensors", values=(5, 0, 9),
        parameters=ClipParameters(shortest=64, longest=256, denoise=0.0, smooth=0.0),
        num_images=3, shard_images=2,
    )  # fmt: skip


def test_lines_hold_label_maps_of_the_size_of_the_images(job, clip):
    labeller = ClipLabeller(job, clip)
    lines = [*labeller.lines(0), *labeller.lines(1)]
    assert job.num_shards == 2
    assert [line["image"] for line in lines] == ["a.png", "b.png", "c\u2028d.png"]
    for line in lines:
        labels = label_map_of(line)
        assert labels.shape == (line["height"], line["width"])
        assert set(np.unique(labels)) <= {5, 0, 9}
        assert line["pixels"] == [int((labels == value).sum()) for value in job.values]
        assert line["unlabelled"] == 0
        assert line["sha256"] == hash_file(job.images / line["image"])
        assert 1 / 3 < line["confidence"] <= 1
    assert label_map_of(lines[0], "sure").shape == (8, 12)
    assert label_map_of(lines[1], "sure").shape == (6, 32)  # the longer side decides


def test_labels_are_those_of_the_patches(job, clip):
    """At one patch a pixel nothing is enlarged: labels are the arg-max of the patches themselves."""
    Image.fromarray(np.asarray(Image.open(job.images / "a.png"))[:8, :8]).save(job.images / "a.png")
    pixels = np.asarray(Image.open(job.images / "a.png"))
    resized = np.asarray(Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC))
    image = torch.tensor(resized).permute(2, 0, 1)[None] / 255
    labeller = ClipLabeller(job, clip)
    chances = class_probabilities(
        dense_features(clip.model, image), labeller.words, owner_V=labeller.owners, denoise=None, smooth=None
    )
    expected = np.array(job.values)[chances[0].argmax(dim=0).numpy()]
    assert np.array_equal(label_map_of(next(labeller.lines(0))), expected)


def test_what_is_not_sure_stays_unlabelled(job, clip):
    sure = next(ClipLabeller(job, clip).lines(0))
    limit = sure["confidence"]
    unsure = replace(job, parameters=replace(job.parameters, confidence=limit))
    line = next(ClipLabeller(unsure, clip).lines(0))
    before, after = label_map_of(sure), label_map_of(line)
    assert 0 < line["unlabelled"] < after.size
    assert line["unlabelled"] == int((after == UNLABELLED).sum())
    assert np.array_equal(before[after != UNLABELLED], after[after != UNLABELLED])
    assert line["confidence"] == sure["confidence"]


def test_a_damaged_image_is_named(job, clip):
    (job.images / "b.png").write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match=r"b\.png"):
        list(ClipLabeller(job, clip).lines(0))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"shortest": 0}, "1 <= shortest <= longest, got 0 and 2048"),
        ({"longest": 500}, "got 512 and 500"),
        ({"denoise": 1.5}, r"denoise must be in \[0, 1\], got 1.5"),
        ({"smooth": float("nan")}, r"smooth must be in \[0, 1\], got nan"),
        ({"confidence": -0.1}, r"confidence must be in \[0, 1\], got -0.1"),
    ],
)
def test_numbers_that_mean_nothing(numbers, message):
    with pytest.raises(ValueError, match=message):
        ClipParameters(**numbers)
