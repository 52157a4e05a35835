"""The laws of the credit room, held against made-up histories and a slow second opinion."""

from __future__ import annotations

import copy
from itertools import pairwise
from pathlib import Path

from credit.journals import Journal
from credit.one_customer import CUSTOMER, histories
from credit.one_customer_oracle import Worth, worth
from hypothesis import given
from hypothesis import strategies as st

from agents.core.ledger import MemoryLedger
from agents.core.policy_text import parse_policy
from agents.credit import state
from agents.credit.effects import AccountTouched, Effect, Standing
from agents.credit.positions import order_position
from agents.credit.rules import figures, reduce
from schemas import events as ev
from schemas.events import CreditLimitAlert, Event, ExposureChanged, OrderDecision

POLICY = parse_policy(
    (Path(__file__).parents[2] / "agents" / "policy" / "default.toml").read_text(encoding="utf-8")
)
SMALL_BALANCE = 5


def run(history: list[Event]) -> tuple[MemoryLedger, list[Effect]]:
    ledger = MemoryLedger()
    return ledger, [effect for event in history for effect in reduce(ledger, event, POLICY)]


def decisions(effects: list[Effect]) -> list[OrderDecision]:
    return [effect for effect in effects if isinstance(effect, OrderDecision)]


def worth_of(published: ExposureChanged) -> Worth:
    return Worth(
        published.open_receivables,
        published.delivered_not_invoiced,
        published.open_orders,
        published.unapplied_credit,
    )


@given(histories())
def test_the_figures_are_what_the_documents_are_worth_after_every_event(
    history: list[Event],
) -> None:
    ledger = MemoryLedger()
    effects: list[Effect] = []
    for number, event in enumerate(history, start=1):
        effects += reduce(ledger, event, POLICY)
        published = figures(ledger, CUSTOMER, POLICY)
        assert worth_of(published) == worth(history[:number], decisions(effects), SMALL_BALANCE)
        assert published.exposure == worth_of(published).exposure


@given(histories())
def test_what_is_booked_for_documents_adds_up_to_the_totals(history: list[Event]) -> None:
    ledger, _ = run(history)
    account: state.Account = ledger.get(state.account_key(CUSTOMER))
    sums = state.Book()
    held = 0
    overdue = 0
    for key, value in ledger.scan(f"{CUSTOMER}\0", f"{CUSTOMER}\1"):
        if isinstance(value, state.Order):
            sums.orders += value.booked_open
            sums.held += value.booked_held
            sums.delivered += value.booked_delivered
            held += value.status == "held"
        elif isinstance(value, state.Invoice):
            sums.receivables += value.booked_open
            sums.unapplied += sum(one.booked_excess for one in value.applied.values())
        elif isinstance(value, state.Payment | state.CreditNote):
            sums.unapplied += value.booked_unapplied
        elif isinstance(value, state.Due) and account.aged_to is not None:
            due_on = int(key.split("\0")[1][1:])
            overdue += value.amount if due_on < account.aged_to else 0
    sums.overdue = overdue
    assert account.books.get("EUR", state.Book()) == sums
    assert account.held_orders == held == len(list(ledger.scan(*state.held_range(CUSTOMER))))


@given(histories())
def test_the_oldest_late_day_is_that_of_the_oldest_late_invoice(history: list[Event]) -> None:
    ledger = MemoryLedger()
    for event in history:
        reduce(ledger, event, POLICY)
        account: state.Account = ledger.get(state.account_key(CUSTOMER))
        today: int = ledger.get(state.BUSINESS_DAY) or account.aged_to or 0
        due_days = [
            invoice.due_on
            for _, invoice in ledger.scan(f"{CUSTOMER}\0i", f"{CUSTOMER}\0j")
            if invoice.booked_due
        ]
        oldest = min(due_days, default=today)
        published = figures(ledger, CUSTOMER, POLICY)
        assert published.oldest_overdue_days == max(today - oldest, 0)


@given(histories())
def test_what_accounts_say_of_their_change_adds_up_to_how_they_stand(history: list[Event]) -> None:
    ledger, effects = run(history)
    moves = [effect for effect in effects if isinstance(effect, AccountTouched)]
    published = figures(ledger, CUSTOMER, POLICY)
    assert sum(m.after.exposure - m.before.exposure for m in moves) == published.exposure
    assert sum(m.after.held_orders - m.before.held_orders for m in moves) == published.held_orders
    assert all(one.after == other.before for one, other in pairwise(moves))


