"""The laws that hold while customers and groups live on different partitions and what is forwarded
between them arrives late, in any order that the journal allows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from credit.check_oracle import CheckOracle
from credit.effort import effort
from credit.office import UNAUTHORISED, decisions, refusals
from credit.partitions import Partitions, Way
from credit.policy_worlds import policies, policy
from credit.worlds import CURRENCIES, CUSTOMERS, FIRST_DAY, GROUPS, Draw, Told, World
from hypothesis import given, note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agents.core.policy import PolicyBook
from agents.credit import moving, state
from agents.credit.effects import Effect
from schemas import events as ev
from schemas.events import Event, OrderDecision

_IDS = (*CUSTOMERS, *GROUPS)
_homes = st.fixed_dictionaries({one: st.integers(0, 2) for one in _IDS})


class Journal(RuleBasedStateMachine):
    """Everything that can be told of three customers and two groups on up to three partitions."""

    @initialize(
        policy=policies(later_version_from=FIRST_DAY + 5),
        homes=_homes,
        currencies=st.sampled_from((CURRENCIES[:1], CURRENCIES)),
        per_part=st.integers(1, 4),
    )
    def open(
        self,
        policy: PolicyBook,
        homes: dict[str, int],
        currencies: tuple[str, ...],
        per_part: int,
    ) -> None:
        self.small_parts = patch.object(moving, "_ENTRIES_PER_PART", per_part)
        self.small_parts.start()
        self.policies = policy
        self.partitions = Partitions(policy, homes)
        self.world = World(currencies, under_survivor=False)
        self.effects: list[Effect] = []
        self.decided: list[OrderDecision] = []
        self.refused: set[str] = set()
        self.tell(self.world.day_after(0))
        self.everything_arrives()

    def teardown(self) -> None:
        if hasattr(self, "partitions"):
            self.everything_arrives()
            self.small_parts.stop()

    def tell(self, event: Event) -> None:
        note(f"{event}")
        self.partitions.tell(event)

    def deliver(self, way: Way) -> None:
        event, self.effects = self.partitions.deliver(way)
        note(f"    on {way}: {type(event).__name__} {event.event_id}")
        self.decided += decisions(self.effects)
        for refusal in refusals(self.effects):
            assert refusal.reason not in ("account_not_here", "merged_in_a_circle")
            if refusal.reason in UNAUTHORISED:
                self.refused.add((refusal.event or event).event_id)

    # ── what may happen ───────────────────────────────────────────────────────────────────────────

    @rule(
        data=st.data(),
        told=st.sampled_from(
            (World.order, World.order, World.order_total, World.order_cancel, World.delivery)
        ),
    )
    def an_order(self, data: st.DataObject, told: Told) -> None:
        self.tell(told(self.world, data.draw))

    @rule(
        data=st.data(),
        told=st.sampled_from((World.invoice, World.payment, World.payment_end, World.allocation)),
    )
    def money(self, data: st.DataObject, told: Told) -> None:
        self.tell(told(self.world, data.draw))

    @rule(
        data=st.data(),
        told=st.sampled_from((World.hold, World.release, World.block, World.dispute)),
    )
    def a_person(self, data: st.DataObject, told: Told) -> None:
        self.tell(told(self.world, data.draw))

    @rule(
        data=st.data(),
        told=st.sampled_from((World.member, World.member, World.customer, World.group)),
    )
    def a_customer_or_group(self, data: st.DataObject, told: Told) -> None:
        self.tell(told(self.world, data.draw))

    @rule(data=st.data(), told=st.sampled_from((World.business_day, World.fx_rate, World.feed)))
    def to_all(self, data: st.DataObject, told: Told) -> None:
        self.tell(told(self.world, data.draw))

    @rule(data=st.data())
    def a_merger(self, data: st.DataObject) -> None:
        merger = self.world.sensible_merger(data.draw)
        if merger is not None:
            self.tell(merger)

    @precondition(lambda self: self.partitions.ways())
    @rule(data=st.data())
    def some_arrive(self, data: st.DataObject) -> None:
        for _ in range(data.draw(st.integers(1, 8))):
            ways = self.partitions.ways()
            if ways:
                self.deliver(data.draw(st.sampled_from(ways)))
                self.check_after_each()

    @rule()
    def a_restart(self) -> None:
        self.partitions.restart()

    @rule()
    def everything_arrives(self) -> None:
        while ways := self.partitions.ways():
            self.deliver(ways[0])
            self.check_after_each()
        self.what_has_arrived_is_what_the_documents_are_worth()

    # ── laws ──────────────────────────────────────────────────────────────────────────────────────

    def check_after_each(self) -> None:
        self.no_approval_takes_a_group_over_its_limit()

    def no_approval_takes_a_group_over_its_limit(self) -> None:
        """Whatever is under way: as the group's own partition knows it."""
        for decision in decisions(self.effects):
            grew = decision.exposure_after > decision.exposure_before
            approved = decision.decision in ("approved", "released") and decision.by is None
            if approved and grew and decision.group_limit is not None:
                assert decision.group_exposure is not None
                # Several currencies: each subtotal was rounded for showing.
                rounding = 0 if self.world.currencies == ("EUR",) else 4 * len(CURRENCIES)
                assert decision.group_exposure <= decision.group_limit + rounding

    @invariant()
    def no_document_is_lost_or_doubled_on_its_way(self) -> None:
        if not hasattr(self, "partitions"):
            return
        found = Counter(document_id for document_id, _ in self.partitions.documents())
        assert all(count == 1 for count in found.values()), found
        assert not any("/" in document_id for document_id in found)

    @invariant()
    def a_groups_totals_are_the_sums_of_the_members_that_have_arrived(self) -> None:
        accounts = self.partitions.figures()
        for group_id, shown in self.partitions.group_figures().items():
            members = [one for one in accounts.values() if one.group_id == group_id]
            assert shown.members == len(members)
            assert shown.held_orders == sum(one.held_orders for one in members)
            if self.world.currencies == ("EUR",):
                assert shown.exposure == sum(one.exposure for one in members)
                assert shown.open_orders == sum(one.open_orders for one in members)
                assert shown.unapplied_credit == sum(one.unapplied_credit for one in members)

    @invariant()
    def a_partitions_index_has_the_held_orders_of_its_accounts(self) -> None:
        for ledger in self.partitions.ledgers.values() if hasattr(self, "partitions") else ():
            indexed = [key for key, _ in ledger.scan(*state.partition_held_range())]
            # Of an account that moves in parts, an order may come behind its place in the index.
            held = [
                state.held_in_partition(key)
                for account_id in state.accounts(ledger)
                for key, _ in ledger.scan(*state.held_range(account_id))
            ]
            assert indexed == sorted(held)

    @invariant()
    def no_held_order_stands_before_where_they_are_looked_for(self) -> None:
        for ledger in self.partitions.ledgers.values() if hasattr(self, "partitions") else ():
            for owner in state.accounts(ledger):
                account: state.Account | None = ledger.get(state.account_key(owner))
                if account is not None:
                    found = list(ledger.scan(*state.held_range(owner, account.held_from)))
                    assert found == list(ledger.scan(*state.held_range(owner)))
                group: state.Group | None = ledger.get(state.group_key(owner))
                if group is not None:
                    found = list(ledger.scan(*state.group_held_range(owner, group.held_from)))
                    assert found == list(ledger.scan(*state.group_held_range(owner)))

    def what_has_arrived_is_what_the_documents_are_worth(self) -> None:
        """When nothing is under way, the partitions together say what one ledger would."""
        accounts, groups = self.partitions.figures(), self.partitions.group_figures()
        shown: dict[str, Any] = {**accounts, **groups}
        told = [one for one in self.world.told if one.event_id not in self.refused]
        currencies = {holder: one.currency for holder, one in shown.items()}
        oracle = CheckOracle(told, self.decided, self.policies, currencies)
        for holder, one in shown.items():
            worth = oracle.valued(holder)
            assert (
                one.open_receivables,
                one.delivered_not_invoiced,
                one.open_orders,
                one.unapplied_credit,
            ) == (worth.receivables, worth.delivered, worth.orders, worth.unapplied), holder
        for account_id, account in accounts.items():
            assert account.overdue == oracle.valued(account_id).overdue
            assert account.group_id == oracle.group_of(account_id)
            assert account.credit_limit == oracle.limit(account_id)
        assert not accounts.keys() & oracle.merged_into.keys()
        for order_id, order in oracle.orders.items():
            assert order.status
            if order.status == "held":
                assert oracle.hold_reasons(order_id), order_id


