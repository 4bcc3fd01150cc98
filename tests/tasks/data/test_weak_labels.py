import numpy as np
import pytest

from tasks.data.label_maps import UNLABELLED
from tasks.data.regions import regions_of_labels
from tasks.data.weak_blocks import BlockPolicy
from tasks.data.weak_labels import FullPolicy, WeakCounts, count_weak, generator_for, weaken_regions
from tasks.data.weak_points import PointPolicy
from tasks.data.weak_scribbles import ScribblePolicy

LABELS = np.kron(np.array([[1, 2], [UNLABELLED, 1]], dtype=np.uint8), np.ones((20, 20), dtype=np.uint8))
LABELS[39, 0] = 3
REGIONS = regions_of_labels(LABELS)


@pytest.mark.parametrize(
    ("policy", "pixels"),
    [
        (PointPolicy(), (27, 27)),
        (ScribblePolicy(), (60, 200)),
        (BlockPolicy(share=0.5), (600, 600)),
        (FullPolicy(), (1201, 1201)),
    ],
)
def test_the_policy_decides_what_is_drawn(policy, pixels):
    labels = weaken_regions(REGIONS, policy, generator_for(1, "train/a.jpg"))
    counts = count_weak(labels, REGIONS)
    assert pixels[0] <= counts.labelled <= pixels[1]
    assert (counts.with_class, counts.pixels, counts.regions) == (1201, 1600, 4)
    assert counts.regions_marked in ((3,) if isinstance(policy, PointPolicy | ScribblePolicy) else (3, 4))


def test_counts_are_summed():
    counts = WeakCounts(labelled=1, with_class=4, pixels=8, regions=2, regions_marked=1)
    assert (counts + counts).to_json() == {
        "labelled": 2, "with_class": 8, "pixels": 16, "regions": 4, "regions_marked": 2, "share": 0.25,
    }  # fmt: skip
    nothing = WeakCounts(labelled=0, with_class=0, pixels=8, regions=0, regions_marked=0)
    assert nothing.to_json()["share"] is None


def test_generators_depend_on_seed_and_name():
    draws = [generator_for(*key).integers(1 << 40) for key in [(1, "a"), (1, "a"), (2, "a"), (1, "b")]]
    assert draws[0] == draws[1]
    assert len(set(draws)) == 3
