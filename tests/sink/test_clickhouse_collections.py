"""What managers of credit and collections ask, held to a slow recomputation in Python."""

# ruff: noqa: S608  the queries are made of our own names

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import given, settings
from hypothesis import strategies as st
from sink.sink_events import DAY, business_day, decision, exposure, invoice, outcome, payment, step
from sink.sink_histories import (
    CURRENCIES,
    LAST_DAY,
    SMALL_BALANCE,
    decisions,
    exposure_changes,
    journals,
    promises,
)
from sink.sink_oracle import Books, day_of
from sink.test_clickhouse_figures import a_few, fill, major, number, rows, today_of

from schemas import events as ev
from schemas.events import Event

pytestmark = pytest.mark.connected


def quantile(level: float, values: list[int]) -> int:
    """The value that has so much of all before it."""
    return sorted(values)[int(level * len(values))]


def _days_in(event: Event) -> list[int]:
    names = ("issued_on", "value_on")
    return [day for name in names if (day := getattr(event, name, None)) is not None]


class Collections:
    """Lateness and forecast, invoice by invoice."""

    def __init__(self, journal: list[Event]) -> None:
        self.books = Books(journal, SMALL_BALANCE)
        self.today = today_of(journal)
        self.lateness: dict[str, list[int]] = defaultdict(list)
        for place in self.books.revisions:
            settled_on = self.settled_on(place)
            if settled_on is not None and self.today - 365 < settled_on <= self.today:
                self.lateness[place[0]].append(settled_on - self.books.latest(place).due_on)

    def settled_on(self, place: tuple[str, str]) -> int | None:
        """The day since which nothing has been open of an invoice that nobody closed."""
        books = self.books
        closed_on = books.closed_on(place)
        latest = books.latest(place)
        if closed_on is not None and closed_on <= self.today:
            return None
        if books.open_of(place, self.today) or not self.has_begun(place):
            return None
        # It changes on days on which something happened, and on no others.
        days = {day for event in books.events for day in (day_of(event), *_days_in(event))}
        ends = [
            day
            for day in days
            if day <= self.today
            and books.open_of(place, day) == 0
            and books.open_of(place, day - 1) > 0
        ]
        return max(ends, default=latest.issued_on)

    def has_begun(self, place: tuple[str, str]) -> bool:
        """Whether anything has happened to it yet."""
        return self.books.billed(place, self.today) > 0 or self.books.settled(place, self.today) > 0

    def courses(self, place: tuple[str, str]) -> tuple[int, int, int]:
        """Days on which it is expected: usual, early, late."""
        own = self.lateness.get(place[0], [])
        if len(own) >= 3:
            late = [quantile(level, own) for level in (0.5, 0.25, 0.75)]
        else:
            medians = [quantile(0.5, one) for one in self.lateness.values() if len(one) >= 3]
            late = [quantile(level, medians) if medians else 0 for level in (0.5, 0.25, 0.75)]
        due_on = self.books.latest(place).due_on
        usual, early, slow = (max(due_on + days, self.today + 1) for days in late)
        return usual, early, slow

    def promised_on(self) -> dict[tuple[str, str], int]:
        """The last day of the running promises for an invoice."""
        found: dict[tuple[str, str], int] = {}
        for (customer, name), made in self.books.promises().items():
            if self.books.promise_end(customer, name, day_of(made))[0] != "running":
                continue
            last = (
                max(one.due_on for one in made.instalments)
                if isinstance(made, ev.PaymentPlanAgreed)
                else made.promised_on
            )
            for invoice_id in made.invoice_ids:
                place = customer, invoice_id
                found[place] = max(last, found.get(place, last))
        return found

    def forecast(self) -> dict[tuple[str, str], tuple[int, int, int, int]]:
        """What is open of each invoice that is expected, and when."""
        found = {}
        promised = self.promised_on()
        for place in self.books.revisions:
            rest = self.books.open_of(place, self.today)
            late = self.today - self.books.latest(place).due_on
            if rest and place in promised:
                day = max(promised[place], self.today + 1)
                found[place] = (rest, day, day, day)
            elif rest and late <= 90:
                found[place] = (rest, *self.courses(place))
        return found


