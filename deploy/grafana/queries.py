"""What panels ask: Prometheus by way of the SDK's own query, ClickHouse by way of the official plugin
`grafana-clickhouse-datasource`, which the SDK does not know.
"""

from __future__ import annotations

import textwrap
from typing import Any, Literal, Self

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.runtime import DataqueryConfig, register_dataquery_variant
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.prometheus import Dataquery as PrometheusQuery
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

PROMETHEUS = DataSourceRef("prometheus", "${prometheus}")
CLICKHOUSE = DataSourceRef("grafana-clickhouse-datasource", "${clickhouse}")

_FORMATS = {"timeseries": 0, "table": 1}
"""The plugin's numbers for how an answer is to be read."""


def of(metric: str, *matchers: str) -> str:
    """A worker's metric, of the workers that the dashboard's variables choose."""
    return _selected(metric, 'job=~"$job"', 'instance=~"$instance"', *matchers)


def of_broker(metric: str, *matchers: str) -> str:
    """A metric of JMX exporter, of the brokers that the dashboard's variables choose."""
    return _selected(metric, 'job=~"$broker_job"', 'instance=~"$broker"', *matchers)


def _selected(metric: str, *matchers: str) -> str:
    return f"{metric}{{{', '.join(matchers)}}}"


def promql(expression: str, legend: str = "") -> Builder[PrometheusQuery]:
    """An expression over the time that the dashboard shows."""
    asked = prometheus.Dataquery().datasource(PROMETHEUS).expr(expression)
    return asked.legend_format(legend).range()


def promql_now(expression: str) -> Builder[PrometheusQuery]:
    """An expression as it is now, a row per series with its labels as columns."""
    asked = prometheus.Dataquery().datasource(PROMETHEUS).expr(expression)
    return asked.instant().format(PromQueryFormat.TABLE)


def sql(text: str) -> Builder[ClickHouseQuery]:
    """Rows."""
    return _ClickHouse(ClickHouseQuery(_without_margin(text), "table"))


def sql_over_time(text: str) -> Builder[ClickHouseQuery]:
    """Rows with a column `time`. A text column tells series apart, which then have its texts as
    names, and nothing besides if the numbers' column is `Value`.
    """
    return _ClickHouse(ClickHouseQuery(_without_margin(text), "timeseries"))


class ClickHouseQuery(Dataquery):
    """A query as the plugin, from its version 4 on, keeps it."""

    def __init__(
        self,
        raw_sql: str,
        query_type: Literal["timeseries", "table"],
        ref_id: str = "",
    ) -> None:
        self.raw_sql = raw_sql
        self.query_type = query_type
        self.ref_id = ref_id
        self.datasource = CLICKHOUSE

    def to_json(self) -> dict[str, object]:
        return {
            "datasource": self.datasource,
            "editorType": "sql",
            "format": _FORMATS[self.query_type],
            "queryType": self.query_type,
            "rawSql": self.raw_sql,
            "refId": self.ref_id,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        return cls(data["rawSql"], data["queryType"], data["refId"])


def register_clickhouse() -> None:
    """Tell the SDK of these queries, so that it reads dashboards that have them."""
    register_dataquery_variant(DataqueryConfig(str(CLICKHOUSE.type_val), ClickHouseQuery.from_json))


Query = Builder[PrometheusQuery] | Builder[ClickHouseQuery]


class _ClickHouse(Builder[ClickHouseQuery]):
    def __init__(self, query: ClickHouseQuery) -> None:
        self._query = query

    def build(self) -> ClickHouseQuery:
        return self._query


def _without_margin(text: str) -> str:
    return textwrap.dedent(text).strip()
