"""The holidays of countries, from the package `holidays`."""

from __future__ import annotations

from functools import cache

from holidays import country_holidays, list_supported_countries

from schemas.dates import day_of
from schemas.events import Day
from streams.errors import ConfigurationError


@cache
def holidays_of(country: str, year: int) -> frozenset[Day]:
    """The public holidays of a country in a year and in the one after it.

    Args:
        country: ISO 3166 code of two letters.
        year: of the calendar.

    Raises:
        ConfigurationError: nobody knows the country's holidays.
    """
    if country not in list_supported_countries():
        raise ConfigurationError(f"the holidays of {country!r} are not known")
    return frozenset(day_of(day) for day in country_holidays(country, years=[year, year + 1]))


def known_holidays(country: str, year: int) -> frozenset[Day]:
    """Those of `holidays_of`; none for a country whose holidays nobody knows."""
    return holidays_of(country, year) if country in list_supported_countries() else frozenset()
