"""Draws dashboards as Grafana would lay them out: near enough to see what they show, no more."""

from __future__ import annotations

import datetime as dt
import io
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter
from PIL import Image

from deploy.asking import Answer, Rows, Series

_PAPER, _PANEL, _INK, _FAINT, _LINK = "#0b0c0e", "#181b1f", "#d8d9da", "#8e8f94", "#6e9fff"
_COLOURS = {"green": "#2f8f4e", "orange": "#d9822b", "red": "#c4303f", "blue": "#2b5ca8"}
_SERIES = (
    "#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#6ed0e0",
)  # fmt: skip
_INCHES_WIDE, _INCHES_PER_LINE, _DOTS = 15.0, 0.36, 90
_WIDTH = 24
_LONG = {"reqps": "req/s", "eps": "events/s", "ops": "ops/s"}
_SERIES_MAX = 12
_LEGEND_MAX = 8
_NUMBERS_MAX = 4
_LONG_NUMBER = 8
_COLOURS_MAX = 96

Asked = Sequence[tuple[Mapping[str, Any], Sequence[Answer]]]
"""Panels, each with the answers to its queries."""


def draw(board: Mapping[str, Any], asked: Asked, values: Mapping[str, str], path: Path) -> None:
    """One picture of the whole dashboard.

    Args:
        board: the dashboard.
        asked: its panels but the titles of rows, each with what its queries gave.
        values: of the variables, for titles.
        path: of the PNG file.
    """
    lines = max(one["gridPos"]["y"] + one["gridPos"]["h"] for one in board["panels"]) + 1
    figure = Figure(figsize=(_INCHES_WIDE, lines * _INCHES_PER_LINE), facecolor=_PAPER)
    FigureCanvasAgg(figure)
    figure.text(0.008, 1 - 0.65 / lines, board["title"], color=_INK, size=14, va="center")
    answers = {panel["id"]: found for panel, found in asked}
    for panel in board["panels"]:
        place = panel["gridPos"]
        top = 1 - (place["y"] + 1) / lines
        if panel["type"] == "row":
            x, y = 0.008, top - 0.5 / lines
            figure.text(x, y, panel["title"], color=_INK, size=11, weight="bold", va="center")
            continue
        left, width = place["x"] / _WIDTH + 0.002, place["w"] / _WIDTH - 0.004
        height = place["h"] / lines - 0.12 / lines
        _panel(figure, panel, answers[panel["id"]], values, (left, top - height, width, height))
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=_DOTS)
    Image.open(drawn).convert("RGB").quantize(_COLOURS_MAX).save(path, optimize=True)


def _panel(
    figure: Figure,
    panel: Mapping[str, Any],
    answers: Sequence[Answer],
    values: Mapping[str, str],
    place: tuple[float, float, float, float],
) -> None:
    back = figure.add_axes(place, facecolor=_PANEL)
    back.set_xticks([])
    back.set_yticks([])
    title = panel["title"]
    for name, value in values.items():
        title = title.replace(f"${name}", value)
    inches = place[3] * figure.get_figheight()
    head = 0.32 / inches
    wide = place[2] * figure.get_figwidth()
    title = title if len(title) < wide * 12 else f"{title[: int(wide * 12) - 1]}…"
    back.text(0.08 / wide, 1 - head / 2, title, color=_INK, size=8.5, va="center")
    match panel["type"]:
        case "stat":
            _numbers(back, panel, answers, head)
        case "table":
            _table(back, panel, answers[0], head, inches)
        case kind:
            margin = (1.0 if panel["options"].get("orientation") == "horizontal" else 0.62) / wide
            box = (
                place[0] + margin * place[2],
                place[1] + place[3] * 0.62 / inches,
                place[2] * (1 - margin - 0.12 / wide),
                place[3] * (1 - head - 0.72 / inches),
            )
            axes = figure.add_axes(box, facecolor=_PANEL)
            axes.tick_params(colors=_FAINT, labelsize=7.5, length=0)
            axes.grid(visible=True, color="#2c3235", linewidth=0.5)
            axes.set_axisbelow(True)
            for spine in axes.spines.values():
                spine.set_visible(False)
            if kind == "barchart":
                _bars(axes, panel, answers[0])
            else:
                _lines(axes, panel, answers)


