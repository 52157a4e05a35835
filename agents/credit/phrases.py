"""Sentences that the rules have for people: a phrase by its name, and the figures in it, so that
each can be said in any language. Pure.

In English the phrases stand here; the console has them in its other languages.
"""

from __future__ import annotations

import msgspec

from schemas.dates import format_day, format_instant
from schemas.events import Day, Instant, Minor
from schemas.money import format_amount

PHRASES = {
    # What was found.
    "customer_unknown": "the customer's master record has not come",
    "customer_closed": "the customer is closed",
    "customer_blocked": "the customer is blocked",
    "group_limit_missing": "the customer's credit group has no limit",
    "limit_missing": "the customer has no limit, and the policy has none for the segment",
    "limit_ended": "the limit has ended",
    "limit_ended_on": "the limit ended on {day}",
    "prepays": "the customer pays in advance, and with this order would owe {owed}",
    "overdue": "the oldest late invoice is {days} days late, more than {allowed}; "
    "all late invoices total {total}",
    "one_dunned": "1 open invoice has reached a dunning level that holds orders",
    "many_dunned": "{invoices} open invoices have reached a dunning level that holds orders",
    "dunned_to_level": "an open invoice was dunned to level {reached}; level {level} holds orders",
    "limit_used": "the order asks for {asked}; of the limit of {limit} {used} is used",
    "limit_used_older_first": "the order asks for {asked}; of the limit of {limit} {used} is used, "
    "and an older order comes first",
    "group_limit_used": "the order asks for {asked}; of the group's limit of {limit} {used} is "
    "used",
    "group_limit_used_older_first": "the order asks for {asked}; of the group's limit of {limit} "
    "{used} is used, and an older order comes first",
    "cover_stopped": "invoice {invoice} is unpaid since its original due day {day}, more than "
    "{allowed} days: the insurer covers nothing new",
    "cover_was_stopped": "an invoice is unpaid, more than {allowed} days: the insurer covers "
    "nothing new",
    "no_rate": "there is no rate of the last {days} days for {pairs}",
    "no_rate_of_group": "there is no rate of the last {days} days for the group's currency "
    "{currency}",
    "payments_late": "the payments feed is later than the {minutes} minutes that it promises, and "
    "what it has not told yet may be enough",
    "payments_late_since": "the payments feed is later than the {minutes} minutes that it "
    "promises: it is complete up to {until}, and what it has not told yet may be enough",
    "held_by": "{who} held it: {why}",
    # What would lift it.
    "send_record": "send the customer's master record",
    "reopen": "reopen the customer",
    "unblock": "unblock the customer",
    "give_group_limit": "give the group a limit of at least {limit}",
    "give_limit": "give the customer a limit of at least {limit}",
    "renew_limit": "renew the customer's limit",
    "pay_in_advance": "pay {owed} in advance",
    "pay_late": "pay what is more than {allowed} days late: {total} on {invoices}",
    "pay_late_and_more": "pay what is more than {allowed} days late: {total} on {invoices} and "
    "{more} more",
    "pay_dunned": "pay what was dunned",
    "pay_dunned_to_level": "pay the invoices that were dunned to level {level} or higher",
    "pay_or_raise_limit": "pay {missing} or raise the limit to {limit}",
    "pay_or_raise_group_limit": "pay {missing} or raise the group's limit to {limit}",
    "wait_for_older": "wait for the older order",
    "pay_invoice": "pay invoice {invoice}",
    "pay_uncovered": "pay what is unpaid for so long",
    "publish_rate": "publish a rate of the last {days} days for {pairs}",
    "publish_rate_of_group": "publish a rate of the last {days} days for the group's currency "
    "{currency}",
    "wait_for_payments": "wait for the payments feed",
    "release": "have a person release it",
    "release_or_wait": "have a person release it, or wait until {day} is over",
}
"""By name, what stands for each figure in braces."""


class Amount(msgspec.Struct, frozen=True):
    """Minor units of a currency."""

    minor: Minor
    currency: str


class Date(msgspec.Struct, frozen=True):
    """A day."""

    day: Day


class Moment(msgspec.Struct, frozen=True):
    """An instant."""

    at: Instant


Figure = Amount | Date | Moment | int | str


class Sentence(msgspec.Struct, frozen=True):
    """Something to be said, without its full stop.

    Attributes:
        phrase: of `PHRASES`.
        figures: by the names that it has in the phrase.
    """

    phrase: str
    figures: dict[str, Figure]


def say(phrase: str, **figures: Figure) -> Sentence:
    """A phrase with its figures."""
    return Sentence(phrase, figures)


def in_english(sentence: Sentence) -> str:
    """For terminals and programs: `1212.40 EUR`, `2024-10-03`."""
    figures = {name: _plain(figure) for name, figure in sentence.figures.items()}
    return PHRASES[sentence.phrase].format_map(figures)


def _plain(figure: Figure) -> str:
    match figure:
        case Amount():
            return f"{format_amount(figure.minor, figure.currency)} {figure.currency}"
        case Date():
            return format_day(figure.day)
        case Moment():
            return format_instant(figure.at)
        case _:
            return str(figure)