@settings(a_few, max_examples=4)
@given(journals(), promises())
def test_cash_forecast(clickhouse: Client, documents: list[Event], promised: list[Event]) -> None:
    journal = documents + promised
    fill(clickhouse, journal)
    expected = Collections(journal).forecast()
    shown = {
        (customer, invoice_id): (minor, number(usual), number(early), number(late))
        for customer, invoice_id, minor, usual, early, late in rows(
            clickhouse,
            "SELECT customer_id, invoice_id, open_minor, expected_on, early_on, late_on"
            " FROM headroom.cash_forecast_invoices",
        )
    }
    assert shown == expected
    weeks: dict[tuple[int, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for (customer, _), (minor, *days) in expected.items():
        for course, day in enumerate(days):
            monday = day - (day + 3) % 7  # 1970-01-01 was a Thursday
            weeks[monday, CURRENCIES[customer]][course] += minor
    assert {
        (number(week), currency): [usual, early, late]
        for week, currency, usual, early, late in rows(
            clickhouse,
            "SELECT week, currency, expected, if_early, if_late FROM headroom.cash_forecast",
        )
    } == {
        (week, currency): [major(minor, currency) for minor in sums]
        for (week, currency), sums in weeks.items()
    }


def test_a_customer_pays_as_late_as_it_did(clickhouse: Client) -> None:
    """Paid 5, 10 and 20 days late; an invoice due in 30 days is expected 10 days behind that."""
    events: list[Event] = []
    for place, late in enumerate((5, 10, 20)):
        due_on = 19_000 + place
        events += [
            invoice(f"i-{place}", invoice_id=f"I-{place}", issued_on=due_on - 30, due_on=due_on),
            payment(
                f"p-{place}", payment_id=f"P-{place}", value_on=due_on + late,
                allocations=[ev.Allocation(invoice_id=f"I-{place}", amount=10_000)],
            ),
        ]  # fmt: skip
    events += [
        invoice("i-9", invoice_id="I-9", issued_on=19_050, due_on=19_080),
        business_day(19_050),
    ]
    fill(clickhouse, events)
    ((usual, early, late),) = rows(
        clickhouse, "SELECT expected_on, early_on, late_on FROM headroom.cash_forecast_invoices"
    )
    assert (number(usual), number(early), number(late)) == (19_090, 19_085, 19_100)


def test_who_did_how_much(clickhouse: Client) -> None:
    at = 19_000 * DAY
    facts: dict[str, Any] = {"customer_id": "C-1", "occurred_at": at}
    events: list[Event] = [
        ev.OrderReleased(event_id="a", **facts, order_id="O-1", by="ann", reason="so"),
        ev.OrderReleased(event_id="b", **facts, order_id="O-2", by="ann", reason="so"),
        ev.OrderHeld(event_id="c", **facts, order_id="O-3", by="bob", reason="so"),
        ev.DunningPaused(event_id="d", **facts, by="ann", reason="so"),
        ev.DunningStepReported(
            event_id="e", **facts, step_id="S", attempt=1, channel="phone", result="sent",
            on=19_000, detail="by ann: promised for Friday",
        ),
        ev.DunningStepReported(
            event_id="f", **facts, step_id="S", attempt=1, channel="email", result="sent",
            on=19_000, detail="<id>: queued",
        ),
        ev.CustomerBlocked(
            event_id="g", customer_id="C-2", occurred_at=at + DAY, by="ann", reason="so"
        ),
    ]  # fmt: skip
    fill(clickhouse, [*events, *events])
    columns = (
        "day, collector, orders_released, orders_held, steps_reported, pauses,"
        " customers_reviewed, acts, customers"
    )
    shown = rows(
        clickhouse,
        f"SELECT {columns} FROM headroom.collector_productivity ORDER BY day, collector",
    )
    assert [(number(row[0]), *row[1:]) for row in shown] == [
        (19_000, "ann", 2, 0, 1, 1, 0, 4, 1),
        (19_000, "bob", 0, 1, 0, 0, 0, 1, 1),
        (19_001, "ann", 0, 0, 0, 0, 1, 1, 1),
    ]


def test_whether_reminders_work(clickhouse: Client) -> None:
    """Of two invoices that were reminded of, one is paid within seven days, one later."""
    events: list[Event] = [
        invoice("i-1", invoice_id="I-1"),
        invoice("i-2", invoice_id="I-2"),
        payment("p-1", payment_id="P-1", value_on=19_047),
        payment(
            "p-2", payment_id="P-2", value_on=19_048,
            allocations=[ev.Allocation(invoice_id="I-2", amount=10_000)],
        ),
        step(
            "s-1", occurred_at=19_040 * DAY,
            invoices=[
                ev.DunnedInvoice(
                    invoice_id=name, open_amount=10_000, due_on=19_030, days_overdue=10, level=2
                )
                for name in ("I-1", "I-2")
            ],
        ),
        outcome("u-1", outcome="sent", on=19_040),
        business_day(19_100),
    ]  # fmt: skip
    fill(clickhouse, events)
    columns = "procedure, level, channel, steps, invoices, paid_within_7_days, share"
    assert rows(clickhouse, f"SELECT {columns} FROM headroom.dunning_effectiveness") == [
        ("friendly-b2b", 2, "email", 1, 2, 1, 0.5)
    ]


@a_few
@given(decisions())
def test_how_long_orders_were_held(clickhouse: Client, made: list[ev.OrderDecision]) -> None:
    fill(clickhouse, [*made, *made])
    expected = []
    by_order: dict[str, list[ev.OrderDecision]] = defaultdict(list)
    for one in made:
        by_order[one.order_id].append(one)
    for order_id, course in by_order.items():
        for one, after in zip(course, [*course[1:], None], strict=True):
            if one.decision != "held":
                continue
            seconds = None
            if after is not None:
                seconds = after.occurred_at // 1_000_000 - one.occurred_at // 1_000_000
            expected.append((order_id, None if after is None else after.decision, seconds))
    shown = rows(clickhouse, "SELECT order_id, ended, seconds_held FROM headroom.order_holds")
    assert Counter(shown) == Counter(expected)


@a_few
@given(exposure_changes(), st.integers(LAST_DAY, LAST_DAY + 10))
def test_who_owes_how_much_of_all(
    clickhouse: Client, changes: list[ev.ExposureChanged], today: int
) -> None:
    fill(clickhouse, [*changes, business_day(today)])
    latest = {one.customer_id: one for one in changes}
    shown = rows(
        clickhouse,
        "SELECT currency, place, customer_id, exposure, share_so_far FROM headroom.concentration"
        " ORDER BY currency, place",
    )
    expected = []
    for currency in sorted(set(CURRENCIES.values())):
        owing = sorted(
            (one for one in latest.values() if one.currency == currency and one.exposure > 0),
            key=lambda one: (-one.exposure, one.customer_id),
        )
        total, so_far = sum(one.exposure for one in owing), 0
        for place, one in enumerate(owing, 1):
            so_far += one.exposure
            amount = major(one.exposure, currency)
            expected.append((currency, place, one.customer_id, amount, round(so_far / total, 4)))
    assert shown == expected


def test_how_many_use_how_much_of_their_limit(clickhouse: Client) -> None:
    shares = {"A": "0.0500", "B": "0.7999", "C": "0.8000", "D": "1.3000", "E": "0.8900", "F": None}
    fill(
        clickhouse,
        [
            exposure(f"x-{name}", customer_id=name, exposure=100, utilisation=share)
            for name, share in shares.items()
        ],
    )
    shown = rows(
        clickhouse,
        "SELECT utilisation_from, customers FROM headroom.utilisation_distribution"
        " ORDER BY utilisation_from",
    )
    assert [(Decimal(str(one)), count) for one, count in shown] == [
        (Decimal("0.0"), 1),
        (Decimal("0.7"), 1),
        (Decimal("0.8"), 2),
        (Decimal("1.0"), 1),
    ]


def test_disputes_with_their_reason_and_the_time_to_solve_them(clickhouse: Client) -> None:
    def disputed(name: str, day: int, reason: str) -> ev.InvoiceDisputed:
        return ev.InvoiceDisputed(
            event_id=f"d-{name}", occurred_at=day * DAY, customer_id="C-1", invoice_id="I-1",
            dispute_id=name, reason=reason,
        )  # fmt: skip

    fill(
        clickhouse,
        [
            disputed("D-1", 19_000, "damaged: two sacks"),
            disputed("D-2", 19_002, "quality"),
            ev.DisputeResolved(
                event_id="r-1", occurred_at=19_007 * DAY, customer_id="C-1", invoice_id="I-1",
                dispute_id="D-1", outcome="upheld",
            ),
        ],
    )  # fmt: skip
    assert rows(
        clickhouse,
        "SELECT dispute_id, reason, outcome, days_to_resolve FROM headroom.disputes"
        " ORDER BY dispute_id",
    ) == [("D-1", "damaged", "upheld", 7), ("D-2", "quality", None, None)]


def test_a_decision_that_was_released_by_a_person_names_who(clickhouse: Client) -> None:
    fill(
        clickhouse,
        [
            decision("d-1", decision_number=1, decision="held", occurred_at=19_000 * DAY),
            decision(
                "d-2", decision_number=2, decision="released", by="ann", reasons=[],
                occurred_at=19_000 * DAY + 3_600_000_000,
            ),
        ],
    )  # fmt: skip
    ((held_at, ended, by, seconds),) = rows(
        clickhouse, "SELECT held_at, ended, released_by, seconds_held FROM headroom.order_holds"
    )
    assert held_at.replace(tzinfo=UTC) == datetime.fromtimestamp(19_000 * 86_400, UTC)
    assert (ended, by, seconds) == ("released", "ann", 3600)
