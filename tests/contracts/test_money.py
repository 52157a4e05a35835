"""Money keeps its digits, whatever the currency."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.money import (
    MalformedAmountError,
    UnknownCurrencyError,
    exponent,
    format_amount,
    is_known,
    parse_amount,
)

_TABLE = [
    # text, currency, minor units
    ("1250.00", "EUR", 125_000),
    ("1250", "EUR", 125_000),
    ("1250.5", "EUR", 125_050),
    (1250, "EUR", 125_000),
    ("-0.05", "EUR", -5),
    ("-0", "EUR", 0),
    ("007", "EUR", 700),
    ("100000", "JPY", 100_000),
    (100_000, "JPY", 100_000),
    ("1.234", "KWD", 1_234),
    ("12.3456", "CLF", 123_456),
    ("12.34", None, 1_234),
    ("92233720368547758.07", "EUR", 2**63 - 1),
    ("-92233720368547758.08", "EUR", -(2**63)),
]


@pytest.mark.parametrize(("text", "currency", "minor"), _TABLE)
def test_amount_is_read_in_the_digits_of_its_currency(
    text: str | int, currency: str | None, minor: int
) -> None:
    assert parse_amount(text, currency) == minor


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        ("1.234", "EUR"),
        ("1.000", "EUR"),
        ("1.0", "JPY"),
        ("1.2345", "KWD"),
        ("1.234", None),
        ("", "EUR"),
        (".5", "EUR"),
        ("5.", "EUR"),
        ("+5", "EUR"),
        ("1e3", "EUR"),
        ("1,250.00", "EUR"),
        (" 5", "EUR"),
        ("5\n", "EUR"),
        ("NaN", "EUR"),
        ("١٢", "EUR"),
        ("0x10", "EUR"),
        ("--5", "EUR"),
        (True, "EUR"),
        ("92233720368547758.08", "EUR"),
        (2**63, "JPY"),
        ("9" * 31, "EUR"),
        ("9" * 100_000, "EUR"),
    ],
)
def test_amount_that_is_not_exact_is_refused(text: str | int, currency: str | None) -> None:
    with pytest.raises(MalformedAmountError):
        parse_amount(text, currency)


@pytest.mark.parametrize("currency", ["XAU", "XXX", "XTS", "XDR", "eur", "EURO", "", "XYZ", "€"])
def test_currency_without_minor_units_is_unknown(currency: str) -> None:
    """Gold, tests and "no currency" have no minor-unit definition; codes are in capitals."""
    assert not is_known(currency)
    for fails in (
        exponent,
        lambda code: parse_amount("1", code),
        lambda code: format_amount(1, code),
    ):
        with pytest.raises(UnknownCurrencyError):
            fails(currency)


@given(st.integers(-(2**63), 2**63 - 1), st.sampled_from(["EUR", "JPY", "KWD", "CLF", None]))
def test_amount_that_is_written_reads_back(minor: int, currency: str | None) -> None:
    text = format_amount(minor, currency)
    assert parse_amount(text, currency) == minor
    digits = 2 if currency is None else exponent(currency)
    assert len(text.partition(".")[2]) == digits


def test_amount_is_written_as_the_contract_shows() -> None:
    assert format_amount(100_000, "EUR") == "1000.00"
    assert format_amount(100_000, "JPY") == "100000"
    assert format_amount(-5, "EUR") == "-0.05"
    assert format_amount(0, "KWD") == "0.000"
