"""Keeps the books of a credit group: the sums of its members, per document currency.

Whatever is booked for a member is booked for its group in the same breath, so there is no moment at
which a member's order could be approved on room that another has taken.
"""

from __future__ import annotations

from fractions import Fraction

from agents.core.ledger import Ledger
from agents.core.policy import PolicyBook
from agents.credit import state
from agents.credit.holdings import Holdings
from schemas.events import Day, Event, Minor


class GroupBooks(Holdings):
    """A credit group on a day, and the event that concerns it."""

    __slots__ = (
        "_exposure_before",
        "_held_before",
        "_unvalued_before",
        "event",
        "group",
        "group_id",
        "policies",
        "room_changed",
    )

    def __init__(
        self, ledger: Ledger, policies: PolicyBook, group_id: str, event: Event, today: Day
    ) -> None:
        group: state.Group = ledger.get(state.group_key(group_id)) or state.Group()
        super().__init__(ledger, group, policies.at(today).base, today)
        self.policies = policies
        self.group_id = group_id
        self.group = group
        self.event = event
        self.room_changed = False
        """Something else than what members owe may have made room."""
        self._exposure_before = self.exact_exposure()
        self._held_before = self._held_that_consumes()
        self._unvalued_before = self.has_unvalued_currency()

    def begin(self) -> None:
        """The event counts for the group."""
        self.group.sequence += 1
        self.group.cause_event_id = self.event.event_id
        self.group.changed_at = self.event.occurred_at

    def may_have_grown(self) -> bool:
        """Whether a member's order that did not pass before the event may pass now."""
        return (
            self.room_changed
            or self.exact_exposure() < self._exposure_before
            or self._held_that_consumes() < self._held_before
            or (self._unvalued_before and not self.has_unvalued_currency())
        )

    def _held_that_consumes(self) -> Minor | Fraction:
        version = self.policies.at(self.today)
        consumes = any(
            terms.held_orders_consume for terms in (version.base, *version.segments.values())
        )
        return self.exact_held() if consumes else 0

    def limit(self) -> Minor | None:
        """The group's limit; None: none given, or the group's record has not come."""
        return self.group.limit

    # ── sums ────────────────────────────────────────────────────────────────────────────────────

    def book(self, currency: str) -> state.Book:
        group = self.group
        if not group.currency:
            # Until the group's record comes, its first member's currency is the group's.
            group.currency = currency
        book = group.books.get(currency)
        if book is None:
            book = group.books[currency] = state.Book()
            if currency != group.currency:
                self.watch_rates()
        return book

    def add(self, book: state.Book, currency: str, sign: int) -> None:
        """Add a member's totals in one currency, or with -1 take them out."""
        own = self.book(currency)
        own.receivables += sign * book.receivables
        own.delivered += sign * book.delivered
        own.orders += sign * book.orders
        own.unapplied += sign * book.unapplied
        own.held += sign * book.held

    def watch_rates(self) -> None:
        """Have the group valued again whenever a rate moves that its figures hang on."""
        group = self.group
        group.foreign = any(currency != group.currency for currency in group.books)
        if group.foreign:
            for currency in sorted({*group.books, group.currency}):
                self.ledger.put(state.valued_group_key(currency, self.group_id), True)

    # ── members' orders ─────────────────────────────────────────────────────────────────────────

    def count_held(self, customer_id: str, order_id: str, order: state.Order, by: int) -> None:
        """Count a member's order as held (1), or no longer (-1)."""
        self._count_held_at(state.held_place(order.placed_at, order_id, customer_id), by)
        key = state.group_held_key(self.group_id, order.placed_at, customer_id, order_id)
        if by > 0:
            self.ledger.put(key, True)
        else:
            self.ledger.delete(key)

    def rank(self, customer_id: str, order_id: str, order: state.Order, *, reserves: bool) -> None:
        """Follow an order that begins or ends to reserve."""
        if not self.group.ranked:
            return
        key = state.group_rank_key(self.group_id, order.placed_at, customer_id, order_id)
        if reserves:
            self.ledger.put(key, True)
        else:
            self.ledger.delete(key)

    def held_range(self) -> tuple[str, str]:
        """Where the index has the held orders of members."""
        return state.group_held_range(self.group_id, self.group.held_from)

    def held_orders(self) -> list[tuple[str, str]]:
        """(Key in the index of held orders, key of the order) of all members', oldest first."""
        held = []
        for key, _ in self.ledger.scan(*self.held_range()):
            order_id, customer_id = state.order_and_customer(key)
            held.append((key, state.order_key(customer_id, order_id)))
        return held

    def reserved_after(
        self, order_id: str, order: state.Order, enough: Fraction | Minor
    ) -> Fraction | Minor:
        """What orders of all members placed after this one reserve, exact, in the group's currency;
        counted up to where it is `enough`.
        """
        if not self.group.ranked:
            self.group.ranked = True
            for member, _ in list(self.ledger.scan(*state.member_range(self.group_id))):
                self.rank_all(state.last_part(member)[1:])
        total: Fraction | Minor = 0
        for key, _ in self.ledger.scan(*state.group_rank_range(self.group_id, order.placed_at)):
            if total >= enough:
                break
            other_id, customer_id = state.order_and_customer(key)
            other: state.Order = self.ledger.get(state.order_key(customer_id, other_id))
            if (other.placed_at, other_id) > (order.placed_at, order_id):
                total += self.exact(other.booked_open, other.currency)
        return total

    def rank_all(self, customer_id: str, *, reserves: bool = True) -> None:
        """Take in, or out, all orders of a member that reserve."""
        for key, order in list(self.ledger.scan(*state.order_range(customer_id))):
            if order.booked_open > 0:
                self.rank(customer_id, state.last_part(key)[1:], order, reserves=reserves)
