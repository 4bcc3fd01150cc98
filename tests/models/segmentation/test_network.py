"""Shapes, types and independence of images."""

import torch

from models.segmentation.network import locations
from tests.models.segmentation.tiny import tiny_batch, tiny_segmenter


def test_shapes_and_types_of_the_output():
    output = tiny_segmenter()(tiny_batch().image_BCHW, bfloat16=False)
    assert output.class_logits_BLK.shape == (2, 16 * 16 + 8 * 8 + 4 * 4, 3)
    assert output.boxes_BL4.shape == (2, 336, 4)
    assert output.centerness_logits_BL.shape == (2, 336)
    assert output.embedding_BLC.shape == (2, 336, 32)
    assert output.mask_features_BMHW.shape == (2, 4, 32, 32)
    assert all(part.dtype == torch.float32 for part in output)
    assert (output.boxes_BL4[..., 2:] > output.boxes_BL4[..., :2]).all()


def test_bfloat16_stays_close_and_returns_float32():
    model, image = tiny_segmenter().eval(), tiny_batch().image_BCHW
    exact, rounded = (model(image, bfloat16=flag) for flag in (False, True))
    assert rounded.boxes_BL4.dtype == torch.float32
    assert (exact.boxes_BL4 - rounded.boxes_BL4).abs().max() < 1.0


def test_images_of_a_batch_do_not_meet():
    model, image = tiny_segmenter().eval(), tiny_batch().image_BCHW
    both, alone = model(image, bfloat16=False), model(image[1:], bfloat16=False)
    torch.testing.assert_close(both.boxes_BL4[1:], alone.boxes_BL4, rtol=1e-4, atol=1e-3)


def test_locations_are_cell_centres():
    point, stride = locations([(1, 2), (1, 1), (1, 1)])
    assert point.tolist() == [[2.0, 2.0], [6.0, 2.0], [4.0, 4.0], [8.0, 8.0]]
    assert stride.tolist() == [4.0, 4.0, 8.0, 16.0]


def test_masks_of_no_region():
    model, image = tiny_segmenter(), tiny_batch().image_BCHW
    output, none = model(image, bfloat16=False), torch.zeros(0, dtype=torch.int64)
    assert model.masks(output, none, none, torch.zeros(0, 4)).shape == (0, 12, 12)
