"""What an account or a group owes on a day, valued in its own currency.

Most have one currency and their figures are sums of integers. With documents in others, what is
open is kept as subtotals per currency; each is valued at the day's rate. Comparisons use the exact
value; what is shown is rounded once per subtotal, so that the parts always add up.
"""

from __future__ import annotations

from fractions import Fraction

from agents.core.ledger import Ledger
from agents.core.policy import SHARE_ONE, Policy, in_minor
from agents.credit import state
from agents.credit.valuation import Factor, factor, rounded
from schemas.events import Day, Minor

_NO_BOOK = state.Book()


class Holdings:
    """The books of an account or a group on one day, under the policy of that day."""

    __slots__ = ("_factors", "holder", "ledger", "policy", "today")

    def __init__(
        self, ledger: Ledger, holder: state.Account | state.Group, policy: Policy, today: Day
    ) -> None:
        self.ledger = ledger
        self.holder = holder
        self.policy = policy
        self.today = today
        self._factors: dict[tuple[str, str], Factor | None] | None = None

    def exposure(self) -> Minor:
        """Exposure as it is shown, minor units; below zero when the account is in credit."""
        holder = self.holder
        if holder.foreign:
            return self.valued_book().exposure()
        return holder.books.get(holder.currency, _NO_BOOK).exposure()

    def exact_exposure(self) -> Minor | Fraction:
        """Exposure before rounding, for comparisons. What no rate values counts as nothing; nothing
        is approved then.
        """
        holder = self.holder
        if not holder.foreign:
            return holder.books.get(holder.currency, _NO_BOOK).exposure()
        return sum(
            (self.exact(book.exposure(), currency) for currency, book in holder.books.items()),
            start=Fraction(0),
        )

    def exact_held(self) -> Minor | Fraction:
        """What held orders ask for, not rounded."""
        return sum(
            (self.exact(book.held, currency) for currency, book in self.holder.books.items()),
            start=Fraction(0),
        )

    def valued_book(self) -> state.Book:
        """The totals that make the exposure, and what is overdue, in the holder's own currency,
        each subtotal rounded once.
        """
        holder = self.holder
        own = holder.books.get(holder.currency, _NO_BOOK)
        if not holder.foreign:
            return own
        total = state.Book(own.receivables, own.delivered, own.orders, own.unapplied, own.overdue)
        for currency, book in holder.books.items():
            by = None if currency == holder.currency else self.factor(currency)
            if by is not None:
                total.receivables += rounded(book.receivables, by)
                total.delivered += rounded(book.delivered, by)
                total.orders += rounded(book.orders, by)
                total.unapplied += rounded(book.unapplied, by)
                total.overdue += rounded(book.overdue, by)
        return total

    def exact(self, amount: Minor, currency: str) -> Minor | Fraction:
        """An amount in the holder's own currency, not rounded; 0 when no rate values it."""
        if currency == self.holder.currency:
            return amount
        by = self.factor(currency)
        return 0 if by is None else amount * by.of_minor

    def factor(self, currency: str) -> Factor | None:
        """From a currency into the holder's own, today."""
        pair = (currency, self.holder.currency)
        if self._factors is None:
            self._factors = {}
        if pair not in self._factors:
            self._factors[pair] = factor(self.ledger, self.policy, self.today, *pair)
        return self._factors[pair]

    def is_valued(self, currency: str) -> bool:
        """Whether an amount in the currency can be judged today: a rate says it, fresh enough."""
        if currency == self.holder.currency:
            return True
        by = self.factor(currency)
        return by is not None and by.fresh

    def has_unvalued_currency(self) -> bool:
        """Whether something is open in a currency that cannot be judged today."""
        return self.holder.foreign and any(
            book.exposure() != 0 and not self.is_valued(currency)
            for currency, book in self.holder.books.items()
        )

    def _count_held_at(self, place: str, by: int) -> None:
        """Count an order that is held (1), or no longer (-1), at its place in the index."""
        holder = self.holder
        if by > 0:
            holder.held_from = min(holder.held_from, place) if holder.held_orders else place
        holder.held_orders += by

    def policy_amount(self, text: str) -> Minor | None:
        """An amount of the policy in the holder's own currency, rounded down.

        None: the holder has no currency yet, or the policy names another currency and no rate
        values it.
        """
        own, named = self.holder.currency, self.policy.currency
        if not own:
            return None
        if named is None or named == own:
            return in_minor(text, own)
        by = self.factor(named)
        return None if by is None else int(in_minor(text, named) * by.of_minor)


def utilisation_text(exposure: Minor | Fraction, limit: Minor | None) -> str | None:
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
    share = exposure * SHARE_ONE // limit
    return f"{share // SHARE_ONE}.{share % SHARE_ONE:04d}"
