"""Events as JSON lines: the contract's names, exact money, and faults that name their place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from contracts.event_strategies import writable_event
from hypothesis import given
from hypothesis import strategies as st

from schemas import events
from schemas.currencies import Currencies
from schemas.events import BY_NAME, Event, OrderChanged, OrderPlaced
from schemas.fields import field_names, holds_money
from schemas.json_lines import (
    BadLine,
    follow,
    parse_line,
    parse_payload,
    read,
    to_line,
    to_payload,
)

_ORDER = {
    "type": "OrderPlaced",
    "event_id": "e-17",
    "occurred_at": "2026-03-02T09:30:00Z",
    "customer_id": "C-1",
    "order_id": "O-9",
    "amount": "1250.00",
    "currency": "EUR",
}
_CHANGE = {
    "type": "OrderChanged",
    "event_id": "e-18",
    "occurred_at": "2026-03-02T09:31:00Z",
    "customer_id": "C-1",
    "order_id": "O-9",
    "amount": "900",
}
_CUSTOMER = {
    "type": "CustomerUpserted",
    "event_id": "e-1",
    "occurred_at": "2026-03-01T00:00:00Z",
    "customer_id": "C-1",
    "currency": "JPY",
    "credit_limit": None,
}


def _line(**fields: Any) -> str:
    return json.dumps({key: value for key, value in fields.items() if value is not ...})


def _amounts(lines: list[str], *, whole_file: bool = True) -> list[Any]:
    found = read(lines) if whole_file else follow(lines)
    return [getattr(event, "amount", event) for event in found]


def test_the_contracts_example_is_read() -> None:
    assert parse_line(_line(**_ORDER), Currencies()) == OrderPlaced(
        event_id="e-17",
        occurred_at=1_772_443_800_000_000,
        customer_id="C-1",
        order_id="O-9",
        amount=125_000,
        currency="EUR",
    )


@given(writable_event())
def test_line_that_is_written_reads_back(event: Event) -> None:
    """Events with a currency of their own need nothing else; the others name it in the line."""
    own = "currency" in field_names(type(event))
    currency = None if own or not holds_money(type(event)) else "KWD"
    line = to_line(event, currency)
    assert "\n" not in line
    assert parse_line(line, Currencies()) == event
    assert json.loads(line) == to_payload(event, currency)
    assert next(iter(json.loads(line))) == "type"


@given(writable_event(), st.sampled_from(["EUR", "JPY", "KWD", None]))
def test_any_event_can_be_printed_in_the_currency_that_the_caller_knows(
    event: Event, currency: str | None
) -> None:
    payload = to_payload(event, currency)
    assert payload["type"] == type(event).__name__
    if currency is None and "currency" not in field_names(type(event)):
        assert "currency" not in payload


@given(st.text(max_size=200))
def test_no_text_makes_the_reader_raise(text: str) -> None:
    assert all(isinstance(each, (Event, BadLine)) for each in read(text.split("\n")))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(writable_event(), st.data())
def test_no_wrong_value_makes_the_reader_raise(event: Event, data: st.DataObject) -> None:
    """One field of a good event becomes anything: the answer is an event or says which field."""
    payload = to_payload(event)
    field = data.draw(st.sampled_from(sorted(payload)))
    payload[field] = data.draw(_JSON)
    found = parse_line(json.dumps(payload), Currencies())
    if isinstance(found, BadLine):
        assert found.field is not None or "not JSON" in found.problem
        assert found.line == 1


# ── what is wrong, and where ──

_FAULTS: list[tuple[dict[str, Any], str | None, str]] = [
    (_ORDER | {"amount": 1250.5}, "amount", "fraction of JSON"),
    (_ORDER | {"amount": 1e3}, "amount", "fraction of JSON"),
    (_ORDER | {"amount": "1250.005"}, "amount", "more digits"),
    (_ORDER | {"amount": "12,50"}, "amount", "not a decimal number"),
    (_ORDER | {"amount": True}, "amount", "decimal string or a whole number"),
    (_ORDER | {"amount": None}, "amount", "not an amount"),
    (_ORDER | {"amount": ["1"]}, "amount", "not an amount"),
    (_ORDER | {"amount": 10**30}, "amount", "64 bits"),
    (_ORDER | {"currency": "XAU"}, "currency", "unknown currency"),
    (_ORDER | {"currency": "eur"}, "currency", "unknown currency"),
    (_ORDER | {"currency": 978}, "currency", "not a string"),
    (_ORDER | {"currency": ...}, "currency", "missing"),
    (_ORDER | {"order_id": ...}, "order_id", "missing"),
    (_ORDER | {"order_id": 9}, "order_id", "not a string"),
    (_ORDER | {"order_id": None}, "order_id", "not a string"),
    (_ORDER | {"order_id": "\ud800"}, "order_id", "surrogate"),
    (_ORDER | {"deliver_on": "2026-02-30"}, "deliver_on", "no day of the calendar"),
    (_ORDER | {"deliver_on": 20514}, "deliver_on", "not a string"),
    (_ORDER | {"occurred_at": "2026-03-02T09:30:00"}, "occurred_at", "RFC 3339"),
    (_ORDER | {"colour": "red"}, "colour", "unknown field"),
    (_ORDER | {"type": "OrderShipped"}, "type", "unknown type"),
    (_ORDER | {"type": ...}, "type", "no type"),
    (_ORDER | {"type": ["OrderPlaced"]}, "type", "unknown type"),
    (_CHANGE | {"currency": "QQQ"}, "currency", "unknown currency"),
    (
        {**_CHANGE, "type": "CustomerBlocked", "order_id": ..., "amount": ...}
        | {"reason": "", "by": "", "currency": "EUR"},
        "currency",
        "unknown field",
    ),
    (_CUSTOMER | {"credit_limit": ...}, "credit_limit", "missing"),
    (_CUSTOMER | {"payment_terms_days": 2**31}, "payment_terms_days", "32 bits"),
    (_CUSTOMER | {"payment_terms_days": True}, "payment_terms_days", "whole number"),
    (_CUSTOMER | {"blocked": "yes"}, "blocked", "neither true nor false"),
]
_PAYMENT = {
    "type": "PaymentReceived",
    "event_id": "e-3",
    "occurred_at": "2026-03-02T09:30:00Z",
    "customer_id": "C-1",
    "payment_id": "P-1",
    "amount": "10.000",
    "currency": "KWD",
    "value_on": "2026-03-02",
}
_FAULTS += [
    (_PAYMENT | {"allocations": value}, field, problem)
    for value, field, problem in (
        (None, "allocations", "not a list"),
        ({}, "allocations", "not a list"),
        (["I-1"], "allocations[0]", "not an object"),
        ([{"invoice_id": "I-1"}], "allocations[0].amount", "missing"),
        ([{"invoice_id": "I-1", "amount": "1.0005"}], "allocations[0].amount", "more digits"),
        ([{"invoice_id": "I-1", "amount": "1", "x": 1}], "allocations[0].x", "unknown field"),
    )
]


@pytest.mark.parametrize(("payload", "field", "problem"), _FAULTS)
def test_fault_names_line_type_and_field_and_the_other_lines_go_on(
    payload: dict[str, Any], field: str | None, problem: str
) -> None:
    first, bad, last = read([_line(**_ORDER), _line(**payload), _line(**_ORDER)])
    assert isinstance(first, OrderPlaced)
    assert isinstance(last, OrderPlaced)
    assert isinstance(bad, BadLine)
    assert bad.line == 2
    assert bad.field == field
    assert problem in bad.problem
    name = payload["type"]
    assert bad.type == (name if isinstance(name, str) and name in BY_NAME else None)
    assert str(bad).startswith("line 2: ")


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "[]",
        '"OrderPlaced"',
        "{",
        "{} {}",
        '{"type": "OrderPlaced", "type": "OrderHeld"}',
        '{"type": NaN}',
        "[" * 100_000,
        '{"amount": ' + "9" * 5_000 + "}",
    ],
)
def test_line_that_is_no_object_is_told(text: str) -> None:
    (bad,) = read([text])
    assert isinstance(bad, BadLine)
    assert bad.field is None
    assert len(str(bad)) < 200


def test_blank_lines_and_a_byte_order_mark_are_passed_over_and_counted() -> None:
    found = list(read(["\ufeff" + _line(**_ORDER), "", "  \r", "x"]))
    assert isinstance(found[0], OrderPlaced)
    assert isinstance(found[1], BadLine)
    assert found[1].line == 4


# ── amounts without a currency of their own ──


def test_amount_of_a_change_is_in_the_currency_of_its_order() -> None:
    order = _ORDER | {"amount": "1250", "currency": "JPY"}
    assert _amounts([_line(**order), _line(**_CHANGE)]) == [1250, 900]


def test_whole_file_is_looked_through_first() -> None:
    """A change that comes before its order is read in the order's currency all the same."""
    order = _ORDER | {"amount": "1250", "currency": "JPY"}
    lines = [_line(**_CHANGE), _line(**order)]
    assert _amounts(lines) == [900, 1250]
    assert _amounts(lines, whole_file=False) == [90_000, 1250]


