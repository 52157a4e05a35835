"""Interest, costs and notices of the shipped laws: worked examples to the cent."""

from __future__ import annotations

import pytest

from agents.dunning.claim import LateInvoice, SentNotice, claim
from agents.dunning.law import Kind, LawMissingError, costs, days_to_pay, interest
from agents.dunning.law_text import LawBook
from agents.law_files import load_laws
from agents.working_days import holidays_of
from schemas.dates import format_day, parse_day

NONE: frozenset[int] = frozenset()


@pytest.fixture(scope="module")
def laws() -> LawBook:
    return load_laws(None)


def test_dutch_trade_interest_follows_the_half_years(laws: LawBook) -> None:
    """Due 31 May 2025, paid 15 August: 30 days at 11.15 %, 46 at 10.15 %."""
    due, paid = parse_day("2025-05-31"), parse_day("2025-08-15")
    found = interest(laws.of("NL", "b2b").interest, 10_000_00, due, paid)
    assert found.amount == 219_56
    assert [(line.days, float(line.percent), line.amount) for line in found.lines] == [
        (30, 11.15, 91_64),
        (46, 10.15, 127_92),
    ]


def test_dutch_interest_of_a_full_year_bears_interest_itself(laws: LawBook) -> None:
    """Two years at 6 and 4 %: consumer interest of 2025 and of the first half of 2026."""
    law = laws.of("NL", "b2c").interest
    year = interest(law, 10_000_00, parse_day("2024-12-31"), parse_day("2025-12-31"))
    assert year.amount == 600_00
    more = interest(law, 10_000_00, parse_day("2024-12-31"), parse_day("2026-06-30"))
    assert more.lines[-1].base == 10_600_00
    assert more.amount == 600_00 + round(10_600_00 * 4 * 181 / 100 / 365)


@pytest.mark.parametrize(
    ("principals", "asked"),
    [
        ([125_00], 40_00),
        ([1_000_00], 150_00),
        ([5_000_00], 625_00),
        ([23_000_00], 1_005_00),
        ([200_000_00], 2_775_00),
        ([1_000_000_00], 6_775_00),
        ([200_00, 300_00, 100_00], 90_00),  # of the sum of the letter, not 40 + 45 + 40
    ],
)
def test_dutch_costs_by_the_statutory_scale(
    laws: LawBook, principals: list[int], asked: int
) -> None:
    law = laws.of("NL", "b2c").costs_on(parse_day("2026-03-02"))
    assert costs(law, principals).amount == asked


@pytest.mark.parametrize(
    ("principal", "asked"),
    [
        (100_00, 20_00),
        (150_00, 20_00),
        (150_01, 30_00),
        (500_00, 65_00),
        (1_000_00, 90_00),
        (39_200_00, 2_000_00),
        (50_000_00, 2_000_00),
    ],
)
def test_belgian_consumers_pay_at_most_what_the_code_says(
    laws: LawBook, principal: int, asked: int
) -> None:
    law = laws.of("BE", "b2c").costs_on(parse_day("2026-03-02"))
    assert costs(law, [principal]).amount == asked


def test_between_businesses_the_fixed_sum_is_for_each_late_payment(laws: LawBook) -> None:
    for country in ("BE", "FR"):
        law = laws.of(country, "b2b").costs_on(parse_day("2026-03-02"))
        assert costs(law, [50_00, 50_00, 50_00]).amount == 120_00


def test_belgian_trade_interest_goes_up_to_the_next_half_point(laws: LawBook) -> None:
    rates = laws.of("BE", "b2b").interest.rates.rates
    by_day = {format_day(rate.since): float(rate.percent) for rate in rates}
    assert by_day["2024-01-01"] == 12.5
    assert by_day["2025-01-01"] == 11.5
    assert by_day["2026-01-01"] == 10.5