@given(histories())
def test_an_approval_never_takes_the_exposure_over_the_limit(history: list[Event]) -> None:
    _, effects = run(history)
    for decision in decisions(effects):
        grew = decision.exposure_after > decision.exposure_before
        by_the_rules = decision.decision in ("approved", "released") and decision.by is None
        if by_the_rules and grew and decision.credit_limit is not None:
            assert decision.exposure_after <= decision.credit_limit


@given(histories(), st.randoms(use_true_random=False))
def test_repeating_events_changes_nothing(history: list[Event], random: object) -> None:
    once, effects = run(history)
    repeated: list[Event] = []
    for event in history:
        repeated.append(event)
        repeated += [event] * random.randint(0, 1)  # type: ignore[attr-defined]
    twice, effects_of_repeats = run(repeated)
    assert _comparable(figures(twice, CUSTOMER, POLICY)) == _comparable(
        figures(once, CUSTOMER, POLICY)
    )
    assert [_comparable(one) for one in _said(effects_of_repeats)] == [
        _comparable(one) for one in _said(effects)
    ]


@given(histories(max_events=14), st.data())
def test_late_repeats_of_the_whole_history_change_nothing(
    history: list[Event], data: st.DataObject
) -> None:
    late = data.draw(st.lists(st.sampled_from(history), max_size=10))
    once, _ = run(history)
    again, effects = run([*history, *late])
    assert _comparable(figures(again, CUSTOMER, POLICY)) == _comparable(
        figures(once, CUSTOMER, POLICY)
    )
    assert len(decisions(effects)) == len(decisions(run(history)[1]))


def test_a_late_repeat_is_no_new_day() -> None:
    """Before the first business day an account's day is that of its latest event. An older one that
    comes again does not take it back to a day on which a temporary limit still held.
    """
    journal = Journal()
    journal.clear()  # no business day
    journal.customer(100)
    journal.say(ev.CreditLimitChanged, credit_limit=1_000, valid_until=journal.today + 5)
    master = journal[0]
    journal.today += 10
    journal.order("O-1", 500)
    assert [one.decision for one in decisions(run([*journal, master])[1])] == ["held"]


_TIMELESS = (
    ev.BusinessDayStarted,
    ev.PaymentAllocated,
)
"""Days come in order; shares beyond what a payment has left are refused in the order in which they
come.
"""


@given(histories(max_events=20), st.data())
def test_any_order_of_arrival_ends_in_the_same_exposure(
    history: list[Event], data: st.DataObject
) -> None:
    kept = [event for event in history if not isinstance(event, _TIMELESS)]
    # Enough credit that no order waits: which of two orders gets the last headroom does depend on
    # who comes first.
    waits = (ev.CreditLimitChanged, ev.CustomerBlocked, ev.OrderHeld, ev.CustomerUpserted)
    plenty = [event for event in kept if not isinstance(event, waits)]
    rich: list[Event] = [
        ev.CustomerUpserted(
            event_id="rich",
            occurred_at=2**52,
            customer_id=CUSTOMER,
            currency="EUR",
            credit_limit=None,
            unlimited=True,
        )
    ]
    not_late = [event for event in plenty if not isinstance(event, ev.InvoiceIssued)]
    invoices = [
        ev.InvoiceIssued(
            **(
                {name: getattr(event, name) for name in event.__struct_fields__}
                | {"due_on": 60_000}
            )
        )
        for event in plenty
        if isinstance(event, ev.InvoiceIssued)
    ]
    facts: list[Event] = [*not_late, *invoices]
    shuffled = data.draw(st.permutations(facts))
    straight, _ = run(rich + facts)
    mixed, _ = run(rich + list(shuffled))
    assert worth_of(figures(mixed, CUSTOMER, POLICY)) == worth_of(
        figures(straight, CUSTOMER, POLICY)
    )


