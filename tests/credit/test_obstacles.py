"""What stands against a held order, in a sentence, and what somebody has to do about it."""

from __future__ import annotations

from credit.journals import DAY, Journal
from credit.policy_worlds import Setting, policy

from agents.credit.explanation import Witness
from agents.credit.obstacles import Obstacle
from agents.journal.entries import Entry
from schemas import events as ev
from schemas.dates import MICROSECONDS_PER_DAY, format_day


def obstacles(journal: Journal, *settings: Setting) -> list[Obstacle]:
    """What holds the order O-1 after all that happened."""
    witness = Witness("O-1", policy(*settings), follow=True)
    witness.replay(Entry(0, at, 0, "", event) for at, event in enumerate(journal))
    (found,) = witness.explanations()
    return found.held_now


def sentences(journal: Journal, *settings: Setting) -> list[str]:
    return [f"{one.finding} -> {one.remedy}" for one in obstacles(journal, *settings)]


def _customer(limit: int | None = 10_000, **fields: object) -> Journal:
    journal = Journal()
    journal.customer(limit, **fields)  # type: ignore[arg-type]
    return journal


def test_a_customer_nobody_knows() -> None:
    journal = Journal()
    journal.order("O-1", 100)
    assert sentences(journal) == [
        "the customer's master record has not come -> send the customer's master record"
    ]


def test_a_customer_who_is_blocked_or_closed() -> None:
    journal = _customer(blocked=True)
    journal.order("O-1", 100)
    assert sentences(journal) == ["the customer is blocked -> unblock the customer"]
    journal = _customer(closed=True)
    journal.order("O-1", 100)
    assert sentences(journal) == ["the customer is closed -> reopen the customer"]


def test_a_limit_that_is_missing_is_said_with_what_is_needed() -> None:
    journal = _customer(None)
    journal.invoice("I-1", 250)
    journal.order("O-1", 100)
    (told,) = sentences(journal)
    assert told == (
        "the customer has no limit, and the policy has none for the segment -> "
        "give the customer a limit of at least 3.50 EUR"
    )


def test_a_group_without_a_limit_is_said_with_what_all_its_members_need() -> None:
    journal = _customer(group_id="G")
    journal.customer(10_000, "C-2", group_id="G")
    journal.say(ev.CreditGroupUpserted, group_id="G", currency="EUR", credit_limit=None)
    journal.invoice("I-1", 250)
    journal.order("O-1", 100)
    (told,) = sentences(journal)
    assert told == (
        "the customer's credit group has no limit -> give the group a limit of at least 3.50 EUR"
    )


def test_a_limit_that_has_ended() -> None:
    journal = _customer(limit_valid_until=DAY)
    journal.wait()
    journal.order("O-1", 100)
    assert sentences(journal) == ["the limit ended on 2024-10-04 -> renew the customer's limit"]


def test_what_has_to_be_paid_in_advance() -> None:
    journal = _customer(payment_terms_days=0)
    journal.pay("P-1", 30)
    journal.order("O-1", 100)
    (told,) = obstacles(journal)
    assert told.finding == "the customer pays in advance, and with this order would owe 0.70 EUR"
    assert told.remedy == "pay 0.70 EUR in advance"
    assert (told.missing, told.currency) == (70, "EUR")


def test_late_invoices_are_named_up_to_five() -> None:
    journal = _customer()
    journal.invoice("I-9", 1_000, due_in=-30)
    for number in range(5):
        journal.invoice(f"I-{number}", 100 + number, due_in=-40 + number)
    journal.order("O-1", 100)
    late = "the oldest late invoice is 40 days late, more than 30; all late invoices total"
    pay = "pay what is more than 30 days late"
    assert sentences(journal) == [f"{late} 15.10 EUR -> {pay}: 5.10 EUR on I-0, I-1, I-2, I-3, I-4"]
    journal.wait()
    assert sentences(journal) == [
        f"{late} 15.10 EUR -> {pay}: 15.10 EUR on I-0, I-1, I-2, I-3, I-4 and 1 more".replace(
            "40 days", "41 days"
        )
    ]


def test_a_dunning_level_that_blocks() -> None:
    journal = _customer()
    journal.invoice("I-1", 100)
    journal.append(
        ev.DunningStep(
            event_id="dunned",
            occurred_at=DAY * MICROSECONDS_PER_DAY,
            step_id="S-1",
            customer_id="C-1",
            level=3,
            procedure="standard",
            channel="email",
            template="notice",
            language="en",
            invoices=[
                ev.DunnedInvoice(invoice_id="I-1", open_amount=100, due_on=DAY, days_overdue=0)
            ],
            principal=100,
            interest=0,
            costs=0,
            currency="EUR",
            legal_basis="none",
            pay_by=DAY,
        )
    )
    journal.order("O-1", 100)
    (told,) = sentences(journal, ("dunning.block_from_level", "2"))
    assert told == (
        "an open invoice was dunned to level 3; level 2 holds orders -> "
        "pay the invoices that were dunned to level 2 or higher"
    )


