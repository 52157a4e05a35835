"""Answers that are stored: the same as computed, whatever came twice; read when there is much."""

# ruff: noqa: S608  the queries are made of our own names

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from hypothesis import HealthCheck, given, settings
from sink.sink_events import business_day, invoice, outcome, step
from sink.sink_histories import (
    LAST_DAY,
    customer_records,
    disputes,
    exposure_changes,
    holds_and_alerts,
    journals,
    promises,
)
from sink.sink_records import batches_of
from sink.test_clickhouse_figures import a_few, fill, rows

from agents.sink.stored import STORED, are_read, choose, refresh
from agents.sink.writer import Writer
from schemas import events as ev
from schemas.events import Event

pytestmark = pytest.mark.connected

ANSWERS = (
    *STORED,
    "open_receivables_total_by_day",
    "open_receivables_by_day",
    "ageing",
    "dso",
    "collection_figures",
    "top_overdue",
    "cash_forecast",
    "exposure_total_by_day",
    "exposure_by_group_day",
    "exposure_by_segment_day",
    "concentration",
    "utilisation_distribution",
    "disputes_by_reason",
    "promises_kept",
)
"""All that is stored, and all that is made of it."""


@pytest.fixture
def many_or_few(tables: Client) -> Iterator[Client]:
    """ClickHouse, in which a test may say by `choose` what counts as many rows."""
    yield tables
    choose(tables)


def shown(client: Client) -> dict[str, Counter[str]]:
    return {
        name: Counter(map(str, rows(client, f"SELECT * FROM headroom.{name}"))) for name in ANSWERS
    }


@settings(a_few, max_examples=2, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    journals(),
    promises(),
    customer_records(),
    exposure_changes(),
    holds_and_alerts(),
    disputes(),
)
def test_what_is_stored_is_what_is_computed_whatever_came_twice(
    many_or_few: Client,
    documents: list[Event],
    promised: list[Event],
    records: list[ev.CustomerUpserted],
    changes: list[ev.ExposureChanged],
    holds: list[Event],
    contested: list[Event],
) -> None:
    client = many_or_few
    told = [step(), outcome(), *documents, *promised, *records, *changes, *holds, *contested]
    fill(client, [*told, business_day(LAST_DAY)])
    choose(client)
    writer = Writer(lambda: client)
    computed = shown(client)
    for place in (0, len(told) + 10):  # read once more; and published once more, at other offsets
        for batch in batches_of(told[: len(told) // 2 + 1], place):
            writer.write(batch)
    assert list(refresh(client)) == list(STORED)
    choose(client, many_rows=0)
    assert shown(client) == computed


def test_few_rows_are_read_as_they_are_now_and_many_as_they_were_stored(
    many_or_few: Client,
) -> None:
    client = many_or_few
    fill(client, [business_day(19_001)])
    list(refresh(client))
    fill(client, [invoice(), business_day(19_001)])
    total = "SELECT total FROM headroom.ageing"
    assert rows(client, total) == [(100,)]
    assert not are_read(client)
    choose(client, many_rows=0)
    assert are_read(client)
    assert rows(client, total) == []
    list(refresh(client))
    assert rows(client, total) == [(100,)]


def test_nothing_is_read_as_stored_before_all_is(many_or_few: Client) -> None:
    client = many_or_few
    fill(client, [invoice(), business_day(19_001)])
    client.command("TRUNCATE TABLE headroom.last_stored")
    choose(client, many_rows=0)
    assert rows(client, "SELECT total FROM headroom.ageing") == [(100,)]


def test_an_answer_that_cannot_be_stored_is_counted_for_the_alert(tables: Client) -> None:
    # As ClickHouse's endpoint for Prometheus names it: HeadroomAnswersNotStored asks for it.
    failed = "SELECT sum(value) FROM system.events WHERE event = 'RefreshableViewRefreshFailed'"
    before = rows(tables, failed)[0][0]
    tables.command(
        "CREATE MATERIALIZED VIEW headroom.failing REFRESH EVERY 1 HOUR"
        " ENGINE = MergeTree ORDER BY x EMPTY AS SELECT throwIf(number = 0) AS x FROM numbers(1)"
    )
    try:
        tables.command("SYSTEM REFRESH VIEW headroom.failing")
        with pytest.raises(DatabaseError, match="Refresh failed"):
            tables.command("SYSTEM WAIT VIEW headroom.failing")
    finally:
        tables.command("DROP VIEW headroom.failing")
    assert rows(tables, failed) == [(before + 1,)]


def test_none_is_refreshed_before_one_that_it_reads(tables: Client) -> None:
    definitions = dict(
        rows(
            tables,
            "SELECT name, create_table_query FROM system.tables WHERE database = 'headroom'",
        )
    )
    before = ""
    for place, name in enumerate(STORED):
        assert f"headroom.{before}_stored" in definitions[f"{name}_stored"] or not before
        for later in STORED[place:]:
            assert f"headroom.{later} " not in definitions[f"{name}_now"] + " "
            assert f"headroom.{later}\n" not in definitions[f"{name}_now"] + "\n"
        before = name
    assert f"headroom.{before}_stored" in definitions["last_stored"]
