"""Exposure by group and segment, month ends, and what came before or after: held to Python."""

# ruff: noqa: S608  the queries are made of our own names

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import given, settings
from hypothesis import strategies as st
from sink import sink_oracle
from sink.sink_events import DAY, alert, business_day, decision, exposure, invoice, payment, signal
from sink.sink_histories import (
    CURRENCIES,
    FIRST_DAY,
    LAST_DAY,
    SMALL_BALANCE,
    customer_records,
    disputes,
    exposure_changes,
    holds_and_alerts,
    journals,
    promises,
)
from sink.sink_oracle import Books, day_of
from sink.sink_records import JOURNAL, batch_of, record
from sink.test_clickhouse_figures import EPOCH, a_few, fill, major, number, rows, today_of

from agents.sink.writer import Writer
from schemas import events as ev
from schemas.events import Event

pytestmark = pytest.mark.connected


def month_of(day: int) -> date:
    return (EPOCH + timedelta(days=day)).replace(day=1)


def median(values: list[int]) -> int:
    return sorted(values)[len(values) // 2]


# ── exposure ────────────────────────────────────────────────────────────────────────────────────


def place_on(
    records: list[ev.CustomerUpserted], customer: str, day: int, today: int
) -> tuple[str, str]:
    """Group and segment by the record that arose last; of one instant the later to arrive."""
    known = [
        one for one in records if one.customer_id == customer and min(day_of(one), today) <= day
    ]
    if not known:
        return "", ""
    last = max(known, key=lambda one: (one.occurred_at, records.index(one)))
    return last.group_id or "", last.segment or ""


@a_few
@given(customer_records(), exposure_changes(), st.integers(FIRST_DAY + 30, LAST_DAY + 10))
def test_exposure_by_group_and_segment(
    clickhouse: Client,
    records: list[ev.CustomerUpserted],
    changes: list[ev.ExposureChanged],
    today: int,
) -> None:
    fill(clickhouse, [*records, *changes, *records, business_day(today)])
    groups: dict[tuple[int, str, str], list[int]] = defaultdict(list)
    segments: dict[tuple[int, str, str], list[int]] = defaultdict(list)
    for day in range(FIRST_DAY, today + 1):
        for customer, minor in sink_oracle.exposure_on(changes, day, today).items():
            group, segment = place_on(records, customer, day, today)
            segments[day, segment, CURRENCIES[customer]].append(minor)
            if group:
                groups[day, group, CURRENCIES[customer]].append(minor)
    for view, dimension, expected in (
        ("exposure_by_group_day", "group_id", groups),
        ("exposure_by_segment_day", "segment", segments),
    ):
        shown = {
            (number(day), name, currency): (amount, customers)
            for day, name, currency, amount, customers in rows(
                clickhouse,
                f"SELECT day, {dimension}, currency, exposure, customers FROM headroom.{view}",
            )
        }
        assert shown == {
            place: (major(sum(minors), place[2]), len(minors)) for place, minors in expected.items()
        }


def test_a_customer_that_changes_its_group_takes_its_exposure_along(clickhouse: Client) -> None:
    def master(event_id: str, day: int, group_id: str | None) -> Event:
        return ev.CustomerUpserted(
            event_id=event_id, occurred_at=day * DAY, customer_id="C-1", currency="EUR",
            credit_limit=None, group_id=group_id,
        )  # fmt: skip

    fill(
        clickhouse,
        [
            master("m-1", 18_990, "G-1"),
            exposure(occurred_at=19_000 * DAY, exposure=8_000, overdue=500),
            master("m-2", 19_002, "G-2"),
            master("m-3", 19_003, None),
            business_day(19_004),
        ],
    )
    shown = rows(
        clickhouse,
        "SELECT toInt32(day), group_id, exposure, overdue, held_orders, customers"
        " FROM headroom.exposure_by_group_day ORDER BY day",
    )
    assert shown == [
        (19_000, "G-1", 80, 5, 2, 1),
        (19_001, "G-1", 80, 5, 2, 1),
        (19_002, "G-2", 80, 5, 2, 1),
    ]


def test_what_was_forwarded_for_a_group_member_counts_once(clickhouse: Client) -> None:
    """It stands in the journal twice: under the customer, and where its group is."""
    act = ev.CustomerBlocked(
        event_id="b-1", occurred_at=19_000 * DAY, customer_id="C-1", by="ann", reason="so"
    )
    fill(clickhouse, [invoice(), act, business_day(19_001)])
    headers = [("headroom_origin", b"credit.journal.v1@u-1:0:65536"), ("headroom_seat", b"{}")]
    forwarded = [
        replace(record(event, offset, headers), key=b"G-1")
        for offset, event in enumerate((invoice(), act), 7)
    ]
    Writer(lambda: clickhouse).write(batch_of(JOURNAL, 1, forwarded))
    assert rows(clickhouse, "SELECT customer_id, total FROM headroom.ageing") == [("C-1", 100)]
    assert rows(clickhouse, "SELECT acts FROM headroom.collector_productivity") == [(1,)]
    assert rows(clickhouse, "SELECT count() FROM headroom.journal") == [(5,)]


# ── month ends ──────────────────────────────────────────────────────────────────────────────────


class Months:
    """The figures of each month's end, invoice by invoice and month by month."""

    def __init__(self, journal: list[Event], currency: str) -> None:
        self.books = Books(journal, SMALL_BALANCE)
        self.currency = currency
        self.today = today_of(journal)

    def open_on(self, day: int) -> tuple[int, int]:
        """All that is open, and what of it is not past its due day."""
        opened = current = 0
        for place in self.books.revisions:
            if self.books.latest(place).currency == self.currency:
                rest = self.books.open_of(place, day)
                opened += rest
                current += rest if day <= self.books.latest(place).due_on else 0
        return opened, current

    def sales(self, first: int, last: int) -> int:
        return self.books.sales_of(self.currency, first, last)

    def count_back(self, first: int, as_of: int) -> Fraction | None:
        """Days whose sales make up what is open; `first`: of the first month there is."""
        rest, days, end = self.open_on(as_of)[0], Fraction(0), as_of
        while rest > 0:
            if end < first:
                return None
            start = number(month_of(end))
            sold, length = self.sales(start, end), end - start + 1
            if sold >= rest:
                return days + Fraction(rest, sold) * length
            rest, days, end = rest - sold, days + length, start - 1
        return days


@settings(a_few, max_examples=10)
@given(journals())
def test_collection_figures(clickhouse: Client, journal: list[Event]) -> None:
    fill(clickhouse, journal)
    columns = (
        "toInt32(month), toInt32(as_of), sales, open_receivables, current_receivables,"
        " overdue_receivables, dso, dso_count_back, best_possible_dso, average_days_delinquent,"
        " collection_effectiveness"
    )
    shown: dict[str, list[list[Any]]] = defaultdict(list)
    for currency, *row in rows(
        clickhouse, f"SELECT currency, {columns} FROM headroom.collection_figures ORDER BY month"
    ):
        shown[currency].append(row)
    first_days: dict[str, int] = dict(
        rows(clickhouse, "SELECT currency, toInt32(min(day)) FROM headroom.dso GROUP BY currency")
    )
    assert shown.keys() == first_days.keys()
    for currency, first_day in first_days.items():
        months = Months(journal, currency)
        first = number(month_of(first_day))
        assert shown[currency][0][0] == first
        assert shown[currency][-1][1] == months.today
        before, next_month = 0, first
        for month, as_of, *figures in shown[currency]:
            assert month == next_month
            next_month = as_of + 1
            opened, current = months.open_on(as_of)
            sold = months.sales(month, as_of)
            recent = months.sales(as_of - 89, as_of)
            days = min(90, as_of - first_day + 1)
            assert figures[:4] == [
                major(minor, currency) for minor in (sold, opened, current, opened - current)
            ]
            exact = [
                _over(opened * days, recent),
                months.count_back(first, as_of),
                _over(current * days, recent),
                _over((opened - current) * days, recent),
                _over(before + sold - opened, before + sold - current),
            ]
            for figure, expected in zip(figures[4:], exact, strict=True):
                assert (figure is None) == (expected is None)
                if expected is not None:
                    assert abs(Fraction(figure) - expected) <= Fraction(51, 10_000)
            before = opened


def _over(part: int, whole: int) -> Fraction | None:
    return Fraction(part, whole) if whole > 0 else None


def test_count_back_and_effectiveness_of_an_example_of_the_trade(clickhouse: Client) -> None:
    """Sales of 70, 80 and 100 thousand in three months, 212 open at the end: both later months are
    used up, and 32 of 70 of the first. Of the 212, 100 are not due. Sales began 77 days ago.
    """
    events: list[Event] = []
    starts = [number(date(2022, month, 15)) for month in (4, 5, 6)]
    for place, (start, amount) in enumerate(zip(starts, (70_000, 80_000, 100_000), strict=True)):
        events.append(
            invoice(
                f"i-{place}", invoice_id=f"I-{place}", amount=amount * 100, issued_on=start,
                due_on=start + 30,
            )
        )  # fmt: skip
    last = number(date(2022, 6, 30))
    events += [
        payment(
            value_on=last, amount=38_000_00,
            allocations=[ev.Allocation(invoice_id="I-0", amount=38_000_00)],
        ),
        business_day(last),
    ]  # fmt: skip
    fill(clickhouse, events)
    columns = (
        "dso, dso_count_back, best_possible_dso, average_days_delinquent, collection_effectiveness"
    )
    shown = rows(clickhouse, f"SELECT {columns} FROM headroom.collection_figures ORDER BY month")
    assert shown[-1] == (
        round(212 / 250 * 77, 2),
        round(30 + 31 + 32 / 70 * 30, 2),
        round(100 / 250 * 77, 2),
        round(112 / 250 * 77, 2),
        round((150 + 100 - 212) / (150 + 100 - 100), 4),
    )


# ── what came before ────────────────────────────────────────────────────────────────────────────


@a_few
@given(holds_and_alerts())
def test_alerts_before_hold(clickhouse: Client, events: list[Event]) -> None:
    fill(clickhouse, [*events, *events])
    expected = []
    for hold in events:
        if not (
            isinstance(hold, ev.OrderDecision)
            and hold.decision == "held"
            and "credit_limit_exceeded" in hold.reasons
        ):
            continue
        before = [
            one
            for one in events
            if one.occurred_at < hold.occurred_at
            and getattr(one, "customer_id", None) == hold.customer_id
        ]
        last: dict[str, ev.CreditLimitAlert] = {}
        for one in sorted(before, key=lambda one: (one.occurred_at, events.index(one))):
            if isinstance(one, ev.CreditLimitAlert):
                last[one.threshold] = one
        standing = {name: one for name, one in last.items() if one.direction == "raised"}
        days = [day_of(hold) - day_of(one) for one in standing.values()]
        highest = max(standing, default=None)
        told = [
            day_of(one)
            for one in before
            if isinstance(one, ev.RiskSignal)
            and one.kind == "forecast_breach"
            and 1 <= day_of(hold) - day_of(one) <= 30
        ]
        expected.append(
            (
                hold.order_id,
                bool(standing),
                highest,
                None if highest is None else day_of(hold) - day_of(standing[highest]),
                max(days, default=None),
                bool(told),
                day_of(hold) - max(told) if told else None,
            )
        )
    shown = rows(
        clickhouse,
        "SELECT order_id, alerted, threshold, days_before, first_days_before, warned,"
        " warned_days_before FROM headroom.alerts_before_hold",
    )
    assert Counter(shown) == Counter(expected)


def test_what_raised_an_alert_and_held_an_order_at_once_was_not_told_before(
    clickhouse: Client,
) -> None:
    at = 19_010 * DAY
    fill(
        clickhouse,
        [
            alert("a-1", threshold="0.80", occurred_at=at - 5 * DAY),
            alert("a-2", threshold="0.90", occurred_at=at),
            signal("s-1", occurred_at=at - 31 * DAY),
            decision(occurred_at=at, reasons=["credit_limit_exceeded"]),
        ],
    )
    assert rows(
        clickhouse, "SELECT threshold, days_before, warned FROM headroom.alerts_before_hold"
    ) == [("0.80", 5, False)]


# ── who is late, who promised, who contests ─────────────────────────────────────────────────────


@a_few
@given(journals(), promises())
def test_top_overdue(clickhouse: Client, documents: list[Event], promised: list[Event]) -> None:
    journal = documents + promised
    fill(clickhouse, journal)
    books, today = Books(journal, SMALL_BALANCE), today_of(journal)
    late: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for place in books.revisions:
        days, rest = today - books.latest(place).due_on, books.open_of(place, today)
        if days > 0 and rest:
            late[place[0], books.latest(place).currency].append((days, rest))
    total: dict[str, int] = defaultdict(int)
    for (_, currency), found in late.items():
        total[currency] += sum(rest for _, rest in found)
    expected = {
        (customer, currency): (
            major(sum(rest for _, rest in found), currency),
            round(sum(rest for _, rest in found) / total[currency], 4),
            max(days for days, _ in found),
            len(found),
            *next_promised(books, customer, currency, today),
        )
        for (customer, currency), found in late.items()
    }
    shown = {
        (customer, currency): tuple(figures)
        for customer, currency, *figures in rows(
            clickhouse,
            "SELECT customer_id, currency, overdue, share, oldest_days_overdue, invoices,"
            " toInt32(next_promised_on), next_promised FROM headroom.top_overdue",
        )
    }
    assert shown == expected


def next_promised(books: Books, customer: str, currency: str, today: int) -> tuple[int | None, Any]:
    """The next day for which the customer promised anything in the currency, and how much."""
    by_day: dict[int, int] = defaultdict(int)
    for (one, name), made in books.promises().items():
        if one != customer or books.promise_end(one, name, day_of(made))[0] != "running":
            continue
        if promise_currency(books, made) != currency:
            continue
        if isinstance(made, ev.PaymentPlanAgreed):
            for instalment in made.instalments:
                by_day[instalment.due_on] += instalment.amount
        else:
            by_day[made.promised_on] += made.amount
    days = [day for day in by_day if day >= today]
    return (min(days), major(by_day[min(days)], currency)) if days else (None, None)


def promise_currency(books: Books, made: ev.PromiseToPayMade | ev.PaymentPlanAgreed) -> str:
    """That of its first invoice, as it was first issued; '' when nobody knows the invoice."""
    place = made.customer_id, made.invoice_ids[0]
    issued = [
        one
        for one in books.events
        if isinstance(one, ev.InvoiceIssued) and (one.customer_id, one.invoice_id) == place
    ]
    return issued[0].currency if issued else ""


@a_few
@given(promises())
def test_promises_kept(clickhouse: Client, promised: list[Event]) -> None:
    journal = [invoice(), business_day(LAST_DAY), *promised]
    fill(clickhouse, [*journal, *journal])
    books = Books(journal, SMALL_BALANCE)
    expected: dict[tuple[date, str], Counter[str]] = defaultdict(Counter)
    for (customer, name), made in books.promises().items():
        status = books.promise_end(customer, name, day_of(made))[0]
        if isinstance(made, ev.PaymentPlanAgreed):
            amount = sum(one.amount for one in made.instalments)
        else:
            amount = made.amount
        row = expected[month_of(day_of(made)), promise_currency(books, made)]
        row.update({"made": 1, status: 1, "made_amount": amount, f"{status}_amount": amount})
    names = (
        "made", "kept", "partly", "broken", "cancelled", "running",
        "made_amount", "kept_amount", "partly_amount", "broken_amount",
    )  # fmt: skip
    shown = rows(
        clickhouse,
        f"SELECT month, currency, share_kept, {', '.join(names)} FROM headroom.promises_kept",
    )
    assert {row[:2]: row[2] for row in shown} == {
        place: round(row["kept"] / due, 4)
        if (due := row["kept"] + row["partly"] + row["broken"])
        else None
        for place, row in expected.items()
    }
    assert {row[:2]: row[3:] for row in shown} == {
        place: tuple(
            major(row[name], "EUR") if name.endswith("amount") else row[name] for name in names
        )
        for place, row in expected.items()
    }


@a_few
@given(disputes())
def test_disputes_by_reason(clickhouse: Client, told: list[Event]) -> None:
    known = [
        invoice("i-1", invoice_id="I-1", amount=500),
        invoice("i-2", invoice_id="I-2", amount=90),
    ]
    fill(clickhouse, [*told, *known, *told])
    amounts = {"I-1": 500, "I-2": 90}
    counts: dict[tuple[date, str, str], Counter[str]] = defaultdict(Counter)
    days: dict[tuple[date, str, str], list[int]] = defaultdict(list)
    seen = set()
    for one in told:
        if not isinstance(one, ev.InvoiceDisputed) or (one.invoice_id, one.dispute_id) in seen:
            continue
        seen.add((one.invoice_id, one.dispute_id))
        currency = "EUR" if one.invoice_id in amounts else ""
        amount = 0
        if currency:
            amount = amounts[one.invoice_id] if one.amount is None else one.amount
        reason = one.reason.partition(":")[0]
        counts[month_of(day_of(one)), reason, currency].update(opened=1, opened_amount=amount)
        ends = [
            day_of(end)
            for end in told
            if isinstance(end, ev.DisputeResolved)
            and (end.invoice_id, end.dispute_id) == (one.invoice_id, one.dispute_id)
        ]
        if ends:
            place = month_of(max(ends)), reason, currency
            counts[place].update(solved=1, solved_amount=amount)
            days[place].append(max(ends) - day_of(one))
    shown = {
        row[:3]: row[3:]
        for row in rows(
            clickhouse,
            "SELECT month, reason, currency, opened, solved, days_to_solve_median,"
            " days_to_solve_p90, coalesce(opened_amount, 0), coalesce(solved_amount, 0)"
            " FROM headroom.disputes_by_reason",
        )
    }
    assert shown == {
        place: (
            row["opened"],
            row["solved"],
            median(days[place]) if days[place] else None,
            sorted(days[place])[int(0.9 * len(days[place]))] if days[place] else None,
            major(row["opened_amount"], "EUR"),
            major(row["solved_amount"], "EUR"),
        )
        for place, row in counts.items()
    }
