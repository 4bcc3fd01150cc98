"""Each region gets the text that it would get alone; the image is encoded once."""

import numpy as np
import pytest
import torch

from models.region_lm.conversation import Token
from models.region_lm.describing import ASK, describe_all
from models.region_lm.generation import generate
from models.region_lm.mentions import Mention, Utterance
from models.region_lm.tokens import IMAGE
from tests.models.region_lm.systems import WITH_REGIONS, new_system, picture, region_masks, system

SIZE = (96, 120)


@torch.no_grad()
def make_loud(model) -> None:
    """Let answers depend on the region, which weights of 0.02 hardly look at, and less on the image."""
    for parameter in model.regions.merge.parameters():
        parameter.mul_(300.0)
    for parameter in model.projector.parameters():
        parameter.mul_(0.2)
    for name, parameter in model.language.named_parameters():
        if "attn" in name and parameter.ndim > 1:
            parameter.mul_(20.0)


@pytest.mark.parametrize("name", WITH_REGIONS)
def test_each_region_as_if_alone(name):
    processor, model = new_system(name, initializer_range=0.02)
    make_loud(model)
    image, masks = picture(SIZE), region_masks(SIZE, 4)
    texts = describe_all(model, processor, image, masks, max_new_tokens=6, at_once=3)
    assert describe_all(model, processor, image, masks, max_new_tokens=6, at_once=1) == texts
    for mask, text in zip(masks, texts, strict=True):
        batch = processor.ask(image, mask[None], [(Utterance(role="user", parts=ASK),)])
        (answer,) = generate(model, batch, max_new_tokens=6)
        assert text == processor.decode(answer)
    assert len(set(texts)) > 1


def test_the_image_is_encoded_once(monkeypatch):
    processor, model = system("osprey_tiny")
    calls = []
    handle = model.vision.register_forward_hook(lambda *_: calls.append(1))
    try:
        describe_all(model, processor, picture(SIZE), region_masks(SIZE, 5), max_new_tokens=2, at_once=2)
    finally:
        handle.remove()
    assert calls == [1]


def test_more_regions_than_a_sample_may_have():
    processor, model = system("osprey_tiny")
    count = processor.settings.regions.most + 1
    masks = np.zeros((count, *SIZE), dtype=np.bool_)
    masks[np.arange(count), np.arange(count) % SIZE[0], np.arange(count) % SIZE[1]] = True
    assert len(describe_all(model, processor, picture(SIZE), masks, max_new_tokens=1)) == count


def test_a_question_of_ones_own_and_no_regions():
    processor, model = system("osprey_tiny")
    question = (Token(IMAGE), "Is ", Mention(0), " like ", Mention(0), "?")
    masks = region_masks(SIZE, 2)
    assert len(describe_all(model, processor, picture(SIZE), masks, question=question, max_new_tokens=2)) == 2
    assert describe_all(model, processor, picture(SIZE), masks[:0]) == []


def test_no_regions_excuse_nothing():
    processor, model = system("osprey_tiny")
    image, masks = picture(SIZE), region_masks(SIZE, 1)[:0]
    with pytest.raises(TypeError, match="uint8"):
        describe_all(model, processor, image.astype(np.float32), masks)
    with pytest.raises(ValueError, match=r"the image is 96 x 120, got \(1, 120, 96\)"):
        describe_all(model, processor, image, masks.reshape(0, 120, 96))
    with pytest.raises(ValueError, match="region 1 is mentioned, but the sample has 1"):
        describe_all(model, processor, image, masks, question=(Token(IMAGE), Mention(1)))
    with pytest.raises(ValueError, match="max_new_tokens must be at least 1, got 0"):
        describe_all(model, processor, image, masks, max_new_tokens=0)
    with pytest.raises(ValueError, match="this model sees none"):
        describe_all(*reversed(system("tokenpacker_tiny")), image, masks)


def test_bad_input_is_named():
    processor, model = system("osprey_tiny")
    image, masks = picture(SIZE), region_masks(SIZE, 3)
    masks[1] = False
    with pytest.raises(ValueError, match="the mask of region 1 of 3 is empty"):
        describe_all(model, processor, image, masks)
    with pytest.raises(TypeError, match="mask_RHW must be bool"):
        describe_all(model, processor, image, masks.astype(np.uint8))
    with pytest.raises(ValueError, match=r"the image is 96 x 120, got \(1, 120, 96\)"):
        describe_all(model, processor, image, region_masks((120, 96), 1))
    with pytest.raises(ValueError, match="region 1 is mentioned, but the sample has 1"):
        describe_all(model, processor, image, masks[:1], question=(Token(IMAGE), Mention(1)))
    with pytest.raises(ValueError, match="at_once must be at least 1, got 0"):
        describe_all(model, processor, image, masks[:1], at_once=0)
    with pytest.raises(ValueError, match="this model sees none"):
        describe_all(*reversed(system("tokenpacker_tiny")), image, masks[:1])
