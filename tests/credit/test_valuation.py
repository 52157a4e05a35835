"""What a currency is worth in another: which rate counts, and how it is shown."""

from __future__ import annotations

from fractions import Fraction

import pytest
from credit.policy_worlds import policy

from agents.core.ledger import MemoryLedger
from agents.core.policy import Policy
from agents.credit.valuation import Factor, factor, pairs_moving, publish, shown
from schemas.events import Day, FxRatePublished

TODAY: Day = 20_000
TERMS: Policy = policy(("fx.max_age_days", "2")).at(TODAY).base


def published(
    ledger: MemoryLedger,
    rate: str,
    pair: str = "EUR/USD",
    valid_on: Day = TODAY,
    *,
    at: int = 0,
    event_id: str = "e",
) -> bool:
    base, quote = pair.split("/")
    event = FxRatePublished(
        event_id=event_id, occurred_at=at, base=base, quote=quote, rate=rate, valid_on=valid_on
    )
    return publish(ledger, event, TODAY)


def rate_of(ledger: MemoryLedger, pair: str = "EUR/USD", today: Day = TODAY) -> str | None:
    found = factor(ledger, TERMS, today, *pair.split("/"))
    return None if found is None else shown(found)


@pytest.mark.parametrize(
    ("of_major", "as_read"),
    [
        (Fraction(160), "160"),
        (Fraction(5, 4), "1.25"),
        (Fraction(1, 160), "0.00625"),
        (Fraction(10, 13), "0.7692307692"),
        (Fraction(100_000), "100000"),
    ],
)
def test_a_factor_is_shown_without_needless_digits(of_major: Fraction, as_read: str) -> None:
    assert shown(Factor(of_major, of_major, fresh=True, rates=())) == as_read


def test_only_a_rate_that_is_in_force_now_and_was_not_before_is_news() -> None:
    ledger = MemoryLedger()
    assert published(ledger, "1.20")
    assert not published(ledger, "1.30", valid_on=TODAY + 1)
    assert not published(ledger, "1.10", valid_on=TODAY - 1)
    assert rate_of(ledger) == "1.2"


def test_a_rate_told_twice_is_no_news_and_a_corrected_one_is() -> None:
    ledger = MemoryLedger()
    assert published(ledger, "1.20", at=5)
    assert not published(ledger, "1.20", at=5)
    assert not published(ledger, "1.40", at=4)
    assert rate_of(ledger) == "1.2"
    assert published(ledger, "1.30", at=6, event_id="corrected")
    assert rate_of(ledger) == "1.3"


def test_of_a_pair_published_both_ways_the_newer_counts_and_of_one_day_the_direct_one() -> None:
    ledger = MemoryLedger()
    published(ledger, "0.50", "USD/EUR", TODAY - 1)
    assert rate_of(ledger) == "2"
    published(ledger, "1.25", "EUR/USD", TODAY - 1)
    assert rate_of(ledger) == "1.25"
    published(ledger, "0.40", "USD/EUR")
    assert rate_of(ledger) == "2.5"


def test_a_pair_moves_when_its_rate_changes_or_becomes_too_old() -> None:
    ledger = MemoryLedger()
    published(ledger, "1.20", "EUR/USD")
    published(ledger, "160", "EUR/JPY")
    published(ledger, "170", "EUR/JPY", TODAY + 1)
    assert pairs_moving(ledger, TERMS, TODAY, TODAY + 1) == [("EUR", "JPY")]
    assert pairs_moving(ledger, TERMS, TODAY + 1, TODAY + 2) == []
    assert pairs_moving(ledger, TERMS, TODAY + 2, TODAY + 3) == [("EUR", "USD")]
    assert pairs_moving(ledger, TERMS, TODAY + 4, TODAY + 5) == []
