from PIL import Image

from tasks.report.charts import Bar, BarChart, Line, LineChart
from tasks.report.pictures import draw_png


def test_charts_become_pictures_with_equal_bytes(tmp_path) -> None:
    line = Line(name="$a", points=((0.0, 0.0), (1.0, 1.0)), tone=2, dashed=True)
    lines = LineChart(
        slug="a",
        title="$\\frac{broken",
        note="",
        x_label="x",
        y_label="y",
        lines=(line, line),
        x_range=(0.0, 1.0),
        y_range=(0.0, 1.0),
    )
    group = ("$x", "$\\frac", (Bar(value=None), Bar(value=0.4, reference=0.6)))
    bars = BarChart(slug="b", title="b", note="", groups=(group,))
    for chart in (lines, bars):
        first, second = tmp_path / f"{chart.slug}1.png", tmp_path / f"{chart.slug}2.png"
        draw_png(chart, first)
        draw_png(chart, second)
        assert first.read_bytes() == second.read_bytes()
        with Image.open(first) as picture:
            assert picture.size == (768, 504)
            assert len(picture.convert("RGB").getcolors(1 << 20)) > 8
