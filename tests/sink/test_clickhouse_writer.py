"""Rows in ClickHouse: each record once, however often and however cut it is written."""

# ruff: noqa: S608  the queries are made of our own names

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from hypothesis import given, settings
from hypothesis import strategies as st
from sink.conftest import empty
from sink.sink_events import (
    alert,
    business_day,
    decision,
    exposure,
    handover_changed,
    invoice,
    letter,
    outcome,
    payment,
    signal,
    step,
)
from sink.sink_records import JOURNAL, KafkaRecord, batch_of, planner, record

from agents.sink.migrations import migrate
from agents.sink.plan import Batch
from agents.sink.tables import TABLES
from agents.sink.writer import Writer, all_of, pack
from schemas import events as ev
from schemas.catalogue import DEAD_LETTERS
from streams.dead_letters import settlement

pytestmark = pytest.mark.connected

DECISIONS = "credit.order-decisions.v1"


def writer_to(client: Client) -> Writer:
    return Writer(lambda: client)


def count(client: Client, table: str) -> int:
    return int(client.query(f"SELECT count() FROM headroom.{table}").result_rows[0][0])


def one(client: Client, query: str) -> dict[str, Any]:
    result = client.query(query)
    assert len(result.result_rows) == 1
    return dict(zip(result.column_names, result.result_rows[0], strict=True))


def some_decisions(first: int, last: int) -> Batch:
    return batch_of(
        DECISIONS,
        0,
        [record(decision(f"d-{n}", order_id=f"O-{n}"), n) for n in range(first, last)],
    )


def test_the_tables_have_the_columns_that_the_sink_fills(tables: Client) -> None:
    for table, columns in TABLES.items():
        rows = tables.query(
            "SELECT name FROM system.columns WHERE database = 'headroom' AND table = {t:String}"
            " AND default_kind = ''",
            parameters={"t": table},
        ).result_rows
        assert {name for (name,) in rows} == {"topic", "partition", *(name for name, _ in columns)}


def test_a_batch_written_twice_counts_once(tables: Client) -> None:
    writer = writer_to(tables)
    writer.write(some_decisions(0, 10))
    writer.write(some_decisions(0, 10))
    assert count(tables, "order_decisions") == 10
    assert count(tables, "order_decisions_raw") == 10  # the token alone sees to it


def test_a_range_that_comes_again_cut_differently_counts_once(tables: Client) -> None:
    writer = writer_to(tables)
    writer.write(some_decisions(0, 10))
    writer.write(some_decisions(3, 14))
    writer.write(some_decisions(9, 20))
    assert count(tables, "order_decisions") == 20


def test_an_event_published_again_at_another_offset_counts_once_and_the_first_stays(
    tables: Client,
) -> None:
    for table, event in (
        ("order_decisions", decision()),
        ("limit_alerts", alert()),
        ("exposures", exposure()),
        ("risk_signals", signal()),
        ("dunning_steps", step()),
        ("dunning_outcomes", outcome()),
        ("handover_changes", handover_changed()),
    ):
        for offset in (7, 3, 12):
            writer_to(tables).write(batch_of("credit.any.v1", 0, [record(event, offset)]))
        assert one(tables, f"SELECT offset FROM headroom.{table}") == {"offset": 3}


def test_of_a_letter_that_was_tried_again_the_last_stays(tables: Client) -> None:
    for offset, text in ((7, "the second"), (3, "the first"), (12, "the one that left")):
        written = record(letter(text=text), offset)
        writer_to(tables).write(batch_of("credit.letters.v1", 0, [written]))
    found = one(tables, "SELECT offset, text FROM headroom.letters")
    assert found == {"offset": 12, "text": "the one that left"}


def test_an_input_event_told_again_counts_once_in_journal_invoices_and_payments(
    tables: Client,
) -> None:
    events = [invoice(), payment(), business_day(19_020)]
    for first in (0, 10):
        records = [record(event, first + place) for place, event in enumerate(events)]
        writer_to(tables).write(batch_of(JOURNAL, 0, records))
    assert count(tables, "journal") == 3
    assert count(tables, "invoices") == 1
    assert count(tables, "payments") == 1


