"""Where an account is kept, with the customers on one partition and their group on another."""

from __future__ import annotations

from collections import deque

import pytest
from credit.journals import CUSTOMER, DAY, Journal
from credit.policy_worlds import policy

from agents.core.ledger import MemoryLedger
from agents.core.policy import PolicyBook
from agents.core.refusal import Refusal
from agents.credit import merging, state
from agents.credit.case import Case
from agents.credit.effects import Effect, Forward, Sent
from agents.credit.rules import figures, group_figures, has_figures, reduce
from agents.dunning.records import (
    Debtor,
    Followed,
    Handed,
    Promise,
    debtor_key,
    followed_key,
    promise_key,
)
from agents.simulate import business_day
from schemas import events as ev
from schemas.events import AccountMoved, CreditLimitAlert, Event, OrderDecision

POLICY = policy()
_GROUP = "G"
_MERGER = {"by": "ann", "reason": "one company"}


class _Partitions:
    """Events reach the customers' partition at once; what is forwarded waits to be delivered."""

    def __init__(self, policies: PolicyBook = POLICY) -> None:
        self.policies = policies
        self.of_customers = MemoryLedger()
        self.of_group = MemoryLedger()
        self.journal = Journal()
        self.on_the_way: deque[Forward] = deque()
        self.said: list[Effect] = []
        self.read()

    def read(self) -> None:
        """Apply what was written last, where it comes in."""
        event = self.journal[-1]
        to_group = isinstance(event, ev.CreditGroupUpserted)
        self._apply(self.of_group if to_group else self.of_customers, event, Sent())

    def deliver(self) -> None:
        while self.on_the_way:
            forward = self.on_the_way.popleft()
            ledger = self.of_group if forward.key == _GROUP else self.of_customers
            self._apply(ledger, forward.event, forward.sent)

    def _apply(self, ledger: MemoryLedger, event: Event, sent: Sent) -> None:
        for effect in reduce(ledger, event, self.policies, sent):
            if isinstance(effect, Forward):
                self.on_the_way.append(effect)
            else:
                self.said.append(effect)

    def customer(self, customer_id: str = CUSTOMER, group_id: str | None = _GROUP) -> None:
        self.journal.customer(10_000, customer_id, group_id=group_id)
        self.read()

    def group(self, limit: int) -> None:
        self.journal.say(
            ev.CreditGroupUpserted, group_id=_GROUP, currency="EUR", credit_limit=limit
        )
        self.read()

    def order(self, order_id: str, amount: int, customer_id: str = CUSTOMER) -> None:
        self.journal.order(order_id, amount, customer_id)
        self.read()

    def delivered(self, order_id: str, customer_id: str) -> None:
        self.journal.say(ev.OrderDelivered, customer_id, order_id=order_id, amount=1)
        self.read()

    @property
    def decisions(self) -> list[tuple[str, str]]:
        return [(one.order_id, one.decision) for one in self.said if isinstance(one, OrderDecision)]


def test_events_wait_while_an_account_is_on_its_way_back_and_follow_in_their_order() -> None:
    both = _Partitions()
    both.group(1_000)
    both.customer()
    both.order("O-1", 600)
    both.deliver()
    both.customer(group_id=None)
    for order_id, amount in (("O-2", 500), ("O-3", 9_000), ("O-2", 501), ("O-4", 8_900)):
        both.order(order_id, amount)
    assert both.decisions == [("O-1", "approved")]
    both.deliver()
    assert both.decisions[1:] == [("O-2", "approved"), ("O-3", "held"), ("O-4", "approved")]
    (refusal,) = [one for one in both.said if isinstance(one, Refusal)]
    assert isinstance(refusal.event, ev.OrderPlaced)
    assert (refusal.event.order_id, refusal.event.amount) == ("O-2", 501)
    assert figures(both.of_customers, CUSTOMER, POLICY).exposure == 10_000
    assert group_figures(both.of_group, _GROUP, POLICY).exposure == 0


def test_orders_of_a_member_that_left_make_way_for_nobody() -> None:
    both = _Partitions()
    both.group(1_000)
    both.customer("C-1")
    both.customer("C-2")
    both.order("O-1", 300, "C-2")
    both.order("O-2", 300, "C-1")
    both.order("O-3", 300, "C-2")
    both.deliver()
    both.group(300)
    both.delivered("O-1", "C-2")
    both.deliver()
    assert both.decisions == [("O-1", "approved"), ("O-2", "approved"), ("O-3", "approved")]
    both.customer("C-1", group_id=None)
    both.deliver()
    both.group(299)
    both.delivered("O-1", "C-2")
    both.deliver()
    assert both.decisions[3:] == [("O-1", "held")]


