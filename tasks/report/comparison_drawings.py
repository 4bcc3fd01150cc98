"""Drawings that only a comparison has: reliability of scores, and a difference as a bar."""

from markupsafe import Markup

from evaluation.calibration import Calibration
from tasks.report.charts import tick_text

_WIDTH, _HEIGHT = 440.0, 360.0
_LEFT, _RIGHT, _TOP, _BASE = 52.0, 426.0, 14.0, 236.0
_COUNT_TOP, _COUNT_BASE = 266.0, 316.0
_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def draw_reliability(calibration: Calibration, *, name: str, tone: int) -> Markup:
    """Draw precision over score, the gap to the mean score, and how many detections each bin holds.

    Args:
        calibration: Of one model.
        name: For screen readers.
        tone: Index into the page's colours.
    """
    most = max(item.count for item in calibration.bins)
    parts = [_axes()]
    for item in calibration.bins:
        if item.precision is None or item.mean_score is None:
            continue
        title = (
            f"<title>score {item.low:.1f} to {item.high:.1f}: {item.count} detections, precision "
            f"{item.precision:.3f}, mean score {item.mean_score:.3f}</title>"
        )
        left, width = _x(item.low) + 2, _x(item.high) - _x(item.low) - 4
        top, bottom = sorted((_y(item.precision), _y(item.mean_score)))
        tall = (_COUNT_BASE - _COUNT_TOP) * item.count / most
        bars = (
            (f"bar tone-{tone}", _y(item.precision), _BASE - _y(item.precision)),
            ("gap", top, bottom - top),
            (f"bar faint tone-{tone}", _COUNT_BASE - tall, tall),
        )
        drawn = "".join(
            f'<rect class="{kind}" x="{left:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
            for kind, y, height in bars
        )
        middle, count = left + width / 2, short(item.count)
        parts.append(
            f'<g>{title}{drawn}<text class="tick" x="{middle:.1f}" y="{_COUNT_BASE - tall - 5:.1f}">{count}'
            "</text></g>"
        )
    parts.append(f'<line class="ideal" x1="{_LEFT}" x2="{_RIGHT}" y1="{_BASE}" y2="{_TOP}"/>')
    text = (
        f"Reliability of {name}: expected calibration error {calibration.expected_error:.3f}, mean score "
        f"{calibration.mean_score:.3f}, precision {calibration.precision:.3f}"
    )
    label = Markup.escape(text)
    return Markup(
        f'<svg class="chart" viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" role="img" aria-label="{label}">'
        f"{''.join(parts)}</svg>"
    )


def draw_change(value: float, *, reach: float) -> Markup:
    """Draw a difference as a bar from zero: to the right a gain, to the left a loss.

    Args:
        value: The difference.
        reach: Half width of the drawing in the same unit, above 0.
    """
    end = 70 + 66 * max(-1.0, min(1.0, value / reach))
    tone = "up" if value > 0 else "down"
    return Markup(
        f'<svg class="interval" viewBox="0 0 140 24" role="img" aria-label="difference {value:+.3f}">'
        f'<line class="axis" x1="70" x2="70" y1="-13" y2="37"/><rect class="{tone}" x="{min(70.0, end):.1f}" '
        f'y="7" width="{abs(end - 70):.1f}" height="10" rx="2"/></svg>'
    )


def short(count: int) -> str:
    """Write a count in the width of a bin: ``950``, ``1.2k``, ``34k``."""
    if count < 1000:
        return str(count)
    return f"{count / 1000:.1f}k" if count < 9950 else f"{count / 1000:.0f}k"


def _axes() -> str:
    parts = []
    for value in _TICKS:
        kind = "grid zero" if value == 0.0 else "grid"
        parts.append(
            f'<line class="{kind}" x1="{_LEFT}" x2="{_RIGHT}" y1="{_y(value):.1f}" y2="{_y(value):.1f}"/>'
            f'<text class="tick side" x="{_LEFT - 7}" y="{_y(value) + 4:.1f}">{tick_text(value)}</text>'
            f'<text class="tick" x="{_x(value):.1f}" y="{_COUNT_BASE + 17}">{tick_text(value)}</text>'
        )
    middle, counts = (_TOP + _BASE) / 2, (_COUNT_TOP + _COUNT_BASE) / 2
    return (
        "".join(parts)
        + f'<line class="grid zero" x1="{_LEFT}" x2="{_RIGHT}" y1="{_COUNT_BASE}" y2="{_COUNT_BASE}"/>'
        + f'<text class="label" x="{(_LEFT + _RIGHT) / 2}" y="{_COUNT_BASE + 36}">score</text>'
        + "".join(
            f'<text class="label" transform="rotate(-90 11 {y})" x="11" y="{y}">{text}</text>'
            for text, y in (("precision", middle), ("count", counts))
        )
    )


def _x(value: float) -> float:
    return _LEFT + (_RIGHT - _LEFT) * value


def _y(value: float) -> float:
    return _BASE + (_TOP - _BASE) * value
