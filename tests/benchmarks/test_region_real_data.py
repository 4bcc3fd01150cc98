"""Regions that lie: of other samples, of the size of the image, and nothing else changed."""

import pytest

from benchmarks.region_real_data import prepare
from tasks.data.region_directory import read_region_directory
from tasks.data.rle import mask_area
from tasks.data.shapes_world import WorldSettings
from tasks.operations.shapes_files import write_shapes_files


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The shapes world where the photographs would be."""
    folder = tmp_path_factory.mktemp("real")
    settings = WorldSettings(side=64, least=2, most=5)
    write_shapes_files(folder / "coco_open", seed=7, num_train=3, num_val=2, settings=settings)
    return prepare("categories", folder, folder / "work")


def test_regions_lie_elsewhere_and_all_else_stays(real):
    true = read_region_directory(real.train).samples
    moved = read_region_directory(real.shuffled).samples
    places = 0
    for before, after in zip(true, moved, strict=True):
        assert (before.sample_id, before.turns, before.size) == (after.sample_id, after.turns, after.size)
        for first, second in zip(before.regions, after.regions, strict=True):
            assert first.label == second.label
            assert second.mask is not None
            assert mask_area(second.mask) > 0
            places += first.mask != second.mask
    assert places == sum(len(sample.regions) for sample in true)


def test_objects_are_asked_about_one_by_one(real):
    samples = read_region_directory(real.train).samples
    assert all(len(sample.regions) == 1 and len(sample.turns) == 2 for sample in samples)
    assert len(samples) == real.counts["train"]["questions"] > real.counts["train"]["images"] == 3
    said = [sample.turns[1].parts[0] for sample in samples]
    assert said == [sample.regions[0].label for sample in samples]
    most = max(said.count(answer) for answer in said)
    assert real.counts["train"]["most_common_answer"] == round(most / len(said), 4)


def test_held_out_images_are_others(real):
    train, val = (read_region_directory(folder).samples for folder in (real.train, real.val))
    assert not {sample.file for sample in train} & {sample.file for sample in val}
    assert real.counts["train"]["kinds"].keys() == {"describe-label"}
