from benchmarks.region_mllm_world import (
    CAPTION,
    CATEGORIES,
    IMAGE_MIXED,
    IMAGE_PART,
    IMAGE_RANDOM,
    conversation,
    conversations,
    draw_split,
    held_out,
    verdict,
)
from tasks.data.shapes_world import COLOURS, SHAPES


def test_yes_and_no_are_true_and_in_balance(tmp_path):
    split = draw_split(tmp_path, "train", seed=3, count=30, crowding="apart")
    asked = held_out(split, "images")
    for kind in (IMAGE_MIXED, IMAGE_RANDOM, IMAGE_PART):
        rows = [item for item in asked if item.kind == kind]
        assert sum(item.answer == "Yes." for item in rows) >= 30
        assert abs(sum(item.answer == "Yes." for item in rows) - len(rows) / 2) <= 3
        for item in rows:
            scene = split.scenes[item.image]
            name = str(item.sample.turns[0].parts[0]).removeprefix("Is there a ").split(" in the")[0]
            known = {shape.category for shape in scene.objects}
            known |= {shape.shape for shape in scene.objects}
            known |= {f"{shape.colour} object" for shape in scene.objects}
            assert (name in known) == (item.answer == "Yes.")


def test_a_mixed_no_has_a_colour_and_a_shape_that_are_there(tmp_path):
    split = draw_split(tmp_path, "train", seed=3, count=20, crowding="apart")
    found = 0
    for item in held_out(split, "images"):
        if item.kind == IMAGE_MIXED and item.answer == "No.":
            scene = split.scenes[item.image]
            colour, shape = str(item.sample.turns[0].parts[0]).split()[3:5]
            has = [
                colour in {part.colour for part in scene.objects},
                shape in {part.shape for part in scene.objects},
            ]
            assert any(has)
            found += all(has)
    assert found > 5


def test_regions_are_described_and_asked_about(tmp_path):
    split = draw_split(tmp_path, "train", seed=3, count=6, crowding="overlapping")
    epoch = conversations(split, "regions", seed=0, epoch=0)
    assert [len(samples) for samples in epoch] == [2] * 6
    for scene, (told, asked) in zip(split.scenes, epoch, strict=True):
        assert {str(turn.parts[0]) for turn in told.turns[1::2]} == {part.caption for part in scene.objects}
        assert {verdict(str(turn.parts[0])) for turn in asked.turns[1::2]} <= {"Yes.", "No."}
    captions = [item for item in held_out(split, "regions") if item.kind == CAPTION]
    assert len(captions) == sum(len(scene.objects) for scene in split.scenes)
    assert all(len(item.sample.turns) == 2 and len(item.base.turns) >= 4 for item in captions)


def test_other_epochs_ask_other_questions(tmp_path):
    split = draw_split(tmp_path, "train", seed=3, count=4, crowding="apart")
    first, second = (conversations(split, "images", seed=0, epoch=epoch) for epoch in (0, 1))
    assert first != second
    assert first == conversations(split, "images", seed=0, epoch=0)
    assert len(conversation(split.scenes[0], [1], most=2)) == 2
    assert len(CATEGORIES) == 24


def test_an_answer_says_what_the_region_is_first(tmp_path):
    split = draw_split(tmp_path, "train", seed=0, count=12, crowding="apart")
    verdicts = {True: set(), False: set()}
    for scene, (_, asked) in zip(split.scenes, conversations(split, "regions", seed=0, epoch=0), strict=True):
        captions = {shape.caption for shape in scene.objects}
        for question, answer in zip(asked.turns[::2], asked.turns[1::2], strict=True):
            text = " ".join(part for part in question.parts if isinstance(part, str))
            words = {word for word in text.rstrip("?").split() if word in SHAPES or word in COLOURS}
            caption, _, last = str(answer.parts[0]).rpartition(". ")
            assert caption in captions
            verdicts[words <= set(caption.split())].add(last)
    assert verdicts == {True: {"Yes."}, False: {"No."}}
    assert verdict("No.") == "No."
    assert verdict("small red circle. Yes.") == "Yes."


def test_an_answer_about_an_image_says_what_is_most_alike_first(tmp_path):
    split = draw_split(tmp_path, "train", seed=0, count=12, crowding="apart")
    seen = set()
    for scene in split.scenes:
        for question, answer in conversation(scene, [0], most=9):
            if answer.endswith(("Yes.", "No.")):
                words = set(question.removesuffix("?").split())
                caption, _, last = answer.rpartition(". ")
                alike = {shape.caption: len(words & {shape.colour, shape.shape}) for shape in scene.objects}
                assert alike[caption] == max(alike.values())
                asked = words & {*SHAPES, *COLOURS}
                assert (last == "Yes.") == (asked <= set(caption.split()))
                seen.add((last, alike[caption]))
    assert {("Yes.", 2), ("Yes.", 1), ("No.", 1), ("No.", 0)} <= seen
