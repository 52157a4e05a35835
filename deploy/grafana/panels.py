"""The kinds of panels that the dashboards are made of, each with a title, a word about what it means, a
unit, and its limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NotRequired, TypedDict, TypeVar, Unpack

from grafana_foundation_sdk.builders import barchart, common, stat, table, timeseries
from grafana_foundation_sdk.builders.dashboard import DashboardLink, FieldColor, ThresholdsConfig
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models.dashboard import (
    DynamicConfigValue,
    FieldColorModeId,
    Panel,
    Threshold,
    ThresholdsMode,
)

from deploy.grafana.queries import CLICKHOUSE, PROMETHEUS, ClickHouseQuery, Query

GREEN, ORANGE, RED, BLUE = "green", "orange", "red", "blue"

Levels = Sequence[tuple[float | None, str]]
"""From which value on which colour; the first one from None, that is from below."""

PLAIN: Levels = ((None, BLUE),)
ANY_IS_BAD: Levels = ((None, GREEN), (1, RED))

_LETTERS = "ABCDEF"
Panels = list[Builder[Panel]]

AnyPanel = TypeVar("AnyPanel", stat.Panel, timeseries.Panel, barchart.Panel, table.Panel)


class Field:
    """How a panel shows the column or series `name`, which needs more than the panel's own look.

    Args:
        name: as the query has it.
        title: in its place.
        unit: another one than the panel's.
        link: title and address to which a value leads; both may have Grafana's variables.
        levels: other ones than the panel's.
        hidden: whether it is there for links alone.
    """

    def __init__(
        self,
        name: str,
        title: str = "",
        *,
        unit: str | None = None,
        link: tuple[str, str] | None = None,
        levels: Levels | None = None,
        hidden: bool = False,
    ) -> None:
        self.name = name
        self.properties: list[DynamicConfigValue] = []
        if title:
            self._set("displayName", title)
        if unit is not None:
            self._set("unit", unit)
        if link is not None:
            text, url = link
            self._set("links", [{"title": text, "url": url, "targetBlank": True}])
        if levels is not None:
            self._set("thresholds", {"mode": "absolute", "steps": _steps(levels)})
            self._set("color", {"mode": "thresholds"})
            self._set("custom.cellOptions", {"type": "color-background", "mode": "basic"})
        if hidden:
            self._set("custom.hidden", value=True)

    def _set(self, key: str, value: object) -> None:
        self.properties.append(DynamicConfigValue(key, value))


class Frame(TypedDict):
    """What every panel has. `unit` is Grafana's name of one; `span` counts in 24ths of the width;
    `runbook` names an alert whose page says what to do.
    """

    title: str
    about: str
    unit: str
    span: NotRequired[int]
    height: NotRequired[int]
    decimals: NotRequired[int]
    runbook: NotRequired[str]
    fields: NotRequired[Sequence[Field]]


def worse_from(warning: float, bad: float) -> Levels:
    return ((None, GREEN), (warning, ORANGE), (bad, RED))


def worse_below(warning: float, bad: float) -> Levels:
    return ((None, RED), (bad, ORANGE), (warning, GREEN))


def number(*queries: Query, levels: Levels = PLAIN, **frame: Unpack[Frame]) -> stat.Panel:
    """The last value, large, with the colour of its level; several stand beside each other, each
    with its name.
    """
    panel = _framed(stat.Panel(), queries, levels, {"span": 3, "height": 4} | frame)
    return (
        panel.color_mode(looks.BigValueColorMode.BACKGROUND_SOLID)
        .graph_mode(looks.BigValueGraphMode.NONE)
        .text_mode(looks.BigValueTextMode.AUTO)
        .color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def lines(
    *queries: Query,
    levels: Levels = PLAIN,
    stacked: bool = False,
    bars: bool = False,
    **frame: Unpack[Frame],
) -> timeseries.Panel:
    """What changes over time. Levels but the plain ones are drawn as lines."""
    panel = _framed(timeseries.Panel(), queries, levels, {"span": 12, "height": 8} | frame)
    panel = (
        panel.line_width(2)
        .fill_opacity(60 if bars else 25 if stacked else 8)
        .draw_style(looks.GraphDrawStyle.BARS if bars else looks.GraphDrawStyle.LINE)
        .span_nulls(span_nulls=True)
        .show_points(looks.VisibilityMode.NEVER)
        .color_scheme(FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC))
        .legend(
            common.VizLegendOptions()
            .display_mode(looks.LegendDisplayMode.LIST)
            .placement(looks.LegendPlacement.BOTTOM)
            .show_legend(show_legend=True)
        )
        .tooltip(common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI))
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL))
    if levels is not PLAIN:
        style = common.GraphThresholdsStyleConfig().mode(looks.GraphThresholdsStyleMode.DASHED)
        panel.thresholds_style(style)
    return panel


def bars(
    query: Query,
    *,
    by: str,
    sideways: bool = False,
    stacked: bool = False,
    **frame: Unpack[Frame],
) -> barchart.Panel:
    """A bar, or a group of them, for each value of the column `by`."""
    panel = _framed(barchart.Panel(), (query,), PLAIN, {"span": 8, "height": 8} | frame)
    way = looks.VizOrientation.HORIZONTAL if sideways else looks.VizOrientation.VERTICAL
    mode = looks.StackingMode.NORMAL if stacked else looks.StackingMode.NONE
    return (
        panel.x_field(by)
        .orientation(way)
        .stacking(mode)
        .color_scheme(FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC))
        .legend(
            common.VizLegendOptions()
            .display_mode(looks.LegendDisplayMode.LIST)
            .placement(looks.LegendPlacement.BOTTOM)
            .show_legend(show_legend=True)
        )
    )


def rows(query: Query, **frame: Unpack[Frame]) -> table.Panel:
    """A table, in the order of the query."""
    return _framed(table.Panel(), (query,), PLAIN, {"span": 12, "height": 9} | frame)


def _framed(panel: AnyPanel, queries: Sequence[Query], levels: Levels, frame: Frame) -> AnyPanel:
    for letter, query in zip(_LETTERS, queries, strict=False):
        query.build().ref_id = letter
        panel.with_target(query)
    source = CLICKHOUSE if isinstance(queries[0].build(), ClickHouseQuery) else PROMETHEUS
    panel.title(frame["title"]).description(frame["about"]).unit(frame["unit"])
    panel.datasource(source).span(frame["span"]).height(frame["height"])
    if "decimals" in frame:
        panel.decimals(frame["decimals"])
    if "runbook" in frame:
        panel.links([runbook(frame["runbook"])])
    for one in frame.get("fields", ()):
        panel.override_by_name(one.name, one.properties)
    return panel.thresholds(ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(_steps(levels)))


def _steps(levels: Levels) -> list[Threshold]:
    return [Threshold(value, colour) for value, colour in levels]


def runbook(alert: str) -> DashboardLink:
    """The page that says what to do when an alert fires."""
    address = f"${{runbooks}}/{alert}.md"
    return DashboardLink(f"What to do: {alert}").url(address).target_blank(target_blank=True)
