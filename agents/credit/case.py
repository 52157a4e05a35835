"""One event on one account: what the rules work on while they handle it.

A `Case` holds the account, the day, the policy and the effects so far, and keeps the books: every
change of a document goes through `rebook_order`, `rebook_invoice` or `rebook_unapplied`, so the
account's totals are at all times the sum of what is booked for its documents.
"""

from __future__ import annotations

from hashlib import blake2b

from agents.core.ledger import Ledger
from agents.core.policy import Policy, in_minor
from agents.core.refusal import Refusal
from agents.credit import state
from agents.credit.effects import AccountTouched, Effect, Standing
from agents.credit.positions import invoice_position, order_position
from schemas.events import Day, Event, Instant, Minor

_SHARE_DIGITS = 4


class Case:
    """The account that an event concerns, and all that follows from the event."""

    __slots__ = (
        "account",
        "account_id",
        "at",
        "before",
        "cause",
        "closed",
        "effects",
        "ledger",
        "policy",
        "today",
    )

    def __init__(
        self,
        ledger: Ledger,
        policy: Policy,
        account_id: str,
        event: Event,
        today: Day,
        effects: list[Effect],
    ) -> None:
        account: state.Account | None = ledger.get(state.account_key(account_id))
        if account is None:
            account = state.Account()
        account.sequence += 1
        account.cause_event_id = event.event_id
        account.changed_at = event.occurred_at
        self.ledger = ledger
        self.policy = policy
        self.account_id = account_id
        self.account = account
        self.today = today
        self.at: Instant = event.occurred_at
        self.cause = event.event_id
        self.effects = effects
        self.before = self._standing()
        self.closed: list[str] = []

    # ── figures ─────────────────────────────────────────────────────────────────────────────────

    def exposure(self) -> Minor:
        """Exposure in the account's currency, minor units; below zero when it is in credit."""
        book = self.account.books.get(self.account.currency)
        return 0 if book is None else book.exposure()

    def limit(self) -> Minor | None:
        return self.account.limit_on(self.today, self.policy)

    def limit_expired(self) -> bool:
        return self.account.limit_expired(self.today)

    def has_unvalued_currency(self) -> bool:
        """Whether something is open in a currency for which there is no rate."""
        account = self.account
        return len(account.books) > 1 and any(
            book.exposure() != 0
            for currency, book in account.books.items()
            if currency != account.currency
        )

    # ── effects ─────────────────────────────────────────────────────────────────────────────────

    def next_id(self) -> str:
        """An id for the next outgoing event: the same whenever the same journal is read again."""
        return outgoing_id(self.account_id, self.account.sequence, self.cause, len(self.effects))

    def refuse(self, reason: str, field: str, detail: str) -> None:
        self.effects.append(Refusal(reason=reason, field=field, detail=detail))

    # ── books ───────────────────────────────────────────────────────────────────────────────────

    def book(self, currency: str) -> state.Book:
        if not self.account.currency:
            # Until the master record comes, the first document says in what currency the account is
            # kept.
            self.account.currency = currency
        book = self.account.books.get(currency)
        if book is None:
            book = self.account.books[currency] = state.Book()
        return book

    def rebook_order(self, order_id: str, order: state.Order) -> None:
        """Bring the totals to what the order stands for now, and store it."""
        open_part, delivered_part = order_position(order)
        if open_part != order.booked_open or delivered_part != order.booked_delivered:
            book = self.book(order.currency)
            book.orders += open_part - order.booked_open
            book.delivered += delivered_part - order.booked_delivered
            order.booked_open = open_part
            order.booked_delivered = delivered_part
        key = state.order_key(self.account_id, order_id)
        finished = order.known and order.status in ("approved", "released", "cancelled")
        order.closed_on = self._closing(
            key, order.closed_on, finished and open_part == delivered_part == 0
        )
        self.ledger.put(key, order)

    def rebook_invoice(self, invoice_id: str, invoice: state.Invoice) -> None:
        """Bring the totals and the due index to what the invoice stands for now, and store it."""
        small_balance = (
            in_minor(self.policy.small_balance, invoice.currency) if invoice.known else 0
        )
        position = invoice_position(invoice, small_balance)
        if position.open != invoice.booked_open:
            self.book(invoice.currency).receivables += position.open - invoice.booked_open
            invoice.booked_open = position.open
        if position.excess != invoice.booked_excess:
            self.book(invoice.applied_currency).unapplied += position.excess - invoice.booked_excess
            invoice.booked_excess = position.excess
        if position.due != invoice.booked_due:
            self._index_due(invoice_id, invoice, position.due)
        key = state.invoice_key(self.account_id, invoice_id)
        invoice.closed_on = self._closing(
            key, invoice.closed_on, invoice.known and position.open == position.excess == 0
        )
        self.ledger.put(key, invoice)

    def withdraw_due(self, invoice_id: str, invoice: state.Invoice) -> None:
        """Take the invoice out of the due index, before its due day changes."""
        if invoice.booked_due:
            self._index_due(invoice_id, invoice, 0)

    def rebook_unapplied(
        self, document: state.Payment | state.CreditNote, unapplied: Minor
    ) -> None:
        """Bring the unapplied total to what is left of a payment or credit note."""
        if unapplied != document.booked_unapplied:
            self.book(document.currency).unapplied += unapplied - document.booked_unapplied
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
        key = state.agenda_key(day, self.account_id)
        # Many invoices of an account fall due on one day: a look costs less than another change.
        if self.ledger.get(key) is None:
            self.ledger.put(key, True)

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

    def close(self) -> None:
        """Store the account, and say how it stands now."""
        self.ledger.put(state.account_key(self.account_id), self.account)
        if self.closed:
            forget_on = self.today + self.policy.remember_days
            key = state.forget_key(forget_on, self.account_id, self.account.sequence)
            self.ledger.put(key, self.closed)
        self.effects.append(AccountTouched(self.account_id, self.before, self._standing()))

    def _index_due(self, invoice_id: str, invoice: state.Invoice, due_amount: Minor) -> None:
        account = self.account
        key = state.due_key(self.account_id, invoice.due_on, invoice_id)
        if account.aged_to is not None and invoice.due_on < account.aged_to:
            self.book(invoice.currency).overdue += due_amount - invoice.booked_due
        elif due_amount and not invoice.booked_due:
            self.wake_on(invoice.due_on + 1)
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

    def _standing(self) -> Standing:
        account = self.account
        return Standing(account.currency, self.exposure(), account.held_orders)


def outgoing_id(account_id: str, sequence: int, cause: str, place: int | str) -> str:
    """The id of an outgoing event: cause, account, the account's count of events, place among its
    effects.

    The sequence keeps ids apart even when a sender uses one event id twice.
    """
    return blake2b(
        f"{account_id}\0{sequence}\0{cause}\0{place}".encode(), digest_size=16
    ).hexdigest()


def utilisation_text(exposure: Minor, limit: Minor | None) -> str | None:
    """Exposure over limit with four digits, rounded down so that it never shows a threshold not
    reached.

    None when there is no limit to compare with, or a zero limit with something open (infinite).
    """
    if limit is None:
        return None
    if exposure <= 0:
        return "0.0000"
    if limit == 0:
        return None
    whole, part = divmod(exposure * 10**_SHARE_DIGITS // limit, 10**_SHARE_DIGITS)
    return f"{whole}.{part:04d}"
