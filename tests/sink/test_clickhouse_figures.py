"""Each figure that people read, held to a slow recomputation in Python."""

# ruff: noqa: S608  the queries are made of our own names

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sink import sink_oracle
from sink.conftest import empty
from sink.sink_events import DAY, business_day, invoice, payment
from sink.sink_histories import (
    CURRENCIES,
    FIRST_DAY,
    LAST_DAY,
    SMALL_BALANCE,
    decisions,
    exposure_changes,
    journals,
    promises,
)
from sink.sink_oracle import Books, day_of
from sink.sink_records import batches_of

from agents.sink.migrations import migrate
from agents.sink.writer import Writer, note_policy
from schemas import events as ev
from schemas.events import Event
from schemas.money import exponent

pytestmark = pytest.mark.connected

EPOCH = date(1970, 1, 1)
a_few = settings(max_examples=15, phases=[Phase.explicit, Phase.generate])
"""Not shrunk: each example fills the tables anew, and shrinking would take minutes."""


def fill(client: Client, events: list[Event]) -> Client:
    migrate(client)
    empty(client)
    note_policy(client, "test", "0.05")
    writer = Writer(lambda: client)
    for batch in batches_of(events):
        writer.write(batch)
    return client


def rows(client: Client, query: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in client.query(query).result_rows]


def number(day: object) -> int:
    assert isinstance(day, date)
    return (day - EPOCH).days


def major(minor: int, currency: str) -> Decimal:
    return Decimal(minor).scaleb(-exponent(currency))


def today_of(journal: list[Event]) -> int:
    return max(event.date for event in journal if isinstance(event, ev.BusinessDayStarted))


@a_few
@given(journals())
def test_open_receivables_by_day(clickhouse: Client, journal: list[Event]) -> None:
    fill(clickhouse, journal)
    today = today_of(journal)
    books = Books(journal, SMALL_BALANCE)
    shown = {
        (number(day), customer, currency): (minor, amount)
        for day, customer, currency, minor, amount in rows(
            clickhouse,
            "SELECT day, customer_id, currency, open_receivables_minor, open_receivables"
            " FROM headroom.open_receivables_by_day",
        )
    }
    totals = {
        (number(day), currency): minor
        for day, currency, minor in rows(
            clickhouse,
            "SELECT day, currency, open_receivables_minor"
            " FROM headroom.open_receivables_total_by_day",
        )
    }
    assert all(FIRST_DAY <= day <= today for day, _, _ in shown)
    for day in range(FIRST_DAY, today + 1):
        expected = books.open_on(day)
        for customer, currency in CURRENCIES.items():
            minor = expected.get((customer, currency), 0)
            assert shown.get((day, customer, currency), (0, Decimal(0))) == (
                minor,
                major(minor, currency),
            )
            assert totals.get((day, currency), 0) == minor  # one customer has each currency
    for customer, currency in CURRENCIES.items():
        days = sorted(day for day, one, _ in shown if one == customer)
        assert days == (list(range(days[0], today + 1)) if days else [])
        assert {currency} >= {found for _, one, found in shown if one == customer}


@a_few
@given(journals(), promises(), st.integers(FIRST_DAY, LAST_DAY))
def test_ageing(
    clickhouse: Client, documents: list[Event], promised: list[Event], some_day: int
) -> None:
    journal = documents + promised
    fill(clickhouse, journal)
    books = Books(journal, SMALL_BALANCE)
    figures = (
        "customer_id, currency, promised, current, days_1_30, days_31_60, days_61_90, days_over_90"
    )
    on_that_day = EPOCH + timedelta(days=some_day)
    for source, day in (
        ("ageing", today_of(journal)),
        (f"ageing_on(day = '{on_that_day}')", some_day),
    ):
        shown = {
            (customer, currency): list(buckets)
            for customer, currency, *buckets in rows(
                clickhouse, f"SELECT {figures} FROM headroom.{source}"
            )
        }
        assert shown == {
            (customer, currency): [
                major(minor, currency)
                for minor in (books.promised_on(day).get((customer, currency), 0), *buckets)
            ]
            for (customer, currency), buckets in books.ageing_on(day).items()
        }


@a_few
@given(promises())
def test_promises(clickhouse: Client, journal: list[Event]) -> None:
    fill(clickhouse, [invoice(), business_day(LAST_DAY), *journal])
    books = Books(journal, SMALL_BALANCE)
    columns = "customer_id, promise_id, kind, made_on, status, ended_on, amount_minor"
    shown = rows(clickhouse, f"SELECT {columns} FROM headroom.promises")
    expected = []
    for (customer, name), made in books.promises().items():
        status, ended_on = books.promise_end(customer, name, day_of(made))
        if isinstance(made, ev.PaymentPlanAgreed):
            kind, amount = "plan", sum(one.amount for one in made.instalments)
        else:
            kind, amount = "promise", made.amount
        expected.append(
            (
                customer,
                name,
                kind,
                day_of(made),
                status,
                None if status == "running" else ended_on,
                amount,
            )
        )
    assert sorted(
        (*one[:3], number(one[3]), one[4], None if one[5] is None else number(one[5]), one[6])
        for one in shown
    ) == sorted(expected)


