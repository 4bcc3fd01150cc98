import json
import sys

import numpy as np
import pytest

from benchmarks import clip_labels
from benchmarks.clip_labels import VARIANTS, compare, confusion, constant
from benchmarks.clip_scenes import CLASSES, draw_scenes
from tasks.data.label_maps import read_label_map


def test_the_truth_scores_one_and_the_ground_alone_less():
    scenes = draw_scenes(0, 4)
    perfect = [confusion(number, scene, scene.labels) for number, scene in enumerate(scenes)]
    found = compare({"one_class": [constant(scenes)] * 2, **{name: [perfect] * 2 for name in VARIANTS}})
    assert found["mean_iou"]["plain"] == {"mean": 1.0, "interval": [1.0, 1.0], "by_seed": [1.0, 1.0]}
    share = np.mean([(scene.labels == 0).mean() for scene in scenes])
    classes = len({int(value) for scene in scenes for value in np.unique(scene.labels)})
    assert found["mean_iou"]["one_class"]["mean"] == pytest.approx(share / classes, abs=1e-4)
    assert found["gain_over_plain"].keys() == VARIANTS.keys() - {"plain"}
    assert found["gain_over_plain"]["denoised"]["interval"] == [0.0, 0.0]


def test_one_seed_from_captions_to_numbers(tmp_path, monkeypatch):
    out, kept = tmp_path / "numbers.json", tmp_path / "kept"
    monkeypatch.setattr(clip_labels, "TRAINING", 64)
    monkeypatch.setattr(clip_labels, "VARIANTS", {name: VARIANTS[name] for name in ("plain", "denoised")})
    arguments = ["--seeds", "0", "--steps", "2", "--scenes", "3", "--keep", str(kept), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["clip_labels", *arguments])
    clip_labels.main()
    document = json.loads(out.read_text())
    assert document["classes"] == list(CLASSES)
    assert document["results"].keys() == {"1 vision block", "2 vision blocks"}
    for found in document["results"].values():
        assert found["mean_iou"].keys() == {"one_class", "untaught", "plain", "denoised"}
        assert found["teaching"][0].keys() == {"last_loss", "cpu_seconds"}
    assert sorted(path.name for path in kept.iterdir()) == ["classes.txt", "clip", "images", "truth"]
    for number, scene in enumerate(draw_scenes(clip_labels.TEST_SEED, 3)):
        truth = read_label_map(kept / "truth" / f"{number:04d}.png", values=range(5))
        assert np.array_equal(truth, scene.labels)