TestJournal = Journal.TestCase
TestJournal.settings = effort(examples=40, steps=25)


@st.composite
def races(draw: st.DrawFn) -> tuple[dict[str, int], list[Event]]:
    """Members of a group with orders, payments and cancellations, and where each is kept."""
    homes = draw(_homes)
    world = World(CURRENCIES[:1])
    events = [world.day_after(0)]
    members: dict[str, Any] = {"currency": "EUR", "credit_limit": 1000, "group_id": "G-1"}
    events += [
        world.tell(ev.CustomerUpserted, customer_id=customer_id, **members)
        for customer_id in CUSTOMERS
    ]
    told = st.sampled_from((World.order, World.order_cancel, World.payment))
    events += [draw(told)(world, draw) for _ in range(draw(st.integers(3, 12)))]
    return homes, events


def _delivered(partitions: Partitions, draw: Draw) -> Iterator[Effect]:
    while ways := partitions.ways():
        yield from partitions.deliver(draw(st.sampled_from(ways)))[1]


@effort(examples=60)
@given(races(), st.integers(0, 800), st.data())
def test_orders_that_race_for_a_groups_limit_never_exceed_it_together(
    race: tuple[dict[str, int], list[Event]], limit: int, data: st.DataObject
) -> None:
    homes, events = race
    partitions = Partitions(policy(), homes)
    record: dict[str, Any] = {
        "event_id": "limit",
        "occurred_at": 0,
        "group_id": "G-1",
        "currency": "EUR",
    }
    partitions.tell(ev.CreditGroupUpserted(**record, credit_limit=limit))
    for event in events:
        partitions.tell(event)
    for effect in _delivered(partitions, data.draw):
        if isinstance(effect, OrderDecision) and effect.group_exposure is not None:
            assert effect.group_exposure <= limit
    assert partitions.group_figures()["G-1"].exposure <= limit
