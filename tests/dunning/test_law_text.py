"""A table of laws that cannot be used is refused with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.dunning.law import interest
from agents.dunning.law_text import LawTextError, parse_laws
from agents.law_files import load_laws
from schemas.dates import parse_day
from streams.errors import ConfigurationError

GOOD = """
country = "XX"
[b2b.interest]
name = "interest"
source = "a law"
compounds = false
known_until = 2030-12-31
rates = [{ since = 2020-01-01, percent = "10" }, { since = 2025-01-01, percent = "8.5" }]
[[b2b.costs]]
name = "costs"
source = "a law"
since = 2020-01-01
currency = "EUR"
per = "letter"
steps = [
  { above = "0", sum = "10.00", percent = "5" },
  { above = "100", sum = "15.00", percent = "1" },
]
least = "0.00"
"""


def test_a_country_can_be_added_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "xx.toml").write_text(GOOD, encoding="utf-8")
    laws = load_laws(tmp_path)
    law = laws.of("XX", "b2b").interest
    assert interest(law, 1_000_00, parse_day("2024-12-30"), parse_day("2025-01-01")).amount == 51
    assert laws.of("NL", "b2b") == load_laws(None).of("NL", "b2b")


def test_rates_of_the_next_half_year_are_added_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "reference-rates.toml").write_text(
        '[ecb-refinancing]\nsource = "ECB"\nknown_until = 2026-12-31\n'
        'rates = [{ since = 2026-07-01, percent = "2.00" }]\n',
        encoding="utf-8",
    )
    law = load_laws(tmp_path).of("NL", "b2b").interest
    assert interest(law, 365_00, parse_day("2026-09-30"), parse_day("2026-10-01")).amount == 10


@pytest.mark.parametrize(
    ("wrong", "right", "told"),
    [
        ('percent = "8.5"', 'percent = "8,5"', "xx.toml: b2b.interest.rates.1.percent: "),
        ('percent = "8.5"', "percent = 8.5", "xx.toml: b2b.interest.rates.1.percent: "),
        ("2025-01-01", "2019-01-01", "xx.toml: b2b.interest.rates: each must hold from a later"),
        ("2030-12-31", "2024-12-31", "xx.toml: b2b.interest.known_until: lies before the last"),
        ("known_until = 2030-12-31", "", "xx.toml: b2b.interest.known_until: is missing"),
        ("compounds = false", "", "xx.toml: b2b.interest.compounds: "),
        ("compounds", "compound", "xx.toml: b2b.interest.compounds: "),
        ('name = "interest"', 'reference = "x"\nname = "interest"', "either rates of its own or"),
        ('per = "letter"', 'per = "page"', "xx.toml: b2b.costs.0.per: "),
        ('"10.00"', '"10.001"', "xx.toml: b2b.costs.1.steps: '10.001' has more digits"),
        ('above = "0"', 'above = "1"', "xx.toml: b2b.costs.1.steps: must begin above 0 and go up"),
        ('currency = "EUR"', 'currency = "ZZZ"', "xx.toml: b2b.costs.1.steps: unknown currency"),
        ('country = "XX"', 'country = "Xanadu"', "xx.toml: country: "),
        ("[b2b.interest]", "[b2b.interest", "xx.toml: "),
    ],
)
def test_what_is_wrong_is_told_with_its_place(wrong: str, right: str, told: str) -> None:
    assert wrong in GOOD
    with pytest.raises(LawTextError) as caught:
        parse_laws({"xx": GOOD.replace(wrong, right)})
    assert told in str(caught.value)


def test_a_reference_that_nobody_knows_is_told() -> None:
    text = GOOD.replace("known_until = 2030-12-31\n", 'reference = "ecb"\n')
    rates = next(line for line in text.splitlines() if line.startswith("rates"))
    with pytest.raises(LawTextError, match=r"b2b\.interest\.reference: .* has no 'ecb'"):
        parse_laws({"xx": text.replace(rates, "")})


def test_reference_rates_out_of_order_are_told() -> None:
    rates = (
        '[ecb]\nsource = "ECB"\nknown_until = 2026-12-31\n'
        'rates = [{ since = 2026-07-01, percent = "2" }, { since = 2026-01-01, percent = "2" }]\n'
    )
    with pytest.raises(LawTextError, match=r"reference-rates\.toml: ecb\.rates: each must hold"):
        parse_laws({"reference-rates": rates})


def test_a_directory_without_tables_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no tables of laws"):
        load_laws(tmp_path)
