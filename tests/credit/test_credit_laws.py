"""The laws of the credit room, held after every event of made-up worlds against a slow second
opinion: several customers, groups and currencies, under many policies, in one ledger.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import pairwise

from credit.check_oracle import CheckOracle
from credit.effort import effort
from credit.office import UNAUTHORISED, Office, alerts, decisions, refusals
from credit.policy_worlds import policies
from credit.worlds import FIRST_DAY, Told, World
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agents.core.policy import SHARE_ONE, PolicyBook
from agents.credit import state
from agents.credit.effects import AccountLeft, AccountTouched, Effect, Standing
from schemas import events as ev
from schemas.events import Event, ExposureChanged, GroupExposureChanged, OrderDecision

_HAS_CREDIT = ("approved", "released")
_NOTHING = Standing("", 0, 0)

Figures = ExposureChanged | GroupExposureChanged


class CreditRoom(RuleBasedStateMachine):
    """Everything that can be told of three customers and two groups, in any order."""

    @initialize(policy=policies(later_version_from=FIRST_DAY + 5))
    def open(self, policy: PolicyBook) -> None:
        self.policies = policy
        self.office = Office(policy)
        self.world = World()
        self.journal: list[Event] = []
        self.said: list[list[Effect]] = []
        """What followed from each event of the journal."""
        self.accepted: list[Event] = []
        self.decided: list[OrderDecision] = []
        """Before the last event."""
        self.raised: dict[str, set[str]] = defaultdict(set)
        self.standings: dict[str, Standing] = {}
        self.told = 0
        """Events whose effects the standings have followed."""
        self.alerted = 0
        """Events whose alerts `raised` has followed."""
        self.oracle = CheckOracle([self.world.day_after(0)], [], policy, {})
        self.take(self.world.told[0])

    def take(self, event: Event) -> None:
        note(f"{event}")
        self.before = self.oracle
        self.opinions: dict[int, CheckOracle] = {}
        self.journal.append(event)
        self.decided += decisions(self.effects)
        self.said.append(self.office.apply(event))
        refused = {refusal.reason for refusal in refusals(self.effects)}
        assert not refused & {"account_not_here", "merged_in_a_circle"}
        if not (isinstance(event, ev.OrderReleased) and refused & UNAUTHORISED):
            self.accepted.append(event)
        self.accounts = self.office.figures()
        self.groups = self.office.group_figures()
        self.figures: dict[str, Figures] = {**self.accounts, **self.groups}
        self.oracle = self.opinion([*self.decided, *decisions(self.effects)])

    @property
    def effects(self) -> list[Effect]:
        """What followed from the last event."""
        return self.said[-1] if self.said else []

    def opinion(self, decided: list[OrderDecision]) -> CheckOracle:
        """Now, as if these were the decisions so far."""
        if len(decided) not in self.opinions:
            currencies = {holder: figures.currency for holder, figures in self.figures.items()}
            oracle = CheckOracle(self.accepted, decided, self.policies, currencies)
            oracle.at = self.journal[-1].occurred_at
            self.opinions[len(decided)] = oracle
        return self.opinions[len(decided)]

    # ── what may happen ───────────────────────────────────────────────────────────────────────────

    @rule(
        data=st.data(),
        told=st.sampled_from(
            (World.order, World.order, World.order_total, World.delivery, World.order_cancel)
        ),
    )
    def an_order(self, data: st.DataObject, told: Told) -> None:
        self.take(told(self.world, data.draw))

    @rule(data=st.data(), told=st.sampled_from((World.hold, World.release)))
    def a_person(self, data: st.DataObject, told: Told) -> None:
        self.take(told(self.world, data.draw))

    @rule(data=st.data(), told=st.sampled_from((World.invoice, World.invoice, World.invoice_end)))
    def an_invoice(self, data: st.DataObject, told: Told) -> None:
        self.take(told(self.world, data.draw))

    @rule(
        data=st.data(),
        told=st.sampled_from((World.dispute, World.dispute_end, World.credit_note, World.dunning)),
    )
    def about_an_invoice(self, data: st.DataObject, told: Told) -> None:
        self.take(told(self.world, data.draw))

    @rule(
        data=st.data(),
        told=st.sampled_from((World.payment, World.payment, World.payment_end, World.allocation)),
    )
    def a_payment(self, data: st.DataObject, told: Told) -> None:
        self.take(told(self.world, data.draw))

    @rule(data=st.data(), told=st.sampled_from((World.customer, World.limit, World.block)))
    def a_customer(self, data: st.DataObject, told: Told) -> None:
        self.take(told(self.world, data.draw))

    @rule(data=st.data(), told=st.sampled_from((World.member, World.group)))
    def a_group(self, data: st.DataObject, told: Told) -> None:
        self.take(told(self.world, data.draw))

    @rule(data=st.data())
    def a_merger(self, data: st.DataObject) -> None:
        self.take(self.world.merger(data.draw))

    @rule(data=st.data(), told=st.sampled_from((World.fx_rate, World.feed)))
    def a_rate_or_a_feed(self, data: st.DataObject, told: Told) -> None:
        self.take(told(self.world, data.draw))

    @rule(data=st.data())
    def a_day(self, data: st.DataObject) -> None:
        self.take(self.world.business_day(data.draw))

    @rule()
    def a_restart(self) -> None:
        self.office.restart()

    @rule(data=st.data())
    def an_event_again_changes_nothing(self, data: st.DataObject) -> None:
        self.again(data.draw(st.sampled_from(self.accepted)))

    def again(self, event: Event) -> None:
        before = comparable(self.figures)
        self.take(event)
        assert not decisions(self.effects)
        assert not alerts(self.effects)
        assert comparable(self.figures) == before

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            self.the_same_journal_says_the_same()

    # ── laws ──────────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def the_parts_sum_to_the_exposure_and_are_what_the_documents_are_worth(self) -> None:
        for holder, shown in self.figures.items():
            worth = self.oracle.valued(holder)
            assert (
                shown.open_receivables,
                shown.delivered_not_invoiced,
                shown.open_orders,
                shown.unapplied_credit,
            ) == (worth.receivables, worth.delivered, worth.orders, worth.unapplied), holder
            assert shown.exposure == worth.exposure
            held = [
                order
                for order_id, order in self.oracle.orders.items()
                if order.status == "held" and self.is_of(order_id, holder)
            ]
            assert shown.held_orders == len(held), holder

    @invariant()
    def what_is_late_is_what_is_open_and_not_contested_after_its_due_day(self) -> None:
        for account_id, shown in self.accounts.items():
            late = [
                invoice.issued.due_on
                for invoice_id, invoice in self.oracle.invoices.items()
                if self.oracle.owner(invoice_id) == account_id and invoice.open > invoice.contested
            ]
            assert shown.overdue == self.oracle.valued(account_id).overdue
            oldest = min(late, default=self.oracle.today)
            assert shown.oldest_overdue_days == max(self.oracle.today - oldest, 0)

    @invariant()
    def a_groups_totals_are_the_sums_of_its_members(self) -> None:
        for group_id, shown in self.groups.items():
            members = [one for one in self.accounts.values() if one.group_id == group_id]
            assert shown.members == len(members)
            assert shown.held_orders == sum(one.held_orders for one in members)
            assert {one.customer_id for one in members} == set(self.oracle.members(group_id))
            books: dict[str, list[int]] = defaultdict(lambda: [0] * 5)
            for one in members:
                account = self.office.ledger.get(state.account_key(one.customer_id))
                for currency, book in account.books.items():
                    books[currency] = [
                        a + b for a, b in zip(books[currency], _sums(book), strict=True)
                    ]
            group = self.office.ledger.get(state.group_key(group_id))
            kept = {currency: _sums(book) for currency, book in group.books.items()}
            assert _not_empty(kept) == _not_empty(books)

    @invariant()
    def every_decision_gives_the_reasons_that_are_true_at_its_moment(self) -> None:
        decided = list(self.decided)
        for decision in decisions(self.effects):
            then = self.opinion(decided)
            decided.append(decision)
            after = self.opinion(decided)
            assert decision.exposure_after == after.valued(decision.customer_id).exposure
            assert decision.customer_id == then.owner(decision.order_id)
            if decision.decision == "cancelled":
                assert then.orders[decision.order_id].rest == 0
            elif decision.decision == "held" and self.is_delivery_of(decision.order_id):
                assert decision.reasons
                assert decision.reasons == then.delivery_reasons(decision.order_id)
            elif decision.by is None or decision.decision == "held":
                assert decision.reasons == then.hold_reasons(decision.order_id)
                assert bool(decision.reasons) == (decision.decision == "held")
            else:
                said = then.about(ev.OrderReleased, decision.order_id)
                assert decision.by in {one.by for one in said}

    @invariant()
    def an_approval_takes_neither_account_nor_group_over_its_limit(self) -> None:
        decided = list(self.decided)
        for decision in decisions(self.effects):
            decided.append(decision)
            if decision.decision not in _HAS_CREDIT or decision.by is not None:
                continue
            after = self.opinion(decided)
            order = after.orders[decision.order_id]
            if after.asked(order) == 0:
                continue  # it takes no credit today
            limit = after.limit(decision.customer_id)
            if after.prepays(decision.customer_id):
                limit = 0
            assert limit is None or after.exact_exposure(decision.customer_id) <= limit
            group_id = after.group_of(decision.customer_id)
            group_limit = None if group_id is None else after.group_limit(group_id)
            if group_id is not None and group_limit is not None:
                assert after.exact_exposure(group_id) <= group_limit

    @invariant()
    def a_held_order_is_held_for_a_reason_that_is_true_now(self) -> None:
        for order_id, order in self.oracle.orders.items():
            if order.status == "held":
                assert self.oracle.hold_reasons(order_id), order_id

    @invariant()
    def every_order_is_answered_when_it_is_placed_grows_or_goes_out(self) -> None:
        assert all(order.status for order in self.oracle.orders.values())
        event = self.journal[-1]
        if not isinstance(event, ev.OrderChanged | ev.OrderDelivered):
            return
        order_id = event.order_id
        before = self.before.orders.get(order_id)
        if before is None or before.status not in _HAS_CREDIT or event in self.journal[:-1]:
            return
        answered = any(one.order_id == order_id for one in decisions(self.effects))
        if isinstance(event, ev.OrderChanged):
            grown = self.oracle.asked(self.oracle.orders[order_id]) > self.before.asked(before)
            assert answered or not grown
        elif self.goes_out_now(event) and not self.oracle.about(ev.OrderReleased, order_id):
            held_for = self.opinion(self.decided).delivery_reasons(order_id)
            assert answered is bool(held_for)

    @invariant()
    def an_alert_stands_where_utilisation_is(self) -> None:
        for alert in (one for effects in self.said[self.alerted :] for one in alerts(effects)):
            raised = self.raised[alert.customer_id]
            assert (alert.threshold in raised) is (alert.direction == "cleared")
            raised ^= {alert.threshold}
        self.alerted = len(self.said)
        for merged in self.oracle.merged_into:
            self.raised.pop(merged, None)
        for holder in self.figures:
            if holder in self.groups:
                terms, limit = self.oracle.group_terms(), self.oracle.group_limit(holder)
            else:
                terms, limit = self.oracle.terms(holder), self.oracle.limit(holder)
            owed = self.oracle.exact_exposure(holder) * SHARE_ONE
            for threshold in terms.thresholds:
                up = threshold.label in self.raised[holder]
                if limit is None or owed <= 0 or owed < (threshold.share - terms.rearm) * limit:
                    assert not up, (holder, threshold)
                elif owed >= threshold.share * limit:
                    assert up, (holder, threshold)

    @invariant()
    def what_goes_out_has_an_id_of_its_own_and_decisions_count_up(self) -> None:
        ids = Counter(
            effect.event_id
            for effects in self.said
            for effect in effects
            if isinstance(effect, OrderDecision | ev.CreditLimitAlert | ev.RiskSignal)
        )
        assert all(count == 1 for count in ids.values())
        for told in self.oracle.decisions.values():
            assert [one.decision_number for one in told] == list(range(1, len(told) + 1))
            for one, other in pairwise(told):
                assert one.decision != other.decision or one.decision in _HAS_CREDIT

    @invariant()
    def what_accounts_say_of_their_change_adds_up_to_how_they_stand(self) -> None:
        told, self.told = self.said[self.told :], len(self.said)
        for effect in (effect for effects in told for effect in effects):
            if isinstance(effect, AccountTouched):
                before = self.standings.get(effect.account_id, _NOTHING)
                assert _amounts(effect.before) == _amounts(before)
                self.standings[effect.account_id] = effect.after
            elif isinstance(effect, AccountLeft):
                before = self.standings.pop(effect.account_id, _NOTHING)
                assert _amounts(effect.before) == _amounts(before)
        for account_id, shown in self.accounts.items():
            now = Standing(shown.currency, shown.exposure, shown.held_orders)
            assert _amounts(self.standings.get(account_id, _NOTHING)) == _amounts(now)
        assert self.standings.keys() <= self.accounts.keys()

    def the_same_journal_says_the_same(self) -> None:
        """Also where the state was read again from its store in between."""
        office = Office(self.policies)
        assert [office.apply(event) for event in self.journal] == self.said

    # ── inside ────────────────────────────────────────────────────────────────────────────────────

    def is_of(self, order_id: str, holder: str) -> bool:
        owner = self.oracle.owner(order_id)
        return holder in (owner, self.oracle.group_of(owner))

    def is_delivery_of(self, order_id: str) -> bool:
        event = self.journal[-1]
        before = self.before.orders.get(order_id)
        return (
            isinstance(event, ev.OrderDelivered)
            and event.order_id == order_id
            and before is not None
            and before.status in _HAS_CREDIT
        )

    def goes_out_now(self, event: ev.OrderDelivered) -> bool:
        """Whether it is not all out already."""
        out = self.before.about(ev.OrderDelivered, event.order_id)
        return event.amount is not None or all(one.amount is not None for one in out)


def comparable(figures: Mapping[str, Figures]) -> dict[str, dict[str, object]]:
    """All but what counts events: a repeat is an event too."""
    left_out = ("event_id", "cause_event_id", "occurred_at")
    return {
        holder: {name: getattr(one, name) for name in one.__struct_fields__ if name not in left_out}
        for holder, one in figures.items()
    }


def _amounts(standing: Standing) -> tuple[str, int, int]:
    """Nothing is nothing in any currency."""
    currency = standing.currency if standing.exposure else ""
    return currency, standing.exposure, standing.held_orders


def _sums(book: state.Book) -> list[int]:
    return [book.receivables, book.delivered, book.orders, book.unapplied, book.held]


def _not_empty(books: Mapping[str, list[int]]) -> dict[str, list[int]]:
    return {currency: sums for currency, sums in books.items() if any(sums)}


TestCreditRoom = CreditRoom.TestCase
TestCreditRoom.settings = effort(examples=60, steps=30)