@pytest.mark.parametrize(
    ("country", "channel", "sent", "first", "last"),
    [
        ("NL", "letter", "2026-03-02", "2026-03-05", "2026-03-18"),
        ("NL", "email", "2026-03-02", "2026-03-03", "2026-03-16"),
        ("BE", "email", "2026-03-02", "2026-03-03", "2026-03-16"),
        ("BE", "letter", "2026-03-02", "2026-03-05", "2026-03-18"),
        # Over a weekend; over Easter Monday, 6 April 2026.
        ("BE", "letter", "2026-03-05", "2026-03-10", "2026-03-23"),
        ("BE", "letter", "2026-04-03", "2026-04-09", "2026-04-22"),
        ("NL", "letter", "2026-04-03", "2026-04-09", "2026-04-22"),
    ],
)
def test_days_to_pay_after_a_notice(
    laws: LawBook, country: str, channel: str, sent: str, first: str, last: str
) -> None:
    notice = laws.of(country, "b2c").costs_on(parse_day(sent)).notice
    assert notice is not None
    found = days_to_pay(notice, channel, parse_day(sent), holidays_of(country, 2026))
    assert tuple(format_day(day) for day in found) == (first, last)


def test_a_consumer_pays_no_costs_before_the_notice_ran_out(laws: LawBook) -> None:
    law = laws.of("NL", "b2c")
    owed = [LateInvoice(1_000_00, parse_day("2026-01-31"))]
    notice = SentNotice(parse_day("2026-03-02"), "letter")
    never = claim(law, "EUR", owed, parse_day("2026-05-01"), None, NONE)
    during = claim(law, "EUR", owed, parse_day("2026-03-18"), notice, NONE)
    after = claim(law, "EUR", owed, parse_day("2026-03-19"), notice, NONE)
    assert never.costs is None
    assert "a notice without costs has to come first" in never.without_costs
    assert during.costs is None
    assert during.without_costs == (
        "the notice of 2026-03-02 leaves from 2026-03-05 to 2026-03-18 to pay without costs"
    )
    assert after.costs is not None
    assert after.costs.amount == 150_00
    assert after.total == 1_000_00 + after.interest[0].amount + 150_00


def test_what_is_not_late_yet_bears_nothing(laws: LawBook) -> None:
    owed = [LateInvoice(1_000_00, parse_day("2026-03-31"))]
    found = claim(laws.of("NL", "b2b"), "EUR", owed, parse_day("2026-03-31"), None, NONE)
    assert (found.total, found.without_costs) == (1_000_00, "nothing is late")
    owed.append(LateInvoice(100_00, parse_day("2026-03-30")))
    more = claim(laws.of("NL", "b2b"), "EUR", owed, parse_day("2026-03-31"), None, NONE)
    assert more.costs is not None
    assert more.costs.lines[0].principal == 100_00


@pytest.mark.parametrize(
    ("country", "kind", "due", "until", "told"),
    [
        ("US", "b2b", "2026-01-31", "2026-03-01", "no table of laws for 'US', b2b"),
        ("FR", "b2c", "2026-01-31", "2026-03-01", "no table of laws for 'FR', b2c"),
        ("NL", "b2b", "2026-06-01", "2026-07-01", "on 2026-07-01: the table goes from 2023-01-01"),
        ("NL", "b2b", "2022-06-01", "2023-07-01", "on 2022-06-02: the table goes from 2023-01-01"),
    ],
)
def test_what_no_table_says_is_an_error_and_never_a_guess(
    laws: LawBook, country: str, kind: Kind, due: str, until: str, told: str
) -> None:
    owed = [LateInvoice(1_000_00, parse_day(due))]
    with pytest.raises(LawMissingError, match=told.replace(".", r"\.")):
        claim(laws.of(country, kind), "EUR", owed, parse_day(until), None, NONE)


def test_costs_in_another_currency_than_the_laws_are_an_error(laws: LawBook) -> None:
    owed = [LateInvoice(1_000_00, parse_day("2026-01-31"))]
    with pytest.raises(LawMissingError, match="collection costs in NL are in EUR"):
        claim(laws.of("NL", "b2b"), "USD", owed, parse_day("2026-03-01"), None, NONE)


def test_a_notice_by_a_channel_of_which_the_law_does_not_speak_is_an_error(laws: LawBook) -> None:
    owed = [LateInvoice(1_000_00, parse_day("2026-01-31"))]
    notice = SentNotice(parse_day("2026-03-02"), "sms")
    with pytest.raises(LawMissingError, match="a notice by 'sms' arrives"):
        claim(laws.of("NL", "b2c"), "EUR", owed, parse_day("2026-04-01"), notice, NONE)
