"""What intake accepts. Pure: the event alone decides, no state, no clock.

An event that came through the codec has fields of the right types; what is checked here is whether
they can be true. The first fault is told, in the order of the fields. An input on another input
topic than its own is accepted: the type says what it is, not the topic.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import TypeAlias

import msgspec

from agents.core.refusal import Refusal
from schemas import events, money
from schemas.dates import MICROSECONDS_PER_DAY, format_day, parse_day
from schemas.events import Event
from schemas.fields import Field, fields_of

ID_CHARACTERS_MAX = 200
AMOUNT_MAX = 10**15
"""Minor units. Ten thousand billion euro; sums of nine thousand such amounts still fit 64 bits."""
SNOOZE_DAYS_MAX = 30
"""What waits for the end of a snooze waits in a topic that is kept for 40 days."""
FIRST_DAY = parse_day("1970-01-01")
LAST_DAY = parse_day("2200-12-31")

KINDS_OF_CUSTOMER = frozenset({"b2b", "b2c"})
OUTCOMES = frozenset({"upheld", "partly", "rejected"})
CHANNELS = frozenset({"email", "sms", "letter", "phone", "agency", "legal"})
RESULTS = frozenset({"sent", "bounced", "failed", "late", "uncertain", "unsent"})
ANSWERS = frozenset({"approve", "skip", "recall"})

# Who or what: named, so it must be there and be printable. Free text (`reason`, `name`) need not.
_NAMES = frozenset({"by", "confirmed_by", "role", "feed", "provider", "account_manager"})
_CURRENCIES = frozenset({"currency", "base", "quote"})
# What may be nothing; every other amount is of something and so above zero.
_MAY_BE_ZERO = frozenset({"credit_limit", "insured_limit", "recommended_limit", "credited_amount"})
_COUNTS = frozenset({"payment_terms_days", "revision"})

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_RATE = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18})?", re.ASCII)
_SHOWN_MAX = 60

_Fault: TypeAlias = tuple[str, str, str]
"""Reason, field, and what is wrong."""
_Check: TypeAlias = Callable[[msgspec.Struct], _Fault | None]


def check(event: Event) -> Refusal | None:
    """Why the event is refused; None: it is accepted."""
    kind = type(event)
    if kind not in _INPUTS:
        return Refusal("not_an_input", "type", f"{kind.__name__} is no event that comes in")
    for each in _checks_of(kind):
        fault = each(event)
        if fault is not None:
            reason, field, problem = fault
            return Refusal(reason, field, f"{_record_of(event)}: {field} {problem}")
    return None


def account_of(event: Event) -> str | None:
    """The credit account that the event concerns: its key in the journal. None: every account."""
    if isinstance(event, (*events.BROADCAST, events.BusinessDayContinued)):
        return None
    if isinstance(event, events.CreditGroupUpserted | events.GroupExposureChanged):
        return event.group_id
    if isinstance(event, events.CustomersMerged):
        return event.merged_customer_id  # whose account moves
    customer_id: str = event.customer_id  # type: ignore[attr-defined]  # every other event has one
    return customer_id


_INPUTS = frozenset(events.INCOMING) - frozenset(events.JOURNAL_ONLY)


@cache
def _checks_of(kind: type[msgspec.Struct]) -> tuple[_Check, ...]:
    """The checks of a type of event, cheapest form: made once from its fields."""
    checks = [each for field in fields_of(kind) for each in _checks_of_field(field)]
    return (*checks, *_ACROSS_FIELDS.get(kind, ()))


def _checks_of_field(field: Field) -> Iterator[_Check]:
    name = field.name
    if field.record is not None:
        yield _each_record(name, _checks_of(field.record))
    elif field.is_list:
        yield _each_id(name)
    elif field.kind == "minor":
        yield _amount(name, 0 if name in _MAY_BE_ZERO else 1)
    elif field.kind == "day":
        yield _day(name)
    elif field.kind == "instant":
        yield _instant(name)
    elif name in _CURRENCIES:
        yield _currency(name)
    elif name.endswith("_id") or name in _NAMES:
        yield _id(name)
    elif name in _COUNTS:
        yield _count(name)
    elif name in _WORDS:
        yield _word(name, *_WORDS[name])


# ── one field ───────────────────────────────────────────────────────────────────────────────────


def _id(name: str) -> _Check:
    def check_id(event: msgspec.Struct) -> _Fault | None:
        value = getattr(event, name)
        return None if value is None else _id_fault(name, value)

    return check_id


def _each_id(name: str) -> _Check:
    def check_ids(event: msgspec.Struct) -> _Fault | None:
        faults = (_id_fault(f"{name}[{at}]", id_) for at, id_ in enumerate(getattr(event, name)))
        return next(filter(None, faults), None)

    return check_ids


def _id_fault(name: str, value: str) -> _Fault | None:
    if len(value) > ID_CHARACTERS_MAX:
        problem = f"has {len(value)} characters, at most {ID_CHARACTERS_MAX} are allowed"
    elif not value or value.isspace():
        problem = "is blank"
    elif not value.isprintable() and _CONTROL.search(value):
        problem = "has control characters"
    else:
        return None
    return "malformed_id", name, problem


def _amount(name: str, least: int) -> _Check:
    def check_amount(event: msgspec.Struct) -> _Fault | None:
        value = getattr(event, name)
        if value is None or least <= value <= AMOUNT_MAX:
            return None
        if value > AMOUNT_MAX:
            return "amount_too_large", name, f"is above {AMOUNT_MAX} minor units"
        if least:
            return "amount_not_positive", name, f"is {value} minor units, not above zero"
        return "amount_negative", name, f"is {value} minor units, below zero"

    return check_amount


def _day(name: str) -> _Check:
    def check_day(event: msgspec.Struct) -> _Fault | None:
        value = getattr(event, name)
        return None if value is None or FIRST_DAY <= value <= LAST_DAY else _date_fault(name)

    return check_day


def _instant(name: str) -> _Check:
    first, end = FIRST_DAY * MICROSECONDS_PER_DAY, (LAST_DAY + 1) * MICROSECONDS_PER_DAY

    def check_instant(event: msgspec.Struct) -> _Fault | None:
        return None if first <= getattr(event, name) < end else _date_fault(name)

    return check_instant


def _date_fault(name: str) -> _Fault:
    return "date_out_of_range", name, f"is not in {format_day(FIRST_DAY)} to {format_day(LAST_DAY)}"


def _currency(name: str) -> _Check:
    def check_currency(event: msgspec.Struct) -> _Fault | None:
        value = getattr(event, name)
        if value is None or money.is_known(value):
            return None
        return "unknown_currency", name, f"{_shown(value)} is no ISO 4217 currency with minor units"

    return check_currency


def _count(name: str) -> _Check:
    def check_count(event: msgspec.Struct) -> _Fault | None:
        value = getattr(event, name)
        return None if value is None or value >= 0 else ("number_negative", name, f"is {value}")

    return check_count


def _word(name: str, reason: str, words: frozenset[str]) -> _Check:
    def check_word(event: msgspec.Struct) -> _Fault | None:
        value = getattr(event, name)
        if value is None or value in words:
            return None
        return reason, name, f"{_shown(value)} is none of {', '.join(sorted(words))}"

    return check_word


_WORDS = {
    "kind": ("unknown_kind", KINDS_OF_CUSTOMER),
    "outcome": ("unknown_outcome", OUTCOMES),
    "channel": ("unknown_channel", CHANNELS),
    "result": ("unknown_result", RESULTS),
    "decision": ("unknown_decision", ANSWERS),
}


def _each_record(name: str, checks: tuple[_Check, ...]) -> _Check:
    def check_records(event: msgspec.Struct) -> _Fault | None:
        for at, record in enumerate(getattr(event, name)):
            for each in checks:
                fault = each(record)
                if fault is not None:
                    return fault[0], f"{name}[{at}].{fault[1]}", fault[2]
        return None

    return check_records


# ── fields against each other ───────────────────────────────────────────────────────────────────


def _due_before_issued(event: msgspec.Struct) -> _Fault | None:
    if isinstance(event, events.InvoiceIssued) and event.due_on < event.issued_on:
        days = event.issued_on - event.due_on
        return "due_before_issued", "due_on", f"is {days} days before issued_on"
    return None


def _allocations_above_payment(event: msgspec.Struct) -> _Fault | None:
    if isinstance(event, events.PaymentReceived):
        allocated = sum(part.amount for part in event.allocations)
        if allocated > event.amount:
            problem = f"sum to {allocated} minor units, the payment is of {event.amount}"
            return "allocations_exceed_payment", "allocations", problem
    return None


def _orders_above_invoice(event: msgspec.Struct) -> _Fault | None:
    if isinstance(event, events.InvoiceIssued) and event.orders:
        if event.order_id is not None:
            return "orders_named_twice", "orders", "are named in order_id as well"
        named = sum(part.amount for part in event.orders)
        if named > event.amount:
            problem = f"sum to {named} minor units, the invoice is of {event.amount}"
            return "orders_exceed_invoice", "orders", problem
    return None


def _net_above_gross(event: msgspec.Struct) -> _Fault | None:
    if isinstance(event, events.InvoiceIssued | events.OrderPlaced):
        net = event.net_amount
        if net is not None and net > event.amount:
            problem = f"is {net} minor units, more than the {event.amount} with VAT"
            return "net_above_gross", "net_amount", problem
    return None


def _rate_not_positive(event: msgspec.Struct) -> _Fault | None:
    if isinstance(event, events.FxRatePublished):
        rate = event.rate
        if _RATE.fullmatch(rate) is None or not rate.strip("0."):
            return "malformed_rate", "rate", f"{_shown(rate)} is no decimal number above zero"
    return None


def _same_currency(event: msgspec.Struct) -> _Fault | None:
    if isinstance(event, events.FxRatePublished) and event.base == event.quote:
        return "same_currency", "quote", f"is {event.quote} like base"
    return None


def _same_customer(event: msgspec.Struct) -> _Fault | None:
    if isinstance(event, events.CustomersMerged) and event.customer_id == event.merged_customer_id:
        return "same_customer", "merged_customer_id", "is customer_id"
    return None


def _snooze_too_long(event: msgspec.Struct) -> _Fault | None:
    if isinstance(event, events.AlertSnoozed):
        longest = SNOOZE_DAYS_MAX * MICROSECONDS_PER_DAY
        if event.until - event.occurred_at > longest:
            return "snooze_too_long", "until", f"is more than {SNOOZE_DAYS_MAX} days ahead"
    return None


_ACROSS_FIELDS: dict[type[msgspec.Struct], tuple[_Check, ...]] = {
    events.OrderPlaced: (_net_above_gross,),
    events.InvoiceIssued: (_due_before_issued, _orders_above_invoice, _net_above_gross),
    events.PaymentReceived: (_allocations_above_payment,),
    events.FxRatePublished: (_rate_not_positive, _same_currency),
    events.CustomersMerged: (_same_customer,),
    events.AlertSnoozed: (_snooze_too_long,),
}


# ── words for people ────────────────────────────────────────────────────────────────────────────

_RECORD_IDS = (
    "order_id",
    "payment_id",
    "credit_note_id",
    "dispute_id",
    "promise_id",
    "plan_id",
    "step_id",
    "invoice_id",
    "group_id",
    "customer_id",
    "feed",
    "event_id",
)


def _record_of(event: Event) -> str:
    """What the event is about, by its id: `OrderPlaced order_id "O-9"`."""
    own = _own_id(type(event))
    return f"{type(event).__name__} {own} {_shown(getattr(event, own))}"


@cache
def _own_id(kind: type[Event]) -> str:
    """The field with the id of the record itself: one that it always has."""
    always = {field.name for field in fields_of(kind) if not field.has_default}
    return next(name for name in _RECORD_IDS if name in always)


def _shown(text: str) -> str:
    """Quoted, escaped and cut: it may be what is wrong with the event."""
    shown = text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "…"
    if not shown.isprintable():
        shown = shown.encode("unicode_escape").decode()
    return f'"{shown}"'
