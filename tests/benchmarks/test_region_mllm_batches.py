import pytest

from benchmarks.region_mllm_batches import KEPT, encode_questions, shuffled
from benchmarks.region_mllm_language import new_tokenizer
from benchmarks.region_mllm_systems import SYSTEMS, recipe_of
from benchmarks.region_mllm_world import draw_split, held_out
from models.region_lm.processing import new_processor


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    return draw_split(tmp_path_factory.mktemp("world"), "train", seed=5, count=3, crowding="overlapping")


@pytest.fixture(scope="module")
def processor():
    return new_processor(new_tokenizer(["Is it a ", "Yes.", "No."]), recipe_of(SYSTEMS["osprey"]).model)


def test_shuffled_questions_lose_their_image_and_region(split, processor):
    batches = encode_questions(processor, split, held_out(split, "regions"), "mask")
    other = shuffled(batches, seed=0)
    assert [batch.encoded for batch in other] == [batch.encoded for batch in batches]

    def place(batch):
        return int(batch.pixels[KEPT]), batch.mentions, id(batch.masks[0])

    assert sorted(map(place, other)) == sorted(map(place, batches))
    assert all(place(left) != place(right) for left, right in zip(other, batches, strict=True))


def test_boxes_are_filled(split, processor):
    asked = held_out(split, "regions")[:2]
    masks, boxes = (encode_questions(processor, split, asked, shown) for shown in ("mask", "box"))
    for mask, box in zip(masks, boxes, strict=True):
        assert (box.masks[0] >= mask.masks[0]).all()
        assert box.masks[0].sum() > mask.masks[0].sum()
