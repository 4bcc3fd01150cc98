import numpy as np
import pytest

from benchmarks import weak_problems
from benchmarks.weak_problems import Problem, nuclei_problem, world_problem
from benchmarks.weak_world import draw_world
from tasks.data.images import read_rgb
from tasks.data.rle import decode_mask
from tests.tasks.operations.labelling import shapes


def test_a_world_is_written_as_it_was_drawn(tmp_path):
    problem = world_problem(tmp_path, seeds=(4, 5), counts=(3, 2))
    assert [len(problem.train), len(problem.asked)] == [3, 2]
    assert problem.source == (0, 1)
    for record, scene in zip(problem.train, draw_world(4, 3, weak_problems.TILE), strict=True):
        pixels = read_rgb(tmp_path / record.file, height=record.height, width=record.width)
        assert (pixels == scene.pixels).all()
        for region, mask, box in zip(record.regions, scene.masks, scene.boxes_xyxy, strict=True):
            assert (decode_mask(region.mask) == mask).all()
            assert region.box_xyxy == tuple(box.tolist())


@pytest.fixture
def cut(tmp_path, monkeypatch) -> Problem:
    """Cut a folder of drawn images as the nuclei are cut."""
    monkeypatch.setattr(weak_problems, "SAMPLE", shapes(tmp_path / "sample", images=4, masks=True))
    monkeypatch.setattr(weak_problems, "TILE", 32)
    return nuclei_problem(tmp_path / "tiles", held_out=True)


def test_tiles_keep_what_they_show(cut):
    for record in (*cut.train, *cut.asked):
        assert (record.height, record.width) == (32, 32)
        assert record.regions
        for region in record.regions:
            mask = decode_mask(region.mask)
            left, top, right, bottom = map(int, region.box_xyxy)
            assert mask.sum() >= weak_problems.SMALLEST_AREA
            assert mask[top:bottom, left:right].sum() == mask.sum()


def test_an_image_is_learnt_or_asked_about(cut):
    assert set(cut.source) <= {0, 3}
    assert len(cut.source) == len(cut.asked)
    assert np.bincount(cut.source).max() <= weak_problems.TILES_ASKED
