"""What stands against an order is told in words that somebody can act on."""

from __future__ import annotations

import string

import pytest
from credit.journals import CUSTOMER, DAY, Journal, two_orders
from credit.policy_worlds import policy

from agents.core.ledger import MemoryLedger
from agents.core.policy import PolicyBook
from agents.credit import reasons, state
from agents.credit.explanation import Witness
from agents.credit.feeds import PAYMENTS
from agents.credit.obstacles import Obstacle, look_at, obstacles
from agents.credit.phrases import PHRASES, Amount, Date, Moment, in_english, say
from agents.journal.entries import Entry
from schemas import events as ev
from schemas.dates import MICROSECONDS_PER_DAY

POLICY = policy(
    ("dunning.block_from_level", "3"),
    ("insurance.max_extension_days", "60"),
    ("feeds.payments_minutes", "30"),
    ("fx.max_age_days", "2"),
)
NOON = DAY * MICROSECONDS_PER_DAY
ORDER = state.Order(
    currency="EUR", placed_amount=100_00, total=100_00, placed_at=DAY * MICROSECONDS_PER_DAY
)


def held(history: Journal, order_id: str = "O-1", policies: PolicyBook = POLICY) -> list[Obstacle]:
    """What holds an order at the end of a history."""
    witness = Witness(order_id, policies, follow=True)
    witness.replay(
        Entry(0, offset, 0, getattr(event, "customer_id", ""), event)
        for offset, event in enumerate(history)
    )
    (found,) = witness.explanations()
    return found.held_now


def words(history: Journal, order_id: str = "O-1") -> list[tuple[str, str, str]]:
    return [
        (one.reason, in_english(one.finding), in_english(one.remedy))
        for one in held(history, order_id)
    ]


def told(reason: str, account: state.Account, **entries: object) -> Obstacle:
    ledger = MemoryLedger()
    account.currency = "EUR"
    ledger.put(state.account_key(CUSTOMER), account)
    for key, value in entries.items():
        ledger.put(key, value)
    (found,) = obstacles(look_at(ledger, POLICY, CUSTOMER, DAY), "O-1", ORDER, [reason])
    assert (found.reason, found.missing, found.currency) == (reason, None, None)
    return found


def said(found: Obstacle) -> tuple[str, str]:
    return in_english(found.finding), in_english(found.remedy)


# ── from what happened ──────────────────────────────────────────────────────────────────────────


def test_a_customer_whose_record_has_not_come() -> None:
    history = Journal()
    history.order("O-1", 100_00)
    assert words(history)[0] == (
        "customer_unknown",
        "the customer's master record has not come",
        "send the customer's master record",
    )


def test_a_customer_who_is_blocked_or_closed() -> None:
    history = Journal()
    history.customer(1_000_00)
    history.say(ev.CustomerBlocked, reason="insolvent", by="ann")
    history.order("O-1", 100_00)
    assert words(history) == [
        ("customer_blocked", "the customer is blocked", "unblock the customer")
    ]
    history.customer(1_000_00, closed=True)
    assert words(history)[0] == (
        "customer_blocked",
        "the customer is closed",
        "reopen the customer",
    )


def test_a_limit_that_is_missing_says_how_large_it_has_to_be() -> None:
    history = Journal()
    history.customer(None)
    history.invoice("I-1", 50_00)
    history.order("O-1", 100_00)
    assert words(history) == [
        (
            "limit_missing",
            "the customer has no limit, and the policy has none for the segment",
            "give the customer a limit of at least 150.00 EUR",
        )
    ]


def test_a_group_without_a_limit_says_how_large_it_has_to_be() -> None:
    history = Journal()
    history.say(ev.CreditGroupUpserted, group_id="G", currency="EUR", credit_limit=None)
    history.customer(1_000_00, group_id="G")
    history.customer(1_000_00, "C-2", group_id="G")
    history.say(
        ev.InvoiceIssued, "C-2", invoice_id="I-1", amount=50_00, currency="EUR", issued_on=DAY,
        due_on=DAY + 30,
    )  # fmt: skip
    history.order("O-1", 100_00)
    assert words(history) == [
        (
            "limit_missing",
            "the customer's credit group has no limit",
            "give the group a limit of at least 150.00 EUR",
        )
    ]


def test_who_pays_in_advance_is_told_how_much() -> None:
    history = Journal()
    history.customer(1_000_00, payment_terms_days=0)
    history.pay("P-1", 30_00)
    history.order("O-1", 100_00)
    (found,) = held(history)
    assert said(found) == (
        "the customer pays in advance, and with this order would owe 70.00 EUR",
        "pay 70.00 EUR in advance",
    )
    assert (found.reason, found.missing, found.currency) == ("prepayment_required", 70_00, "EUR")


