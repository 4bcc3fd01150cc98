"""Shares, images and hashes of a mix; what is missing is named before anything is trained."""

import shutil

import pytest

from tasks.data.region_mix import MixPart, open_mix, read_mix
from tasks.errors import DataError, IntegrityError, UsageError
from tests.tasks.operations.tiny_regions import SCENES, write_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world"))


def part(world, name="regions", **given):
    return MixPart(samples=str(world / name), images=str(world / "shapes"), **given)


def test_a_share_repeats_or_thins_and_the_seed_says_which(world):
    whole = open_mix([part(world)], seed=0)
    assert [mixed.sample.file for mixed in whole.samples] == [
        f"train/{number:06}.png" for number in range(1, SCENES + 1)
    ]
    assert all(mixed.image.is_file() for mixed in whole.samples)
    half, again, other = (open_mix([part(world, share=0.5)], seed=seed) for seed in (0, 0, 3))
    assert half == again
    assert len(half.samples) == SCENES / 2
    assert half.samples != other.samples
    more = open_mix([part(world, share=2.5)], seed=0)
    assert more.samples == whole.samples * 2 + half.samples


def test_parts_follow_each_other_and_are_hashed(world):
    mix = open_mix(
        [part(world, shown="box"), part(world, "images"), MixPart(samples=str(world / "text"))], seed=0
    )
    assert len(mix.samples) == 2 * SCENES + 1
    assert [source["samples"] for source in mix.sources] == [SCENES, SCENES, 1]
    assert len({source["samples_sha256"] for source in mix.sources}) == 3
    assert mix.sources[0]["images_sha256"] == mix.sources[1]["images_sha256"]
    assert mix.sources[2]["images_sha256"] is None
    assert mix.samples[0].shown == "box"
    assert mix.samples[-1].image is None
    assert mix.samples[-1].name == "talk/train/1"


def test_a_directory_is_a_mix_of_one_and_a_file_names_its_images(world, tmp_path):
    assert read_mix(world / "regions", world / "shapes") == (part(world),)
    path = tmp_path / "mix.yaml"
    path.write_text(
        f"- {{samples: {world / 'regions'}, images: {world / 'shapes'}, share: 2.5, shown: box}}\n"
    )
    assert read_mix(path, None) == (part(world, share=2.5, shown="box"),)
    with pytest.raises(UsageError, match=r"--images pictures: belongs to a directory .* Leave out --images"):
        read_mix(path, world.__class__("pictures"))
    with pytest.raises(UsageError, match=r"none: is no directory of samples and no \.yaml file"):
        read_mix(tmp_path / "none", None)
    path.write_text("- {samples: a, share: 0}\n")
    with pytest.raises(UsageError, match="share must be above 0 and at most 1000, got 0"):
        read_mix(path, None)
    path.write_text("- {samples: a, imges: b}\n")
    with pytest.raises(UsageError, match=r"unknown key 'imges'\. Did you mean 'images'"):
        read_mix(path, None)


def test_missing_images_are_named(world, tmp_path):
    with pytest.raises(UsageError, match=f"regions: has {SCENES} samples with images, and .* --images"):
        open_mix([MixPart(samples=str(world / "regions"))], seed=0)
    shutil.copytree(world / "shapes", tmp_path / "shapes")
    (tmp_path / "shapes" / "train" / "000002.png").unlink()
    moved = MixPart(samples=str(world / "regions"), images=str(tmp_path / "shapes"))
    with pytest.raises(DataError, match=f"lacks 1 of {SCENES} images, such as .*000002.png"):
        open_mix([moved], seed=0)


def test_parts_without_samples_and_foreign_directories_are_refused(world):
    with pytest.raises(DataError, match=r"has 1 samples, of which a share of 0\.2 takes none"):
        open_mix([MixPart(samples=str(world / "text"), share=0.2)], seed=0)
    with pytest.raises(IntegrityError, match=r"holds 'groundwork\.shapes/1'"):
        open_mix([MixPart(samples=str(world / "shapes"))], seed=0)
