"""An account on a day: what it owes, what it may owe, and what that leaves, in its own currency.

Most accounts have one currency and their figures are sums of integers. With documents in others,
what is open is kept as subtotals per currency; each is valued at the day's rate. Comparisons use
the exact value; what is shown is rounded once per subtotal, so that the parts always add up.
"""

from __future__ import annotations

from fractions import Fraction

from agents.core.ledger import Ledger
from agents.core.policy import SHARE_ONE, Policy, PolicyBook, in_minor
from agents.credit import state
from agents.credit.valuation import Factor, factor, rounded
from schemas.events import Day, Minor

_SHARE_DIGITS = 4
_NO_BOOK = state.Book()


class AccountDay:
    """One account as it stands on one day, under the policy of that day and its segment."""

    __slots__ = ("_factors", "account", "account_id", "ledger", "policies", "policy", "today")

    def __init__(
        self,
        ledger: Ledger,
        policies: PolicyBook,
        account_id: str,
        account: state.Account,
        today: Day,
    ) -> None:
        self.ledger = ledger
        self.policies = policies
        self.account_id = account_id
        self.account = account
        self.today = today
        self.policy: Policy = policies.at(today).of(account.segment)
        self._factors: dict[tuple[str, str], Factor | None] | None = None

    # ── exposure ────────────────────────────────────────────────────────────────────────────────

    def exposure(self) -> Minor:
        """Exposure as it is shown, minor units; below zero when the account is in credit."""
        account = self.account
        if account.foreign:
            return self.valued_book().exposure()
        book = account.books.get(account.currency)
        return 0 if book is None else book.exposure()

    def exact_exposure(self) -> Minor | Fraction:
        """Exposure before rounding, for comparisons. What no rate values counts as nothing; nothing
        is approved then.
        """
        if not self.account.foreign:
            return self.exposure()
        return sum(
            (
                self.exact(book.exposure(), currency)
                for currency, book in self.account.books.items()
            ),
            start=Fraction(0),
        )

    def exact_held(self) -> Minor | Fraction:
        """What held orders ask for, not rounded."""
        return sum(
            (self.exact(book.held, currency) for currency, book in self.account.books.items()),
            start=Fraction(0),
        )

    def valued_book(self) -> state.Book:
        """The account's totals in its own currency, each subtotal rounded once."""
        account = self.account
        own = account.books.get(account.currency, _NO_BOOK)
        if not account.foreign:
            return own
        total = state.Book(
            own.receivables, own.delivered, own.orders, own.unapplied, own.overdue, own.held
        )
        for currency, book in account.books.items():
            by = None if currency == account.currency else self.factor(currency)
            if by is not None:
                total.receivables += rounded(book.receivables, by)
                total.delivered += rounded(book.delivered, by)
                total.orders += rounded(book.orders, by)
                total.unapplied += rounded(book.unapplied, by)
                total.overdue += rounded(book.overdue, by)
                total.held += rounded(book.held, by)
        return total

    def exact(self, amount: Minor, currency: str) -> Minor | Fraction:
        """An amount in the account's currency, not rounded; 0 when no rate values it."""
        if currency == self.account.currency:
            return amount
        by = self.factor(currency)
        return 0 if by is None else amount * by.of_minor

    def factor(self, currency: str, into: str | None = None) -> Factor | None:
        """From a currency into the account's, or another, today."""
        pair = (currency, into or self.account.currency)
        if self._factors is None:
            self._factors = {}
        if pair not in self._factors:
            self._factors[pair] = factor(self.ledger, self.policy, self.today, *pair)
        return self._factors[pair]

    def is_valued(self, currency: str) -> bool:
        """Whether an amount in the currency can be judged today: a rate says it, fresh enough."""
        if currency == self.account.currency:
            return True
        by = self.factor(currency)
        return by is not None and by.fresh

    def has_unvalued_currency(self) -> bool:
        """Whether something is open in a currency that cannot be judged today."""
        return self.account.foreign and any(
            book.exposure() != 0 and not self.is_valued(currency)
            for currency, book in self.account.books.items()
        )

    # ── limit ───────────────────────────────────────────────────────────────────────────────────

    def limit(self) -> Minor | None:
        """The effective limit; None when there is none to compare with (missing or unlimited)."""
        account = self.account
        if account.unlimited:
            return None
        given = self._given_limit()
        if given is None or account.insured_limit is None or not self.policy.cap_by_insurance:
            return given
        cover = account.insured_limit * (SHARE_ONE + self.policy.own_risk_margin) // SHARE_ONE
        return min(given, cover)

    def limit_expired(self) -> bool:
        account = self.account
        return (
            account.limit_valid_until is not None
            and self.today > account.limit_valid_until
            and not account.has_temporary_limit(self.today)
        )

    def _given_limit(self) -> Minor | None:
        account = self.account
        if account.has_temporary_limit(self.today):
            return account.temporary_limit
        if account.limit is not None:
            return account.limit
        default = self.policy.default_limit
        return None if default is None else self.policy_amount(default)

    # ── the policy's amounts ────────────────────────────────────────────────────────────────────

    def policy_amount(self, text: str) -> Minor | None:
        """An amount of the policy in the account's currency, rounded down.

        None: the account has no currency yet, or the policy names another currency and no rate
        values it.
        """
        own, named = self.account.currency, self.policy.currency
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
    whole, part = divmod(exposure * 10**_SHARE_DIGITS // limit, 10**_SHARE_DIGITS)
    return f"{whole}.{part:04d}"
