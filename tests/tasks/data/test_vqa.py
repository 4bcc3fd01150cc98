"""Questions, annotations and results -> VQA accuracy, worked out by hand."""

import copy
import json

import pytest

from evaluation.questions import evaluate_questions
from tasks.data.answer_files import read_answers
from tasks.data.vqa import read_vqa
from tasks.errors import DataError

QUESTIONS = {
    "data_subtype": "val2014",
    "questions": [
        {"image_id": 42, "question": "What colour is it?", "question_id": 420},
        {"image_id": 43, "question": "How many?", "question_id": 430},
    ],
}


def people(*answers):
    return [
        {"answer": answer, "answer_confidence": "yes", "answer_id": number}
        for number, answer in enumerate(answers, start=1)
    ]


ANNOTATIONS = {
    "data_subtype": "val2014",
    "annotations": [
        {
            "question_id": 430,
            "image_id": 43,
            "answer_type": "number",
            "question_type": "how many",
            "multiple_choice_answer": "2",
            "answers": people("2", "two", "Two.", *["3"] * 7),
        },
        {"question_id": 420, "image_id": 42, "answer_type": "other", "answers": people(*["red"] * 10)},
    ],
}


def write(folder, change=None):
    documents = {"questions": copy.deepcopy(QUESTIONS), "annotations": copy.deepcopy(ANNOTATIONS)}
    if change is not None:
        change(documents["questions"], documents["annotations"])
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    return folder / "questions.json", folder / "annotations.json"


def test_by_hand(tmp_path):
    items = read_vqa(*write(tmp_path))
    assert [(item.question.item_id, item.image_id, item.text) for item in items] == [
        ("420", 42, "What colour is it?"),
        ("430", 43, "How many?"),
    ]
    assert [item.question.group for item in items] == ["other", "number"]
    said = tmp_path / "said.json"
    said.write_text(json.dumps([{"question_id": 430, "answer": "2"}, {"question_id": 420, "answer": "red"}]))
    result = evaluate_questions([item.question for item in items], read_answers(said), measure="vqa_accuracy")
    # "2", "two" and "Two." are one answer: 3 of 10 give 0.9, 10 of 10 give 1.
    assert result.per_item["score"].tolist() == pytest.approx([1.0, 0.9])


def test_a_question_without_an_answer_scores_0(tmp_path):
    questions = [item.question for item in read_vqa(*write(tmp_path))]
    result = evaluate_questions(questions, {"420": "red"}, measure="vqa_accuracy")
    assert result.values["questions.vqa_accuracy"] == 0.5


def change_answer(key, value):
    def change(_, annotations):
        annotations["annotations"][0]["answers"][1][key] = value

    return change


def change_row(document, place, key, value):
    def change(questions, annotations):
        (questions if document == "questions" else annotations)[document][place][key] = value

    return change


RULES = [
    (lambda q, a: q.update(questions=[]), "questions", "must be a document with a list 'questions'"),
    (lambda q, a: a.pop("annotations"), "annotations", "must be a document with a list 'annotations'"),
    (lambda q, a: a.update(data_subtype="train2014"), "annotations", "is of 'train2014', but "),
    (lambda q, a: q["questions"].pop(), "annotations", "1 ids are not in the other document, first: [430]."),
    (lambda q, a: a["annotations"].pop(), "questions", "1 ids are not in the other document, first: [420]."),
    (change_row("questions", 1, "question_id", 420), "questions", "question_id 420 appears a second time."),
    (change_row("questions", 1, "question_id", "430"), "questions", "must have 'question_id' of type int"),
    (
        change_row("questions", 1, "question", " "),
        "questions",
        "question 430 must have 1 to 100000 characters",
    ),
    (change_row("annotations", 0, "image_id", 42), "annotations", "is about image 43, its answers about 42."),
    (change_row("annotations", 0, "answer_type", None), "annotations", "must have 'answer_type' of type str"),
    (change_row("annotations", 0, "answers", people("2")), "annotations", "at least 2 people, got 1."),
    (
        change_answer("answer", " "),
        "annotations",
        "an answer to question 430 must have 1 to 100000 characters",
    ),
    (change_answer("answer", 2), "annotations", "an answer to question 430 must have 'answer' of type str"),
    (change_answer("answer_id", 1), "annotations", "annotation of question 430 has answer_id 1 twice."),
]


@pytest.mark.parametrize(("change", "document", "message"), RULES)
def test_documents_that_are_refused(tmp_path, change, document, message):
    with pytest.raises(DataError) as caught:
        read_vqa(*write(tmp_path, change))
    assert message in caught.value.message
    assert f"{document}.json" in caught.value.obj
    assert caught.value.hint == "Correct the file, or make it again."
