"""Records to rows: nothing is lost, nothing is invented, nothing can be refused by its table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
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
from sink.sink_records import JOURNAL, STAMP, KafkaRecord, batch_of, planner, record

from agents.sink.plan import Batch
from agents.sink.rows import LAST_DAY, LAST_INSTANT
from agents.sink.tables import TABLES
from schemas import events as ev
from schemas.catalogue import DEAD_LETTERS
from schemas.events import Event


def cells(batch: Batch, table: str, place: int = 0) -> dict[str, object]:
    names = [name for name, _ in TABLES[table]]
    return dict(zip(names, batch.rows[table][place], strict=True))


def test_a_decision_becomes_one_row_with_the_digits_of_both_currencies() -> None:
    event = decision(currency="JPY", account_currency="KWD", amount=700)
    batch = batch_of("credit.order-decisions.v1", 2, [record(event, 41)])
    assert list(batch.rows) == ["order_decisions_raw"]
    row = cells(batch, "order_decisions_raw")
    assert (row["offset"], row["amount_minor"], row["exponent"], row["account_exponent"]) == (
        41,
        700,
        0,
        3,
    )
    assert row["reasons"] == ["overdue", "credit_limit_exceeded"]


@pytest.mark.parametrize(
    ("event", "table"),
    [
        (alert(), "limit_alerts_raw"),
        (exposure(), "exposures_raw"),
        (decision(), "order_decisions_raw"),
        (signal(), "risk_signals_raw"),
        (step(), "dunning_steps_raw"),
        (outcome(), "dunning_outcomes_raw"),
        (handover_changed(), "handover_changes_raw"),
        (letter(), "letters_raw"),
    ],
)
def test_what_is_published_is_no_row_of_the_journal(event: Event, table: str) -> None:
    assert list(batch_of("credit.any.v1", 0, [record(event, 0)]).rows) == [table]


def test_an_invoice_is_a_row_of_the_journal_and_one_of_the_invoices() -> None:
    origin = ("headroom_origin", b"credit.invoices.v1@u-1:3:17")
    batch = batch_of(JOURNAL, 0, [record(invoice(order_id="O-7"), 5, [origin])])
    assert sorted(batch.rows) == ["invoice_events_raw", "journal_raw"]
    journal = cells(batch, "journal_raw")
    assert (journal["type"], journal["customer_id"], journal["origin"]) == (
        "InvoiceIssued",
        "C-1",
        b"credit.invoices.v1@u-1:3:17",
    )
    assert b'"I-1"' in journal["payload"]  # type: ignore[operator]
    assert cells(batch, "invoice_events_raw")["order_id"] == "O-7"


def test_a_payment_keeps_its_allocations() -> None:
    parts = [ev.Allocation(invoice_id="I-1", amount=7), ev.Allocation(invoice_id="I-2", amount=3)]
    batch = batch_of(JOURNAL, 0, [record(payment(amount=12, allocations=parts, cleared=False), 0)])
    row = cells(batch, "payment_events_raw")
    assert (row["allocation_invoice_ids"], row["allocation_amounts_minor"]) == (
        ["I-1", "I-2"],
        [7, 3],
    )
    assert row["cleared"] is False


def test_a_business_day_is_a_row_of_the_days() -> None:
    batch = batch_of(JOURNAL, 0, [record(business_day(19_123), 0)])
    assert cells(batch, "business_days_raw")["date"] == 19_123
    assert cells(batch, "journal_raw")["customer_id"] == ""


@pytest.mark.parametrize("value", [b"", b"\xff\x00rubbish", b'["NoSuchType",{}]', None])
def test_a_record_that_cannot_be_read_becomes_a_dead_letter_with_its_bytes(
    value: bytes | None,
) -> None:
    batch = batch_of(JOURNAL, 3, [KafkaRecord(8, value, b"C-\xff"), record(invoice(), 9)])
    row = cells(batch, "dead_letters_raw")
    assert (row["reason"], row["original_topic"], row["original_partition"]) == (
        "unreadable",
        JOURNAL,
        3,
    )
    assert (row["original_offset"], row["key"], row["value"]) == (8, b"C-\xff", value or b"")
    assert row["detail"]
    assert len(batch.rows["journal_raw"]) == 1


def test_a_currency_that_nobody_knows_is_unreadable_and_leaves_no_half_of_a_row() -> None:
    batch = batch_of(JOURNAL, 0, [record(invoice(currency="ZZZ"), 0)])
    assert list(batch.rows) == ["dead_letters_raw"]
    assert cells(batch, "dead_letters_raw")["class"] == "UnknownCurrencyError"


def test_a_dead_letter_of_another_agent_is_kept_with_what_its_headers_say() -> None:
    headers = [
        ("headroom_reason", b"unknown_currency"),
        ("headroom_class", b"refused"),
        ("headroom_detail", "amount in ₣".encode()),
        ("headroom_original_topic", b"credit.invoices.v1"),
        ("headroom_original_partition", b"2"),
        ("headroom_original_offset", b"77"),
        ("headroom_original_timestamp", b"1700000000123"),
    ]
    batch = batch_of(DEAD_LETTERS, 1, [KafkaRecord(4, b"\x00raw", b"k", STAMP, headers)])
    row = cells(batch, "dead_letters_raw")
    assert (row["reason"], row["original_partition"], row["original_offset"]) == (
        "unknown_currency",
        2,
        77,
    )
    assert (row["original_timestamp"], row["value"]) == (1_700_000_000_123, b"\x00raw")


def test_a_dead_letter_without_headers_is_kept_too() -> None:
    row = cells(batch_of(DEAD_LETTERS, 1, [KafkaRecord(4, None, None)]), "dead_letters_raw")
    assert (row["reason"], row["original_offset"], row["original_timestamp"]) == ("", -1, None)


@given(
    day=st.integers(-(2**31), 2**31 - 1),
    instant=st.integers(-(2**63), 2**63 - 1),
)
def test_no_date_is_beyond_what_a_table_can_hold(day: int, instant: int) -> None:
    batch = batch_of(
        JOURNAL, 0, [record(invoice(occurred_at=instant, issued_on=day, due_on=day), 0)]
    )
    row = cells(batch, "invoice_events_raw")
    assert 0 <= row["due_on"] <= LAST_DAY  # type: ignore[operator]
    assert 0 <= row["occurred_at"] <= LAST_INSTANT  # type: ignore[operator]
    if 0 <= day <= LAST_DAY:
        assert row["due_on"] == day


def test_the_same_range_gives_the_same_rows_and_the_same_token() -> None:
    records = [record(invoice(f"e-{n}", invoice_id=f"I-{n}"), n) for n in range(20)]
    one, other = batch_of(JOURNAL, 0, records), batch_of(JOURNAL, 0, records)
    assert one.rows == other.rows
    assert one.token() == other.token()
    assert one.token().startswith("credit.journal.v1:0:0-19")


def test_a_topic_made_anew_is_not_taken_for_the_old_one() -> None:
    old = batch_of(JOURNAL, 0, [KafkaRecord(0, b"", timestamp=STAMP)])
    new = batch_of(JOURNAL, 0, [KafkaRecord(0, b"", timestamp=STAMP + 1)])
    assert old.token() != new.token()


def test_a_batch_knows_its_range() -> None:
    batch = Batch(JOURNAL, 0)
    planner().extend(batch, [record(invoice(), 10)])
    planner().extend(batch, [record(invoice("e-2"), 14)])
    assert (batch.first_offset, batch.last_offset, batch.records) == (10, 14, 2)


@given(st.integers(0, 9), st.floats(0, 5))
def test_a_batch_is_due_by_its_records_or_by_its_age(count: int, age: float) -> None:
    batch = Batch(JOURNAL, 0)
    planner().extend(batch, [record(invoice(), n) for n in range(count)])
    assert batch.is_due(age=age, rows=5, seconds=2.0) == (count >= 5 or age >= 2.0)
