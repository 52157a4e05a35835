"""A payments feed that is late, and an order that what it has not told yet could pay for."""

from __future__ import annotations

import pytest
from credit.journals import DAY, Journal
from credit.policy_worlds import policy

from agents.core.ledger import MemoryLedger
from agents.credit import state
from agents.credit.rules import reduce
from schemas import events as ev
from schemas.dates import MICROSECONDS_PER_DAY

POLICY = policy(("feeds.payments_minutes", "30"))
_COMPLETE_UNTIL = DAY * MICROSECONDS_PER_DAY
_PROMISE = 30 * 60_000_000


def test_a_feed_never_goes_back() -> None:
    ledger = MemoryLedger()
    journal = Journal()
    for complete_until in (20, 10):
        journal.say(ev.FeedAdvanced, feed="payments", complete_until=complete_until)
        reduce(ledger, journal[-1], POLICY)
    assert ledger.get(state.feed_key("payments")) == 20


@pytest.mark.parametrize(
    ("after", "missing", "stale"),
    [
        (_PROMISE, 500, False),
        (_PROMISE + 1, 500, True),
        (_PROMISE + 1, 501, False),
    ],
)
def test_it_is_late_beyond_its_promise_and_can_bring_no_more_than_is_open(
    after: int, missing: int, *, stale: bool
) -> None:
    journal = Journal()
    journal.customer(1_000)
    journal.invoice("I-1", 500)
    journal.say(ev.FeedAdvanced, feed="payments", complete_until=_COMPLETE_UNTIL)
    journal.order("O-1", 500 + missing, occurred_at=_COMPLETE_UNTIL + after)
    (decision,) = journal.outcome(POLICY)
    assert isinstance(decision, ev.OrderDecision)
    more = ["stale_data"] if stale else []
    assert decision.reasons == ["credit_limit_exceeded", *more]
