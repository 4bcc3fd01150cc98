from PIL import Image

from benchmarks.affinity_plot import curves, draw

TIMES = {"median_ms": 2.0, "min_ms": 1.0}


def row(name, side, methods, **sizes):
    case = {"name": name, "height": side, "width": side, "images": 1, "instances": 1, "channels": 3}
    return {**case, **sizes, "times": {method: {**TIMES, "median_ms": side} for method in methods}}


ROWS = [
    row("tree and pass", 20, ["ours", "ours, tree alone", "published"]),
    row("tree and pass", 10, ["ours", "scipy tree alone"]),
    row("tree and pass", 30, ["ours"], images=8),
    row("backends", 10, ["cpu", "torch", "reference"]),
    row("backends", 5, ["cpu"]),
    row("local", 10, ["ours", "unfold"]),
]


def test_curves_hold_one_image_in_order_of_size():
    assert curves(ROWS, "tree and pass") == {
        "ours": [(100, 10), (400, 20)],
        "published": [(400, 20)],
        "scipy tree alone": [(100, 10)],
    }
    assert curves(ROWS[1:], "tree and pass", "backends")["ours"] == [(25, 5), (100, 10)]


def test_the_picture_shows_something(tmp_path):
    machine = {"processor": "a processor", "threads": 2, "torch": "2"}
    draw({"machine": machine, "rows": ROWS}, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > 1000
        assert len(picture.convert("RGB").getcolors(10**6)) > 100
