"""From network output to detections in original pixels."""

from dataclasses import replace

import torch

from models.segmentation.decode import detect, paste, select
from models.segmentation.network import SegmenterOutput
from tests.models.segmentation.tiny import THRESHOLDS, tiny_segmenter

IMAGE = torch.randint(0, 255, (3, 45, 70), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def output_of(boxes, scores):
    logits = torch.logit(torch.tensor(scores))[None, :, None]
    count = len(scores)
    return SegmenterOutput(
        logits,
        torch.tensor(boxes)[None],
        torch.full((1, count), 20.0),
        torch.zeros(1, count, 4),
        torch.zeros(1),
    )


def test_overlaps_low_scores_and_slivers_are_left_out():
    boxes = [[0.0, 0, 10, 10], [1.0, 0, 10, 10], [20.0, 20, 30, 30], [50.0, 0, 50.2, 9], [-5.0, 40, 15, 60]]
    output = output_of(boxes, [0.81, 0.64, 0.01, 0.9, 0.49])
    location, kept, score, category = select(
        output, torch.tensor([64.0, 48, 64, 48]), replace(THRESHOLDS, score_threshold=0.3)
    )
    assert location.tolist() == [0, 4]
    assert kept.tolist() == [[0, 0, 10, 10], [0, 40, 15, 48]]
    torch.testing.assert_close(score, torch.tensor([0.9, 0.7]))
    assert category.tolist() == [0, 0]


def test_a_window_is_drawn_where_it_belongs():
    masks = paste(
        torch.ones(2, 8, 8), torch.tensor([[2.0, 1.0, 6.0, 4.0], [30.0, 30.0, 40.0, 40.0]]), 6, 9, 0.5
    )
    expected = torch.zeros(6, 9, dtype=torch.bool)
    expected[1:4, 2:6] = True
    assert torch.equal(masks[0], expected)
    assert not masks[1].any()


def test_detections_fit_their_image():
    found = detect(tiny_segmenter().eval(), IMAGE, THRESHOLDS, image_scale=1.5, bfloat16=False)
    assert 0 < len(found.scores) <= 7
    assert found.masks.shape == (len(found.scores), 45, 70)
    assert found.masks.flatten(1).any(dim=1).all()
    assert (found.scores.diff() <= 0).all()
    assert (found.boxes_xyxy >= 0).all()
    assert (found.boxes_xyxy <= torch.tensor([70.0, 45, 70, 45]) + 1e-4).all()


def test_nothing_found_is_empty():
    strict = replace(THRESHOLDS, score_threshold=1.0)
    found = detect(tiny_segmenter().eval(), IMAGE, strict, image_scale=1.0, bfloat16=False)
    assert found.masks.shape == (0, 45, 70)
    assert found.boxes_xyxy.shape == (0, 4)
