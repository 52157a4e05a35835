"""What all dashboards have in common: variables, marks of deploys and policies, links to each other.

The classic schema and not the newer v2: Grafana 11 and 12 read it from files, and the official plugin
for ClickHouse does not care.
"""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.dashboard import (
    AnnotationQuery,
    Dashboard,
    DashboardCursorSync,
    DashboardLink,
    DashboardLinkType,
    Panel,
    VariableModel,
    VariableOption,
    VariableRefresh,
)

from deploy.grafana.queries import CLICKHOUSE, PROMETHEUS, sql

RUNBOOKS = "https://headroom.example/docs/runbooks"
CONSOLE = "http://localhost:6068/console"
"""Where nobody says otherwise: `make dashboards ARGS="--console URL --runbooks URL"`."""

TAG = "headroom"
_TITLES = {
    "live": "Headroom · Live",
    "credit": "Headroom · Credit",
    "collections": "Headroom · Collections",
    "pipeline": "Headroom · Pipeline",
    "slo": "Headroom · SLO",
}
_ALL = VariableOption(selected=True, text="All", value="$__all")

CUSTOMER = ("Open in the console", "${console}/customers/${__data.fields.customer_id}")
ORDER = ("Open in the console", "${console}/search?q=${__data.fields.order_id}")


def framed(
    name: str,
    about: str,
    rows: Sequence[tuple[str, Sequence[Builder[Panel]]]],
    *,
    variables: Sequence[Builder[VariableModel]],
    since: str,
    refresh: str,
) -> Dashboard:
    """A dashboard whose panels stand in rows, each under a title.

    Args:
        name: the file's, and the end of the address.
        about: which question it answers.
        rows: their titles and panels.
        variables: beside those that all have.
        since: how far back it shows, in Grafana's words.
        refresh: how often it asks anew.
    """
    board = (
        build.Dashboard(_TITLES[name])
        .uid(f"headroom-{name}")
        .description(about)
        .tags([TAG])
        .readonly()
        .timezone("browser")
        .time(since, "now")
        .refresh(refresh)
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .link(_other_dashboards())
        .link(build.DashboardLink("Held orders").url("${console}/").target_blank(True))
        .link(build.DashboardLink("Runbooks").url("${runbooks}").target_blank(True))
        .annotation(_deploys())
        .annotation(_policies())
    )
    for variable in (
        _source("prometheus", "Prometheus", PROMETHEUS),
        _source("clickhouse", "ClickHouse", CLICKHOUSE),
        *variables,
        build.ConstantVariable("runbooks").value(RUNBOOKS),
        build.ConstantVariable("console").value(CONSOLE),
    ):
        board.with_variable(variable)
    for title, panels in rows:
        board.with_row(build.Row(title))
        for panel in panels:
            board.with_panel(panel)
    return _numbered(board.build())


# ── variables ───────────────────────────────────────────────────────────────────────────────────


def workers() -> list[Builder[VariableModel]]:
    """Which workers are looked at."""
    return [
        _labels("job", "Job", "label_values(headroom_build_info, job)"),
        _labels("instance", "Worker", 'label_values(headroom_build_info{job=~"$job"}, instance)'),
    ]


def brokers() -> list[Builder[VariableModel]]:
    """Which brokers are looked at."""
    metric = "kafka_server_replicamanager_underreplicatedpartitions"
    return [
        _labels("broker_job", "Brokers' job", f"label_values({metric}, job)"),
        _labels("broker", "Broker", f'label_values({metric}{{job=~"$broker_job"}}, instance)'),
    ]


def agents() -> Builder[VariableModel]:
    """Which agent is looked at, by the name of its group."""
    asked = 'label_values(headroom_opening_seconds{job=~"$job", instance=~"$instance"}, group)'
    return _labels("agent", "Agent", asked)


def currencies() -> Builder[VariableModel]:
    """Which currency is looked at: they are never added up. The one with the largest exposure
    first.
    """
    return _rows(
        "currency",
        "Currency",
        "SELECT currency FROM headroom.concentration GROUP BY currency ORDER BY sum(exposure) DESC",
    )


def customers() -> Builder[VariableModel]:
    """Which customer is looked at: those who owe most can be chosen, any other be typed in."""
    return (
        _rows(
            "customer",
            "Customer",
            "SELECT customer_id FROM headroom.concentration"
            " WHERE currency = ${currency:singlequote} ORDER BY place LIMIT 500",
        )
        .include_all(include_all=True)
        .current(_ALL)
    )


def _source(name: str, label: str, plugin: DataSourceRef) -> build.DatasourceVariable:
    return build.DatasourceVariable(name).label(label).type(str(plugin.type_val))


def _labels(name: str, label: str, query: str) -> build.QueryVariable:
    return (
        build.QueryVariable(name)
        .label(label)
        .datasource(PROMETHEUS)
        .query({"query": query, "refId": f"variable-{name}"})
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(multi=True)
        .include_all(include_all=True)
        .current(_ALL)
    )


def _rows(name: str, label: str, query: str) -> build.QueryVariable:
    return (
        build.QueryVariable(name)
        .label(label)
        .datasource(CLICKHOUSE)
        .query(query)
        .refresh(VariableRefresh.ON_DASHBOARD_LOAD)
    )


# ── marks and links ─────────────────────────────────────────────────────────────────────────────


def _deploys() -> Builder[AnnotationQuery]:
    """When the first process of each version that runs was started."""
    version = "on (job, instance) group_left (version) headroom_build_info"
    return (
        build.AnnotationQuery()
        .name("Deploys")
        .datasource(PROMETHEUS)
        .enable(enable=True)
        .icon_color("purple")
        .expr(f"1000 * min by (version) (process_start_time_seconds * {version})")
        .use_value_for_time(use_value_for_time=True)
        .title_format("Version {{version}}")
    )


def _policies() -> Builder[AnnotationQuery]:
    """The first decision under each version of the policy. Repeats do not change which is first, so
    the table will do.
    """
    asked = sql(
        """
        SELECT min(occurred_at) AS time, concat('Policy ', policy_version) AS title
        FROM headroom.order_decisions_raw
        GROUP BY policy_version
        HAVING time BETWEEN $__fromTime AND $__toTime
        ORDER BY time
        """
    )
    asked.build().ref_id = "A"
    return (
        build.AnnotationQuery()
        .name("Policy changes")
        .datasource(CLICKHOUSE)
        .enable(enable=True)
        .icon_color("yellow")
        .target(asked)
    )


def _other_dashboards() -> Builder[DashboardLink]:
    return (
        build.DashboardLink("Headroom")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .keep_time(keep_time=False)
    )


def _numbered(board: Dashboard) -> Dashboard:
    """Panels are known by number, in links to one of them; the same one for as long as nothing is
    put before it.
    """
    for number, panel in enumerate(board.panels or [], start=1):
        panel.id_val = number
    return board