# ── numbers ─────────────────────────────────────────────────────────────────────────────────────


def _numbers(axes: Axes, panel: Mapping[str, Any], answers: Sequence[Answer], head: float) -> None:
    found = [(name, v) for answer in answers for name, v in _last(answer)][:_NUMBERS_MAX]
    down = panel["gridPos"]["h"] > len(found) + 3
    for at, (name, value) in enumerate(found):
        share = 1 / len(found)
        colour = _colour(_levels(panel, name), value)
        room = 1 - head
        x, y, w, h = (
            (0.0, room - (at + 1) * room * share, 1.0, room * share)
            if down
            else (at * share, 0.0, share, room)
        )
        axes.add_patch(_rectangle(x + 0.01, y + 0.02, w - 0.02, h - 0.04, colour, axes))
        text = shown(value, _unit(panel, name), panel["fieldConfig"]["defaults"].get("decimals"))
        size = 19 if len(found) == 1 else 13 if down or len(text) < _LONG_NUMBER else 10
        middle = y + h / 2 - (0 if len(found) == 1 else 0.06)
        axes.text(x + w / 2, middle, text, color="white", size=size, ha="center", va="center")
        if len(found) > 1:
            place = y + h / 2 + (0.1 if down else 0.2)
            axes.text(x + w / 2, place, name, color="white", size=7.5, ha="center", va="center")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)


def _rectangle(x: float, y: float, w: float, h: float, colour: str, axes: Axes) -> Any:
    return Rectangle((x, y), w, h, color=colour, transform=axes.transAxes, linewidth=0)


def _last(answer: Answer) -> list[tuple[str, float]]:
    if isinstance(answer, Rows):
        row = answer.rows[0]
        return [
            (name, float(v)) for name, v in zip(answer.columns, row, strict=True) if _is_number(v)
        ]
    return [(one.name, finite[-1]) for one in answer if (finite := _finite(one))]


def _finite(series: Series) -> list[float]:
    return [value for _, value in series.points if math.isfinite(value)]


# ── lines and bars ──────────────────────────────────────────────────────────────────────────────


def _lines(axes: Axes, panel: Mapping[str, Any], answers: Sequence[Answer]) -> None:
    look = panel["fieldConfig"]["defaults"]["custom"]
    drawn = [one for answer in answers for one in _series(answer)][:_SERIES_MAX]
    moments = sorted({at for one in drawn for at, _ in one.points})
    stacked = look.get("stacking", {}).get("mode") == "normal"
    below = dict.fromkeys(moments, 0.0)
    for number, one in enumerate(drawn):
        colour = _SERIES[number % len(_SERIES)]
        found = {at: v for at, v in one.points if math.isfinite(v)}
        times = [dt.datetime.fromtimestamp(at, dt.UTC) for at in (moments if stacked else found)]
        heights = [found.get(at, 0.0) for at in (moments if stacked else found)]
        if look["drawStyle"] == "bars":
            width = (moments[-1] - moments[0]) / max(len(moments), 2) / 86_400 * 0.9
            lows = [below[at] for at in moments] if stacked else [0.0] * len(times)
            axes.bar(times, heights, width, lows, color=colour, label=one.name)  # type: ignore[arg-type]
        elif stacked:
            lows = [below[at] for at in moments]
            highs = [low + height for low, height in zip(lows, heights, strict=True)]
            axes.fill_between(times, lows, highs, color=colour, alpha=0.35, linewidth=0)  # type: ignore[arg-type]
            axes.plot(times, highs, color=colour, linewidth=1.2, label=one.name)  # type: ignore[arg-type]
        else:
            axes.plot(times, heights, color=colour, linewidth=1.4, label=one.name)  # type: ignore[arg-type]
        if stacked:
            below = {at: below[at] + found.get(at, 0.0) for at in moments}
    if look.get("thresholdsStyle", {}).get("mode") == "dashed":
        top = axes.get_ylim()[1]
        for level in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]:
            if level.get("value") is not None and level["value"] < top * 3:
                colour = _COLOURS[level["color"]]
                axes.axhline(level["value"], color=colour, linestyle="--", linewidth=1)
    locator = AutoDateLocator(maxticks=6)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    dates = ConciseDateFormatter(locator, show_offset=False)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(dates)
    axes.yaxis.set_major_formatter(_numbers_of(panel))
    _legend(axes, len(drawn))


