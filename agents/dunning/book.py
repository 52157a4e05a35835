"""All that dunning goes by and that is no rule: procedures, laws, holidays."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import cast

from agents.dunning.law import Kind, Law, LawMissingError
from agents.dunning.law_text import LawBook
from agents.dunning.procedure import Procedure, ProcedureBook
from schemas.dates import date_of
from schemas.events import Day


class DunningBook:
    """Procedures, laws and holidays, as an installation has them.

    Args:
        procedures: whom to send what, and when.
        laws: what may be asked.
        holidays: of a country (two letters) in a year and the one after it; nothing for a country
            that nobody knows.
    """

    def __init__(
        self,
        procedures: ProcedureBook,
        laws: LawBook,
        holidays: Callable[[str, int], frozenset[Day]],
    ) -> None:
        self.procedures = procedures
        self._laws = laws
        self._lead = min(one.earliest for one in procedures.procedures)

        @cache
        def around(country: str, year: int) -> frozenset[Day]:
            return holidays(country, year - 1) | holidays(country, year + 1)

        self._holidays_around = around

    def procedure(self, kind: str, segment: str, country: str, day: Day) -> Procedure | None:
        """The one for such a customer on a day, if there is one."""
        return self.procedures.of(kind, segment, country, day)

    def law(self, country: str, kind: str) -> Law:
        """What holds for a debtor there. Raises `LawMissingError` when no table says."""
        if not country:
            raise LawMissingError("the customer's country is not known")
        return self._laws.of(country, cast("Kind", kind))

    def holidays(self, country: str, day: Day) -> frozenset[Day]:
        """Those from the year before a day to two years after it."""
        return self._holidays_around(country, date_of(day).year)

    def first_look(self, due_on: Day) -> Day:
        """The first day on which anything can be said about an invoice, whoever's it is."""
        return due_on + self._lead