def test_an_event_for_everyone_counts_once_though_each_partition_has_it(tables: Client) -> None:
    for partition in range(4):
        writer_to(tables).write(batch_of(JOURNAL, partition, [record(business_day(19_020), 5)]))
    assert count(tables, "journal") == 1


def test_one_event_id_for_two_different_things_loses_neither(tables: Client) -> None:
    records = [
        record(invoice("e-1", invoice_id="I-1"), 0),
        record(invoice("e-1", invoice_id="I-2"), 1),
    ]
    writer_to(tables).write(batch_of(JOURNAL, 0, records))
    assert count(tables, "journal") == 2
    assert count(tables, "invoices") == 2


_attempts = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 3), st.booleans()), max_size=8)


@settings(max_examples=10)
@given(_attempts)
def test_a_sink_killed_anywhere_and_started_again_leaves_each_row_once(
    clickhouse: Client, attempts: list[tuple[int, int, bool]]
) -> None:
    """A killed sink has written any part of what it took in; the next starts where offsets were.

    Each attempt: how many records it takes, how many of the three tables it gets to, and whether it
    lives to commit the offset. The last attempt takes the rest and lives.
    """
    migrate(clickhouse)
    empty(clickhouse)
    log = [
        record(invoice(f"e-{n}", invoice_id=f"I-{n}", amount=n + 1), n) if n % 2
        else record(payment(f"e-{n}", payment_id=f"P-{n}", allocations=[]), n)
        for n in range(60)
    ]  # fmt: skip
    committed = 0
    for taken, tables_reached, lives in [*attempts, (len(log), 3, True)]:
        batch = batch_of(JOURNAL, 0, log[committed : committed + taken])
        wanted = list(batch.rows)
        for table in wanted[tables_reached:]:
            del batch.rows[table]
        writer_to(clickhouse).write(batch)
        if lives and tables_reached >= len(wanted) and committed < len(log):
            committed = batch.last_offset + 1
    totals = "SELECT count() AS n, sum(amount_minor) AS minor FROM headroom.invoices"
    assert one(clickhouse, totals) == {"n": 30, "minor": sum(n + 1 for n in range(1, 60, 2))}
    assert count(clickhouse, "journal") == 60
    assert count(clickhouse, "payments") == 30


def test_an_insert_that_failed_half_way_is_completed_by_writing_it_again(tables: Client) -> None:
    batch = batch_of(JOURNAL, 0, [record(invoice(), 0), record(payment(), 1)])
    tables.command("RENAME TABLE headroom.payment_events_raw TO headroom.elsewhere")
    try:
        with pytest.raises(DatabaseError):
            writer_to(tables).write(batch)
    finally:
        tables.command("RENAME TABLE headroom.elsewhere TO headroom.payment_events_raw")
    writer_to(tables).write(batch)
    assert [count(tables, table) for table in ("journal", "invoices", "payments")] == [2, 1, 1]
    assert [count(tables, table) for table in ("journal_raw", "payment_events_raw")] == [2, 1]


def test_rows_that_were_packed_in_between_are_the_same_insert(tables: Client) -> None:
    whole, pieces = some_decisions(0, 10), Batch(DECISIONS, 0)
    for first in (0, 4, 8):
        records = [
            record(decision(f"d-{n}", order_id=f"O-{n}"), n) for n in range(first, first + 4)
        ]
        planner().extend(pieces, records[: 10 - first])
        assert pack(pieces) > 0
    assert all_of(pieces, "order_decisions_raw").equals(all_of(whole, "order_decisions_raw"))
    for batch in (pieces, whole):
        writer_to(tables).write(batch)
    assert count(tables, "order_decisions_raw") == 10


def test_every_table_of_the_sink_remembers_the_tokens_of_its_inserts(tables: Client) -> None:
    for table in TABLES:
        described = one(tables, f"SHOW CREATE TABLE headroom.{table}")["statement"]
        assert "non_replicated_deduplication_window = 10000" in described, table


