"""ROUGE-L against its formula by hand and a slow twin."""

from itertools import combinations

import pytest

from evaluation.captions import CaptionItem
from evaluation.rouge import evaluate_rouge, longest_common, rouge_l


def slow_common(first, second):
    """Try every subsequence of the first, longest first."""
    for length in range(len(first), 0, -1):
        for chosen in combinations(first, length):
            rest = iter(second)
            if all(word in rest for word in chosen):
                return length
    return 0


@pytest.mark.parametrize(
    ("first", "second"),
    [("abcbdab", "bdcaba"), ("abc", "abc"), ("abc", "def"), ("", "abc"), ("aab", "baa"), ("xaybzc", "abc")],
)
def test_the_longest_common_subsequence(first, second):
    assert longest_common(first, second) == slow_common(first, second)
    assert longest_common(second, first) == longest_common(first, second)


def test_the_formula_by_hand():
    # 3 of 4 words of the caption and 3 of 6 of the reference are common, in order.
    precision, recall = 3 / 4, 3 / 6
    expected = (1 + 1.44) * precision * recall / (recall + 1.44 * precision)
    words = ["police", "kill", "the", "gunman"]
    reference = ["police", "killed", "the", "gunman", "last", "night"]
    assert rouge_l(words, [reference]) == pytest.approx(expected)
    assert rouge_l(words, [words]) == pytest.approx(1.0)
    assert rouge_l([], [reference]) == 0.0
    assert rouge_l(["other"], [reference]) == 0.0


def test_of_several_references_each_part_is_the_best():
    # The first is found whole but short, the second holds every word of the caption.
    assert rouge_l(["a", "b", "c"], [["a"], ["a", "b", "c", "d", "e", "f"]]) == pytest.approx(1.0)


def test_a_mean_over_items_and_silence_counts():
    items = [CaptionItem(item_id=name, references=("A red cup.",)) for name in "ab"]
    result = evaluate_rouge(items, {"a": "a red cup"})
    assert result.values["caption.rouge_l"] == pytest.approx(0.5)
    assert result.per_item["rouge_l"].tolist() == [pytest.approx(1.0), 0.0]
    with pytest.raises(ValueError, match="each reference of item 'x' must have a word"):
        evaluate_rouge([CaptionItem(item_id="x", references=("...",))], {})