@pytest.mark.parametrize(
    ("late", "named"),
    [
        (1, "10.00 EUR on I-0"),
        (5, "50.00 EUR on I-0, I-1, I-2, I-3, I-4"),
        (6, "60.00 EUR on I-0, I-1, I-2, I-3, I-4 and 1 more"),
        (7, "70.00 EUR on I-0, I-1, I-2, I-3, I-4 and 2 more"),
    ],
)
def test_what_is_late_is_named_the_oldest_first(late: int, named: str) -> None:
    history = Journal()
    history.customer(1_000_00)
    for number in range(late):
        history.invoice(f"I-{number}", 10_00, due_in=number - 50)
    history.invoice("I-recent", 3_00, due_in=-5)
    history.order("O-1", 100_00)
    ((reason, finding, remedy),) = words(history)
    assert reason == "overdue"
    assert finding == (
        "the oldest late invoice is 50 days late, more than 30; "
        f"all late invoices total {late * 10 + 3}.00 EUR"
    )
    assert remedy == f"pay what is more than 30 days late: {named}"


def test_what_is_not_late_enough_need_not_be_paid() -> None:
    history = Journal()
    history.customer(1_000_00)
    history.invoice("I-1", 10_00, due_in=-31)
    history.invoice("I-2", 20_00, due_in=-30)
    history.order("O-1", 100_00)
    ((_, _, remedy),) = words(history)
    assert remedy == "pay what is more than 30 days late: 10.00 EUR on I-1"


def test_where_held_orders_consume_what_older_ones_ask_for_is_used() -> None:
    history = two_orders(1_000_00, 700_00, 400_00, 50_00)
    (found,) = held(history, "O-2", policy(("credit.held_orders_consume", "true")))
    assert said(found) == (
        "the order asks for 50.00 EUR; of the limit of 1000.00 EUR 1100.00 EUR is used",
        "pay 150.00 EUR or raise the limit to 1150.00 EUR",
    )


@pytest.mark.parametrize(
    ("used", "remedy"),
    [
        (900_00, "wait for the older order"),
        (900_01, "pay 0.01 EUR or raise the limit to 1000.01 EUR"),
    ],
)
def test_only_headroom_that_is_short_has_to_be_paid_for(used: int, remedy: str) -> None:
    history = two_orders(1_000_00, used, 300_00, 100_00)
    (found,) = held(history, "O-2", policy(("credit.strict_fifo", "true")))
    assert said(found)[1] == remedy


def test_headroom_that_is_short_says_by_how_much() -> None:
    history = Journal()
    history.customer(1_000_00)
    history.invoice("I-1", 950_00)
    history.order("O-1", 100_00)
    (found,) = held(history)
    assert said(found) == (
        "the order asks for 100.00 EUR; of the limit of 1000.00 EUR 950.00 EUR is used",
        "pay 50.00 EUR or raise the limit to 1050.00 EUR",
    )
    assert (found.missing, found.currency) == (50_00, "EUR")


def test_a_younger_order_waits_for_the_older_one() -> None:
    history = two_orders(1_000_00, 950_00, 100_00, 20_00)
    (obstacle,) = held(history, "O-2", policy(("credit.strict_fifo", "true")))
    finding, remedy = said(obstacle)
    assert finding == (
        "the order asks for 20.00 EUR; of the limit of 1000.00 EUR 950.00 EUR is used, "
        "and an older order comes first"
    )
    assert remedy == "wait for the older order"
    assert (obstacle.missing, obstacle.currency) == (None, None)


def test_a_group_that_is_short_says_so_in_its_own_currency() -> None:
    history = Journal()
    history.say(ev.FxRatePublished, base="EUR", quote="USD", rate="2", valid_on=DAY, source="ecb")
    history.say(ev.CreditGroupUpserted, group_id="G", currency="USD", credit_limit=300_00)
    history.customer(5_000_00, group_id="G")
    history.order("O-1", 200_00)
    assert words(history) == [
        (
            "group_limit_exceeded",
            "the order asks for 400.00 USD; of the group's limit of 300.00 USD 0.00 USD is used",
            "pay 100.00 USD or raise the group's limit to 400.00 USD",
        )
    ]


def test_rates_that_are_missing_are_named_in_their_order() -> None:
    history = Journal()
    history.customer(1_000_00)
    history.invoice("I-1", 10_00, currency="USD")
    history.order("O-1", 100_00, currency="GBP")
    assert words(history) == [
        (
            "fx_rate_missing",
            "there is no rate of the last 2 days for GBP/EUR, USD/EUR",
            "publish a rate of the last 2 days for GBP/EUR, USD/EUR",
        )
    ]


