"""Questions made of facts: what is asked is true, yes and no are balanced, and seeds decide."""

from collections import Counter

import pytest

from tasks.data.region_facts import FactRegion, RegionFacts
from tasks.data.region_records import RegionMark, SampleRegion
from tasks.data.region_samples import (
    ASK_DETAIL,
    ASK_NAME,
    choose_samples,
    describe_samples,
    exists_samples,
)


def facts(image_id, *objects):
    """An image of 100 x 100 with objects given as (label, left, texts...)."""
    return RegionFacts(
        dataset="d",
        split="train",
        image_id=str(image_id),
        file="a.jpg",
        size=(100, 100),
        regions=tuple(
            FactRegion(
                region=SampleRegion(box_xyxy=(float(left), 0.0, left + 10.0, 10.0), label=label),
                texts=tuple(texts),
            )
            for label, left, *texts in objects
        ),
    )


def many(count, labels=("cup", "dog", "car")):
    """Images with one to five objects."""
    return [
        facts(
            number, *((labels[(number + place) % len(labels)], 10 * place) for place in range(1 + number % 5))
        )
        for number in range(count)
    ]


def rounds(sample):
    """Question without the region, index of the region, answer."""
    for ask, answer in zip(sample.turns[::2], sample.turns[1::2], strict=True):
        (index,) = ask.marks
        yield "".join(part for part in ask.parts if isinstance(part, str)), index, answer.parts[0]


def test_each_region_is_asked_for_once_and_answered_truly():
    image = facts(1, ("cup", 0, "a cup", "white cup"), ("dog", 20, "a dog"), (None, 40), ("car", 60))
    (texts,) = describe_samples([image], seed=0)
    assert len(texts.regions) == 2
    for _, index, answer in rounds(texts):
        assert answer in {"cup": ("a cup", "white cup"), "dog": ("a dog",)}[texts.regions[index].label]
    (names,) = describe_samples([image], seed=0, say="label", questions=ASK_NAME)
    assert sorted(answer for _, _, answer in rounds(names)) == ["car", "cup", "dog"]
    assert [answer for _, _, answer in rounds(names)] == [region.label for region in names.regions]
    assert names.sample_id == "1/describe-label"


def test_at_most_so_many_regions_and_none_without_texts():
    image = facts(1, *(("cup", 3 * place, f"cup {place}") for place in range(30)))
    (sample,) = describe_samples([image], seed=0, most=15)
    assert len(sample.regions) == 15
    assert len(set(sample.regions)) == 15
    assert describe_samples([facts(2, ("cup", 0))], seed=0) == []


def test_epochs_draw_anew_and_seeds_repeat():
    images = [
        facts(number, *((f"c{place}", 5 * place, f"t{place}") for place in range(9))) for number in range(5)
    ]
    first = describe_samples(images, seed=3, questions=ASK_DETAIL)
    assert first == describe_samples(images, seed=3, questions=ASK_DETAIL)
    assert first != describe_samples(images, seed=3, epoch=1, questions=ASK_DETAIL)
    assert first != describe_samples(images, seed=4, questions=ASK_DETAIL)
    assert describe_samples(images[3:], seed=3, questions=ASK_DETAIL) == first[3:]
    asked = {question for sample in first for question, _, _ in rounds(sample)}
    assert asked == {question.replace("<region>", "") for question in ASK_DETAIL}


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        ((), "a question must hold one <region>, got no question"),
        (("What?",), r"a question must hold one <region>, got 'What\?'"),
        (("<region> <region>",), "a question must hold one <region>, got '<region> <region>'"),
    ],
)
def test_questions_hold_one_region(questions, message):
    with pytest.raises(ValueError, match=message):
        describe_samples([], seed=0, questions=questions)


