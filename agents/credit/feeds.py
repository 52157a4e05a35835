"""What the rules know of input feeds: up to when they are complete."""

from __future__ import annotations

from fractions import Fraction

from agents.core.ledger import Ledger
from agents.credit import state
from agents.credit.case import Case
from schemas.events import FeedAdvanced, Instant, Minor

PAYMENTS = "payments"
_MICROSECONDS_PER_MINUTE = 60_000_000


def advance(ledger: Ledger, event: FeedAdvanced) -> None:
    """Remember how far a feed is; it never goes back."""
    key = state.feed_key(event.feed)
    before: Instant | None = ledger.get(key)
    if before is None or event.complete_until > before:
        ledger.put(key, event.complete_until)


def may_be_paid_already(case: Case, missing: Minor | Fraction) -> bool:
    """Whether the payments feed is later than its promise, and what is open is enough that a
    payment not told yet could make up for what is missing.

    A feed that never said how far it is makes no promise.
    """
    promise = case.policy.payments_feed_minutes
    complete_until: Instant | None = case.ledger.get(state.feed_key(PAYMENTS))
    if promise is None or complete_until is None:
        return False
    late = case.at - complete_until > promise * _MICROSECONDS_PER_MINUTE
    return late and missing <= case.valued_book().receivables