def test_a_rate_to_the_groups_currency_that_is_missing_is_named() -> None:
    history = Journal()
    history.say(ev.CreditGroupUpserted, group_id="G", currency="USD", credit_limit=300_00)
    history.customer(5_000_00, group_id="G")
    history.order("O-1", 200_00)
    assert words(history) == [
        (
            "fx_rate_missing",
            "there is no rate of the last 2 days for the group's currency USD",
            "publish a rate of the last 2 days for the group's currency USD",
        )
    ]


@pytest.mark.parametrize(
    ("until", "remedy"),
    [
        (None, "have a person release it"),
        (DAY + 3, "have a person release it, or wait until 2024-10-07 is over"),
    ],
)
def test_who_held_an_order_is_named_with_the_reason(until: int | None, remedy: str) -> None:
    history = Journal()
    history.customer(1_000_00)
    history.order("O-1", 100_00)
    history.say(
        ev.OrderHeld, order_id="O-1", by="ann", role="controller", reason="odd", valid_until=until
    )
    assert words(history) == [("manual_hold", "ann held it: odd", remedy)]


# ── from what is known of the account ───────────────────────────────────────────────────────────


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
    assert said(told(reasons.DUNNING_BLOCK, account)) == (finding, "pay what was dunned")


def test_without_anything_late_or_dunned_there_is_nothing_to_name() -> None:
    """Nobody holds an order for it then; but looking fails for nobody."""
    assert said(told(reasons.OVERDUE, state.Account())) == (
        "the oldest late invoice is 0 days late, more than 30; all late invoices total 0.00 EUR",
        "pay what is more than 30 days late: 0.00 EUR on ",
    )
    finding, _ = said(told(reasons.DUNNING_BLOCK, state.Account()))
    assert finding == "an open invoice was dunned to level 0; level 3 holds orders"


def test_a_level_that_another_system_told_holds() -> None:
    assert said(told(reasons.DUNNING_BLOCK, state.Account(dunned={1: 4, 4: 1}))) == (
        "an open invoice was dunned to level 4; level 3 holds orders",
        "pay the invoices that were dunned to level 3 or higher",
    )


@pytest.mark.parametrize(
    ("until", "finding"),
    [(DAY - 1, "the limit ended on 2024-10-03"), (None, "the limit has ended")],
)
def test_a_limit_that_has_ended(until: int | None, finding: str) -> None:
    found = told(reasons.LIMIT_EXPIRED, state.Account(limit_valid_until=until))
    assert said(found) == (finding, "renew the customer's limit")


def test_the_cover_of_an_insurer_names_the_oldest_invoice_and_its_original_due_day() -> None:
    entries = {
        state.insured_key(CUSTOMER, DAY - 90, "I-2"): True,
        state.insured_key(CUSTOMER, DAY - 80, "I-1"): True,
    }
    finding, remedy = said(told(reasons.INSURANCE_COVER_STOPPED, state.Account(), **entries))
    assert finding == (
        "invoice I-2 is unpaid since its original due day 2024-07-06, more than 60 days:"
        " the insurer covers nothing new"
    )
    assert remedy == "pay invoice I-2"
    assert said(told(reasons.INSURANCE_COVER_STOPPED, state.Account())) == (
        "an invoice is unpaid, more than 60 days: the insurer covers nothing new",
        "pay what is unpaid for so long",
    )


def test_a_feed_that_is_late_says_how_far_it_came() -> None:
    promised = "the payments feed is later than the 30 minutes that it promises"
    unknown = ", and what it has not told yet may be enough"
    wait = "wait for the payments feed"
    assert said(told(reasons.STALE_DATA, state.Account())) == (promised + unknown, wait)
    found = told(reasons.STALE_DATA, state.Account(), **{state.feed_key(PAYMENTS): NOON})
    assert said(found) == (
        f"{promised}: it is complete up to 2024-10-04T00:00:00Z{unknown}",
        wait,
    )


# ── phrases ─────────────────────────────────────────────────────────────────────────────────────


def test_figures_are_said_in_their_units() -> None:
    assert in_english(say("give_limit", limit=Amount(1_212_40, "EUR"))).endswith(" 1212.40 EUR")
    assert in_english(say("give_limit", limit=Amount(1_212, "JPY"))).endswith(" 1212 JPY")
    assert in_english(say("limit_ended_on", day=Date(DAY))) == "the limit ended on 2024-10-04"
    late = in_english(say("payments_late_since", minutes=5, until=Moment(NOON)))
    assert "5 minutes that it promises: it is complete up to 2024-10-04T00:00:00Z," in late


def test_what_people_wrote_is_no_phrase() -> None:
    assert in_english(say("held_by", who="{why}", why="{0} {who}")) == "{why} held it: {0} {who}"


def test_a_phrase_is_part_of_a_sentence() -> None:
    for name, phrase in PHRASES.items():
        assert not phrase.endswith("."), name
        assert "" not in {field for _, field, _, _ in string.Formatter().parse(phrase)}, name
