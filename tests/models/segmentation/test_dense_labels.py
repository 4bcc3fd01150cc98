import pytest
import torch
from torch.nn import functional

from models.segmentation.dense_labels import NO_LABEL, label_pixels, reading_size


def probabilities(classes=3, rows=4, columns=5):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(classes, rows, columns, generator=generator).softmax(dim=0)


@pytest.mark.parametrize(
    ("size", "patch", "expected"),
    [
        ((375, 500), 16, (512, 688)),  # 682.7 pixels are 42.7 patches
        ((100, 100), 16, (512, 512)),
        ((100, 4000), 16, (48, 2048)),  # the longer side decides: 51.2 pixels are 3.2 patches
        ((1, 9000), 32, (32, 2048)),  # never less than a patch
        ((512, 512), 14, (518, 518)),
    ],
)
def test_sides_are_whole_patches(size, patch, expected):
    assert reading_size(*size, patch=patch) == expected


def test_numbers_that_mean_nothing():
    with pytest.raises(ValueError, match="at least 1, got 0, 4, 16, 512 and 2048"):
        reading_size(0, 4, patch=16)
    with pytest.raises(ValueError, match="at most 254 classes fit into a label map, got 255"):
        label_pixels(torch.zeros(255, 1, 1), 2, 2)


@pytest.mark.parametrize(("height", "width"), [(23, 31), (4, 5), (3, 2), (1, 64)])
@pytest.mark.parametrize("band", [1, 100, 1 << 20])
def test_bands_give_what_enlarging_at_once_gives(height, width, band):
    probability = probabilities()
    whole = functional.interpolate(
        probability[None], size=(height, width), mode="bilinear", align_corners=False
    )[0]
    best, index = whole.max(dim=0)
    found = label_pixels(probability, height, width, at_least=0.35, band=band)
    clear = (best - 0.35).abs() > 1e-6
    expected = index.masked_fill(best < 0.35, NO_LABEL)
    assert found.label_HW.dtype == torch.uint8
    assert torch.equal(found.label_HW[clear].long(), expected[clear])
    assert found.confidence == pytest.approx(float(best.mean()), abs=1e-5)
    assert NO_LABEL in found.label_HW or best.min() >= 0.35


def test_every_pixel_has_a_label_without_a_limit():
    found = label_pixels(probabilities(), 9, 9)
    assert set(found.label_HW.unique().tolist()) <= {0, 1, 2}


def test_one_patch_is_one_class_everywhere():
    found = label_pixels(torch.tensor([0.25, 0.75]).reshape(2, 1, 1), 3, 3, at_least=0.75)
    assert torch.equal(found.label_HW, torch.ones(3, 3, dtype=torch.uint8))
    assert found.confidence == 0.75
