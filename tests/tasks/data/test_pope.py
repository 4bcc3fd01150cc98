"""Question files and answers -> the five numbers of POPE, worked out by hand."""

import json

import pytest

from evaluation.pope import evaluate_pope
from tasks.data.pope import read_pope, read_pope_answers
from tasks.errors import DataError

IMAGE = "COCO_val2014_000000310196.jpg"


def question(number, label, **changes):
    row = {"question_id": number, "image": IMAGE, "text": "Is there a dog in the image?", "label": label}
    return row | changes


def write(path, rows):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def evaluate(truth, answers, **options):
    items = read_pope(truth, **options)
    return items, evaluate_pope(
        [item.question for item in items], read_pope_answers(answers, items, **options)
    )


def test_by_hand(tmp_path):
    truth = write(
        tmp_path / "coco_pope_random.json", [question(n, "yes" if n < 4 else "no") for n in range(1, 7)]
    )
    # Right, wrong and blank "yes"; right "no", wrong "no", and one that was not answered.
    said = {1: "Yes, there is.", 2: "No.", 3: " ", 4: "There is not a dog.", 5: "A dog"}
    answers = write(
        tmp_path / "said_random.jsonl",
        [{"question_id": number, "answer": text} for number, text in said.items()],
    )
    items, result = evaluate(truth, answers)
    assert [item.question.item_id for item in items] == [f"random/{n}" for n in range(1, 7)]
    assert (items[0].image, items[0].text) == (IMAGE, "Is there a dog in the image?")
    values = result.values
    assert values["pope.random.accuracy"] == pytest.approx(2 / 6)
    assert values["pope.random.precision"] == pytest.approx(1 / 3)  # claimed: 1, 5, and 6 by rule
    assert values["pope.random.recall"] == pytest.approx(1 / 3)
    assert values["pope.random.yes_ratio"] == pytest.approx(2 / 6)
    assert "pope.popular.accuracy" in values.undefined


def test_a_folder_has_a_file_for_each_setting(tmp_path):
    for setting, label in (("random", "yes"), ("popular", "no"), ("adversarial", "no")):
        write(tmp_path / "truth" / f"coco_pope_{setting}.json", [question(1, label)])
        write(tmp_path / "said" / f"llava-{setting}.jsonl", [{"question_id": 1, "answer": "no"}])
    items, result = evaluate(tmp_path / "truth", tmp_path / "said")
    assert [item.question.setting for item in items] == ["adversarial", "popular", "random"]
    assert [result.values[f"pope.{name}.accuracy"] for name in ("random", "popular")] == [0.0, 1.0]


def test_a_setting_can_be_given(tmp_path):
    truth = write(tmp_path / "questions.json", [question("a", "no")])
    answers = write(tmp_path / "answers.jsonl", [{"question_id": "a", "answer": "no"}])
    items, _ = evaluate(truth, answers, setting="popular")
    assert items[0].question.item_id == "popular/a"


def test_answers_without_an_id_stand_beside_their_questions(tmp_path):
    texts = ["Is there a dog?", "Is there a cat?", "Is there a dog?"]
    rows = [question(number, "no", text=text) for number, text in enumerate(texts, start=1)]
    truth = write(tmp_path / "pope_random.json", rows)
    said = [{"question": text.lower(), "answer": "No"} for text in texts]
    items, result = evaluate(truth, write(tmp_path / "said_random.json", said))
    assert result.values["pope.random.accuracy"] == 1.0
    answers = write(tmp_path / "lost_random.json", said[1:])
    assert fails(read_pope_answers, answers, items) == "has 2 answers without question_id to 3 questions."
    empty = tmp_path / "empty_random.json"
    empty.write_text("[]")
    assert read_pope_answers(empty, items) == {}
    answers = write(tmp_path / "moved_random.json", [*said[1:], said[0]])
    assert fails(read_pope_answers, answers, items) == (
        "answers 'is there a cat?', the question in this place is 'Is there a dog?'."
    )


def fails(call, *arguments, **options):
    with pytest.raises(DataError) as caught:
        call(*arguments, **options)
    return caught.value.message


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (question(1, "Yes"), "label must be yes or no, got 'Yes'."),
        (question(1, None), "a question must have 'label' of type str, got None."),
        (question(1, "no", image="../a.jpg"), "image '../a.jpg' has an empty part, '.' or '..'."),
        (question(1, "no", text=" "), "text must have 1 to 100000 characters, got ' '."),
        (question(2, "no"), "question 2 appears a second time."),
        ([], "a question must be an object, got list."),
    ],
)
def test_questions_that_are_refused(tmp_path, row, message):
    path = write(tmp_path / "pope_random.json", [question(2, "yes"), row])
    with pytest.raises(DataError) as caught:
        read_pope(path)
    assert (caught.value.message, caught.value.obj) == (message, f"{path} line 2")


def test_settings_that_are_refused(tmp_path):
    path = write(tmp_path / "questions.json", [question(1, "no")])
    assert fails(read_pope, path) == (
        "has a name that ends in none of random, popular, adversarial, and no setting is given."
    )
    folder = tmp_path / "folder"
    for name in ("a_random.json", "b_random.json"):
        write(folder / name, [question(1, "no")])
    message = "has two files of the setting random: a_random.json, b_random.json."
    assert fails(read_pope, folder) == message
    assert (
        fails(read_pope_answers, folder, [], setting="random")
        == "is a folder; a setting (random) is of one file."
    )
    (tmp_path / "empty").mkdir()
    assert fails(read_pope, tmp_path / "empty") == "is empty."