def test_without_its_document_the_customers_currency_counts_and_else_two_digits() -> None:
    customer = _line(**_CUSTOMER)
    change = _line(**_CHANGE)
    assert _amounts([customer, change])[1] == 900
    assert _amounts([change]) == [90_000]


def test_document_of_another_customer_says_nothing() -> None:
    order = _ORDER | {"amount": "1250", "currency": "JPY", "customer_id": "C-2"}
    assert _amounts([_line(**order), _line(**_CHANGE)]) == [1250, 90_000]


def test_currency_in_the_line_counts_where_nothing_else_is_known() -> None:
    assert _amounts([_line(**_CHANGE, currency="KWD")]) == [900_000]


@pytest.mark.parametrize(
    ("known", "payload"),
    [
        (_ORDER, _CHANGE),
        (_CUSTOMER, {**_CHANGE, "type": "CreditLimitChanged", "order_id": ..., "amount": ...}
         | {"credit_limit": "1"}),
    ],
)  # fmt: skip
def test_currency_in_the_line_may_not_contradict_what_is_known(
    known: dict[str, Any], payload: dict[str, Any]
) -> None:
    """The wire has no place for it, so the amount would be taken for another one."""
    _, bad = read([_line(**known), _line(**payload, currency="KWD")])
    assert isinstance(bad, BadLine)
    assert bad.field == "currency"


