import pytest
import torch
from torch import nn

from models.region_lm.conversation import IGNORED, Encoded
from models.region_lm.sequence import Span, splice

IDS = {"<image>": 90, "<mask>": 91}
WIDTH = 4


@pytest.fixture
def embed():
    torch.manual_seed(0)
    return nn.Embedding(100, WIDTH)


def sample(*ids, learned=()):
    labels = tuple(number if place in learned else IGNORED for place, number in enumerate(ids))
    return Encoded(tuple(ids), labels)


def rows(count, value):
    return torch.full((count, WIDTH), float(value))


def test_features_stand_where_their_placeholders_stood(embed):
    encoded = sample(1, 90, 2, 91, 91, 3, learned=(2, 5))
    features = {"<image>": [rows(3, 7)], "<mask>": [rows(1, 8), rows(2, 9)]}
    spliced = splice([encoded], [features], embed, IDS)
    text = embed.weight
    expected = torch.cat([text[1:2], rows(3, 7), text[2:3], rows(1, 8), rows(2, 9), text[3:4]])
    assert torch.equal(spliced.embedding_BLD[0], expected)
    assert spliced.label_BL.tolist() == [[-100, -100, -100, -100, 2, -100, -100, -100, 3]]
    assert spliced.position_BL.tolist() == [list(range(9))]
    assert spliced.spans == ((Span("<image>", 0, 1, 4), Span("<mask>", 0, 5, 6), Span("<mask>", 1, 6, 8)),)
    assert spliced.text_positions == ((0, 1, 4, 5, 6, 8),)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_is_zero_and_not_learned_and_moves_positions(embed, side):
    short, long = sample(1, 90, learned=(0,)), sample(2, 90, 3, learned=(2,))
    features = [{"<image>": [rows(1, 7)]}, {"<image>": [rows(4, 8)]}]
    spliced = splice([short, long], features, embed, IDS, padding_side=side)
    offset = 4 if side == "left" else 0
    here = slice(offset, offset + 2)
    assert spliced.mask_BL.tolist() == [[0] * offset + [1, 1] + [0] * (4 - offset), [1] * 6]
    assert torch.equal(spliced.embedding_BLD[0, here], torch.cat([embed.weight[1:2], rows(1, 7)]))
    assert not spliced.embedding_BLD[0][spliced.mask_BL[0] == 0].any()
    assert (spliced.label_BL[0][spliced.mask_BL[0] == 0] == IGNORED).all()
    assert spliced.position_BL[0, here].tolist() == [0, 1]
    assert spliced.spans[0] == (Span("<image>", 0, offset + 1, offset + 2),)
    assert spliced.text_positions[0] == (offset, offset + 1)


def test_spans_find_the_features_again(embed):
    generator = torch.Generator().manual_seed(1)
    encoded = [sample(1, 91, 90, 91, 5), sample(90, 2), sample(3, 4)]
    features = [
        {"<mask>": [torch.rand(2, 4, generator=generator), torch.rand(1, 4, generator=generator)]}
        | {"<image>": [torch.rand(5, 4, generator=generator)]},
        {"<image>": [torch.rand(3, 4, generator=generator)]},
        {},
    ]
    spliced = splice(encoded, features, embed, IDS, padding_side="left")
    for row, (given, spans) in enumerate(zip(features, spliced.spans, strict=True)):
        assert len(spans) == sum(map(len, given.values()))
        for span in spans:
            here = spliced.embedding_BLD[row, span.start : span.end]
            assert torch.equal(here, given[span.name][span.place])
    for row, (one, places) in enumerate(zip(encoded, spliced.text_positions, strict=True)):
        for number, place in zip(one.ids, places, strict=True):
            if number not in IDS.values():
                assert torch.equal(spliced.embedding_BLD[row, place], embed.weight[number])


def test_gradients_reach_features_and_text_and_the_table_is_not_written(embed):
    before = embed.weight.detach().clone()
    feature = torch.ones(2, WIDTH, requires_grad=True)
    spliced = splice([sample(1, 90, 2)], [{"<image>": [feature]}], embed, IDS)
    spliced.embedding_BLD.sum().backward()
    assert torch.equal(feature.grad, torch.ones(2, WIDTH))
    assert embed.weight.grad[[1, 2]].eq(1).all()
    assert not embed.weight.grad[90].any()
    assert torch.equal(embed.weight, before)


def test_a_label_at_a_placeholder_is_not_learned(embed):
    spliced = splice([sample(1, 91, 2, learned=(1, 2))], [{"<mask>": [rows(2, 1)]}], embed, IDS)
    assert spliced.label_BL.tolist() == [[-100, -100, -100, 2]]


def test_text_alone_needs_no_feature(embed):
    spliced = splice([sample(1, 2, learned=(1,))], [{}], embed, IDS)
    assert torch.equal(spliced.embedding_BLD[0], embed.weight[[1, 2]])
    assert spliced.spans == ((),)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({}, "sample 0: 1 placeholders '<image>' need as many features, got 0"),
        ({"<image>": [rows(1, 0)] * 2}, "sample 0: 1 placeholders '<image>' need as many features, got 2"),
        (
            {"<image>": [rows(1, 0)], "<mask>": [rows(1, 0)]},
            "0 placeholders '<mask>' need as many features, got 1",
        ),
        ({"<image>": [rows(1, 0)], "<pos>": []}, "there is no placeholder '<pos>'"),
        ({"<image>": [rows(0, 0)]}, r"must have the shape \(k, 4\) with k > 0, got \(0, 4\)"),
        ({"<image>": [torch.zeros(1, 5)]}, r"feature 0 of '<image>' must have the shape \(k, 4\)"),
        ({"<image>": [torch.zeros(4)]}, r"got \(4,\)"),
    ],
)
def test_what_does_not_match_is_refused(embed, features, message):
    with pytest.raises(ValueError, match=message):
        splice([sample(1, 90)], [features], embed, IDS)


def test_counts_of_a_batch_must_match(embed):
    with pytest.raises(ValueError, match="1 samples need as many sets of features, got 2"):
        splice([sample(1)], [{}, {}], embed, IDS)
    with pytest.raises(ValueError, match="0 samples"):
        splice([], [], embed, IDS)
    with pytest.raises(ValueError, match="sample 0: 2 ids need as many labels, got 1"):
        splice([Encoded((1, 2), (IGNORED,))], [{}], embed, IDS)


def test_text_is_cut_at_its_end(embed):
    encoded = sample(1, 90, 2, 3, learned=(2, 3))
    spliced = splice([encoded], [{"<image>": [rows(2, 7)]}], embed, IDS, max_length=4)
    assert spliced.label_BL.tolist() == [[-100, -100, -100, 2]]
    assert spliced.text_positions == ((0, 1, 3),)


def test_features_are_never_cut(embed):
    with pytest.raises(ValueError, match="sample 0: '<image>' 0 ends at position 3, behind max_length 2"):
        splice([sample(1, 90, learned=(0,))], [{"<image>": [rows(2, 7)]}], embed, IDS, max_length=2)


def test_cutting_leaves_something_to_learn(embed):
    with pytest.raises(ValueError, match="its 3 positions, cut to 2, leave nothing to learn"):
        splice([sample(1, 2, 3, learned=(2,))], [{}], embed, IDS, max_length=2)


def test_features_of_another_precision_follow_the_text(embed):
    spliced = splice([sample(90)], [{"<image>": [rows(1, 1).bfloat16()]}], embed, IDS)
    assert spliced.embedding_BLD.dtype == torch.float32
