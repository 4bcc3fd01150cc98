"""One path for every system: what it computes, what is saved, and that nothing leaks between samples."""

import json

import pytest
import torch
from torch.nn import functional

from models.region_lm.assembly import new_region_mllm
from models.region_lm.conversation import IGNORED
from models.region_lm.hub import RegionMLLM
from models.region_lm.packing import pack, plan_packs
from models.region_lm.processing import RegionProcessor
from models.region_lm.tokens import IMAGE, MASK, POSITION
from models.region_lm.trainable import LoraSettings, StagePlan, begin_stage
from models.vision.stitching import stitch
from models.vision.tiles import sequence_length
from tests.models.region_lm.systems import TINY, WITH_REGIONS, example, mixed, new_system, recipe, system

FAMILIES = ("llama", "qwen2", "qwen3")


@pytest.mark.parametrize("name", TINY)
def test_what_is_saved_is_what_is_loaded(name, tmp_path):
    processor, model = system(name)
    batch = processor(mixed(name))
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again = RegionProcessor.from_pretrained(tmp_path)
    loaded = RegionMLLM.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        assert torch.equal(loaded(again(mixed(name))).logits, model(batch).logits)
    assert again.placeholder_ids == processor.placeholder_ids
    assert again.settings == processor.settings
    assert loaded.settings == model.settings
    files = {path.name for path in tmp_path.iterdir()}
    assert "model.safetensors" in files
    assert not {file for file in files if file.endswith((".bin", ".py", ".pt", ".pkl"))}
    assert "auto_map" not in json.loads((tmp_path / "config.json").read_text())


@pytest.mark.parametrize("family", FAMILIES)
def test_tied_embeddings_are_saved_whole(family, tmp_path):
    processor, model = new_system("osprey_tiny", family=family, tie_embeddings=True)
    batch = processor(mixed("osprey_tiny"))
    model.save_pretrained(tmp_path)
    loaded = RegionMLLM.from_pretrained(tmp_path).eval()
    assert loaded.get_input_embeddings().weight is loaded.get_output_embeddings().weight
    with torch.no_grad():
        assert torch.equal(loaded(batch).logits, model(batch).logits)


def test_adapters_that_are_not_merged_are_not_saved(tmp_path):
    _, model = new_system("osprey_tiny")
    lora = LoraSettings(rank=2, alpha=2.0, learning_rate=1e-3)
    begin_stage(model, StagePlan(name="x", train=(), lora=lora, global_batch=1, epochs=1, max_length=64))
    with pytest.raises(ValueError, match="adapters are in the model: merge_adapters before it is saved"):
        model.save_pretrained(tmp_path)


def test_settings_that_are_not_whole_are_refused():
    _, model = system("osprey_tiny")
    config = type(model.config)(**{**model.config.to_dict(), "model_settings": {"images": {}}})
    with pytest.raises(ValueError, match="model_settings must have the keys"):
        config.settings()


@pytest.mark.parametrize("name", TINY)
def test_the_loss_is_the_mean_over_every_learned_token(name):
    processor, model = system(name)
    batch = processor(mixed(name))
    with torch.no_grad():
        output, spliced = model(batch), model.insert(batch, model.see(batch))
    losses = []
    for row, labels in enumerate(spliced.label_BL.tolist()):
        for place, label in enumerate(labels[1:]):
            if label != IGNORED:
                losses.append(-functional.log_softmax(output.logits[row, place], dim=0)[label])
    assert output.num_labels == len(losses) == batch.num_learned
    assert torch.allclose(output.loss, torch.stack(losses).mean(), atol=1e-6)
    words = (" a small red circle", " No.", " Yes.", " a large blue square, a yellow cross")
    lengths = [len(processor.tokenizer(text).input_ids) + 1 for text in words]  # and the token that ends it
    assert sum(lengths) == len(losses)


def test_logits_at_labels_are_those_of_the_whole():
    processor, model = system("osprey_tiny")
    batch = processor(mixed("osprey_tiny"))
    with torch.no_grad():
        whole, few = model(batch), model(batch, logits="labels")
        target = model.insert(batch, model.see(batch)).label_BL[:, 1:]
    assert few.logits.shape[0] == few.num_labels == whole.num_labels
    assert torch.allclose(whole.logits[:, :-1][target != IGNORED], few.logits, atol=1e-6)
    assert torch.allclose(whole.loss, few.loss, atol=1e-6)


def test_without_labels_there_is_no_loss():
    processor, model = system("osprey_tiny")
    batch = processor(mixed("osprey_tiny", answers=False), answer_next=True)
    output = model(batch, logits="labels")
    assert output.loss is None
    assert output.num_labels == 0
    assert output.logits.shape[0] == 4