def test_allocation_is_in_the_currency_of_its_payment_not_of_the_invoice() -> None:
    invoice = {
        **_ORDER, "type": "InvoiceIssued", "order_id": ..., "invoice_id": "I-1",
        "issued_on": "2026-03-01", "due_on": "2026-03-31",
    }  # fmt: skip
    allocated = {
        **_CHANGE, "type": "PaymentAllocated", "order_id": ..., "payment_id": "P-1",
        "invoice_id": "I-1", "amount": "1.125",
    }  # fmt: skip
    lines = [_line(**each) for each in (invoice, _PAYMENT, allocated)]
    assert _amounts(lines) == [125_000, 10_000, 1_125]
    assert _amounts([lines[1], _line(**allocated, currency="KWD")])[1] == 1_125


def test_invoice_does_not_tell_the_currency_of_its_order() -> None:
    invoice = {
        **_ORDER, "type": "InvoiceIssued", "invoice_id": "I-1", "amount": "5", "currency": "JPY",
        "issued_on": "2026-03-01", "due_on": "2026-03-31",
    }  # fmt: skip
    assert _amounts([_line(**invoice), _line(**_CHANGE)]) == [5, 90_000]


def test_currencies_know_what_to_print_an_event_in() -> None:
    currencies = Currencies()
    placed = parse_payload(_ORDER | {"currency": "JPY", "amount": "7"}, currencies)
    changed = parse_payload(_CHANGE, currencies)
    assert isinstance(placed, OrderPlaced)
    assert isinstance(changed, OrderChanged)
    assert currencies.of(changed) is None
    currencies.learn(placed)
    assert currencies.of(changed) == "JPY"


# ── what goes out ──


def test_decision_is_written_as_the_contract_orders_it() -> None:
    """The order's amount in its own digits, the account's figures in the account's."""
    decision = events.OrderDecision(
        event_id="e-17:0",
        occurred_at=1_772_443_800_000_000,
        customer_id="C-1",
        order_id="O-9",
        decision="approved",
        reasons=[],
        amount=100_000,
        currency="JPY",
        exposure_before=0,
        exposure_after=61_275,
        credit_limit=100_000,
        headroom=38_725,
        utilisation="0.6128",
        decision_number=1,
        cause_event_id="e-17",
        policy_version="default-1",
        account_currency="EUR",
    )
    assert to_line(decision) == (
        '{"type":"OrderDecision","event_id":"e-17:0","occurred_at":"2026-03-02T09:30:00Z",'
        '"order_id":"O-9","customer_id":"C-1","decision":"approved","reasons":[],'
        '"amount":"100000","currency":"JPY","exposure_before":"0.00","exposure_after":"612.75",'
        '"credit_limit":"1000.00","headroom":"387.25","utilisation":"0.6128","decision_number":1,'
        '"cause_event_id":"e-17","policy_version":"default-1","account_currency":"EUR"}'
    )


def test_null_that_means_something_is_written_and_what_was_not_said_is_not() -> None:
    customer = parse_payload(_CUSTOMER, Currencies())
    assert isinstance(customer, Event)
    assert to_payload(customer) == _CUSTOMER
