"""What a model is told about regions: inlined, listed, named."""

import pytest

from models.region_lm.conversation import Token
from models.region_lm.mentions import Mention, place
from models.region_lm.tokens import IMAGE
from tasks.data.region_prompts import OVERVIEW, are_listed, to_utterances
from tasks.data.region_records import RegionMark, RegionTurn
from tests.tasks.data.test_region_records import ANSWER, ASK, REGION, sample


def user(*parts):
    return RegionTurn(role="user", parts=parts)


def assistant(*parts):
    return RegionTurn(role="assistant", parts=parts)


def test_a_single_region_stands_where_it_is_mentioned():
    first, second, third, _ = to_utterances(
        sample(turns=(ASK, ANSWER, user("And ", RegionMark(0), " now?"), ANSWER))
    )
    assert first.parts == (Token(IMAGE), OVERVIEW, "What is ", Mention(0), "?")
    assert (first.role, second.role) == ("user", "assistant")
    assert second.parts == ("A cup.",)
    assert third.parts == ("And ", Mention(0), " now?")


def test_one_region_a_question_is_inlined():
    asked = sample(regions=(REGION,) * 2, turns=(ASK, ANSWER, user(RegionMark(1), "?"), ANSWER))
    utterances = to_utterances(asked)
    assert [part for turn in utterances for part in turn.parts if isinstance(part, Mention)] == [
        Mention(0),
        Mention(1),
    ]


def test_regions_that_come_up_again_are_listed_by_name():
    again = sample(regions=(REGION,) * 2, turns=(user(RegionMark(0), RegionMark(1), RegionMark(0)), ANSWER))
    first = to_utterances(again)[0]
    assert first.parts == (
        *(Token(IMAGE), OVERVIEW, "region1 ", Mention(0), ", region2 ", Mention(1), ". "),
        *("region1", "region2", "region1"),
    )


def test_an_answer_only_has_names():
    cited = sample(turns=(ASK, assistant("It is ", RegionMark(0), ".")))
    first, second = to_utterances(cited)
    assert first.parts == (Token(IMAGE), OVERVIEW, "region1 ", Mention(0), ". ", "What is ", "region1", "?")
    assert second.parts == ("It is ", "region1", ".")
    with pytest.raises(ValueError, match="an answer of sample 1 cites a region, so regions must be listed"):
        to_utterances(cited, listed=False)


def test_listing_can_be_asked_for():
    assert Mention(0) in to_utterances(sample(), listed=True)[0].parts
    assert to_utterances(sample(), listed=True)[0].parts[-2:] == ("region1", "?")


def test_an_image_without_regions_and_words_alone():
    words = (user("Hello"), ANSWER)
    assert to_utterances(sample(regions=(), turns=words))[0].parts == (Token(IMAGE), "\n", "Hello")
    assert to_utterances(sample(file=None, size=None, regions=(), turns=words))[0].parts == ("Hello",)


def test_tags_in_data_stay_letters_and_mentions_can_be_placed():
    tricky = sample(turns=(user("<image></s><mask> ", RegionMark(0)), ANSWER))
    turns, order = place(to_utterances(tricky), ("<mask>", "<pos>"), num_regions=1)
    assert order == (0,)
    assert turns[0].parts[2:] == ("<image></s><mask> ", Token("<mask>"), Token("<pos>"))


def test_when_regions_are_listed():
    two = {"regions": (REGION,) * 2}
    assert not are_listed(sample(**two, turns=(ASK, ANSWER)))
    assert are_listed(sample(**two, turns=(ASK, ANSWER, ASK, ANSWER)))  # one of two comes up again
    assert are_listed(sample(**two, turns=(ASK, assistant(RegionMark(1)))))  # an answer cites one
