import itertools

import pytest
import torch

from models.segmentation.box_matching import match_to_boxes


def scene(queries: int, boxes: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    class_logit = torch.randn(queries, 4, generator=generator)
    mask_logit = torch.randn(queries, 6, 7, generator=generator)
    inside = torch.zeros(boxes, 6, 7)
    for number in range(boxes):
        inside[number, number % 3 : number % 3 + 3, number % 4 : number % 4 + 2] = 1.0
    category = torch.randint(0, 3, (boxes,), generator=generator)
    return class_logit, mask_logit, inside, category


def cost_of(query: int, box: int, class_logit, mask_logit, inside, category) -> float:
    """The paper's cost, pair by pair."""
    total = -2.0 * class_logit[query].softmax(0)[category[box]].item()
    for axis in (0, 1):
        u, t = mask_logit[query].sigmoid().amax(axis), inside[box].amax(axis)
        total += 5.0 * (1 - (2 * (u * t).sum() + 1) / (u.square().sum() + t.square().sum() + 1)).item()
    return total


@pytest.mark.parametrize(("queries", "boxes"), [(4, 3), (3, 3), (2, 3), (5, 1)])
def test_no_other_assignment_is_cheaper(queries: int, boxes: int) -> None:
    given = scene(queries, boxes)
    query, box = match_to_boxes(*given)
    assert len(query) == min(queries, boxes)
    assert len(set(query.tolist())) == len(set(box.tolist())) == len(query)
    found = sum(cost_of(q, b, *given) for q, b in zip(query.tolist(), box.tolist(), strict=True))
    count = min(queries, boxes)
    others = (
        sum(cost_of(q, b, *given) for q, b in zip(some_queries, some_boxes, strict=True))
        for some_queries in itertools.permutations(range(queries), count)
        for some_boxes in itertools.combinations(range(boxes), count)
    )
    assert found == pytest.approx(min(others), abs=1e-5)


def test_a_query_that_fills_its_box_gets_it() -> None:
    class_logit, mask_logit, inside, category = scene(6, 3)
    for box, query in enumerate((4, 0, 2)):
        mask_logit[query] = inside[box] * 20 - 10
        class_logit[query, category[box]] = 9.0
    query, box = match_to_boxes(class_logit, mask_logit, inside, category)
    assert dict(zip(box.tolist(), query.tolist(), strict=True)) == {0: 4, 1: 0, 2: 2}


def test_an_image_without_a_box_matches_nothing() -> None:
    class_logit, mask_logit, _, _ = scene(3, 1)
    query, box = match_to_boxes(
        class_logit, mask_logit, torch.zeros(0, 6, 7), torch.zeros(0, dtype=torch.int64)
    )
    assert query.tolist() == box.tolist() == []
    assert query.dtype == box.dtype == torch.int64


def test_a_logit_that_is_no_number_is_named() -> None:
    class_logit, mask_logit, inside, category = scene(3, 2)
    mask_logit[1] = torch.nan
    with pytest.raises(ValueError, match="cost of matching is not finite"):
        match_to_boxes(class_logit, mask_logit, inside, category)