def _series(answer: Answer) -> list[Series]:
    """Rows with a time are lines too: one for each column of numbers, and each text."""
    if not isinstance(answer, Rows):
        return answer
    points: dict[str, list[tuple[float, float]]] = defaultdict(list)
    when = answer.columns.index("time")
    for row in answer.rows:
        at = row[when].replace(tzinfo=dt.UTC).timestamp()
        texts = [v for v in row if isinstance(v, str)]
        for name, value in zip(answer.columns, row, strict=True):
            if _is_number(value):
                points[texts[0] if texts else name].append((at, float(value)))
    return [Series(name, found) for name, found in points.items()]


def _bars(axes: Axes, panel: Mapping[str, Any], answer: Answer) -> None:
    assert isinstance(answer, Rows)
    by = answer.columns.index(panel["options"]["xField"])
    groups = [str(row[by]) for row in answer.rows]
    names = [
        name
        for at, name in enumerate(answer.columns)
        if at != by and any(_is_number(row[at]) for row in answer.rows)
    ]
    stacked = panel["options"].get("stacking") == "normal"
    sideways = panel["options"]["orientation"] == "horizontal"
    thick = 0.8 if stacked else 0.8 / len(names)
    lows = [0.0] * len(groups)
    for number, name in enumerate(names):
        at = answer.columns.index(name)
        heights = [float(row[at] or 0) for row in answer.rows]
        shift = 0.0 if stacked else (number - (len(names) - 1) / 2) * thick
        places = [place + shift for place in range(len(groups))]
        colour = _SERIES[number % len(_SERIES)]
        start = lows if stacked else [0.0] * len(groups)
        if sideways:
            axes.barh(places, heights, thick, start, color=colour, label=name)
        else:
            axes.bar(places, heights, thick, start, color=colour, label=name)
        lows = [low + height for low, height in zip(lows, heights, strict=True)]
    numbers = _numbers_of(panel)
    if sideways:
        axes.set_yticks(range(len(groups)), [one.replace("_", "_\n", 1) for one in groups])
        axes.invert_yaxis()
        axes.xaxis.set_major_formatter(numbers)
    else:
        axes.set_xticks(range(len(groups)), groups)
        if sum(map(len, groups)) > panel["gridPos"]["w"] * 7:
            axes.tick_params(axis="x", rotation=12)
        axes.yaxis.set_major_formatter(numbers)
    _legend(axes, len(names))


def _numbers_of(panel: Mapping[str, Any]) -> FuncFormatter:
    """Along an axis, where a long unit has no room."""
    unit = panel["fieldConfig"]["defaults"]["unit"]
    unit = "none" if unit in _LONG else unit
    return FuncFormatter(lambda value, _: shown(value, unit, None))


def _legend(axes: Axes, number: int) -> None:
    handles, names = axes.get_legend_handles_labels()
    axes.legend(
        handles[:_LEGEND_MAX],
        names[:_LEGEND_MAX],
        loc="upper left",
        bbox_to_anchor=(-0.06, -0.14),
        ncols=min(max(number, 1), 4),
        frameon=False,
        fontsize=7.5,
        labelcolor=_INK,
        handlelength=1,
        columnspacing=1,
        borderaxespad=0,
    )


# ── tables ──────────────────────────────────────────────────────────────────────────────────────