def test_what_somebody_hangs_on_a_table_counts_a_repeat_no_more_than_the_table_does(
    tables: Client,
) -> None:
    """Be it that both had the rows, or that the sink was killed between the table and the view."""
    tables.command(
        "CREATE TABLE headroom.sums (currency String, minor Int64) ENGINE = SummingMergeTree"
        " ORDER BY currency SETTINGS non_replicated_deduplication_window = 1000"
    )
    view = (
        "CREATE MATERIALIZED VIEW headroom.adds_up TO headroom.sums AS"
        " SELECT currency, toInt64(amount_minor) AS minor FROM headroom.order_decisions_raw"
    )
    try:
        writer_to(tables).write(some_decisions(0, 10))
        tables.command(view)
        for _ in range(3):
            for first, last in ((0, 10), (10, 20), (20, 21)):
                writer_to(tables).write(some_decisions(first, last))
        summed = one(tables, "SELECT sum(minor) AS minor FROM headroom.sums")["minor"]
        told = one(tables, "SELECT sum(amount_minor) AS minor FROM headroom.order_decisions")
        assert summed == told["minor"] == 21 * 5_000
    finally:
        tables.command("DROP TABLE IF EXISTS headroom.adds_up")
        tables.command("DROP TABLE headroom.sums")


@pytest.mark.parametrize(
    ("currency", "shown"),
    [("EUR", "12.34"), ("JPY", "1234"), ("KWD", "1.234"), ("CLF", "0.1234")],
)
def test_people_read_amounts_in_major_units_of_the_currency(
    tables: Client, currency: str, shown: str
) -> None:
    event = decision(amount=1_234, currency=currency, account_currency="EUR", headroom=-5)
    writer_to(tables).write(batch_of(DECISIONS, 0, [record(event, 0)]))
    row = one(tables, "SELECT * FROM headroom.order_decisions")
    assert row["amount"] == Decimal(shown)
    assert (row["amount_minor"], row["headroom"]) == (1_234, Decimal("-0.05"))
    assert row["reasons"] == ["overdue", "credit_limit_exceeded"]
    assert row["utilisation"] == Decimal("0.25")
    assert row["by"] is None


def test_amounts_to_the_limits_of_a_long_are_exact(tables: Client) -> None:
    event = exposure(exposure=2**63 - 1, open_receivables=-(2**63), currency="KWD")
    writer_to(tables).write(batch_of("credit.exposures.v1", 0, [record(event, 0)]))
    row = one(tables, "SELECT exposure, open_receivables, credit_limit FROM headroom.exposures")
    assert row["exposure"] == Decimal(2**63 - 1).scaleb(-3)
    assert row["open_receivables"] == Decimal(-(2**63)).scaleb(-3)
    assert row["credit_limit"] is None


def test_records_that_nobody_can_read_stand_in_the_dead_letters_with_their_bytes(
    tables: Client,
) -> None:
    value = bytes(range(256))
    unreadable = KafkaRecord(3, value, b"\xff\x00", timestamp=2**62)
    writer_to(tables).write(batch_of(JOURNAL, 0, [unreadable]))
    writer_to(tables).write(batch_of(JOURNAL, 0, [unreadable, KafkaRecord(4, None, None, -1)]))
    assert count(tables, "dead_letters") == 2
    raw = one(
        tables,
        "SELECT hex(key) AS key, hex(value) AS value, reason FROM headroom.dead_letters"
        " WHERE original_offset = 3",
    )
    assert raw == {"key": "FF00", "value": value.hex().upper(), "reason": "unreadable"}


def test_a_dead_letter_published_again_counts_once(tables: Client) -> None:
    headers = [
        ("headroom_reason", b"negative_amount"),
        ("headroom_original_topic", b"credit.orders.v1"),
        ("headroom_original_partition", b"0"),
        ("headroom_original_offset", b"9"),
    ]
    for offset in (0, 1):
        letter = KafkaRecord(offset, b"x", b"k", headers=headers)
        writer_to(tables).write(batch_of(DEAD_LETTERS, 0, [letter]))
    assert one(tables, "SELECT offset, reason FROM headroom.dead_letters") == {
        "offset": 0,
        "reason": "negative_amount",
    }


def test_dates_beyond_the_tables_are_kept_as_their_limits(tables: Client) -> None:
    """Some systems write 9999-12-31 for "never"."""
    event = invoice(due_on=2_932_896, occurred_at=2**63 - 1)
    writer_to(tables).write(
        batch_of(JOURNAL, 0, [record(event, 0), record(business_day(19_010), 1)])
    )
    row = one(tables, "SELECT toString(due_on) AS due_on, status FROM headroom.invoices")
    assert row == {"due_on": "2149-06-05", "status": "open"}