def test_held_orders_that_use_up_the_limit_are_part_of_what_is_used() -> None:
    journal = _customer(1_000)
    journal.invoice("I-1", 100)
    journal.order("O-2", 1_000)
    journal.order("O-1", 200)
    (told,) = obstacles(journal, ("credit.held_orders_consume", "true"))
    assert (
        told.finding == "the order asks for 2.00 EUR; of the limit of 10.00 EUR 11.00 EUR is used"
    )
    assert told.remedy == "pay 3.00 EUR or raise the limit to 13.00 EUR"
    assert (told.missing, told.currency) == (300, "EUR")


def test_what_is_short_is_rounded_up_to_what_has_to_be_paid() -> None:
    journal = _customer(1_000)
    journal.say(ev.FxRatePublished, base="USD", quote="EUR", rate="0.333", valid_on=DAY)
    journal.invoice("I-1", 500)
    journal.order("O-1", 2_000, currency="USD")
    (told,) = obstacles(journal)
    assert told.finding == "the order asks for 6.66 EUR; of the limit of 10.00 EUR 5.00 EUR is used"
    journal.order("O-2", 1)
    journal.say(ev.OrderChanged, order_id="O-1", amount=2_001)
    (told,) = obstacles(journal)
    assert told.remedy == "pay 1.68 EUR or raise the limit to 11.68 EUR"
    assert told.missing == 168


def test_the_room_that_an_older_order_waits_for() -> None:
    journal = _customer(1_000)
    journal.order("O-2", 1_100)
    journal.order("O-1", 1_000)
    (told,) = obstacles(journal, ("credit.strict_fifo", "true"))
    assert told.finding == (
        "the order asks for 10.00 EUR; of the limit of 10.00 EUR 0.00 EUR is used, and an older "
        "order comes first"
    )
    assert told.remedy == "wait for the older order"
    assert told.missing is None


def test_the_invoice_for_which_the_insurer_stopped_the_cover() -> None:
    journal = _customer(insured_limit=10_000)
    journal.invoice("I-2", 100, due_in=-10)
    journal.invoice("I-1", 100, due_in=-11)
    journal.order("O-1", 100)
    (told,) = sentences(journal, ("insurance.max_extension_days", "10"))
    assert told == (
        "invoice I-1 is unpaid since its original due day 2024-09-23, more than 10 days: the "
        "insurer covers nothing new -> pay invoice I-1"
    )


def test_the_rates_that_are_missing() -> None:
    journal = _customer()
    journal.invoice("I-1", 100, currency="USD")
    journal.order("O-1", 100, currency="JPY")
    (told,) = sentences(journal, ("fx.max_age_days", "2"))
    of_late = "of the last 2 days for JPY/EUR, USD/EUR"
    assert told == f"there is no rate {of_late} -> publish a rate {of_late}"


def test_the_rate_that_a_group_misses() -> None:
    journal = _customer(group_id="G")
    journal.say(ev.CreditGroupUpserted, group_id="G", currency="USD", credit_limit=1_000)
    journal.order("O-1", 100)
    (told,) = sentences(journal)
    of_late = "of the last 7 days for the group's currency USD"
    assert told == f"there is no rate {of_late} -> publish a rate {of_late}"


def test_a_payments_feed_that_is_late() -> None:
    journal = _customer(1_000)
    journal.say(ev.FeedAdvanced, feed="payments", complete_until=DAY * MICROSECONDS_PER_DAY)
    journal.invoice("I-1", 1_000)
    journal.wait()
    journal.order("O-1", 100)
    short, stale = sentences(journal, ("feeds.payments_minutes", "30"))
    assert short.startswith("the order asks for 1.00 EUR; of the limit of 10.00 EUR")
    assert stale == (
        "the payments feed is later than the 30 minutes that it promises: it is complete up to "
        "2024-10-04T00:00:00Z, and what it has not told yet may be enough -> "
        "wait for the payments feed"
    )


def test_a_person_who_holds_the_order() -> None:
    journal = _customer()
    journal.order("O-1", 100)
    journal.say(ev.OrderHeld, order_id="O-1", by="ann", reason="wrong price")
    assert sentences(journal) == ["ann held it: wrong price -> have a person release it"]


def test_a_person_who_holds_the_order_for_some_days() -> None:
    journal = _customer()
    journal.order("O-1", 100)
    journal.say(ev.OrderHeld, order_id="O-1", by="ann", reason="wrong price", valid_until=DAY + 2)
    (told,) = obstacles(journal)
    until = format_day(DAY + 2)
    assert told.remedy == f"have a person release it, or wait until {until} is over"


def test_a_single_yen_that_is_missing() -> None:
    journal = _customer(1_000, currency="JPY")
    journal.order("O-1", 1_001, currency="JPY")
    (told,) = obstacles(journal)
    assert told.finding == "the order asks for 1001 JPY; of the limit of 1000 JPY 0 JPY is used"
    assert told.remedy == "pay 1 JPY or raise the limit to 1001 JPY"
    assert (told.missing, told.currency) == (1, "JPY")