def _table(
    axes: Axes, panel: Mapping[str, Any], answer: Answer, head: float, inches: float
) -> None:
    assert isinstance(answer, Rows)
    line = 0.25 / inches
    visible = [
        (at, name)
        for at, name in enumerate(answer.columns)
        if _said(panel, name).get("custom.hidden") is not True
    ]
    fitting = int((1 - head) / line) - 1
    texts = [[_cell(row[at], panel, name) for at, name in visible] for row in answer.rows[:fitting]]
    titles = [_said(panel, name).get("displayName", name) for _, name in visible]
    widths = [
        min(max(len(str(one)) for one in (title, *(row[at] for row in texts))), 44) + 2
        for at, title in enumerate(titles)
    ]
    lefts = [sum(widths[:at]) / sum(widths) for at in range(len(widths))]
    for at, (title, left) in enumerate(zip(titles, lefts, strict=True)):
        top = 1 - head - line / 2
        axes.text(left + 0.006, top, title, color=_LINK, size=8, va="center", weight="bold")
        name, column = visible[at][1], visible[at][0]
        for place, row in enumerate(texts):
            y = top - (place + 1) * line
            value = answer.rows[place][column]
            said = _said(panel, name)
            if "thresholds" in said and _is_number(value):
                w = widths[at] / sum(widths)
                colour = _colour(said["thresholds"]["steps"], float(value))
                axes.add_patch(
                    _rectangle(left, y - line * 0.46, w - 0.004, line * 0.92, colour, axes)
                )
            ink = _LINK if "links" in said else _INK
            axes.text(left + 0.006, y, row[at][:44], color=ink, size=8, va="center")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)


def _cell(value: Any, panel: Mapping[str, Any], name: str) -> str:
    if value is None:
        return ""
    if _is_number(value):
        return shown(float(value), _unit(panel, name), None)
    if isinstance(value, dt.datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return str(value)


# ── what Grafana's words mean ───────────────────────────────────────────────────────────────────


def shown(value: float, unit: str, decimals: int | None) -> str:
    """A number as Grafana writes it in that unit."""
    match unit:
        case "percentunit":
            return f"{100 * value:.{_digits(100 * value, decimals)}f} %"
        case "s":
            return _duration(value)
        case "ms":
            return _duration(value / 1000)
        case "d":
            return f"{value:.{_digits(value, decimals)}f} d"
        case "reqps" | "eps" | "ops":
            return f"{value:.{_digits(value, decimals)}f} {_LONG[unit]}"
        case "bytes" | "Bps":
            return _thousands(value, ("B", "kB", "MB", "GB")) + ("/s" if unit == "Bps" else "")
        case "short":
            return _thousands(value, ("", "K", "Mil", "Bil"))
        case _:
            return f"{value:,.{_digits(value, decimals)}f}"


def _digits(value: float, decimals: int | None) -> int:
    if decimals is not None:
        return decimals
    return 0 if value == int(value) or abs(value) >= 100 else 1 if abs(value) >= 10 else 2


def _duration(seconds: float) -> str:
    for size, word in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms")):
        if abs(seconds) >= size:
            return f"{seconds / size:.{_digits(seconds / size, None)}f} {word}"
    return f"{seconds:.0f} s"


def _thousands(value: float, words: Sequence[str]) -> str:
    for word in words:
        if abs(value) < 1000 or word == words[-1]:
            return f"{value:.{_digits(value, None)}f} {word}".strip()
        value /= 1000
    raise AssertionError(words)


def _said(panel: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What is said of one column or series."""
    return {
        say["id"]: say["value"]
        for one in panel["fieldConfig"]["overrides"]
        if one["matcher"]["options"] == name
        for say in one["properties"]
    }


def _unit(panel: Mapping[str, Any], name: str) -> str:
    unit: str = _said(panel, name).get("unit", panel["fieldConfig"]["defaults"]["unit"])
    return unit


def _levels(panel: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    own = _said(panel, name).get("thresholds") or panel["fieldConfig"]["defaults"]["thresholds"]
    steps: Sequence[Mapping[str, Any]] = own["steps"]
    return steps


def _colour(levels: Sequence[Mapping[str, Any]], value: float) -> str:
    reached = [one for one in levels if one.get("value") is None or value >= one["value"]]
    return _COLOURS[reached[-1]["color"]]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)
