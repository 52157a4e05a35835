"""Laws of the sums themselves, against an independent calculation day by day."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from agents.dunning.law import CostLaw, InterestLaw, Rate, Rates, costs, interest
from agents.law_files import load_laws
from schemas.dates import date_of

FIRST = 19_000
LAST = FIRST + 3_000
PRINCIPALS = st.integers(1, 10**9)
DAYS = st.integers(FIRST, LAST)


@st.composite
def interest_laws(draw: st.DrawFn, *, compounds: bool | None = None) -> InterestLaw:
    starts = draw(st.lists(st.integers(FIRST + 1, LAST), max_size=5, unique=True))
    rates = tuple(
        Rate(since, Fraction(draw(st.integers(0, 2_000)), 100))
        for since in [FIRST, *sorted(starts)]
    )
    how = draw(st.booleans()) if compounds is None else compounds
    return InterestLaw("a rate", "a law", Rates("a rate", "a law", rates, LAST + 400), how)


def day_by_day(law: InterestLaw, principal: int, due_on: int, until: int) -> int:
    """The slow way: every day adds its part, and a year's interest joins the principal."""
    with localcontext(prec=60):
        total, of_year, base = Decimal(0), Decimal(0), Decimal(principal)
        began = date_of(due_on + 1)
        years, day = 0, due_on + 1
        while day <= until:
            percent = [rate.percent for rate in law.rates.rates if rate.since <= day][-1]
            rate = Decimal(percent.numerator) / percent.denominator / 100
            length = 365
            if law.compounds:
                length = (_later(began, years + 1) - _later(began, years)).days
            of_year += base * rate / length
            day += 1
            if law.compounds and date_of(day) == _later(began, years + 1):
                years, total, base, of_year = years + 1, total + of_year, base + of_year, Decimal(0)
        return round(total + of_year)


def _later(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return date(day.year + years, 2, 28) + timedelta(days=1)


@given(interest_laws(), PRINCIPALS, DAYS, DAYS)
def test_interest_is_what_the_days_add_up_to(
    law: InterestLaw, principal: int, due_on: int, until: int
) -> None:
    found = interest(law, principal, due_on, until)
    assert abs(found.amount - day_by_day(law, principal, due_on, until)) <= 1
    assert sum(line.amount for line in found.lines) == found.amount
    assert sum(line.days for line in found.lines) == max(until - due_on, 0)


@given(interest_laws(), PRINCIPALS, PRINCIPALS, DAYS, DAYS, DAYS)
def test_interest_never_shrinks_with_days_or_principal(
    law: InterestLaw, one: int, other: int, due_on: int, until: int, later: int
) -> None:
    low, high = sorted((one, other))
    soon, late = sorted((until, later))
    assert interest(law, low, due_on, soon).amount <= interest(law, high, due_on, soon).amount
    assert interest(law, low, due_on, soon).amount <= interest(law, low, due_on, late).amount


@given(interest_laws(compounds=False), PRINCIPALS, st.lists(DAYS, min_size=3, max_size=3))
def test_simple_interest_adds_up_over_stretches_of_days(
    law: InterestLaw, principal: int, days: list[int]
) -> None:
    due_on, between, until = sorted(days)
    parts = (
        interest(law, principal, due_on, between).amount
        + interest(law, principal, between, until).amount
    )
    assert abs(interest(law, principal, due_on, until).amount - parts) <= 1


SHIPPED = [one for law in load_laws(None).laws.values() for one in law.costs]
"""Every scale that ships."""


@given(st.sampled_from(SHIPPED), PRINCIPALS, PRINCIPALS)
def test_costs_never_shrink_with_the_principal_and_keep_their_bounds(
    law: CostLaw, one: int, other: int
) -> None:
    low, high = (costs(law, [principal]).amount for principal in sorted((one, other)))
    assert law.least <= low <= high
    assert law.most is None or high <= law.most


@given(st.sampled_from(SHIPPED), st.lists(PRINCIPALS, min_size=1, max_size=6))
def test_costs_are_of_the_letter_or_of_each_invoice_as_the_law_says(
    law: CostLaw, principals: list[int]
) -> None:
    found = costs(law, principals)
    assert sum(line.amount for line in found.lines) == found.amount
    together = costs(law, [sum(principals)]).amount
    each = sum(costs(law, [principal]).amount for principal in principals)
    assert found.amount == (together if law.per == "letter" else each)


def test_the_dutch_scale_has_no_jump_at_its_steps() -> None:
    law = load_laws(None).of("NL", "b2b").costs[0]
    for step in law.steps[1:]:
        below = costs(law, [step.above]).amount
        assert below <= costs(law, [step.above + 1]).amount <= below + 1
