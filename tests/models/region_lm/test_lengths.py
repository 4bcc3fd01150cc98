"""Lengths before pixels are those of the sequence that the model reads."""

import pytest

from models.region_lm.conversation import IGNORED
from models.region_lm.lengths import LengthLimits, image_layout, image_positions, sample_length
from tests.models.region_lm.systems import SIZES, TINY, mixed, system

NONE = LengthLimits(ids=10_000, positions=10_000)


def measured(processor, model, example, limits=NONE):
    regions = None if example.image is None else 0 if example.masks is None else len(example.masks)
    encoded, _ = processor.encode(example.turns, num_regions=regions)
    image = 0
    if example.image is not None:
        image = image_positions(processor, example.image.shape[:2], model.projector.num_tokens)
    return sample_length(processor, encoded, image=image, limits=limits)


@pytest.mark.parametrize("name", TINY)
def test_what_is_measured_is_what_the_model_reads(name):
    processor, model = system(name)
    examples = mixed(name)
    found = [measured(processor, model, example) for example in examples]
    batch = processor(examples)
    spliced = model.insert(batch, model.see(batch))
    assert [length.positions for length in found] == spliced.mask_BL.sum(dim=1).tolist()
    assert [length.learned for length in found] == (spliced.label_BL != IGNORED).sum(dim=1).tolist()
    assert [length.lost for length in found] == [0] * len(examples)
    layouts = [image_layout(processor.settings, size) for size in SIZES]
    assert [layout.count for layout in layouts] == [layout.count for layout in batch.layouts]


def test_text_is_cut_at_both_limits_and_never_a_feature():
    processor, model = system("osprey_tiny")
    example = mixed("osprey_tiny")[0]
    whole = measured(processor, model, example)
    by_ids = measured(processor, model, example, LengthLimits(ids=whole.positions - 66, positions=10_000))
    assert (by_ids.lost, by_ids.learned) == (3, whole.learned - 3)  # an image is one id and 64 positions
    by_positions = measured(
        processor, model, example, LengthLimits(ids=10_000, positions=whole.positions - 3)
    )
    assert by_positions == by_ids
    assert by_ids.positions == whole.positions - 3
    with pytest.raises(ValueError, match="teach nothing"):
        measured(
            processor, model, example, LengthLimits(ids=10_000, positions=whole.positions - whole.learned)
        )
    with pytest.raises(ValueError, match="would lose"):
        measured(processor, model, example, LengthLimits(ids=10_000, positions=40))