def test_a_large_account_moves_in_parts_and_arrives_whole() -> None:
    both = _Partitions()
    both.group(1_000_000)
    both.customer(group_id=None)
    for number in range(600):
        both.journal.invoice(f"I-{number}", 1)
        both.read()
    before = figures(both.of_customers, CUSTOMER, POLICY)
    both.customer()
    moves = [one.event for one in both.on_the_way if isinstance(one.event, AccountMoved)]
    assert [(one.part, one.parts, len(one.entries)) for one in moves] == [
        (1, 3, 500),
        (2, 3, 500),
        (3, 3, 202),
    ]
    assert len({one.event_id for one in moves}) == 3
    both.deliver()
    after = figures(both.of_group, CUSTOMER, POLICY)
    assert (after.exposure, after.oldest_overdue_days) == (before.exposure, 0)
    assert (before.group_id, after.group_id) == (None, _GROUP)
    assert group_figures(both.of_group, _GROUP, POLICY).exposure == 600
    both.journal.wait(31)
    reduce(both.of_group, both.journal[-1], POLICY)
    assert figures(both.of_group, CUSTOMER, POLICY).overdue == 600


def test_of_a_customer_nobody_knows_an_empty_part_moves() -> None:
    both = _Partitions()
    both.customer()
    move, behind_it = both.on_the_way
    assert isinstance(move.event, AccountMoved)
    assert (move.event.part, move.event.parts, move.event.entries) == (1, 1, [])
    assert isinstance(behind_it.event, ev.CustomerUpserted)


def test_an_event_for_a_group_that_does_not_keep_the_account_is_refused() -> None:
    journal = Journal()
    journal.order("O-1", 100)
    assert reduce(MemoryLedger(), journal[-1], POLICY, Sent(_GROUP)) == [
        Refusal(
            "account_not_here",
            "customer_id",
            "OrderPlaced was forwarded to group 'G', which does not keep the account of "
            "customer 'C-1'",
        )
    ]


def test_customers_who_were_merged_into_each_other_get_no_event() -> None:
    both = _Partitions()
    both.customer(group_id=None)
    both.journal.say(ev.CustomersMerged, "C-2", merged_customer_id=CUSTOMER, **_MERGER)
    both.read()
    both.journal.order("O-1", 100)
    came = Sent("", (CUSTOMER, "C-2"))
    assert reduce(both.of_customers, both.journal[-1], POLICY, came) == [
        Refusal(
            "merged_in_a_circle",
            "customer_id",
            "OrderPlaced: customers C-1, C-2 were merged into each other",
        )
    ]


def test_a_merged_customer_has_figures_of_nothing_from_the_merger_on() -> None:
    both = _Partitions()
    both.customer(group_id=None)
    both.order("O-1", 100)
    both.journal.say(ev.CustomersMerged, "C-2", merged_customer_id=CUSTOMER, **_MERGER)
    both.read()
    merger = both.journal[-1]
    shown = figures(both.of_customers, CUSTOMER, POLICY)
    assert (shown.occurred_at, shown.cause_event_id) == (merger.occurred_at, merger.event_id)
    assert shown.currency == "EUR"
    assert {
        shown.exposure,
        shown.open_receivables,
        shown.delivered_not_invoiced,
        shown.open_orders,
        shown.unapplied_credit,
        shown.overdue,
        shown.oldest_overdue_days,
        shown.held_orders,
    } == {0}
    assert (shown.credit_limit, shown.headroom, shown.utilisation) == (None, None, None)


def test_a_partition_has_the_figures_of_who_is_here_or_was_merged() -> None:
    both = _Partitions()
    both.customer("C-1", group_id=None)
    both.customer("C-2", group_id=None)
    both.customer("C-3")
    for merged in ("C-2", "C-4"):
        both.journal.say(ev.CustomersMerged, "C-1", merged_customer_id=merged, **_MERGER)
        both.read()
    both.deliver()
    known = {
        customer_id: has_figures(both.of_customers, customer_id)
        for customer_id in ("C-1", "C-2", "C-3", "C-4", "C-5")
    }
    assert known == {"C-1": True, "C-2": True, "C-3": False, "C-4": False, "C-5": False}
    assert has_figures(both.of_group, "C-3")


def test_who_was_never_heard_of_has_no_figures() -> None:
    with pytest.raises(KeyError, match=CUSTOMER):
        figures(MemoryLedger(), CUSTOMER, POLICY)
    with pytest.raises(KeyError, match=_GROUP):
        group_figures(MemoryLedger(), _GROUP, POLICY)


def test_what_moves_is_the_account_and_its_documents_and_nothing_of_its_seat() -> None:
    both = _Partitions()
    both.customer()
    both.deliver()
    assert both.of_customers.get(state.account_key(CUSTOMER)) is None
    assert both.of_customers.get(state.seat_key(CUSTOMER)) is not None
    assert both.of_group.get(state.seat_key(CUSTOMER)) is None


