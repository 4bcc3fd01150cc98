"""JSON lines of samples come back as they were, or not at all."""

import json

import pytest

from tasks.data.region_records import RegionMark, RegionTurn, SampleRegion
from tasks.data.region_sample_files import dump_samples, read_samples, sample_from_json, sample_to_json
from tasks.errors import DataError
from tests.tasks.data.test_region_records import ANSWER, ASK, MASK, sample

TRICKY = RegionTurn(
    role="user", parts=("<image> </s> <region9> {region:1} caf\xe9 \U0001f600\n\"'\\", RegionMark(0), " ")
)
SAMPLES = [
    sample(),
    sample(sample_id="2", turns=(TRICKY, ANSWER, ASK)),
    sample(sample_id="3", regions=(SampleRegion(box_xyxy=(0.0, 0.0, 8.0, 6.0), source="proposal"),)),
    sample(sample_id="4", regions=(SampleRegion(mask=MASK),)),
    sample(
        sample_id="5", file=None, size=None, regions=(), turns=(RegionTurn(role="user", parts=("x",)), ANSWER)
    ),
]


def test_samples_come_back(tmp_path):
    path = tmp_path / "samples.jsonl"
    path.write_bytes(dump_samples(SAMPLES))
    assert read_samples(path) == SAMPLES
    assert dump_samples(read_samples(path)) == path.read_bytes()
    assert path.read_bytes().isascii()


def changed(**changes):
    value = sample_to_json(SAMPLES[0])
    return value | changes


REGION = sample_to_json(SAMPLES[0])["regions"][0]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "a sample must have the keys .*, got list"),
        (changed(extra=1), "a sample must have the keys .* 'extra'"),
        ({"dataset": "d"}, r"a sample must have the keys .*, got \['dataset'\]"),
        (changed(dataset=1), "'dataset' must be of type str"),
        (changed(file=1), "'file' must be of type str or NoneType"),
        (changed(size=[6]), r"'size' must be \[height, width\], got \[6\]"),
        (changed(size=[6.0, 8]), "'size' must be"),
        (changed(size="x"), "'size' must be"),
        (changed(regions={}), "'regions' must be of type list"),
        (changed(regions=[{"box_xyxy": [0, 0, 1, 1]}]), "a region must have the keys"),
        (changed(regions=[REGION | {"box_xyxy": [0.0, 0.0, 1.0]}]), "'box_xyxy' must be 4 numbers"),
        (changed(regions=[REGION | {"box_xyxy": [0, 0, True, 1]}]), "'box_xyxy' must be 4 numbers"),
        (changed(regions=[REGION | {"mask": {"size": [6, 8]}}]), "a mask must have the keys"),
        (changed(regions=[REGION | {"mask": {"size": 3, "counts": "x"}}]), "'size' must be"),
        (changed(regions=[REGION | {"mask": {"size": [6, 8], "counts": 3}}]), "'counts' must be of type str"),
        (changed(regions=[REGION | {"label": None}]), "'label' must be of type str"),
        (changed(turns=[]), "a sample must have a turn"),
        (changed(turns=[{"role": "user"}]), "a turn must have the keys"),
        (changed(turns=[{"role": "user", "parts": [1]}]), "a part must have the keys .*, got int"),
        (changed(turns=[{"role": "user", "parts": [{"region": "1"}]}]), "'region' must be of type int"),
        (changed(turns=[{"role": "user", "parts": [{"region": True}]}]), "'region' must be of type int"),
        (changed(turns=[{"role": "user", "parts": [{"region": 1}]}]), "turn 1 cites <region2>"),
    ],
)
def test_bad_values_are_refused(value, message):
    with pytest.raises(ValueError, match=message):
        sample_from_json(value)


def test_the_line_is_named(tmp_path):
    path = tmp_path / "samples.jsonl"
    good = dump_samples(SAMPLES[:1])
    for content, place, message in [
        (good + b"{}\n", "samples.jsonl line 2", "a sample must have the keys"),
        (good + good, "samples.jsonl line 2", "sample d/train/1 appears a second time"),
        (good[:-1], "samples.jsonl", "was cut off"),
        (b"", "samples.jsonl", "is empty"),
        (good + b'{"a": NaN}\n', "samples.jsonl line 2", "NaN is not a JSON number"),
    ]:
        path.write_bytes(content)
        with pytest.raises(DataError, match=message) as caught:
            read_samples(path)
        assert caught.value.obj.endswith(place)


def test_json_of_a_sample_is_plain():
    assert json.loads(json.dumps(sample_to_json(SAMPLES[1]))) == sample_to_json(SAMPLES[1])
