"""That headroom will run out is told days before: against a slow projection, and case by case."""

from __future__ import annotations

from fractions import Fraction
from importlib.resources import files
from statistics import median_low
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.core.policy import PolicyBook
from agents.core.policy_text import parse_policy
from agents.simulate import Simulation, business_day
from schemas import events as ev
from schemas.dates import MICROSECONDS_PER_DAY
from schemas.events import Day, Event, RiskSignal

_START: Day = 20_000
_STRETCH = 45
_AHEAD = 30


def _policy(changes: str = "") -> PolicyBook:
    shipped = (files("agents.policy") / "default.toml").read_text(encoding="utf-8")
    return parse_policy(changes, shipped)


class _Account:
    """A customer whose events are written down shortly; remembers what was told."""

    def __init__(self, limit: int, policy: PolicyBook | None = None) -> None:
        self._simulation = Simulation(policy or _policy())
        self._today = _START
        self._count = 0
        self.told: list[tuple[Day, Day | None]] = []
        self._feed(business_day(_START))
        self.say(ev.CustomerUpserted, currency="EUR", credit_limit=limit)

    def _feed(self, event: Event) -> None:
        for effect in self._simulation.feed(event):
            if isinstance(effect, RiskSignal) and effect.kind == "forecast_breach":
                self.told.append((self._today, effect.expected_on))

    def say(self, kind: Any, **fields: Any) -> None:
        self._count += 1
        at = self._today * MICROSECONDS_PER_DAY + self._count
        event_id = f"e-{self._count}"
        self._feed(kind(event_id=event_id, occurred_at=at, customer_id="C-1", **fields))

    def order(self, amount: int, deliver_on: Day | None = None) -> str:
        order_id = f"O-{self._count}"
        self.say(
            ev.OrderPlaced, order_id=order_id, amount=amount, currency="EUR", deliver_on=deliver_on
        )
        return order_id

    def invoice(self, amount: int, due_on: Day) -> str:
        invoice_id = f"I-{self._count}"
        self.say(
            ev.InvoiceIssued,
            invoice_id=invoice_id,
            amount=amount,
            currency="EUR",
            issued_on=min(self._today, due_on),
            due_on=due_on,
        )
        return invoice_id

    def pay(self, invoice_id: str, amount: int) -> str:
        payment_id = f"P-{self._count}"
        self.say(
            ev.PaymentReceived,
            payment_id=payment_id,
            amount=amount,
            currency="EUR",
            value_on=self._today,
            allocations=[ev.Allocation(invoice_id=invoice_id, amount=amount)],
        )
        return payment_id

    def pays_late(self, *days: int) -> None:
        """Has paid invoices so many days after they were due."""
        for late in days:
            self.pay(self.invoice(100, self._today - late), 100)

    def wait(self, days: int = 1) -> None:
        for _ in range(days):
            self._today += 1
            self._feed(business_day(self._today))

    @property
    def exposure(self) -> int:
        (figures,) = self._simulation.figures()
        return figures.exposure

    @property
    def today(self) -> Day:
        return self._today


@given(
    limit=st.integers(500, 1500),
    temporary=st.none() | st.tuples(st.integers(500, 3000), st.integers(0, 20)),
    late=st.lists(st.integers(-5, 20), min_size=2, max_size=5),
    invoices=st.lists(st.tuples(st.integers(1, 300), st.integers(-10, 25)), max_size=5),
    promised=st.lists(st.tuples(st.integers(0, 25), st.integers(1, 300)), max_size=3),
    orders=st.lists(st.tuples(st.integers(0, 60), st.integers(1, 400)), max_size=6),
    quiet=st.integers(0, 60),
)
def test_the_day_is_that_of_a_slow_projection(
    limit: int,
    temporary: tuple[int, int] | None,
    late: list[int],
    invoices: list[tuple[int, int]],
    promised: list[tuple[int, int]],
    orders: list[tuple[int, int]],
    quiet: int,
) -> None:
    """All is set up before the limit is given, so that only the last day can tell anything. What is
    promised are instalments of a plan for the first two invoices.
    """
    account = _Account(10**9)
    placed: list[tuple[Day, int]] = []
    for gap, amount in orders:
        account.wait(gap)
        placed.append((account.today, amount))
        account.order(amount)
    account.wait(quiet)
    account.pays_late(*late)
    names = [account.invoice(amount, account.today + due_in) for amount, due_in in invoices]
    promised.sort()
    if names[:2] and promised:
        account.say(
            ev.PaymentPlanAgreed,
            plan_id="L-1",
            invoice_ids=names[:2],
            instalments=[
                ev.Instalment(due_on=account.today + days, amount=amount)
                for days, amount in promised
            ],
        )
    account.say(ev.CreditLimitChanged, credit_limit=limit)
    if temporary is not None:
        account.say(
            ev.CreditLimitChanged,
            credit_limit=temporary[0],
            valid_until=account.today + temporary[1],
        )
    exposure = account.exposure
    assert account.told == []
    account.wait()
    today = account.today

    def limit_on(day: Day) -> int:
        return temporary[0] if temporary and day <= today - 1 + temporary[1] else limit

    def expected() -> Day | None:
        if len(late) < 3 or exposure > limit_on(today):
            return None
        # A plan whose first instalment is missed is over by the day on which this is asked.
        kept = bool(names and promised) and promised[0][0] > 0
        by_habit = invoices[2:] if kept else invoices
        left = sum(amount for amount, _ in invoices[:2])
        instalments = []
        for days, amount in promised if kept else []:
            instalments.append((today - 1 + days, min(amount, left)))
            left -= instalments[-1][1]
        for day in range(today + 1, today + _AHEAD + 1):
            paid = sum(
                amount
                for amount, due_in in by_habit
                if today < today - 1 + due_in + median_low(late) <= day
            ) + sum(amount for on, amount in instalments if today < on <= day)
            if exposure - paid + _pace(placed, today) * (day - today) > limit_on(day):
                return day
        return None

    found = expected()
    assert account.told == ([] if found is None else [(today, found)])