def test_a_payment_is_one_row_with_its_allocations(tables: Client) -> None:
    events = [
        payment(amount=1_000, allocations=[ev.Allocation(invoice_id="I-1", amount=600)]),
        ev.PaymentAllocated(
            event_id="e-3", occurred_at=0, customer_id="C-1", payment_id="P-1",
            invoice_id="I-2", amount=401,
        ),
        ev.PaymentAllocated(
            event_id="e-4", occurred_at=19_011 * 86_400_000_000, customer_id="C-1",
            payment_id="P-1", invoice_id="I-3", amount=400,
        ),
    ]  # fmt: skip
    records = [record(event, place) for place, event in enumerate(events)]
    writer_to(tables).write(batch_of(JOURNAL, 0, records))
    row = one(tables, "SELECT * FROM headroom.payments")
    parts = [(part["invoice_id"], part["amount"]) for part in row["allocations"]]
    assert parts == [("I-1", Decimal(6)), ("I-3", Decimal(4))]
    assert (row["amount"], row["allocated_minor"], row["topic"]) == (Decimal(10), 1_000, JOURNAL)


@pytest.mark.parametrize(
    "table",
    [
        "journal",
        "order_decisions",
        "limit_alerts",
        "exposures",
        "risk_signals",
        "dunning_steps",
        "dunning_outcomes",
        "invoices",
        "payments",
    ],
)
def test_every_table_of_the_contract_names_topic_partition_and_offset(
    tables: Client, table: str
) -> None:
    described = tables.query(f"DESCRIBE TABLE headroom.{table}").result_rows
    assert {"topic", "partition", "offset"} <= {row[0] for row in described}


def test_a_dunning_step_has_its_invoices_and_the_last_word_about_its_attempt(
    tables: Client,
) -> None:
    topic = "credit.dunning-steps.v1"
    events = [
        step(),
        outcome("u-1"),
        outcome("u-2", outcome="bounced"),
        step("d-2", attempt=2, channel="letter"),
        step("d-3", step_id="C-1/2022-01-08/2", currency="JPY", proposed=True),
    ]
    records = [record(event, place) for place, event in enumerate(events)]
    writer_to(tables).write(batch_of(topic, 0, records))
    rows = list(
        tables.query("SELECT * FROM headroom.dunning_steps ORDER BY event_id").named_results()
    )
    assert [(row["attempt"], row["outcome"]) for row in rows] == [
        (1, "bounced"),
        (2, None),
        (1, None),
    ]
    assert (rows[0]["principal"], rows[0]["interest"], rows[2]["principal"]) == (
        Decimal(121),
        Decimal("0.35"),
        Decimal(12_100),
    )
    assert [tuple(one.values()) for one in rows[0]["invoices"]] == [
        ("I-1", 2, Decimal(100)),
        ("I-2", 1, Decimal(21)),
    ]
    assert [row["proposed"] for row in rows] == [False, False, True]


def test_what_was_done_about_a_dead_letter_stands_beside_it(tables: Client) -> None:
    headers = [("headroom_original_topic", b"credit.orders.v1"), ("headroom_reason", b"r")]
    first, second = (
        KafkaRecord(n, b"x", b"k", headers=[*headers, ("headroom_original_offset", b"%d" % n)])
        for n in (0, 1)
    )
    done = settlement(b"k", 2, 1, how="retried", by="ann", reason="mended")
    again = settlement(b"k", 2, 1, how="discarded", by="bob", reason="too late")
    acts = [
        KafkaRecord(
            n, one.value, one.key, headers=[(name, said or b"") for name, said in one.headers]
        )
        for n, one in ((2, done), (3, again))
    ]
    for records in ([first, second, acts[0]], [acts[1]], [acts[0], acts[1]]):
        writer_to(tables).write(batch_of(DEAD_LETTERS, 2, records))
    found = tables.query(
        "SELECT offset, settled, settled_by, settled_reason FROM headroom.dead_letters "
        "WHERE partition = 2 ORDER BY offset"
    ).result_rows
    assert found == [(0, "", "", ""), (1, "retried", "ann", "mended")]
