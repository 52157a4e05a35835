"""The holidays of countries, from the package `holidays`."""

from __future__ import annotations

from functools import cache

from holidays import country_holidays

from schemas.dates import day_of
from schemas.events import Day
from streams.errors import ConfigurationError


def holidays_of(country: str, year: int) -> frozenset[Day]:
    """The public holidays of a country in a year and in the one after it.

    Args:
        country: ISO 3166 code of two letters.
        year: of the calendar.

    Raises:
        ConfigurationError: nobody knows the country's holidays.
    """
    found = _of(country, year)
    if found is None:
        raise ConfigurationError(f"the holidays of {country!r} are not known")
    return found


def known_holidays(country: str, year: int) -> frozenset[Day]:
    """Those of `holidays_of`; none for a country whose holidays nobody knows."""
    return _of(country, year) or frozenset()


@cache
def _of(country: str, year: int) -> frozenset[Day] | None:
    try:
        return frozenset(day_of(day) for day in country_holidays(country, years=[year, year + 1]))
    except NotImplementedError:  # the list of all that are known would load every one of them
        return None