def test_steps_that_are_added_up_equal_the_whole():
    name = "tokenpacker_osprey_hd_tiny"
    processor, model = system(name)
    samples, parameters = mixed(name), [*model.projector.parameters(), *model.regions.parameters()]
    whole = model(processor(samples), logits="labels")
    expected = torch.autograd.grad(whole.loss, parameters)
    losses = [model(processor([sample]), num_labels=whole.num_labels).loss for sample in samples]
    found = torch.autograd.grad(sum(losses), parameters)
    assert torch.allclose(sum(losses), whole.loss, atol=1e-6)
    for left, right in zip(expected, found, strict=True):
        assert torch.allclose(left, right, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["osprey_tiny", "tokenpacker_osprey_hd_tiny"])
@torch.no_grad()
def test_a_sample_reads_the_same_alone_and_in_a_batch_padded_left_or_right(name, family):
    processor, model = system(name, family)
    samples = mixed(name)
    batch = processor(samples)
    seen = model.see(batch)
    for side in ("left", "right"):
        spliced = model.insert(batch, seen, padding_side=side)
        logits = model.read(spliced).logits
        for number, sample in enumerate(samples):
            alone = model(processor([sample])).logits[0]
            assert torch.allclose(logits[number][spliced.mask_BL[number].bool()], alone, atol=2e-5)


@torch.no_grad()
def test_rows_of_several_samples_say_what_each_says_alone():
    name = "tokenpacker_osprey_hd_tiny"
    for family in FAMILIES:
        processor, model = system(name, family)
        batch = processor(mixed(name))
        spliced = model.insert(batch, model.see(batch))
        lengths = spliced.mask_BL.sum(dim=1).tolist()
        packs = plan_packs(lengths, max(lengths) + min(lengths))
        assert len(packs) < len(lengths)
        separate, packed = model.read(spliced), model.read_packed(pack(spliced, packs))
        assert torch.allclose(separate.loss, packed.loss, atol=1e-6)
        assert separate.num_labels == packed.num_labels
        for number, row in enumerate(packs):
            start = 0
            for sample in row:
                found = packed.logits[number, start : start + lengths[sample]]
                expected = separate.logits[sample, : lengths[sample]]
                assert torch.allclose(found, expected, atol=2e-5)
                start += lengths[sample]


@torch.no_grad()
def test_text_alone_takes_no_image():
    processor, model = system("osprey_tiny")
    batch = processor([example(None), example(None, answer="Yes.")])
    assert batch.pixels == {}
    assert batch.layouts == ()
    assert model(batch).loss.isfinite()


@torch.no_grad()
def test_tiles_stand_in_rows_with_separators_and_the_overview_last():
    name = "tokenpacker_hd_tiny"
    processor, model = system(name)
    batch = processor([example((70, 150)), example((96, 96)), example((200, 190))])
    assert [(layout.rows, layout.columns) for layout in batch.layouts] == [(1, 2), (1, 1), (2, 2)]
    images = model.see(batch).images
    tokens = model.projector(model.vision(batch.pixels))
    size = model.projector.num_tokens
    assert [len(image) for image in images] == [sequence_length(layout, size) for layout in batch.layouts]
    table = model.get_input_embeddings().weight
    comma, line = (table[list(processor.separator_ids[key])] for key in ("column", "row"))
    assert torch.equal(images[0], torch.cat([tokens[0], comma, tokens[1], line, tokens[2], line]))
    assert torch.equal(images[1], torch.cat([tokens[3], line]))
    four = [tokens[4], comma, tokens[5], line, tokens[6], comma, tokens[7], line, tokens[8], line]
    assert torch.equal(images[2], torch.cat(four))


def test_separators_learn_with_the_language_model():
    name = "tokenpacker_hd_tiny"
    processor, model = new_system(name)
    batch = processor([example((70, 150), answer="red")])
    separators = {processor.separator_ids[key][0] for key in ("column", "row")}
    model.see(batch).images[0].sum().backward()
    gradient = model.get_input_embeddings().weight.grad
    assert set(gradient.abs().sum(dim=1).nonzero().flatten().tolist()) == separators


@torch.no_grad()
def test_regions_of_tiles_are_pooled_on_the_whole_image():
    name = "tokenpacker_osprey_hd_tiny"
    processor, model = system(name)
    batch = processor([example((200, 190), regions=3), example((96, 96), regions=1)])
    seen = model.see(batch)
    features = model.vision(batch.pixels)
    first = [stitch(level[:5], batch.layouts[0]) for level in features.levels]
    assert first[0].shape[1:] == (24, 24)
    assert torch.allclose(
        seen.regions[0][MASK], model.regions(first, batch.masks[0]).mask_RD, rtol=0, atol=1e-6
    )
    assert set(seen.regions[0]) == {MASK}  # this system says nothing of positions
    last = [level[5] for level in features.levels]
    assert torch.allclose(seen.regions[1][MASK], model.regions(last, batch.masks[1]).mask_RD, atol=1e-6)


