"""What Grafana and the plugin for ClickHouse put into a query, by examples of their documents."""

from __future__ import annotations

from typing import cast

import pytest
from clickhouse_connect.driver.client import Client

from deploy.asking import ALL, Sources, expanded_promql, expanded_sql
from deploy.prometheus_server import Prometheus

_NOBODY = Sources(
    cast("Prometheus", None),
    cast("Client", None),
    since=1_447_328_000,
    until=1_447_328_726,  # 2015-11-12 11:45:26
    days=365,
    step=15,
)


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        (
            "$__timeFilter(time)",
            "time >= toDateTime(1415792726) AND time <= toDateTime(1447328726)",
        ),
        ("$__dateFilter(day)", "day >= toDate('2014-11-12') AND day <= toDate('2015-11-12')"),
        (
            "HAVING time BETWEEN $__fromTime AND $__toTime",
            "HAVING time BETWEEN toDateTime(1415792726) AND toDateTime(1447328726)",
        ),
        ("currency = ${currency:singlequote}", "currency = 'EUR'"),
        ("customer = ${other:singlequote}", "customer = 'O\\'Neill'"),
        ("$__conditionalAll(c IN (${all:singlequote}), $all)", "1=1"),
        ("$__conditionalAll(c IN (${other:singlequote}), $other)", "c IN ('O\\'Neill')"),
    ],
)
def test_what_clickhouse_gets(written: str, sent: str) -> None:
    values = {"currency": "EUR", "other": "O'Neill", "all": ALL}
    assert expanded_sql(written, values, _NOBODY) == sent


def test_what_prometheus_gets() -> None:
    written = 'rate(m{job=~"$job"}[$__rate_interval]) * on () label_replace(x, "a", "$1", "b", "c")'
    sent = 'rate(m{job=~"(one|two)"}[16s]) * on () label_replace(x, "a", "$1", "b", "c")'
    assert expanded_promql(written, {"job": "(one|two)"}, _NOBODY) == sent


def test_a_variable_that_there_is_not_is_refused() -> None:
    with pytest.raises(KeyError):
        expanded_sql("SELECT ${nothing:singlequote}", {}, _NOBODY)