def _pace(placed: list[tuple[Day, int]], today: Day) -> Fraction:
    """Ordered a day, on the stretch in which the last order fell and the one before."""
    if not placed:
        return Fraction(0)
    first, last = placed[0][0], placed[-1][0]
    since = first
    for day, _ in placed:
        since += (day - since) // _STRETCH * _STRETCH
    if today - since >= 2 * _STRETCH:
        return Fraction(0)
    amount = sum(amount for day, amount in placed if day >= since - _STRETCH)
    days = today - since + 1 + (_STRETCH if last - first >= _STRETCH or since > first else 0)
    return Fraction(amount, max(days, _STRETCH))


def _nearly_full() -> _Account:
    """Owes 800 of 1,000 and orders 1,800 in 45 days, 40 a day."""
    account = _Account(100_000)
    account.pays_late(0, 0, 0)
    for _ in range(9):
        order_id = account.order(200)
        account.say(ev.OrderCancelled, order_id=order_id)
        account.wait(5)
    account.invoice(800, account.today + 60)
    account.say(ev.CreditLimitChanged, credit_limit=1_000)
    return account


def test_it_is_told_once_while_it_is_expected() -> None:
    account = _nearly_full()
    account.wait(6)
    assert len(account.told) == 1


def test_it_is_told_again_after_headroom_was_expected_to_last_for_a_week() -> None:
    account = _nearly_full()
    account.wait()
    account.say(ev.CreditLimitChanged, credit_limit=50_000)
    account.wait(7)
    account.say(ev.CreditLimitChanged, credit_limit=1_000)
    account.wait()
    assert len(account.told) == 2


def test_a_day_without_it_in_between_is_no_news() -> None:
    account = _nearly_full()
    account.wait()
    account.say(ev.CreditLimitChanged, credit_limit=50_000)
    account.wait()
    account.say(ev.CreditLimitChanged, credit_limit=1_000)
    account.wait()
    assert len(account.told) == 1


def test_nothing_is_foretold_while_orders_wait() -> None:
    account = _nearly_full()
    account.order(500)
    account.wait(3)
    assert account.told == []


def test_a_policy_without_forecast_days_foretells_nothing() -> None:
    account = _Account(1_000, _policy('version = "x"\n[alerts]\nforecast_days = 0\n'))
    account.pays_late(0, 0, 0)
    for _ in range(4):
        account.order(200)
    account.wait(3)
    assert account.told == []


def test_a_dated_order_is_foretold_when_it_comes_within_sight_though_nothing_happens() -> None:
    horizon = _policy('version = "x"\n[credit]\nshipping_horizon_days = 10\n')
    account = _Account(1_000, horizon)
    account.pays_late(0, 0, 0)
    account.invoice(800, account.today + 90)
    enters_on = account.today + 50
    account.order(500, deliver_on=enters_on + 10)
    account.wait(49)
    ((told_on, expected_on),) = account.told
    assert expected_on == enters_on
    assert 30 - 7 < enters_on - told_on <= 30


@pytest.mark.parametrize(("amount", "breaches"), [(500, False), (501, True)])
def test_a_promise_about_one_invoice_leaves_the_others_where_they_are_due(
    amount: int, *, breaches: bool
) -> None:
    """The promised one is due first; the other is expected on its own day all the same."""
    account = _Account(1_000, _policy("credit.shipping_horizon_days = 5"))
    account.pays_late(0, 0, 0)
    promised = account.invoice(500, _START + 3)
    account.invoice(450, _START + 6)
    account.say(
        ev.PromiseToPayMade, promise_id="R", invoice_ids=[promised], amount=500,
        promised_on=_START + 20,
    )  # fmt: skip
    account.order(amount, deliver_on=_START + 17)  # in sight from the twelfth day on
    account.wait()
    assert account.told == ([(_START + 1, _START + 12)] if breaches else [])


def test_a_payment_taken_back_says_nothing_of_how_late_the_customer_pays() -> None:
    account = _Account(1_000)
    account.pays_late(0, 0)
    invoice_id = account.invoice(100, account.today)
    payment_id = account.pay(invoice_id, 100)
    account.say(ev.PaymentReversed, payment_id=payment_id, reason="charge-back")
    account.invoice(890, account.today + 60)
    account.order(1)
    account.order(2)
    account.wait(3)
    assert account.told == []  # two payments are too few to go by


def test_a_credit_note_or_a_write_off_is_no_payment() -> None:
    account = _Account(1_000)
    account.pays_late(0, 0)
    credited = account.invoice(100, account.today)
    account.say(
        ev.CreditNoteIssued, credit_note_id="N-1", amount=100, currency="EUR", invoice_id=credited
    )
    written_off = account.invoice(100, account.today)
    account.pay(written_off, 50)
    account.say(ev.InvoiceWrittenOff, invoice_id=written_off)
    account.invoice(990, account.today + 60)
    account.order(9)
    account.wait(3)
    assert account.told == []
