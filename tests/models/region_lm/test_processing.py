"""From conversations to batches: what stands where, and what is refused with its name."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.region_lm.config import ImageSettings, VisionSettings
from models.region_lm.conversation import IGNORED, Token
from models.region_lm.mentions import Mention, Utterance
from models.region_lm.processing import RegionProcessor, new_processor
from models.region_lm.tokens import IMAGE, MASK, POSITION
from tests.models.region_lm.systems import (
    TINY,
    example,
    mixed,
    new_system,
    picture,
    recipe,
    region_masks,
    system,
)
from tests.models.region_lm.vocabularies import byte_level


def with_masks(sample, masks):
    return replace(sample, masks=masks)


@pytest.mark.parametrize("name", TINY)
def test_a_batch_counts_canvases_images_and_regions(name):
    processor, _ = system(name)
    batch = processor(mixed(name))
    assert batch.image_of == (0, None, 1, 2)
    assert len(batch.layouts) == len(batch.transforms) == len(batch.masks) == 3
    canvases = sum(layout.count for layout in batch.layouts)
    assert all(len(pixels) == canvases for pixels in batch.pixels.values())
    assert canvases == (9 if "hd" in name else 3)
    regions = recipe(name).model.regions is not None
    assert [len(mask) for mask in batch.masks] == ([2, 0, 3] if regions else [0, 0, 0])
    for layout, mask in zip(batch.layouts, batch.masks, strict=True):
        assert mask.shape[1:] == layout.canvas
    assert batch.mentions == (((0, 1), (), (), (0, 1, 2)) if regions else ((), (), (), ()))


def test_masks_lie_on_the_canvas():
    processor, _ = system("osprey_tiny")
    masks = np.zeros((1, 64, 256), dtype=np.bool_)
    masks[0, 32:, 128:] = True
    sample = with_masks(example((64, 256), regions=1), masks)
    expected = torch.zeros(1, 128, 128, dtype=torch.bool)
    expected[0, 64:, 64:] = True
    assert torch.equal(processor([sample]).masks[0], expected)


def test_each_encoder_gets_its_own_canvas_and_masks_are_of_the_levels():
    clip = replace(recipe("tokenpacker_tiny").model.vision.clip, image=64)
    convnext = replace(recipe("osprey_tiny").model.vision.convnext, image=128)
    settings = replace(
        recipe("osprey_tiny").model,
        images=ImageSettings(kind="pad_square"),
        vision=VisionSettings(clip=clip, convnext=convnext),
    )
    batch = new_processor(byte_level(), settings)([example((40, 80), regions=1)])
    assert {name: tuple(pixels.shape) for name, pixels in batch.pixels.items()} == {
        "clip": (1, 3, 64, 64),
        "convnext": (1, 3, 128, 128),
    }
    assert batch.masks[0].shape == (1, 128, 128)


def test_an_image_of_one_row_or_column_is_an_image():
    for name in TINY:
        processor, model = system(name)
        regions = int(recipe(name).model.regions is not None)
        for size in ((1, 300), (300, 1)):
            sample = example(size)
            if regions:
                mask = np.zeros((1, *size), dtype=np.bool_)
                mask[0].flat[7] = True
                parts = (*sample.turns[0].parts, Mention(0))
                turns = (Utterance(role="user", parts=parts), sample.turns[1])
                sample = replace(sample, masks=mask, turns=turns)
            batch = processor([sample])
            assert all(mask.any(dim=(1, 2)).all() for mask in batch.masks)
            assert model(batch).loss.isfinite()


def test_a_mask_of_one_pixel_is_a_region():
    for name in ("osprey_tiny", "tokenpacker_osprey_hd_tiny"):
        processor, model = system(name)
        mask = np.zeros((1, 200, 190), dtype=np.bool_)
        mask[0, 101, 77] = True
        batch = processor([with_masks(example((200, 190), regions=1), mask)])
        with torch.no_grad():
            assert model.see(batch).regions[0][MASK].abs().sum() > 0


def refused(name: str, sample, message: str, error: type[Exception] = ValueError, **options) -> None:
    processor, _ = system(name)
    with pytest.raises(error, match=message):
        processor([example(None, answer="Yes."), sample], **options)


def test_an_empty_mask_is_named():
    masks = region_masks((96, 96), 3)
    masks[1] = False
    sample = with_masks(example((96, 96), regions=3), masks)
    refused("osprey_tiny", sample, r"sample 1: the mask of region 1 is empty: remove the region")


def test_masks_of_another_size_lie_outside_the_image():
    sample = with_masks(example((96, 96), regions=1), region_masks((96, 100), 1))
    refused("osprey_tiny", sample, r"sample 1: masks must be bool .*the image is 96 x 96, got \(1, 96, 100\)")
    sample = with_masks(example((96, 96), regions=1), region_masks((96, 96), 1).astype(np.uint8))
    refused("osprey_tiny", sample, "sample 1: masks must be bool .*got uint8", TypeError)
    sample = with_masks(example((96, 96), regions=1), region_masks((96, 96), 1)[0])
    refused("osprey_tiny", sample, r"got \(96, 96\)")


def test_a_hundred_and_one_regions_are_too_many():
    masks = np.ones((101, 8, 8), dtype=np.bool_)
    turns = (
        Utterance(role="user", parts=(Token(IMAGE), *map(Mention, range(101)))),
        Utterance(role="assistant", parts=("yes",)),
    )
    sample = replace(example((8, 8)), masks=masks, turns=turns)
    refused(
        "osprey_tiny",
        sample,
        r"sample 1: it has 101 regions, at most 100 are allowed: split the sample, or raise regions.most",
    )
    settings = recipe("osprey_tiny").model
    wider = replace(settings, regions=replace(settings.regions, most=101))
    batch = new_processor(byte_level(), wider)([sample])
    assert len(batch.masks[0]) == len(batch.mentions[0]) == 101


def test_regions_that_no_model_or_image_holds_are_refused():
    masks = region_masks((96, 96), 1)
    sample = with_masks(example((96, 96)), masks)
    refused("tokenpacker_tiny", sample, "sample 1: it has 1 regions, but this model sees none")
    refused("osprey_tiny", with_masks(example(None), masks), "sample 1: it has 1 regions and no image")
    refused("tokenpacker_tiny", replace(example((96, 96), regions=1), masks=None), "model sees no regions")
    mentioned = replace(example((96, 96), regions=2), masks=masks)
    refused("osprey_tiny", mentioned, "sample 1: region 1 is mentioned, but the sample has 1")


def test_images_and_placeholders_go_together():
    sample = example((96, 96))
    refused(
        "osprey_tiny", replace(sample, image=None), "sample 1: it has no image and 1 placeholders '<image>'"
    )
    silent = Utterance(role="user", parts=("What?",))
    two = Utterance(role="user", parts=(Token(IMAGE), Token(IMAGE)))
    for turn, count in ((silent, 0), (two, 2)):
        wrong = replace(sample, turns=(turn, sample.turns[1]))
        refused("osprey_tiny", wrong, f"sample 1: it has one image and {count} placeholders '<image>'")


def test_images_that_are_none_are_refused():
    sample = example((96, 96))
    refused("osprey_tiny", replace(sample, image=picture((4, 4)).astype(float)), "must be uint8", TypeError)
    refused("osprey_tiny", replace(sample, image=np.zeros((0, 4, 3), np.uint8)), r"got \(0, 4, 3\)")
    refused("osprey_tiny", replace(sample, image=np.zeros((4, 4), np.uint8)), r"got \(4, 4\)")


def test_long_samples_lose_text_and_never_a_feature():
    processor, _ = system("osprey_tiny")
    sample = example((96, 96), regions=1, answer="a small red circle, a large blue square")
    whole = processor([sample]).encoded[0]
    cut = processor([sample], max_length=len(whole.ids) - 4).encoded[0]
    assert cut.ids == whole.ids[:-4]
    assert cut.labels == whole.labels[:-4]
    assert processor([sample], max_length=len(whole.ids)).encoded[0] == whole
    first = next(place for place, label in enumerate(whole.labels) if label != IGNORED)
    with pytest.raises(ValueError, match=rf"sample 0: its \d+ ids, cut to max_length {first}, teach nothing"):
        processor([sample], max_length=first)
    place = whole.ids.index(processor.placeholder_ids[POSITION])
    with pytest.raises(ValueError, match=r"would lose '<pos>': use a longer limit or fewer regions"):
        processor([sample], max_length=place)


def test_nothing_is_no_batch():
    processor, _ = system("osprey_tiny")
    with pytest.raises(ValueError, match="a batch needs at least one sample"):
        processor([])
    with pytest.raises(ValueError, match="a batch needs at least one question"):
        processor.ask(picture((8, 8)), None, [])


def test_a_question_that_cannot_be_asked_is_named():
    processor, _ = system("osprey_tiny")
    sample = example((96, 96), regions=2, answer=None)
    wrong = (Utterance(role="user", parts=(Token(IMAGE), Mention(2))),)
    with pytest.raises(ValueError, match="question 1: region 2 is mentioned, but the sample has 2"):
        processor.ask(sample.image, sample.masks, [sample.turns, wrong])


def test_answers_lose_special_tokens_and_spaces():
    processor, _ = system("osprey_tiny")
    ids = processor.tokenizer(" a red circle ").input_ids
    assert processor.decode([*ids, processor.terminator_id]) == "a red circle"


def test_separators_are_the_signs_themselves():
    processor, _ = system("tokenpacker_hd_tiny")
    assert processor.tokenizer.decode(list(processor.separator_ids["column"])) == ","
    assert processor.tokenizer.decode(list(processor.separator_ids["row"])) == "\n"


def test_a_folder_without_a_processor_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"region_processor\.json is missing: name a folder"):
        RegionProcessor.from_pretrained(tmp_path)


def test_a_tokenizer_must_have_what_the_model_needs():
    settings = recipe("osprey_tiny").model
    with pytest.raises(ValueError, match="no special token '<image>'"):
        RegionProcessor(byte_level(), settings)
    endless = byte_level()
    endless.eos_token = None
    with pytest.raises(ValueError, match="template 'vicuna' needs a tokenizer with an eos_token"):
        new_processor(endless, settings)
    with pytest.raises(TypeError, match="tokenizer must be a PreTrainedTokenizerFast, got str"):
        RegionProcessor("tokenizer", settings)


def test_chatml_ends_answers_with_its_own_mark():
    settings = replace(recipe("osprey_tiny").model, template="chatml")
    processor = new_processor(byte_level(), settings)
    assert processor.tokenizer.convert_ids_to_tokens(processor.terminator_id) == "<|im_end|>"
    encoded = processor([example((96, 96), regions=1)]).encoded[0]
    learned = [label for label in encoded.labels if label != IGNORED]
    assert learned[-1] == processor.terminator_id


def test_a_model_of_another_template_loads(tmp_path):
    _, model = new_system("osprey_tiny")
    settings = replace(recipe("osprey_tiny").model, template="chatml")
    processor = new_processor(byte_level(), settings)
    processor.save_pretrained(tmp_path)
    again = RegionProcessor.from_pretrained(tmp_path)
    sample = [example((96, 96), regions=1)]
    assert again(sample).encoded == processor(sample).encoded
    assert model(again(sample)).loss.isfinite()
