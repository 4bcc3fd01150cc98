"""What a scene says about itself is what its pixels show."""

import numpy as np
import pytest

from tasks.data.shapes_world import (
    COLOURS,
    RADII,
    SHAPES,
    VISIBLE,
    WorldSettings,
    box_of,
    count_questions,
    draw_scene,
    expressions,
    is_left_of,
)

APART = WorldSettings(side=96)
OVERLAPPING = WorldSettings(side=96, least=2, crowding="overlapping", stripes=True)
_ORDINALS = {"first": 0, "second": 1, "third": 2, "fourth": 3, "fifth": 4, "sixth": 5}


def scenes(settings, count=40, seed=0):
    return [draw_scene(seed, number, settings) for number in range(1, count + 1)]


def nearest_colour(pixels):
    """The colour that a pixel is closest to; grey for the background."""
    table = np.array([*COLOURS.values(), (127, 127, 127)])
    places = np.abs(pixels[:, None].astype(int) - table).sum(axis=2).argmin(axis=1)
    return [[*COLOURS, "grey"][place] for place in places]


def meant(scene, phrase):
    """Read an expression slowly: the indices of the objects that it fits."""
    words = phrase.split()
    if "from" in words:
        axis = 0 if words[-1] == "left" else 1
        category = " ".join(words[2 : words.index("from")])
        alike = [i for i, shape in enumerate(scene.objects) if shape.category == category]
        alike.sort(key=lambda i: scene.objects[i].centre[axis])
        return [alike[_ORDINALS[words[1]]]]
    return [
        index
        for index, shape in enumerate(scene.objects)
        if all(word in (shape.size, shape.colour, shape.shape, "the", "object") for word in words)
    ]


@pytest.mark.parametrize("settings", [APART, OVERLAPPING], ids=["apart", "overlapping"])
def test_pixels_are_what_masks_and_colours_say(settings):
    for scene in scenes(settings, 12):
        covered = np.zeros((96, 96), dtype=int)
        for shape in scene.objects:
            body = scene.image[shape.mask & ~shape.stripe_mask]
            assert set(nearest_colour(body)) == {shape.colour}
            if shape.stripe:
                assert set(nearest_colour(scene.image[shape.stripe_mask])) == {shape.stripe}
                assert shape.stripe != shape.colour
            assert not (shape.stripe_mask & ~shape.mask).any()
            assert shape.stripe_mask.any() == (shape.stripe is not None)
            covered += shape.mask
        assert covered.max() == 1
        assert set(nearest_colour(scene.image[covered == 0])) == {"grey"}


def test_boxes_are_tight():
    for scene in scenes(OVERLAPPING, 10):
        for shape in scene.objects:
            left, top, right, bottom = map(int, shape.box_xyxy)
            inside = shape.mask[top:bottom, left:right]
            assert inside.sum() == shape.mask.sum()
            assert all(line.any() for line in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))
    mask = np.zeros((5, 7), dtype=bool)
    mask[2, 3] = True
    assert box_of(mask) == (3.0, 2.0, 4.0, 3.0)


def test_apart_means_apart_and_overlapping_overlaps():
    for scene in scenes(APART, 20):
        boxes = [shape.box_xyxy for shape in scene.objects]
        assert not any(shared(one, other) for i, one in enumerate(boxes) for other in boxes[:i])
    for scene in scenes(OVERLAPPING, 20):
        assert len(scene.objects) >= 2
        for shape in scene.objects:
            others = [other for other in scene.objects if other is not shape]
            near = [other for other in others if shared(shape.box_xyxy, other.box_xyxy)]
            assert all(other.colour != shape.colour for other in near)
        boxes = [shape.box_xyxy for shape in scene.objects]
        assert any(shared(one, other) for i, one in enumerate(boxes) for other in boxes[:i])


def shared(one, other):
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0) * max(height, 0)


def test_most_of_a_shape_is_seen():
    """Areas of whole shapes from their geometry: a hidden one would be smaller than any of its kind."""
    smallest = {"square": 4.0, "circle": 3.0, "triangle": 1.9, "cross": 1.4}  # radii squared, at least
    for scene in scenes(OVERLAPPING, 40):
        for shape in scene.objects:
            radius = max(4, int(96 * RADII[shape.size][0]))
            assert shape.mask.sum() >= VISIBLE * smallest[shape.shape] * radius**2


def test_sizes_can_be_told_apart():
    for scene in scenes(APART, 40):
        for shape in scene.objects:
            left, _, right, _ = shape.box_xyxy
            assert (right - left > 0.25 * 96) == (shape.size == "large")


@pytest.mark.parametrize("settings", [APART, OVERLAPPING], ids=["apart", "overlapping"])
def test_expressions_fit_one_object(settings):
    some_ordinal = False
    for scene in scenes(settings, 60):
        for index in range(len(scene.objects)):
            found = expressions(scene, index)
            assert found
            assert len(set(found)) == len(found)
            for phrase in found:
                assert meant(scene, phrase) == [index], phrase
                some_ordinal |= " from the " in phrase
    assert some_ordinal or settings is OVERLAPPING


def test_captions_and_categories():
    shape = next(shape for scene in scenes(OVERLAPPING) for shape in scene.objects if shape.stripe)
    assert shape.category == f"{shape.colour} {shape.shape}"
    assert shape.caption == f"{shape.size} {shape.colour} {shape.shape} with a {shape.stripe} stripe"
    plain = scenes(APART)[0].objects[0]
    assert plain.caption == f"{plain.size} {plain.category}"


def test_counts_are_true():
    for scene in scenes(APART, 10):
        answers, count = dict(count_questions(scene)), len(scene.objects)
        assert answers["How many objects are there?"] == str(count)
        assert sum(int(answers[f"How many {name} objects are there?"]) for name in COLOURS) == count
        assert sum(int(answers[f"How many objects are of the shape {name}?"]) for name in SHAPES) == count


def test_left_of():
    for scene in scenes(APART, 10):
        for one in scene.objects:
            assert is_left_of(one, one) is None
            for other in scene.objects:
                if is_left_of(one, other):
                    assert one.centre[0] < other.centre[0]
                    assert is_left_of(other, one) is False


def test_everything_occurs():
    objects = [shape for scene in scenes(APART, 150) for shape in scene.objects]
    for name, values in (("shape", SHAPES), ("colour", COLOURS), ("size", RADII)):
        counts = {value: sum(getattr(shape, name) == value for shape in objects) for value in values}
        assert min(counts.values()) > 0.5 * len(objects) / len(values), counts
    assert {len(scene.objects) for scene in scenes(APART, 150)} == {1, 2, 3, 4, 5, 6}


def test_scenes_follow_from_seed_and_number():
    one, same = draw_scene(3, 5, APART), draw_scene(3, 5, APART)
    np.testing.assert_array_equal(one.image, same.image)
    assert [shape.caption for shape in one.objects] == [shape.caption for shape in same.objects]
    for other in (draw_scene(3, 6, APART), draw_scene(4, 5, APART)):
        assert not np.array_equal(one.image, other.image)
    assert one.image.dtype == np.uint8
    assert one.image.shape == (96, 96, 3)


@pytest.mark.parametrize(
    "values",
    [
        {"side": 63},
        {"least": 0},
        {"least": 4, "most": 3},
        {"most": 7},
        {"crowding": "overlapping"},
    ],
)
def test_worlds_that_cannot_be_drawn_are_refused(values):
    with pytest.raises(ValueError, match=r"side must be at least 64 and \d <= least <= most <= 6"):
        WorldSettings(**values)
