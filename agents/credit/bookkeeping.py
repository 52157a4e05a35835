"""Keeps an account's books: what its documents stand for is in its totals, at all times.

Every change of a document goes through `rebook_order`, `rebook_invoice` or `rebook_unapplied`,
which book the difference to what was booked for it before. The indexes by day and by age follow
along.
"""

from __future__ import annotations

from fractions import Fraction

from agents.core.ledger import Ledger
from agents.core.policy import PolicyBook, in_minor
from agents.credit import state
from agents.credit.account_day import AccountDay
from agents.credit.behaviour import forget_paid, note_paid
from agents.credit.group_books import GroupBooks
from agents.credit.positions import invoice_position, order_position
from agents.credit.rate_watch import watch_rates
from agents.dunning.agenda import look_on
from schemas.events import Day, Minor

APPROVED = ("approved", "released")
"""The statuses in which an order reserves credit."""


class Books(AccountDay):
    """An account on a day, with the means to change what it owes."""

    __slots__ = ("closed", "group")

    def __init__(
        self,
        ledger: Ledger,
        policies: PolicyBook,
        account_id: str,
        account: state.Account,
        today: Day,
        group: GroupBooks | None,
    ) -> None:
        super().__init__(ledger, policies, account_id, account, today)
        self.group = group
        """The books of the credit group that it belongs to; they follow the account's own."""
        self.closed: list[str] = []
        """Keys of the documents that closed."""

    # ── documents ─────────────────────────────────────────────────────────────────────────────────

    def book(self, currency: str) -> state.Book:
        account = self.account
        if not account.currency:
            # Until the master record comes, the first document says in what currency the account is
            # kept.
            account.currency = currency
        book = account.books.get(currency)
        if book is None:
            book = account.books[currency] = state.Book()
            if currency != account.currency or self.policy.currency not in (None, currency):
                watch_rates(self)
        return book

    def asked(self, order: state.Order) -> Minor:
        """What the order reserves, or would, minor units of its currency: its undelivered and
        uninvoiced rest, as the policy counts it.
        """
        return 0 if self._is_beyond_horizon(order) else self.rest_of(order)

    def rest_of(self, order: state.Order) -> Minor:
        """The same whenever it is to be delivered."""
        rest, _ = order_position(order)
        return self.counted(rest, order.placed_amount, order.net_amount)

    def counted(self, amount: Minor, gross: Minor, net: Minor | None) -> Minor:
        """An amount of a document as the policy counts it: all of it, or its part without VAT."""
        if net is None or not self.policy.net_of_vat:
            return amount
        return round(Fraction(amount * net, gross))

    def rebook_order(self, order_id: str, order: state.Order) -> None:
        """Bring the totals to what the order stands for now, and store it."""
        rest, delivered = order_position(order)
        if delivered:
            delivered = self.counted(delivered, order.placed_amount, order.net_amount)
        asked = 0
        if rest and not self._is_beyond_horizon(order):
            asked = self.counted(rest, order.placed_amount, order.net_amount)
        reserved = asked if order.status in APPROVED else 0
        held = asked if order.status == "held" else 0
        if (
            reserved != order.booked_open
            or delivered != order.booked_delivered
            or held != order.booked_held
        ):
            for book in self._books(order.currency):
                book.orders += reserved - order.booked_open
                book.delivered += delivered - order.booked_delivered
                book.held += held - order.booked_held
            if (reserved > 0) is not (order.booked_open > 0):
                if self.account.ranked:
                    self._rank(order_id, order, reserves=reserved > 0)
                if self.group is not None:
                    self.group.rank(self.account_id, order_id, order, reserves=reserved > 0)
            order.booked_open = reserved
            order.booked_delivered = delivered
            order.booked_held = held
        if rest and not asked and order.deliver_on is not None:
            horizon = self.policy.shipping_horizon_days or 0
            if order.deliver_on - horizon > self.today:
                self.look_again_on(order.deliver_on - horizon, order_id)
        key = state.order_key(self.account_id, order_id)
        finished = order.known and order.status in ("approved", "released", "cancelled")
        order.closed_on = self._closing(key, order.closed_on, finished and rest == delivered == 0)
        self.ledger.put(key, order)

    def count_held(self, order_id: str, order: state.Order, by: int) -> None:
        """Count an order as held (1), or no longer (-1)."""
        self._count_held_at(state.held_place(order.placed_at, order_id), by)
        for key in (
            state.held_key(self.account_id, order.placed_at, order_id),
            state.partition_held_key(order.placed_at, self.account_id, order_id),
        ):
            if by > 0:
                self.ledger.put(key, True)
            else:
                self.ledger.delete(key)
        if self.group is not None:
            self.group.count_held(self.account_id, order_id, order, by)

    def held_range(self) -> tuple[str, str]:
        """Where the index has the held orders."""
        return state.held_range(self.account_id, self.account.held_from)

    def held_orders(self) -> list[tuple[str, str]]:
        """(Key in the index of held orders, key of the order) of each, oldest first."""
        return [
            (key, state.order_key(self.account_id, state.last_part(key)))
            for key, _ in self.ledger.scan(*self.held_range())
        ]

    def reserved_after(
        self, order_id: str, order: state.Order, enough: Fraction | Minor
    ) -> Fraction | Minor:
        """What orders placed after this one reserve, exact, in the account's currency; counted up
        to where it is `enough`.
        """
        if not self.account.ranked:
            self.account.ranked = True
            for key, one in list(self.ledger.scan(*state.order_range(self.account_id))):
                if one.booked_open > 0:
                    self._rank(state.last_part(key)[1:], one, reserves=True)
        total: Fraction | Minor = 0
        for key, _ in self.ledger.scan(*state.rank_range(self.account_id, order.placed_at)):
            if total >= enough:
                break
            other_id = state.last_part(key)
            other = self.ledger.get(state.order_key(self.account_id, other_id))
            if (other.placed_at, other_id) > (order.placed_at, order_id):
                total += self.exact(other.booked_open, other.currency)
        return total

    def rebook_invoice(self, invoice_id: str, invoice: state.Invoice) -> None:
        """Bring the totals and the indexes to what the invoice stands for now, and store it."""
        account = self.account
        small_balance = (
            in_minor(self.policy.small_balance, invoice.currency) if invoice.known else 0
        )
        position = invoice_position(invoice, small_balance)
        owed = position.open
        if owed and invoice.net_amount is not None:
            owed = self.counted(owed, invoice.amount, invoice.net_amount)
        if owed != invoice.booked_open:
            for book in self._books(invoice.currency):
                book.receivables += owed - invoice.booked_open
            if account.insured_index and (owed > 0) is not (invoice.booked_open > 0):
                self._index_insured(invoice_id, invoice, unpaid=owed > 0)
            if invoice.paid_late is not None:
                forget_paid(account, invoice)
            elif owed == 0 and _is_paid(invoice):
                note_paid(account, invoice, self.today)
            invoice.booked_open = owed
        self._rebook_excess(invoice, position.taken)
        if position.due != invoice.booked_due:
            self._index_due(invoice_id, invoice, position.due)
        blocks = invoice.dunning_blocks and position.open > 0
        if blocks is not invoice.booked_blocks:
            account.dunning_blocks += 1 if blocks else -1
            invoice.booked_blocks = blocks
        level = invoice.dunning_level if position.open else 0
        if level != invoice.booked_level:
            self._count_dunned(invoice.booked_level, -1)
            self._count_dunned(level, 1)
            invoice.booked_level = level
        key = state.invoice_key(self.account_id, invoice_id)
        invoice.closed_on = self._closing(
            key,
            invoice.closed_on,
            invoice.known and position.open == 0 and not _has_excess(invoice),
        )
        self.ledger.put(key, invoice)

    def _rebook_excess(self, invoice: state.Invoice, taken: Minor) -> None:
        """What was set against the invoice and it cannot take is unapplied."""
        for currency, applied in invoice.applied.items():
            excess = applied.amount - (taken if currency == invoice.currency else 0)
            if excess != applied.booked_excess:
                for book in self._books(currency):
                    book.unapplied += excess - applied.booked_excess
                applied.booked_excess = excess

    def oldest_original_due(self) -> Day | None:
        """The original due day of the oldest unpaid invoice, disputed or not, whatever was deferred
        since.
        """
        account = self.account
        if not account.insured_index:
            account.insured_index = True
            for key, invoice in list(self.ledger.scan(*state.invoice_range(self.account_id))):
                if invoice.booked_open > 0:
                    self._index_insured(state.last_part(key)[1:], invoice, unpaid=True)
        for key, _ in self.ledger.scan(*state.insured_range(self.account_id)):
            return state.due_day(key)
        return None

    def withdraw(self, invoice_id: str, invoice: state.Invoice) -> None:
        """Take the invoice out of the indexes by day, before its days change."""
        if invoice.booked_due:
            self._index_due(invoice_id, invoice, 0)
        if self.account.insured_index and invoice.booked_open > 0:
            self._index_insured(invoice_id, invoice, unpaid=False)

    def enter(self, invoice_id: str, invoice: state.Invoice) -> None:
        """Put it back, after its days changed; `rebook_invoice` brings the due index up to date."""
        if self.account.insured_index and invoice.booked_open > 0:
            self._index_insured(invoice_id, invoice, unpaid=True)

    def rebook_unapplied(
        self, document: state.Payment | state.CreditNote, unapplied: Minor
    ) -> None:
        """Bring the unapplied total to what is left of a payment or credit note."""
        if unapplied != document.booked_unapplied:
            for book in self._books(document.currency):
                book.unapplied += unapplied - document.booked_unapplied
            document.booked_unapplied = unapplied

    def store_payment(self, payment_id: str, payment: state.Payment) -> None:
        key = state.payment_key(self.account_id, payment_id)
        settled = (
            payment.known
            and payment.booked_unapplied == 0
            and (payment.cleared or payment.reversed)
        )
        payment.closed_on = self._closing(key, payment.closed_on, settled)
        self.ledger.put(key, payment)

    def store_credit_note(self, credit_note_id: str, note: state.CreditNote) -> None:
        key = state.credit_note_key(self.account_id, credit_note_id)
        note.closed_on = self._closing(key, note.closed_on, note.booked_unapplied == 0)
        self.ledger.put(key, note)

    # ── days ────────────────────────────────────────────────────────────────────────────────────

    def wake_on(self, day: Day) -> None:
        """Have this account looked at when `day` begins."""
        key = state.agenda_key(day, self.account_id, member=bool(self.account.group_id))
        # Many invoices of an account fall due on one day: a look costs less than another change.
        if self.ledger.get(key) is None:
            self.ledger.put(key, True)

    def look_ahead_on(self, day: Day) -> None:
        """Have it looked whether the account's headroom will run out, when `day` begins."""
        if self.account.look_on != day:
            self.account.look_on = day
            self.wake_on(day)

    def look_again_on(self, day: Day, order_id: str) -> None:
        """Have an order looked at again when `day` begins."""
        self.ledger.put(state.timer_key(self.account_id, day, order_id), True)
        self.wake_on(day)

    def orders_to_look_at(self) -> list[str]:
        """The orders whose day has come; each is told once."""
        found = list(self.ledger.scan(*state.timers_until(self.account_id, self.today)))
        for key, _ in found:
            self.ledger.delete(key)
        return [state.last_part(key) for key, _ in found]

    def rebuild_agenda(self) -> None:
        """Note the days on which an account that came here is to be looked at, or its documents
        forgotten.
        """
        account, soonest = self.account, self.today + 1
        for day in (account.limit_valid_until, account.temporary_until):
            if day is not None and day >= self.today:
                self.wake_on(day + 1)
        forgotten: dict[Day, list[str]] = {}
        for key, value in list(self.ledger.scan(*state.account_range(self.account_id))):
            kind = key[len(self.account_id) + 1]
            if kind == "d" and state.due_day(key) >= self.today:
                self.wake_on(state.due_day(key) + 1)
            elif kind == "u" and not value.outcome:
                self.wake_on(soonest)
            elif kind == "t":
                self.wake_on(max(state.due_day(key), soonest))
            elif kind in "oipc" and value.closed_on is not None:
                day = max(value.closed_on + self.policy.remember_days, soonest)
                forgotten.setdefault(day, []).append(key)
        account.look_on = 0
        if account.dun_on:
            day, account.dun_on = max(account.dun_on, soonest), 0
            look_on(self, day)
        for day, keys in forgotten.items():
            self.ledger.put(state.forget_key(day, self.account_id, account.sequence), keys)
        watch_rates(self)

    def refresh(self) -> None:
        """Bring an account that is only looked at up to its day."""
        if self.account.aged_to != self.today:
            self.age()
            self.ledger.put(state.account_key(self.account_id), self.account)

    def age(self) -> None:
        """Count what fell due since the account was last looked at as overdue."""
        account = self.account
        aged_to = account.aged_to
        if aged_to is not None and aged_to >= self.today:
            return
        oldest = account.oldest_due
        if oldest is not None and oldest < self.today:
            first = None
            start, end = state.due_range(self.account_id, aged_to, self.today)
            for key, due in self.ledger.scan(start, end):
                self.book(due.currency).overdue += due.amount
                first = state.due_day(key) if first is None else first
            if aged_to is None or oldest >= aged_to:
                # Until now it was only known that nothing is older.
                account.oldest_due = self._first_due() if first is None else first
        account.aged_to = self.today

    def _is_beyond_horizon(self, order: state.Order) -> bool:
        horizon = self.policy.shipping_horizon_days
        return (
            horizon is not None
            and order.deliver_on is not None
            and order.deliver_on > self.today + horizon
        )

    def _books(self, currency: str) -> tuple[state.Book, ...]:
        """The books that a movement in a currency goes into: the account's, and its group's."""
        own = self.book(currency)
        return (own,) if self.group is None else (own, self.group.book(currency))

    # ── indexes ─────────────────────────────────────────────────────────────────────────────────

    def _index_due(self, invoice_id: str, invoice: state.Invoice, due_amount: Minor) -> None:
        account = self.account
        key = state.due_key(self.account_id, invoice.due_on, invoice_id)
        if account.aged_to is not None and invoice.due_on < account.aged_to:
            self.book(invoice.currency).overdue += due_amount - invoice.booked_due
        elif due_amount and not invoice.booked_due:
            self.wake_on(invoice.due_on + 1)
        book = self.policies.dunning
        if book is not None and due_amount > invoice.booked_due:
            look_on(self, max(book.first_look(invoice.due_on), self.today + 1))
        invoice.booked_due = due_amount
        if due_amount:
            self.ledger.put(key, state.Due(due_amount, invoice.currency))
            if account.oldest_due is None or invoice.due_on < account.oldest_due:
                account.oldest_due = invoice.due_on
            return
        self.ledger.delete(key)
        late = account.aged_to is not None and invoice.due_on < account.aged_to
        if late and invoice.due_on == account.oldest_due:
            account.oldest_due = self._first_due()

    def _first_due(self) -> Day | None:
        for key, _ in self.ledger.scan(*state.due_range(self.account_id, None, None)):
            return state.due_day(key)
        return None

    def _closing(self, key: str, closed_on: Day | None, closed: bool) -> Day | None:
        """The day on which a document closed; a new one is to be forgotten some day."""
        if not closed:
            return None
        if closed_on is None:
            self.closed.append(key)
            return self.today
        return closed_on

    def _rank(self, order_id: str, order: state.Order, *, reserves: bool) -> None:
        key = state.rank_key(self.account_id, order.placed_at, order_id)
        if reserves:
            self.ledger.put(key, True)
        else:
            self.ledger.delete(key)

    def _index_insured(self, invoice_id: str, invoice: state.Invoice, *, unpaid: bool) -> None:
        key = state.insured_key(self.account_id, invoice.original_due_on, invoice_id)
        if unpaid:
            self.ledger.put(key, True)
        else:
            self.ledger.delete(key)

    def _count_dunned(self, level: int, by: int) -> None:
        if level:
            dunned = self.account.dunned
            count = dunned.pop(level, 0) + by
            if count:
                dunned[level] = count


def _is_paid(invoice: state.Invoice) -> bool:
    """Whether what closed the invoice is money, at least in part."""
    applied = invoice.applied.get(invoice.currency)
    return (
        invoice.known
        and not invoice.cancelled
        and not invoice.written_off
        and applied is not None
        and applied.amount > applied.credited
    )


def _has_excess(invoice: state.Invoice) -> bool:
    return any(applied.booked_excess for applied in invoice.applied.values())
