"""A year simulated day by day on real invoices: what must never happen, told by a bookkeeper who
knows nothing of the rules.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from fractions import Fraction
from functools import cache

import pytest
from dunning.dunned_year import DunnedYear

from agents.working_days import holidays_of
from schemas import events as ev
from schemas.dates import MICROSECONDS_PER_DAY, date_of
from schemas.events import Day, DunningStep, DunningStepSettled, Event, Minor

SEEDS = pytest.mark.parametrize(("seed", "lateness"), [(1, 1), (2, 5), (3, 5)])


@cache
def year(seed: int, lateness: int) -> DunnedYear:
    return DunnedYear(seed, lateness)


class Bookkeeper:
    """What is open, contested, promised, paused; by hand."""

    def __init__(self) -> None:
        self.open: dict[str, Minor] = {}
        self.due_on: dict[str, Day] = {}
        self.contested: set[str] = set()
        self.promised: dict[str, set[str]] = defaultdict(set)
        self.promises: dict[str, list[str]] = {}
        self.paused_until: dict[str, Day] = {}
        self.levels: dict[str, int] = defaultdict(int)
        self.noticed: dict[str, Day] = {}
        self.steps: dict[str, DunningStep] = {}
        self.customer: dict[str, ev.CustomerUpserted] = {}

    def follow(self, event: Event) -> None:
        match event:
            case ev.CustomerUpserted():
                self.customer[event.customer_id] = event
            case ev.InvoiceIssued():
                self.open[event.invoice_id] = event.amount
                self.due_on[event.invoice_id] = event.due_on
            case ev.PaymentReceived():
                for part in event.allocations:
                    self.open[part.invoice_id] -= part.amount
            case ev.InvoiceDisputed():
                self.contested.add(event.invoice_id)
            case ev.DisputeResolved():
                self.contested.discard(event.invoice_id)
            case ev.PromiseToPayMade():
                self._promise(event.promise_id, event.invoice_ids)
            case ev.PaymentPlanAgreed():
                self._promise(event.plan_id, event.invoice_ids)
            case ev.RiskSignal() if event.kind.startswith("promise"):
                promise_id = event.detail.split()[1]
                for invoice_id in self.promises[promise_id]:
                    self.promised[invoice_id].discard(promise_id)
            case ev.DunningPaused():
                self.paused_until[event.customer_id] = event.until or 0
            case DunningStep():
                self.steps[event.step_id] = event
            case DunningStepSettled() if event.outcome in ("sent", "skipped"):
                for one in self.steps[event.step_id].invoices:
                    level = one.level or 0
                    self.levels[one.invoice_id] = max(self.levels[one.invoice_id], level)
                if event.outcome == "sent" and _is_notice(self.steps[event.step_id]):
                    for one in self.steps[event.step_id].invoices:
                        self.noticed.setdefault(one.invoice_id, event.on)

    def _promise(self, promise_id: str, invoice_ids: list[str]) -> None:
        self.promises[promise_id] = invoice_ids
        for invoice_id in invoice_ids:
            self.promised[invoice_id].add(promise_id)


def _is_notice(step: DunningStep) -> bool:
    return step.template in ("fourteen_day_notice", "first_reminder")


_CHARGED_FROM = {"consumer-nl": 3, "consumer-be": 2}
"""The first level at which costs are asked."""


def _consumer_costs(country: str | None, charged: list[ev.DunnedInvoice]) -> Minor:
    """By the scales as people read them, for sums up to 2,500 euro."""
    principal = sum(one.open_amount for one in charged)
    assert principal <= 2_500_00
    if not charged:
        return 0
    if country == "NL":
        return max(40_00, round(Fraction(15, 100) * principal))
    if principal <= 150_00:
        return 20_00
    if principal <= 500_00:
        return 30_00 + round(Fraction(10, 100) * (principal - 150_00))
    return 65_00 + round(Fraction(5, 100) * (principal - 500_00))


def _day(event: Event) -> Day:
    return event.occurred_at // MICROSECONDS_PER_DAY


def _sent(course: list[Event]) -> list[DunningStep]:
    return [one for one in course if isinstance(one, DunningStep) and not one.proposed]


@SEEDS
def test_a_year_has_all_that_dunning_has(seed: int, lateness: int) -> None:
    """Else the laws below would hold for nothing."""
    course = year(seed, lateness).course
    steps = _sent(course)
    outcomes = Counter(one.outcome for one in course if isinstance(one, DunningStepSettled))
    assert len(steps) > 100
    assert outcomes["sent"] > 100
    if lateness > 1:
        assert {one.level for one in steps} >= {0, 1, 2, 3, 4}
        assert {"sent", "bounced", "failed", "withdrawn", "skipped"} <= outcomes.keys()
        assert any(one.costs for one in steps if one.kind == "b2c")
        assert any(len({each.level for each in one.invoices}) > 1 for one in steps)


@SEEDS
def test_no_account_gets_two_messages_on_a_day(seed: int, lateness: int) -> None:
    messages = Counter((one.customer_id, _day(one)) for one in _sent(year(seed, lateness).course))
    assert max(messages.values()) == 1


@SEEDS
def test_nothing_is_asked_that_is_paid_contested_promised_or_paused(
    seed: int, lateness: int
) -> None:
    book = Bookkeeper()
    for event in year(seed, lateness).course:
        if isinstance(event, DunningStep):
            assert book.paused_until.get(event.customer_id, 0) < _day(event)
            for one in event.invoices:
                assert one.open_amount == book.open[one.invoice_id] > 0
                assert one.due_on == book.due_on[one.invoice_id]
                assert one.invoice_id not in book.contested
                assert not book.promised[one.invoice_id]
        book.follow(event)


@SEEDS
def test_levels_rise_by_one_and_only_when_the_one_before_was_sent(seed: int, lateness: int) -> None:
    book = Bookkeeper()
    for event in year(seed, lateness).course:
        if isinstance(event, DunningStep) and event.level:
            for one in event.invoices:
                level = one.level or 0
                before = book.levels[one.invoice_id]
                # A word before the due day that was not said is passed over.
                passed_over = event.procedure == "friendly-b2b" and (before, level) == (0, 2)
                assert level == before + 1 or passed_over
        book.follow(event)


@SEEDS
def test_the_sums_of_a_letter_are_those_of_its_items(seed: int, lateness: int) -> None:
    for step in _sent(year(seed, lateness).course):
        assert step.principal == sum(one.open_amount for one in step.invoices)
        assert step.interest == sum(one.interest or 0 for one in step.invoices)
        assert step.level == max(one.level or 0 for one in step.invoices)
        assert len({one.invoice_id for one in step.invoices}) == len(step.invoices)


@SEEDS
def test_no_consumer_is_charged_before_the_fourteen_days_are_over(seed: int, lateness: int) -> None:
    book = Bookkeeper()
    for event in year(seed, lateness).course:
        if isinstance(event, DunningStep) and event.kind == "b2c":
            first = _CHARGED_FROM[event.procedure]
            charged = [one for one in event.invoices if (one.level or 0) >= first]
            assert event.costs == _consumer_costs(event.country, charged)
            for one in charged:
                # Delivered on the next day at the earliest, then fourteen days.
                assert _day(event) > book.noticed[one.invoice_id] + 14
        book.follow(event)


@SEEDS
def test_reminders_keep_seven_days_between_and_go_on_working_days(seed: int, lateness: int) -> None:
    """Apart from those that did not arrive, or were withdrawn."""
    course = year(seed, lateness).course
    settled = {one.step_id: one for one in course if isinstance(one, DunningStepSettled)}
    last: dict[str, Day] = {}
    for step in _sent(course):
        day = _day(step)
        if step.level == 0:
            continue
        assert date_of(day).weekday() < 5
        assert day not in holidays_of(step.country or "", date_of(day).year)
        outcome = settled.get(step.step_id)
        if outcome is not None and outcome.outcome == "sent" and outcome.attempt == step.attempt:
            assert day >= last.get(step.customer_id, 0) + 7
            last[step.customer_id] = outcome.on


@SEEDS
def test_whoever_a_claim_was_handed_over_to_knows_what_is_open(seed: int, lateness: int) -> None:
    book, told = Bookkeeper(), dict[str, Minor]()
    changes = 0
    for event in year(seed, lateness).course:
        if not isinstance(event, ev.OUTGOING):  # all that followed from the last one was said
            assert told == {invoice_id: book.open[invoice_id] for invoice_id in told}
        book.follow(event)
        match event:
            case DunningStepSettled(outcome="sent", channel="agency"):
                for one in book.steps[event.step_id].invoices:
                    told[one.invoice_id] = one.open_amount
            case ev.HandoverChanged():
                for invoice in event.invoices:
                    assert told[invoice.invoice_id] == invoice.open_before
                    told[invoice.invoice_id] = invoice.open_after
                    changes += 1
    if lateness > 1:
        assert changes > 0
