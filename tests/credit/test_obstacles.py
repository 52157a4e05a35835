"""What stands against an order is told in words that somebody can act on."""

from __future__ import annotations

import pytest
from credit.journals import CUSTOMER, DAY

from agents.core.ledger import MemoryLedger
from agents.credit import reasons, state
from agents.credit.feeds import PAYMENTS
from agents.credit.obstacles import Obstacle, look_at, obstacles
from agents.policy_file import load_policy

POLICY = load_policy(None)
ORDER = state.Order(
    currency="EUR", placed_amount=100_00, total=100_00, placed_at=DAY * 86_400_000_000
)


def told(reason: str, account: state.Account, **entries: object) -> Obstacle:
    ledger = MemoryLedger()
    account.currency = "EUR"
    ledger.put(state.account_key(CUSTOMER), account)
    for key, value in entries.items():
        ledger.put(key, value)
    (found,) = obstacles(look_at(ledger, POLICY, CUSTOMER, DAY), "O-1", ORDER, [reason])
    assert (found.reason, found.missing, found.currency) == (reason, None, None)
    return found


@pytest.mark.parametrize(
    ("account", "finding"),
    [
        (
            state.Account(dunning_blocks=1),
            "1 open invoice has reached a dunning level that holds orders",
        ),
        (
            state.Account(dunning_blocks=2, dunned={5: 1}),
            "2 open invoices have reached a dunning level that holds orders",
        ),
    ],
)
def test_a_level_of_our_own_procedures_holds(account: state.Account, finding: str) -> None:
    found = told(reasons.DUNNING_BLOCK, account)
    assert (found.finding, found.remedy) == (finding, "pay what was dunned")


def test_a_level_that_another_system_told_holds() -> None:
    found = told(reasons.DUNNING_BLOCK, state.Account(dunned={1: 4, 3: 1}))
    level = POLICY.versions[-1].base.block_from_level
    assert found.finding == f"an open invoice was dunned to level 3; level {level} holds orders"
    assert found.remedy == f"pay the invoices that were dunned to level {level} or higher"


@pytest.mark.parametrize(
    ("until", "finding"),
    [(DAY - 1, "the limit ended on 2024-10-03"), (None, "the limit has ended")],
)
def test_a_limit_that_has_ended(until: int | None, finding: str) -> None:
    found = told(reasons.LIMIT_EXPIRED, state.Account(limit_valid_until=until))
    assert (found.finding, found.remedy) == (finding, "renew the customer's limit")


def test_the_cover_of_an_insurer_names_the_oldest_invoice_and_its_original_due_day() -> None:
    days = POLICY.versions[-1].base.max_extension_days
    entries = {
        state.insured_key(CUSTOMER, DAY - 90, "I-2"): True,
        state.insured_key(CUSTOMER, DAY - 80, "I-1"): True,
    }
    found = told(reasons.INSURANCE_COVER_STOPPED, state.Account(), **entries)
    assert found.finding == (
        f"invoice I-2 is unpaid since its original due day 2024-07-06, more than {days} days:"
        " the insurer covers nothing new"
    )
    assert found.remedy == "pay invoice I-2"
    nothing_known = told(reasons.INSURANCE_COVER_STOPPED, state.Account())
    assert nothing_known.finding == (
        f"an invoice is unpaid, more than {days} days: the insurer covers nothing new"
    )
    assert nothing_known.remedy == "pay an invoice"


def test_a_feed_that_is_late_says_how_far_it_came() -> None:
    minutes = POLICY.versions[-1].base.payments_feed_minutes
    promised = f"the payments feed is later than the {minutes} minutes that it promises"
    unknown = ", and what it has not told yet may be enough"
    assert told(reasons.STALE_DATA, state.Account()).finding == promised + unknown
    entries = {state.feed_key(PAYMENTS): DAY * 86_400_000_000}
    found = told(reasons.STALE_DATA, state.Account(), **entries)
    assert found.finding == (f"{promised}: it is complete up to 2024-10-04T00:00:00Z{unknown}")
    assert found.remedy == "wait for the payments feed"
