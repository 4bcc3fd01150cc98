import pytest
import torch
from torch.nn import functional

from models.segmentation.deeplab import build_deeplab


@pytest.mark.parametrize(("name", "coarse"), [("resnet18", 32), ("resnet50", 16), ("resnet101", 16)])
def test_logits_have_a_quarter_of_the_size(name: str, coarse: int) -> None:
    with torch.device("meta"):
        network = build_deeplab(name, num_classes=21, norm="frozen", embedding=256)
        output = network(torch.zeros(2, 3, 128, 160))
        features = network.body(torch.zeros(1, 3, 128, 160))
    assert output.logit_BKHW.shape == (2, 21, 32, 40)
    assert output.embedding_BFHW.shape == (2, 256, 32, 40)
    assert features["coarse"].shape[2:] == (128 // coarse, 160 // coarse)


def test_it_learns_two_halves_from_a_batch_of_one() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_deeplab("resnet18", num_classes=2, norm="group", width=32)
    image = torch.zeros(1, 3, 64, 64)
    image[..., 32:] = 0.9
    label = (torch.arange(64) >= 32).long().expand(1, 64, 64)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    for _ in range(12):
        logits = functional.interpolate(network(image).logit_BKHW, size=(64, 64), mode="bilinear")
        loss = functional.cross_entropy(logits, label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (network.classify(image) == label).float().mean() > 0.9
    assert network(image).embedding_BFHW is None


def test_odd_sizes_and_what_there_is_not() -> None:
    network = build_deeplab("resnet18", num_classes=3, norm="group", width=32)
    assert network.classify(torch.rand(1, 3, 45, 51)).shape == (1, 45, 51)
    with pytest.raises(ValueError, match="num_classes must be at least 2, got 1"):
        build_deeplab("resnet18", num_classes=1, norm="group")
    with pytest.raises(ValueError, match="got 'resnet34'"):
        build_deeplab("resnet34", num_classes=3, norm="group")