@pytest.mark.parametrize("negative", ["nearest", "random"])
def test_yes_is_true_no_is_not_and_both_are_as_many(negative):
    for images in (many(200), many(1), many(7)):
        samples = exists_samples(images, seed=1, negative=negative, categories=("cup", "dog", "car"))
        counts = Counter()
        for sample in samples:
            for question, index, answer in rounds(sample):
                label = sample.regions[index].label
                assert (f"a {label}" in question) == (answer == "Yes.")
                counts[answer] += 1
        assert abs(counts["Yes."] - counts["No."]) <= 1
        assert sum(counts.values()) == sum(len(image.regions) for image in images)
    yes_first = [next(rounds(sample))[2] for sample in exists_samples(many(300), seed=1)]
    assert 100 < yes_first.count("Yes.") < 200


def test_earlier_answers_do_not_tell_the_later_ones():
    """Whoever says the answer that was rarer so far is right half the time."""
    right = []
    for sample in exists_samples(many(400), seed=1):
        said = [answer == "Yes." for _, _, answer in rounds(sample)]
        right += [said[place] == (2 * sum(said[:place]) < place) for place in range(1, len(said))]
    assert len(right) > 200
    assert abs(sum(right) / len(right) - 0.5) < 0.1


def test_negatives_are_the_nearest_of_another_category():
    image = facts(1, ("cup", 0), ("cup", 10), ("dog", 30), ("car", 90))
    nearest = {"cup": "dog", "dog": "cup", "car": "dog"}
    for seed in range(10):
        (sample,) = exists_samples([image], seed=seed, categories=("cup", "dog", "car", "sky"))
        for question, index, answer in rounds(sample):
            if answer == "No.":
                assert f"a {nearest[sample.regions[index].label]}" in question


def test_where_there_is_no_other_one_is_drawn():
    lonely = [facts(number, ("cup", 0), ("cup", 20)) for number in range(40)]
    samples = exists_samples(lonely, seed=0, categories=("cup", "dog", "car"))
    said = Counter(
        question.split(" a ")[1].strip(" ?in") for s in samples for question, _, a in rounds(s) if a == "No."
    )
    assert said.keys() == {"dog", "car"}


def test_similar_categories():
    similar = {"cup": ("mug", "glass"), "dog": ()}
    samples = exists_samples(
        many(60, labels=("cup", "dog")),
        seed=0,
        negative="similar",
        similar=similar,
        categories=("cup", "dog"),
    )
    said = {
        (sample.regions[index].label, word)
        for sample in samples
        for question, index, answer in rounds(sample)
        for word in ("mug", "glass", "cup", "dog")
        if answer == "No." and f"a {word}" in question
    }
    assert said == {("cup", "mug"), ("cup", "glass"), ("dog", "cup")}


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"categories": ("cup",)}, r"at least 2 categories are needed to say no, got \['cup'\]"),
        ({"negative": "similar"}, "similar must be given for negative='similar', and for nothing else"),
        ({"similar": {}}, "similar must be given for negative='similar'"),
    ],
)
def test_negatives_need_categories(keywords, message):
    with pytest.raises(ValueError, match=message):
        exists_samples(many(3), seed=0, **keywords)


def test_braces_in_a_category_are_letters():
    (sample,) = exists_samples([facts(1, ("{x}", 0), ("{}", 50))], seed=0)
    assert all("{" in question for question, _, _ in rounds(sample))


def test_choices_are_unique_and_cite_the_region():
    image = facts(1, ("cup", 0, "a cup", "left"), ("cup", 20, "a cup", "middle"), ("dog", 40))
    (sample,) = choose_samples([image], seed=0)
    assert len(sample.regions) == 3
    for ask, answer in zip(sample.turns[::2], sample.turns[1::2], strict=True):
        (mark,) = answer.parts
        assert isinstance(mark, RegionMark)
        text = ask.parts[-1]
        assert sample.regions[mark.index].box_xyxy[0] == {"left": 0.0, "middle": 20.0}[text]
        assert ask.marks == ()
    assert choose_samples([facts(2, ("cup", 0, "alone"))], seed=0) == []
