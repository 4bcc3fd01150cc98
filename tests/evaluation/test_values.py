import pytest

from evaluation.panoptic import PANOPTIC
from evaluation.values import values_of

NAMES = [spec.name for spec in PANOPTIC.metrics]


def test_a_name_has_a_number_or_a_reason():
    found = dict.fromkeys(NAMES, (0.5, 3)) | {"panoptic.pq_stuff": "no class is stuff"}
    values = values_of(PANOPTIC, found)
    assert [metric.name for metric in values.metrics] == [n for n in NAMES if n != "panoptic.pq_stuff"]
    assert {(m.unit, m.higher_is_better, m.count) for m in values.metrics} == {("fraction", True, 3)}
    assert values["panoptic.pq"] == 0.5
    assert values.definition_sha256 == PANOPTIC.sha256
    with pytest.raises(ValueError, match=r"^panoptic\.pq_stuff has no value: no class is stuff\.$"):
        values["panoptic.pq_stuff"]
    with pytest.raises(ValueError, match=r"^ap has no value: the definition has no such metric\.$"):
        values["ap"]


def test_names_and_ranges_are_those_of_the_definition():
    found = dict.fromkeys(NAMES, (0.5, 3))
    with pytest.raises(ValueError, match=r"names differ from the definition: \['ap'\]\."):
        values_of(PANOPTIC, found | {"ap": (0.5, 3)})
    with pytest.raises(ValueError, match=r"names differ from the definition: \['panoptic\.pq'\]\."):
        values_of(PANOPTIC, {name: item for name, item in found.items() if name != "panoptic.pq"})
    for wrong in (float("nan"), float("inf"), -0.1, 1.0000001):
        with pytest.raises(ValueError, match=r"^panoptic\.pq must lie in \[0, 1\.0\], got "):
            values_of(PANOPTIC, found | {"panoptic.pq": (wrong, 3)})