_DATED = policy(("alerts.forecast_days", "0"), ("credit.shipping_horizon_days", "5"))


def _joins(both: _Partitions, temporary_until: int, due_in: int) -> None:
    """Of a limit of 1.00, 10.00 for a time, 0.90 is used; 0.50 is to ship in ten days."""
    journal = both.journal
    both.journal.customer(100)
    both.read()
    journal.say(ev.CreditLimitChanged, credit_limit=1_000, valid_until=temporary_until)
    both.read()
    journal.invoice("I-1", 90, due_in=due_in)
    both.read()
    journal.invoice("I-2", 40)
    both.read()
    journal.pay("P-2", 40, "I-2")
    both.read()
    journal.order("O-1", 50, deliver_on=DAY + 10)
    both.read()
    journal.customer(100, group_id=_GROUP)
    both.read()
    both.deliver()


def _alerts_of_day(both: _Partitions, day: int) -> list[str]:
    effects = reduce(both.of_group, business_day(day), both.policies)
    return [one.threshold for one in effects if isinstance(one, CreditLimitAlert)]


def test_the_days_that_were_to_come_follow_an_account_into_its_group() -> None:
    both = _Partitions(_DATED)
    reduce(both.of_group, business_day(DAY), _DATED)
    _joins(both, temporary_until=DAY + 3, due_in=2)
    told = {after: _alerts_of_day(both, DAY + after) for after in (1, 2)}
    assert figures(both.of_group, CUSTOMER, _DATED).overdue == 0
    told[3] = _alerts_of_day(both, DAY + 3)
    assert figures(both.of_group, CUSTOMER, _DATED).overdue == 90
    told |= {after: _alerts_of_day(both, DAY + after) for after in (4, 5, 6)}
    assert told == {1: [], 2: [], 3: [], 4: ["0.80", "0.90"], 5: ["1.00"], 6: []}
    _alerts_of_day(both, DAY + 399)
    assert both.of_group.get(state.invoice_key(CUSTOMER, "I-2")) is not None
    _alerts_of_day(both, DAY + 400)
    assert both.of_group.get(state.invoice_key(CUSTOMER, "I-2")) is None
    assert both.of_group.get(state.invoice_key(CUSTOMER, "I-1")) is not None


def test_what_ends_or_falls_due_on_the_day_of_the_move_is_seen_on_the_next() -> None:
    both = _Partitions(_DATED)
    reduce(both.of_group, business_day(DAY), _DATED)
    _joins(both, temporary_until=DAY, due_in=5)
    assert _alerts_of_day(both, DAY + 1) == ["0.80", "0.90"]
    both = _Partitions(_DATED)
    reduce(both.of_group, business_day(DAY), _DATED)
    _joins(both, temporary_until=DAY + 5, due_in=0)
    assert _alerts_of_day(both, DAY + 1) == []
    assert figures(both.of_group, CUSTOMER, _DATED).overdue == 90


def test_an_account_that_comes_where_it_is_a_later_day_is_looked_at_on_the_next() -> None:
    both = _Partitions(_DATED)
    reduce(both.of_group, business_day(DAY + 20), _DATED)
    _joins(both, temporary_until=DAY + 40, due_in=90)
    assert figures(both.of_group, CUSTOMER, _DATED).open_orders == 0
    _alerts_of_day(both, DAY + 21)
    assert figures(both.of_group, CUSTOMER, _DATED).open_orders == 50


def test_an_order_on_hold_is_in_the_index_of_the_partition_that_its_account_comes_to() -> None:
    both = _Partitions()
    both.group(10_000)
    both.customer(group_id=None)
    both.order("O-1", 99_999)
    both.customer()
    both.deliver()
    (entry,) = both.of_group.scan(*state.partition_held_range())
    assert state.held_order(entry[0])[1:] == (CUSTOMER, "O-1")
    assert entry[1] is True  # a store would take None for nothing
    assert list(both.of_customers.scan(*state.partition_held_range())) == []


def test_an_account_whose_promise_runs_is_looked_at_on_the_day_after_it_came() -> None:
    for outcome, days in (("", [DAY + 1]), ("kept", [])):
        ledger, effects = MemoryLedger(), list[Effect]()
        ledger.put(state.BUSINESS_DAY, DAY)
        promise = Promise(invoice_ids=[], dues=[], owed=0, outcome=outcome)
        case = Case(ledger, POLICY, CUSTOMER, business_day(DAY), DAY, effects)
        ledger.put(promise_key(CUSTOMER, "PR-1"), promise)
        case.rebuild_agenda()
        found = [key for key, _ in ledger.scan(*state.agenda_until(DAY + 400))]
        assert found == [state.agenda_key(day, CUSTOMER) for day in days]


