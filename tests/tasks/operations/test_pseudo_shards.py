from dataclasses import replace

import pytest
import torch

from models.segmentation.box_propagation import PropagationConfig
from tasks.data.box_table import BoxTable, index_boxes
from tasks.data.records import MaskRle
from tasks.data.rle import decode_mask, mask_area
from tasks.errors import DataError
from tasks.operations.pseudo_shards import LabelJob
from tasks.operations.shards import is_finished, make_shards, part_file, read_parts
from tests.tasks.operations.labelling import shapes, tiny_model


@pytest.fixture
def job(tmp_path):
    world = shapes(tmp_path / "world")
    parts = tmp_path / "parts"
    parts.mkdir()
    index_boxes(world / "annotations" / "instances_train.json", parts / "boxes.db")
    return LabelJob(
        key="a",
        database=parts / "boxes.db",
        images=world / "train",
        parts=parts,
        model=None,
        propagation=PropagationConfig(),
        num_images=5,
        shard_images=2,
    )


def make(job, workers=1):
    told = []
    make_shards(job, range(job.num_shards), workers=workers, finished=told.append)
    return told, [part_file(job, shard).read_bytes() for shard in range(job.num_shards)]


def test_shards_hold_all_images_in_order(job):
    threads = torch.get_num_threads()
    told, _ = make(job)
    assert told == [1, 2, 3]
    assert torch.get_num_threads() == threads
    lines = list(read_parts(job))
    table = BoxTable(job.database)
    assert [line["image_id"] for line in lines] == [row["id"] for row in table.image_rows()]
    for line, image in zip(lines, table.images(), strict=True):
        for row, given in zip(line["annotations"], image.annotations, strict=True):
            assert given.items() <= row.items()
            if "reason" in row:
                assert row["reason"] == "filled"
                assert row["category_id"] == 2  # a square
                continue
            mask = MaskRle.from_json(row["segmentation"])
            assert row["area"] == mask_area(mask)
            x, y, width, height = row["bbox"]
            inside = decode_mask(mask)
            inside[int(y) : int(y + height), int(x) : int(x + width)] = False
            assert not inside.any()
            assert 0.0 < row["score"] <= 1.0
            assert row["method"] == "propagation"


@pytest.mark.slow
def test_workers_give_the_same_bytes(job, tmp_path):
    """Slow because every process imports all there is."""
    for model in (None, tiny_model(tmp_path / "model")):
        _, alone = make(replace(job, model=model))
        told, together = make(replace(job, model=model), workers=2)
        assert told == [1, 2, 3]
        assert together == alone


def test_a_segmenter_says_so(job, tmp_path):
    make(replace(job, model=tiny_model(tmp_path / "model")))
    rows = [row for line in read_parts(job) for row in line["annotations"]]
    assert {row["method"] for row in rows if "method" in row} == {"segmenter"}


def test_a_damaged_image_stops_and_what_was_finished_stays(job):
    broken = job.images / "train_004.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(DataError, match=r"train_004\.jpg: not an image"):
        make(job)
    assert [is_finished(job, shard) is None for shard in range(3)] == [True, True, False]