@a_few
@given(journals())
def test_dso(clickhouse: Client, journal: list[Event]) -> None:
    fill(clickhouse, journal)
    books = Books(journal, SMALL_BALANCE)
    shown = rows(clickhouse, "SELECT day, currency, sales, days_of_sales, dso FROM headroom.dso")
    first: dict[str, int] = {}
    for day, currency, *_ in shown:
        first[str(currency)] = min(number(day), first.get(str(currency), number(day)))
    for currency, one in first.items():
        days_shown = [number(day) for day, other, *_ in shown if other == currency]
        assert sorted(days_shown) == list(range(one, today_of(journal) + 1))
        assert books.sales_of(currency, FIRST_DAY, one - 1) == 0
    for shown_day, shown_currency, sales, days_of_sales, dso in shown:
        day, currency = number(shown_day), str(shown_currency)
        days = min(90, day - first[currency] + 1)
        sold = books.sales_of(currency, day - 89, day)
        open_minor = sum(minor for (_, one), minor in books.open_on(day).items() if one == currency)
        assert (sales, days_of_sales) == (major(sold, currency), days)
        if sold <= 0:
            assert dso is None
        else:
            exact = Fraction(open_minor, sold) * days
            assert isinstance(dso, float)
            assert abs(Fraction(dso) - exact) <= Fraction(51, 10_000)


@a_few
@given(journals())
def test_invoices_and_payments_are_one_row_each_as_they_stand_today(
    clickhouse: Client, journal: list[Event]
) -> None:
    fill(clickhouse, journal)
    today = today_of(journal)
    books = Books(journal, SMALL_BALANCE)
    shown = {
        (customer, invoice_id): (amount, open_minor, status)
        for customer, invoice_id, amount, open_minor, status in rows(
            clickhouse,
            "SELECT customer_id, invoice_id, amount_minor, open_minor, status"
            " FROM headroom.invoices",
        )
    }
    assert shown.keys() == books.revisions.keys()
    for place, (amount, open_minor, status) in shown.items():
        assert amount == books.latest(place).amount
        assert open_minor == books.open_of(place, today)
        closed_on = books.closed_on(place)
        if closed_on is not None and closed_on <= today:
            assert status in {"cancelled", "written_off"}
        elif open_minor:
            assert status == "open"
    settled = rows(
        clickhouse,
        "SELECT customer_id, invoice_id, settled_on FROM headroom.invoices"
        " WHERE status = 'settled'",
    )
    for customer, invoice_id, settled_on in settled:
        place = str(customer), str(invoice_id)
        since = number(settled_on)
        assert all(books.open_of(place, day) == 0 for day in range(since, today + 1))
        # Never open: one that was paid, or is to be cancelled, before it is even issued.
        issued_on = books.latest(place).issued_on
        assert (
            since == min(issued_on, books.closed_on(place) or issued_on)
            or books.open_of(place, since - 1) > 0
        )
    paid = {
        (customer, payment_id): (
            amount,
            [(part["invoice_id"], part["amount_minor"]) for part in parts],
        )
        for customer, payment_id, amount, parts in rows(
            clickhouse,
            "SELECT customer_id, payment_id, amount_minor, allocations FROM headroom.payments",
        )
    }
    assert paid == {
        place: (
            one.amount,
            [(invoice_id, minor) for invoice_id, minor, _ in books.allocations(one)],
        )
        for place, one in books.payments.items()
    }


@a_few
@given(exposure_changes(), st.integers(FIRST_DAY + 30, LAST_DAY + 10))
def test_exposure_by_day(clickhouse: Client, changes: list[ev.ExposureChanged], today: int) -> None:
    fill(clickhouse, [*changes, business_day(today)])
    shown = {
        (number(day), customer): (minor, amount)
        for day, customer, minor, amount in rows(
            clickhouse,
            "SELECT day, customer_id, exposure_minor, exposure FROM headroom.exposure_by_day",
        )
    }
    totals = {
        (number(day), currency): amount
        for day, currency, amount in rows(
            clickhouse, "SELECT day, currency, exposure FROM headroom.exposure_total_by_day"
        )
    }
    expected = {
        (day, customer): (minor, major(minor, CURRENCIES[customer]))
        for day in range(FIRST_DAY, today + 1)
        for customer, minor in sink_oracle.exposure_on(changes, day, today).items()
    }
    assert shown == expected
    assert totals == {
        (day, CURRENCIES[customer]): amount for (day, customer), (_, amount) in expected.items()
    }


@a_few
@given(decisions())
def test_hold_rate(clickhouse: Client, made: list[ev.OrderDecision]) -> None:
    fill(clickhouse, [*made, *made])
    shown = {
        number(day): (orders, held, rate)
        for day, orders, held, rate in rows(
            clickhouse, "SELECT day, orders, orders_held, hold_rate FROM headroom.hold_rate"
        )
    }
    assert shown == {
        day: (orders, held, round(held / orders, 4) if orders else None)
        for day, (orders, held) in sink_oracle.hold_rate(made).items()
    }


def test_a_story_of_one_invoice_that_is_paid_and_charged_back(clickhouse: Client) -> None:
    issued, due, paid, reversed_on, today = 19_000, 19_030, 19_040, 19_050, 19_065
    fill(
        clickhouse,
        [
            invoice(amount=10_000, issued_on=issued, due_on=due),
            payment(amount=10_000, value_on=paid),
            ev.PaymentReversed(
                event_id="e-3", occurred_at=reversed_on * DAY, customer_id="C-1",
                payment_id="P-1", reason="charge-back",
            ),
            business_day(today),
        ],
    )  # fmt: skip
    by_day: dict[int, Decimal] = dict(
        rows(
            clickhouse,
            "SELECT toInt32(day), open_receivables FROM headroom.open_receivables_by_day",
        )
    )
    assert [by_day[day] for day in (issued, paid - 1, paid, reversed_on - 1, reversed_on)] == [
        Decimal(100),
        Decimal(100),
        Decimal(0),
        Decimal(0),
        Decimal(100),
    ]
    assert rows(clickhouse, "SELECT days_31_60, total FROM headroom.ageing") == [
        (Decimal(100), Decimal(100))
    ]
    assert rows(clickhouse, "SELECT status, days_overdue FROM headroom.invoices") == [("open", 35)]
