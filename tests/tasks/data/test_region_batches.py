"""Lengths at the door, and steps that follow from the seed and their number."""

from collections import Counter
from dataclasses import replace

import pytest

from models.region_lm.lengths import LengthLimits
from tasks.data.region_batches import BatchOrder, Measure, draw_samples, measure_samples
from tasks.data.region_mix import MixPart, open_mix
from tasks.data.region_records import RegionTurn
from tasks.errors import DataError
from tests.models.region_lm.systems import system
from tests.tasks.operations.tiny_regions import SCENES, write_world


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    world = write_world(tmp_path_factory.mktemp("world"))
    parts = [
        MixPart(samples=str(world / name), images=str(world / "shapes")) for name in ("regions", "images")
    ]
    return open_mix([*parts, MixPart(samples=str(world / "text"))], seed=0).samples


def measure(name="osprey_tiny", *, ids=512, positions=2048, leave_out=False):
    processor, model = system(name)
    return Measure(
        processor=processor,
        num_tokens=model.projector.num_tokens,
        limits=LengthLimits(ids=ids, positions=positions),
        leave_out=leave_out,
    )


@pytest.mark.parametrize("name", ["osprey_tiny", "tokenpacker_osprey_hd_tiny"])
def test_lengths_are_those_of_the_batch(samples, name):
    data = measure_samples(samples, measure(name))
    assert data.samples == samples
    assert data.left_out == ()
    processor, model = system(name)
    batch = draw_samples(samples, processor, 512)
    spliced = model.insert(batch, model.see(batch))
    assert [length.positions for length in data.lengths] == spliced.mask_BL.sum(dim=1).tolist()
    assert sum(length.learned for length in data.lengths) == batch.num_learned


def test_what_does_not_fit_is_an_error_or_counted(samples):
    whole = [length.positions for length in measure_samples(samples, measure()).lengths]
    limit = sorted(whole)[SCENES]
    cut = measure_samples(samples, measure(positions=limit))
    assert max(length.positions for length in cut.lengths) == limit
    assert sum(length.lost > 0 for length in cut.lengths) == sum(length > limit for length in whole)
    with pytest.raises(
        DataError, match=r"train/1/describe-text: its .* ids, cut to max_length 20, .*leave_out`"
    ):
        measure_samples(samples, measure(ids=20))
    left = measure_samples([*samples, *samples], measure(ids=40, leave_out=True))
    assert left.samples == ()
    assert len(left.left_out) == 2 * SCENES + 1


def test_what_no_limit_changes_is_always_an_error(samples):
    question = samples[0]._replace(sample=replace(samples[0].sample, turns=samples[0].sample.turns[:1]))
    with pytest.raises(DataError, match="1/describe-text: ends with a question: there is no answer to learn"):
        measure_samples([question], measure(leave_out=True))
    with pytest.raises(DataError, match="regions, this model sees none"):
        measure_samples(samples, measure("tokenpacker_tiny", leave_out=True))
    turns = (*samples[0].sample.turns[:1], RegionTurn(role="assistant", parts=("It is ", "x\ud7ff")))
    fine = samples[0]._replace(sample=replace(samples[0].sample, turns=turns))
    assert len(measure_samples([fine], measure()).samples) == 1


def test_a_mask_that_cannot_be_used_names_its_sample(samples):
    processor, _ = system("tokenpacker_tiny")
    with pytest.raises(DataError, match=r"shapes/train/1/describe-text: sample 0: it has \d regions, but"):
        draw_samples(samples[:1], processor, 512)


LENGTHS = (3, 90, 5, 40, 8, 41, 7, 88, 4, 42, 6)


def test_every_sample_is_seen_in_an_epoch_and_batches_are_even():
    order = BatchOrder(LENGTHS, batch=4, seed=5)
    assert order.steps_per_epoch == 3
    for epoch in range(4):
        batches = [order.places(3 * epoch + step) for step in range(3)]
        seen = Counter(place for places in batches for place in places)
        assert set(seen) == set(range(len(LENGTHS)))
        assert sum(seen.values()) == 12  # one sample fills up the last batch
        for places in batches:
            assert len(set(places)) == 4
            assert [LENGTHS[place] for place in places] == sorted(
                (LENGTHS[place] for place in places), reverse=True
            )


def test_a_step_needs_no_history_and_the_seed_decides():
    order, other = BatchOrder(LENGTHS, batch=4, seed=5), BatchOrder(LENGTHS, batch=4, seed=6)
    steps = [order.places(step) for step in range(9)]
    assert [BatchOrder(LENGTHS, batch=4, seed=5).places(step) for step in (7, 0, 8, 3)] == [
        steps[step] for step in (7, 0, 8, 3)
    ]
    assert steps != [other.places(step) for step in range(9)]
    assert steps[:3] != steps[3:6]


def test_a_batch_that_cannot_be_filled_is_refused():
    with pytest.raises(ValueError, match="a batch of 4 cannot be filled from 3 samples"):
        BatchOrder((1, 2, 3), batch=4, seed=0)
