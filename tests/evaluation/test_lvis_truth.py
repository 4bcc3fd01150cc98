import dataclasses

import numpy as np
import pytest

from evaluation.lvis_truth import LvisCategory, check_lists
from tests.evaluation.lvis_scenes import CATEGORIES, image_of

A = [0, 0, 40, 40]


def test_lists_that_contradict_each_other():
    assert image_of([A], [0], negative=[1], not_exhaustive=[0, 2]).not_exhaustive == {0, 2}
    with pytest.raises(
        ValueError, match=r"^image 1 of the regions: category 0 is negative and has regions\.$"
    ):
        image_of([A], [0], negative=[0, 1])
    message = r"^image 1 of the regions: category 2 is negative and has a not-exhaustive mark\.$"
    with pytest.raises(ValueError, match=message):
        image_of([A], [0], negative=[2], not_exhaustive=[2])


@pytest.mark.parametrize("area", [np.nan, -1.0, np.inf])
def test_areas_that_no_region_has(area):
    message = rf"^image 1 of the regions, number 1: area must be finite and at least 0, got {area}\.$"
    with pytest.raises(ValueError, match=message):
        image_of([A, A], [0, 1], areas=[5.0, area])


def test_areas_of_another_form():
    image = image_of([A], [0])
    with pytest.raises(TypeError, match=r"^image 1 of the regions: areas must be float64, got int64\.$"):
        dataclasses.replace(image, areas=np.array([4]))
    message = r"^image 1 of the regions: areas must have shape \(1,\), got \(2,\)\.$"
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(image, areas=np.zeros(2))


def test_crowds_are_refused():
    image = image_of([A], [0])
    crowd = dataclasses.replace(image.truth, is_crowd=np.ones(1, dtype=bool))
    with pytest.raises(ValueError, match=r"^image 1 of the regions: a region is a crowd; LVIS has none"):
        dataclasses.replace(image, truth=crowd)


def test_categories():
    with pytest.raises(ValueError, match=r"^category 'cat': frequency must be r, c or f, got 'x'\.$"):
        LvisCategory(name="cat", frequency="x")
    check_lists([image_of([A], [0], negative=[3])], CATEGORIES)
    for place in (4, -1):
        message = rf"^image 1 of the regions: category {place} of a list is not one of 4\.$"
        with pytest.raises(ValueError, match=message):
            check_lists([image_of([A], [0], negative=[place])], CATEGORIES)
    with pytest.raises(ValueError, match=r"^names of categories must differ, 'c1' appears twice\.$"):
        check_lists([], [*CATEGORIES, CATEGORIES[1]])
