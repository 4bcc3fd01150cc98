"""Crops keep image and targets together, and depend on seed and position alone."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from models.segmentation.semantic_recipes import SemanticCropPolicy
from tasks.data.commit import hash_file
from tasks.data.label_maps import IGNORED, PADDED, PADDING, UNLABELLED, encode_label_map
from tasks.data.semantic_datasets import (
    SemanticCrops,
    SemanticFolders,
    draw_semantic_crop,
    read_semantic,
)
from tasks.data.semantic_records import SemanticClasses, SemanticRecord
from tasks.errors import DataError, IntegrityError

CLASSES = SemanticClasses(names=("dark", "bright"), values=(7, 200), void=(0,))
POLICY = SemanticCropPolicy(size=32)
STILL = {"smallest_scale": 1.0, "largest_scale": 1.0, "aspect": 1.0, "brightness": 0.0, "mirror": False}


def write(folder, name, labels):
    """Save a label map, and an image whose brightness tells the class of each pixel."""
    grey = np.select([labels == 200, labels == 7], [220, 60], 128).astype(np.uint8)
    for part in ("images", "labels"):
        (folder / part).mkdir(exist_ok=True)
    Image.fromarray(np.repeat(grey[:, :, None], 3, axis=2)).save(folder / "images" / f"{name}.png")
    (folder / "labels" / f"{name}.png").write_bytes(encode_label_map(labels))
    return SemanticRecord(
        image=f"{name}.png",
        label=f"{name}.png",
        height=labels.shape[0],
        width=labels.shape[1],
        sha256=hash_file(folder / "images" / f"{name}.png"),
        label_sha256=hash_file(folder / "labels" / f"{name}.png"),
        split="train",
    )


def folders(folder):
    return SemanticFolders(images=folder / "images", labels=folder / "labels", classes=CLASSES)


@pytest.fixture
def world(tmp_path):
    labels = np.full((40, 60), UNLABELLED, dtype=np.uint8)
    labels[4:18, 5:50], labels[22:38, 10:30], labels[0, 0] = 7, 200, 0
    records = [write(tmp_path, name, np.roll(labels, 3 * n, axis=1)) for n, name in enumerate("abc")]
    return records, folders(tmp_path)


def test_bytes_become_targets(tmp_path):
    labels = np.array([[7, 200, 0], [UNLABELLED, PADDING, 7]], dtype=np.uint8)
    pixels, targets = read_semantic(write(tmp_path, "a", labels), folders(tmp_path))
    assert targets.tolist() == [[0, 1, IGNORED], [IGNORED, PADDED, 0]]
    assert targets.dtype == torch.int64
    assert pixels.shape == (3, 2, 3)
    assert pixels[0].tolist() == [[60, 220, 128], [128, 128, 60]]


def test_samples_depend_on_seed_and_position_alone(world):
    crops = SemanticCrops(*world, POLICY, length=12, seed=3)
    assert len(crops) == 12
    late = crops[11]
    again = pickle.loads(pickle.dumps(SemanticCrops(*world, POLICY, length=40, seed=3)))[11]
    assert torch.equal(late.pixels, again.pixels)
    assert torch.equal(late.targets, again.targets)
    other = SemanticCrops(*world, POLICY, length=12, seed=4)[11]
    assert not torch.equal(late.pixels, other.pixels)
    assert not torch.equal(late.pixels, crops[8].pixels)
    for start in (0, 3, 6, 9):
        assert {crops[position].record for position in range(start, start + 3)} == {0, 1, 2}


def test_a_loader_stacks_samples_and_workers_change_nothing(world):
    crops = SemanticCrops(*world, POLICY, length=6, seed=3)
    batches = [list(DataLoader(crops, batch_size=3, num_workers=workers)) for workers in (0, 2)]
    for one, other in zip(*batches, strict=True):
        assert one.pixels.shape == (3, 3, 32, 32)
        assert one.targets.shape == (3, 32, 32)
        assert torch.equal(one.pixels, other.pixels)
        assert torch.equal(one.targets, other.targets)
        assert one.record.tolist() == other.record.tolist()


def test_targets_stay_on_their_pixels(world):
    """The brightness of a pixel says its class, but for the blurred edge between two."""
    crops = SemanticCrops(*world, SemanticCropPolicy(size=32, brightness=0.0), length=60, seed=0)
    wrong = labelled = 0
    for position in range(60):
        pixels, targets, _ = crops[position]
        guess = (pixels[0] > 140 / 255).long()
        known = targets >= 0
        labelled += int(known.sum())
        wrong += int((guess != targets)[known].sum())
    assert labelled > 5000
    assert wrong < 0.03 * labelled


def test_recipe_off_cuts_and_nothing_else():
    pixels = torch.randint(0, 256, (3, 50, 70), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(50 * 70).view(50, 70)
    policy = SemanticCropPolicy(size=20, **STILL)
    places = set()
    for seed in range(40):
        image, marks = draw_semantic_crop(pixels, targets, policy, torch.Generator().manual_seed(seed))
        top, left = divmod(int(marks[0, 0]), 70)
        places.add((top, left))
        assert torch.equal(marks, targets[top : top + 20, left : left + 20])
        assert torch.allclose(image, pixels[:, top : top + 20, left : left + 20] / 255, atol=1e-6)
    assert len(places) > 30
    assert max(top for top, _ in places) > 22
    assert max(left for _, left in places) > 40


def test_a_small_image_lies_in_the_corner_and_the_rest_is_padding():
    policy = SemanticCropPolicy(size=8, **STILL)
    image, marks = draw_semantic_crop(
        torch.full((3, 3, 5), 255, dtype=torch.uint8), torch.zeros(3, 5).long(), policy, torch.Generator()
    )
    assert (marks[:3, :5] == 0).all()
    assert int((marks == PADDED).sum()) == 64 - 15
    assert (image[:, :3, :5] == 1).all()
    assert torch.allclose(image[:, 7, 7], torch.tensor(policy.fill))
    assert torch.allclose(image[:, 0, 7], torch.tensor(policy.fill))


def drawn_sizes(policy, count=200):
    """Return heights and widths of an enlarged image: what is not padding of a crop that holds all of it."""
    sizes = []
    for seed in range(count):
        _, marks = draw_semantic_crop(
            torch.zeros((3, 40, 40), dtype=torch.uint8),
            torch.zeros(40, 40).long(),
            policy,
            torch.Generator().manual_seed(seed),
        )
        inside = marks != PADDED
        sizes.append((int(inside.any(dim=1).sum()), int(inside.any(dim=0).sum())))
    return np.array(sizes).T


def test_enlargement_and_aspect_span_their_ranges():
    heights, widths = drawn_sizes(SemanticCropPolicy(size=100))
    scale, aspect = np.sqrt(heights * widths) / 40, widths / heights
    assert 0.47 < scale.min() < 0.56
    assert 1.94 < scale.max() < 2.03
    assert 0.86 < aspect.min() < 0.93
    assert 1.07 < aspect.max() < 1.16
    assert set(drawn_sizes(SemanticCropPolicy(size=100, **STILL), 3)[0].tolist()) == {40}


def test_mirroring_and_brightness():
    pixels = torch.zeros((3, 4, 4), dtype=torch.uint8)
    pixels[:, :, :2] = 128
    targets = torch.tensor([[0, 0, 1, 1]] * 4)
    mirrored, lightest, darkest = 0, 0.0, 1.0
    policy = SemanticCropPolicy(size=4, **(STILL | {"mirror": True, "brightness": 0.1}))
    for seed in range(100):
        image, marks = draw_semantic_crop(pixels, targets, policy, torch.Generator().manual_seed(seed))
        left_is_bright = bool(image[0, 0, 0] > image[0, 0, 3])
        assert left_is_bright == (int(marks[0, 0]) == 0)
        mirrored += not left_is_bright
        grey = float(image.max())
        lightest, darkest = max(lightest, grey), min(darkest, grey)
    assert 30 < mirrored < 70
    assert 128 / 255 + 0.08 < lightest <= 128 / 255 + 0.1
    assert 128 / 255 - 0.1 <= darkest < 128 / 255 - 0.08


def test_refusals(world, tmp_path):
    records, places = world
    with pytest.raises(
        DataError, match=r"there is no training image\. Make labels with `groundwork data weaken`"
    ):
        SemanticCrops([], places, POLICY, length=1, seed=0)
    with pytest.raises(ValueError, match=r"^length must be at least 1, got 0\.$"):
        SemanticCrops(records, places, POLICY, length=0, seed=0)
    with pytest.raises(IndexError, match=r"^position must be 0 to 4, got 5\.$"):
        SemanticCrops(records, places, POLICY, length=5, seed=0)[5]
    changed = np.full((40, 60), 200, dtype=np.uint8)
    (tmp_path / "labels" / "a.png").write_bytes(encode_label_map(changed))
    with pytest.raises(IntegrityError, match="is not the label map of the record: its sha256 differs"):
        read_semantic(records[0], places)
    changed[:] = 9
    (tmp_path / "labels" / "a.png").write_bytes(encode_label_map(changed))
    with pytest.raises(DataError, match=r"2400 pixels hold values that are no class: \[9\]"):
        read_semantic(records[0], places)
    (tmp_path / "images" / "b.png").unlink()
    with pytest.raises(DataError, match="no such file"):
        read_semantic(records[1], places)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 0}, "size must be at least 1 and 0 < smallest_scale <= largest_scale, got 0, 0.5 and 2.0."),
        ({"smallest_scale": 0.0}, "got 32, 0.0 and 2.0."),
        ({"largest_scale": 0.4}, "got 32, 0.5 and 0.4."),
        ({"aspect": 0.9}, "aspect must be at least 1 and brightness 0 to 1, got 0.9"),
        ({"brightness": 10.0}, "aspect must be at least 1 and brightness 0 to 1, got 1.1 and 10.0."),
    ],
)
def test_policies_that_mean_nothing(changes, message):
    with pytest.raises(ValueError, match=message):
        SemanticCropPolicy(**{"size": 32, **changes})