@given(histories(max_events=15), st.integers(1, 300), st.booleans())
def test_paying_and_taking_it_back_is_neutral(
    history: list[Event], amount: int, allocated: bool
) -> None:
    ledger, _ = run(history)
    before = figures(ledger, CUSTOMER, POLICY)
    held_before = before.held_orders
    at = max(event.occurred_at for event in history)
    payment = ev.PaymentReceived(
        event_id="pay",
        occurred_at=at,
        customer_id=CUSTOMER,
        payment_id="P-new",
        amount=amount,
        currency="EUR",
        value_on=20_000,
        allocations=[ev.Allocation(invoice_id="I-0", amount=amount)] if allocated else [],
    )
    taken_back = ev.PaymentReversed(
        event_id="back", occurred_at=at, customer_id=CUSTOMER, payment_id="P-new", reason="r"
    )
    reduce(ledger, payment, POLICY)
    reduce(ledger, taken_back, POLICY)
    after = figures(ledger, CUSTOMER, POLICY)
    released = held_before - after.held_orders
    assert after.open_receivables == before.open_receivables
    assert after.unapplied_credit == before.unapplied_credit
    assert after.overdue == before.overdue
    if not released:
        assert after.exposure == before.exposure


@given(histories())
def test_ids_of_what_goes_out_are_unique_and_repeatable(history: list[Event]) -> None:
    _, effects = run(history)
    ids = [effect.event_id for effect in _said(effects)]
    assert len(ids) == len(set(ids))
    assert ids == [effect.event_id for effect in _said(run(history)[1])]


@given(histories())
def test_alerts_alternate_and_decisions_count_up(history: list[Event]) -> None:
    _, effects = run(history)
    up: set[str] = set()
    for effect in effects:
        if isinstance(effect, CreditLimitAlert):
            assert (effect.threshold in up) == (effect.direction == "cleared")
            up ^= {effect.threshold}
    numbers: dict[str, int] = {}
    status: dict[str, str] = {}
    for decision in decisions(effects):
        assert decision.decision_number == numbers.get(decision.order_id, 0) + 1
        numbers[decision.order_id] = decision.decision_number
        assert bool(decision.reasons) == (decision.decision == "held")
        if decision.decision != "approved":
            assert decision.decision != status.get(decision.order_id)
        status[decision.order_id] = decision.decision


@given(histories())
def test_state_survives_its_encoding_after_every_event(history: list[Event]) -> None:
    """The next event on re-read state does what it does on the state in memory."""
    straight = MemoryLedger()
    stored = MemoryLedger()
    for event in history:
        expected = reduce(straight, event, POLICY)
        assert reduce(stored, event, POLICY) == expected
        reread = MemoryLedger()
        for key, value in stored.scan("", "\U0010ffff"):
            reread.put(key, state.decode(key, state.encode(key, copy.deepcopy(value))))
        stored = reread


@given(histories())
def test_a_held_order_would_not_pass_now(history: list[Event]) -> None:
    """Nothing that could be released is left on hold."""
    ledger, _ = run(history)
    limited = figures(ledger, CUSTOMER, POLICY)
    account: state.Account = ledger.get(state.account_key(CUSTOMER))
    if (
        account.blocked
        or not account.known
        or limited.oldest_overdue_days > POLICY.versions[0].base.max_overdue_days
    ):
        return
    for _, value in ledger.scan(f"{CUSTOMER}\0o", f"{CUSTOMER}\0p"):
        if value.status != "held" or value.manual_hold_by is not None:
            continue
        if account.unlimited:
            raise AssertionError("an unlimited customer's order is held")
        if limited.headroom is not None:
            assert order_position(value)[0] > limited.headroom or value.uncovered


def _said(effects: list[Effect]) -> list[OrderDecision | CreditLimitAlert]:
    return [effect for effect in effects if isinstance(effect, OrderDecision | CreditLimitAlert)]


def _comparable(event: Event) -> dict[str, object]:
    """All but what counts events: a repeat is an event too."""
    left_out = ("event_id", "cause_event_id", "occurred_at", "oldest_overdue_days")
    return {name: getattr(event, name) for name in event.__struct_fields__ if name not in left_out}


def test_touched_accounts_are_told() -> None:
    _, effects = run(
        [
            ev.CustomerUpserted(
                event_id="1", occurred_at=0, customer_id=CUSTOMER, currency="EUR", credit_limit=1
            )
        ]
    )
    nothing = Standing("", 0, 0)
    assert effects == [AccountTouched(CUSTOMER, nothing, Standing("EUR", 0, 0))]