def test_what_was_handed_over_stays_so_with_the_customer_that_is_left() -> None:
    ledger = MemoryLedger()
    handed = Handed(
        invoice_id="I-1", step_id="S-1", attempt=1, level=3, procedure="p", channel="agency",
        currency="EUR", open=100, on=DAY,
    )  # fmt: skip
    followed = Followed(debits=["P-1"])
    moved = AccountMoved(
        event_id="e",
        occurred_at=0,
        customer_id="C-2",
        part=1,
        parts=1,
        entries=[
            ev.MovedEntry(key="iI-1", value=state.to_json(state.Invoice())),
            ev.MovedEntry(key="pP-1", value=state.to_json(state.Payment())),
            ev.MovedEntry(key="y", value=state.to_json(Debtor(handed=[handed]))),
            ev.MovedEntry(key="zI-1", value=state.to_json(followed)),
        ],
        into_customer_id=CUSTOMER,
    )
    # Both have an invoice and a payment of these names: those that come get others.
    ledger.put(state.invoice_key(CUSTOMER, "I-1"), state.Invoice(known=True))
    ledger.put(state.payment_key(CUSTOMER, "P-1"), state.Payment(known=True))
    case = Case(ledger, POLICY, CUSTOMER, business_day(DAY), DAY, [])
    merging.absorb(case, moved)
    assert case.account.handed == 1
    debtor: Debtor = ledger.get(debtor_key(CUSTOMER))
    assert [one.invoice_id for one in debtor.handed] == ["C-2/I-1"]
    here: Followed = ledger.get(followed_key(CUSTOMER, "C-2/I-1"))
    assert here.debits == ["C-2/P-1"]


def _merge(both: _Partitions, merged: str, into: str) -> None:
    both.journal.say(ev.CustomersMerged, into, merged_customer_id=merged, **_MERGER)
    both.read()


def test_a_member_is_merged_into_a_customer_outside_its_group() -> None:
    both = _Partitions()
    both.group(1_000)
    both.customer("C-1", group_id=None)
    both.customer("C-2")
    both.order("O-2", 300, "C-2")
    both.deliver()
    _merge(both, "C-2", into="C-1")
    both.order("O-3", 200, "C-2")
    both.deliver()
    assert figures(both.of_customers, "C-1", POLICY).exposure == 500
    assert group_figures(both.of_group, _GROUP, POLICY).exposure == 0
    assert group_figures(both.of_group, _GROUP, POLICY).members == 0
    assert figures(both.of_customers, "C-2", POLICY).exposure == 0


def test_two_members_of_a_group_are_merged_and_the_group_owes_what_it_did() -> None:
    both = _Partitions()
    both.group(1_000)
    both.customer("C-1")
    both.customer("C-2")
    both.order("O-1", 100, "C-1")
    both.order("O-1", 300, "C-2")
    both.order("O-2", 9_000, "C-2")
    both.deliver()
    _merge(both, "C-2", into="C-1")
    both.deliver()
    merged = figures(both.of_group, "C-1", POLICY)
    assert (merged.exposure, merged.held_orders, merged.group_id) == (400, 1, _GROUP)
    of_group = group_figures(both.of_group, _GROUP, POLICY)
    assert (of_group.exposure, of_group.held_orders, of_group.members) == (400, 1, 1)
    both.journal.say(ev.OrderCancelled, "C-2", order_id="O-1")
    both.read()
    both.deliver()
    assert both.decisions[-1] == ("C-2/O-1", "cancelled")
    assert figures(both.of_group, "C-1", POLICY).exposure == 100


def test_what_comes_late_for_who_was_merged_into_a_member_keeps_its_names_on_every_way() -> None:
    both = _Partitions()
    both.group(10_000)
    both.customer("C-2")
    both.customer("C-3", group_id=None)
    for customer_id, order_id, amount in (
        ("C-2", "O-1", 100),
        ("C-2", "O-2", 200),
        ("C-3", "O-1", 400),
        ("C-3", "O-2", 800),
    ):
        both.order(order_id, amount, customer_id)
    both.deliver()
    _merge(both, "C-3", into="C-2")
    both.deliver()
    both.journal.say(ev.OrderCancelled, "C-3", order_id="O-1")
    both.read()
    both.deliver()
    assert both.decisions[-1] == ("C-3/O-1", "cancelled")
    both.customer("C-2", group_id=None)
    late = ev.OrderCancelled(
        event_id="late", occurred_at=both.journal[-1].occurred_at, customer_id="C-2", order_id="O-2"
    )
    effects = reduce(both.of_customers, late, POLICY, Sent("", ("C-3",)))
    assert effects == []
    both.deliver()
    assert both.decisions[-1] == ("C-3/O-2", "cancelled")
    assert figures(both.of_customers, "C-2", POLICY).exposure == 300
