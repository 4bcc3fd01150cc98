import json
import re

import numpy as np
import pytest
from PIL import Image

from tasks.data.rle import encode_mask
from tasks.errors import DataError
from tasks.report.pseudo_labels import SHOWN, PseudoLabelTally, render_pseudo_labels

NASTY = '<script>alert("x")</script> & {{ 7 * 7 }}'


def annotation(number, score=None, category=1, reason="filled"):
    row = {"id": number, "image_id": 1, "category_id": category, "bbox": [4, 5, 10.5, 8]}
    if score is None:
        return row | {"reason": reason}
    mask = np.zeros((30, 40), bool)
    mask[6:12, 5:13] = True
    return row | {"score": score, "method": "propagation", "segmentation": encode_mask(mask).to_json()}


def lines():
    scores = np.linspace(0, 1, 41)
    rows = [annotation(number, float(score)) for number, score in enumerate(scores, start=1)]
    rows += [annotation(100 + number, reason="flat") for number in range(20)]
    rows.append(annotation(200, category=2))
    return [{"image_id": 1, "annotations": rows[:30]}, {"image_id": 2, "annotations": rows[30:]}]


def tallied(parts):
    tally = PseudoLabelTally()
    for line in parts:
        tally.add(line)
    return tally


def info(tally):
    return {
        "method": "propagation",
        "code": {"version": "1", "commit": "abc", "dirty": True},
        "model": None,
        "annotations_sha256": "a" * 64,
        "images_sha256": "b" * 64,
        "parameters": {"window_size": 32},
        "counts": tally.counts(),
        "score": "mean of <nothing>",
        "reasons": {"flat": "looks flat", "filled": "is full"},
    }


def render(folder, parts):
    for name, level in (("1.png", 200), ("2.png", 20)):
        Image.fromarray(np.full((30, 40, 3), level, np.uint8)).save(folder / name)
    tally = tallied(parts)
    return render_pseudo_labels(
        info(tally),
        tally,
        image=lambda number: {"file_name": f"{number}.png", "width": 40, "height": 30},
        categories=[{"id": 1, "name": NASTY}, {"id": 2, "name": "b"}, {"id": 3, "name": "never seen"}],
        images=folder,
    )


def test_counts_by_hand():
    tally = tallied(lines())
    assert tally.counts() == {
        "images": 2,
        "boxes": 62,
        "masks": 41,
        "refused": {"filled": 1, "flat": 20},
        "mean_score": 0.5,
    }
    assert sum(tally.bins) == 41
    assert tally.bins[0] == 4
    assert tally.bins[9] == 5  # 1.0 counts in the last
    assert [row["id"] for _, row in tally.lowest.rows()] == list(range(1, SHOWN + 1))
    assert len(tally.drawn.rows()) == len(tally.refused.rows()) == SHOWN


def test_the_order_of_lines_does_not_matter():
    first, second = tallied(lines()), tallied(lines()[::-1])
    assert first.counts() == second.counts()
    for name in ("lowest", "drawn", "refused"):
        assert getattr(first, name).rows() == getattr(second, name).rows()


def test_the_page_needs_nothing_and_shows_names_as_text(tmp_path):
    page = render(tmp_path, lines())
    assert page == render(tmp_path, lines())
    assert "default-src 'none'" in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    assert "<script" not in page
    assert "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt; &amp; {{ 7 * 7 }}" in page
    assert "mean of &lt;nothing&gt;" in page
    assert "41 masks for 62 boxes" in page
    assert "21 boxes stay boxes" in page
    assert "never seen" in page
    assert "10.5 \u00d7 8 px" in page
    assert "brightened" in page  # the second image is dark
    assert page.count("<figure") == 1 + 3 * SHOWN


def test_without_masks_and_without_refusals(tmp_path):
    nothing = render(tmp_path, [{"image_id": 1, "annotations": [annotation(1)]}])
    assert "0 masks for 1 boxes" in nothing
    assert "The least sure" not in nothing
    everything = render(tmp_path, [{"image_id": 1, "annotations": [annotation(1, 0.5)]}])
    assert "Every box has a mask." in everything
    assert "Without a mask</h2>" not in everything


def test_an_image_that_is_gone_is_named(tmp_path):
    tally = tallied(lines())
    with pytest.raises(DataError, match=r"9\.png: no such file"):
        render_pseudo_labels(
            info(tally),
            tally,
            image=lambda _: {"file_name": "9.png", "width": 40, "height": 30},
            categories=[{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
            images=tmp_path,
        )


def test_a_tally_holds_few_rows():
    tally = tallied(
        {"image_id": number, "annotations": [annotation(number, (number * 37 % 1000) / 1000)]}
        for number in range(1, 2000)
    )
    assert len(json.dumps(tally.lowest.rows())) < 20_000