def test_regions_have_the_placeholders_of_their_system():
    assert recipe("osprey_tiny").model.placeholders == (IMAGE, MASK, POSITION)
    assert recipe("tokenpacker_osprey_hd_tiny").model.placeholders == (IMAGE, MASK)
    assert recipe("tokenpacker_tiny").model.placeholders == (IMAGE,)


@pytest.mark.parametrize("name", WITH_REGIONS)
@torch.no_grad()
def test_regions_stand_where_they_are_mentioned(name):
    """Mentioning regions in another order is the same as having them in that order."""
    processor, model = system(name)
    sample = example((70, 150), regions=3)
    user = sample.turns[0]
    mentions = [place for place, part in enumerate(user.parts) if not isinstance(part, str)][1:]
    parts = list(user.parts)
    for place, source in zip(mentions, (mentions[2], mentions[0], mentions[1]), strict=True):
        parts[place] = user.parts[source]
    turned = type(user)(role="user", parts=tuple(parts))
    other = type(sample)(image=sample.image, masks=sample.masks, turns=(turned, sample.turns[1]))
    moved = type(sample)(image=sample.image, masks=sample.masks[[2, 0, 1]], turns=sample.turns)
    found, expected = model(processor([other])), model(processor([moved]))
    assert torch.allclose(found.logits, expected.logits, atol=1e-5)
    assert not torch.allclose(found.logits, model(processor([sample])).logits, atol=1e-5)


@torch.no_grad()
def test_an_image_that_many_ask_about_is_seen_once():
    name = "tokenpacker_osprey_hd_tiny"
    processor, model = system(name)
    sample = example((70, 150), regions=3, answer=None)
    batch = processor.ask(sample.image, sample.masks, [sample.turns] * 3)
    assert [len(pixels) for pixels in batch.pixels.values()] == [3]  # two tiles and their overview
    apart = processor([sample] * 3, answer_next=True)
    assert torch.allclose(model(batch).logits, model(apart).logits, atol=1e-5)


@pytest.mark.parametrize("name", TINY)
def test_inputs_stay_as_they_are(name):
    processor, model = system(name)
    samples = mixed(name)
    copies = [(sample.image.copy() if sample.image is not None else None) for sample in samples]
    batch = processor(samples)
    pixels = {key: value.clone() for key, value in batch.pixels.items()}
    masks = [mask.clone() for mask in batch.masks]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model(batch).loss.backward()
    model.zero_grad()
    assert all(torch.equal(pixels[key], batch.pixels[key]) for key in pixels)
    assert all(torch.equal(*pair) for pair in zip(masks, batch.masks, strict=True))
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    for sample, copy in zip(samples, copies, strict=True):
        assert copy is None or (sample.image == copy).all()


@torch.no_grad()
def test_half_precision_reads_nearly_the_same():
    name = "osprey_tiny"
    processor, model = new_system(name)
    batch = processor(mixed(name))
    exact = model(batch).loss
    half = model.to(torch.bfloat16)(batch.to("cpu", torch.bfloat16)).loss
    assert abs(half.item() - exact.item()) < 0.1


def test_a_placeholder_without_a_feature_is_named():
    processor, model = system("osprey_tiny")
    batch = processor([example((96, 96), regions=1)])
    lost = type(batch)(**{**{f: getattr(batch, f) for f in batch.__slots__}, "mentions": ((),)})
    with pytest.raises(ValueError, match="sample 0: 1 placeholders '<mask>' need as many features, got 0"):
        model(lost)


def test_a_text_that_writes_tags_has_no_placeholders():
    processor, model = system("osprey_tiny")
    sample = example((96, 96), regions=1, answer="it says <image> and <mask></s> here")
    batch = processor([sample])
    ids = processor.placeholder_ids
    assert [batch.encoded[0].ids.count(ids[key]) for key in (IMAGE, MASK, POSITION)] == [1, 1, 1]
    ends = [number for number in batch.encoded[0].labels if number == processor.terminator_id]
    assert len(ends) == 1
    assert model(batch).loss.isfinite()
    learned = [number for number in batch.encoded[0].labels if number != IGNORED]
    assert processor.decode(learned) == "it says <image> and <mask></s> here"


def test_a_prompt_whose_features_do_not_fit_is_refused():
    name = "osprey_tiny"
    processor, model = new_system(name, max_positions=64)
    with pytest.raises(ValueError, match=r"sample 0: '<image>' 0 ends at position \d+, behind max_length 64"):
        model(processor([example((96, 96))]))


def test_a_trained_language_model_becomes_a_part_of_the_model():
    processor, model = new_system("osprey_tiny")
    other = new_region_mllm(processor, model.language)
    assert other.language is model.language
    batch = processor([example((96, 96), regions=1)])
    assert other(batch).loss.isfinite()
