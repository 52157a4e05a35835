"""Reads the tables of laws, and finds what is wrong in them, with its place."""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Literal, TypeVar

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from agents.dunning.law import (
    CostLaw,
    CostStep,
    InterestLaw,
    Kind,
    Law,
    LawMissingError,
    Notice,
    NoticeStart,
    Rate,
    Rates,
)
from schemas.dates import day_of
from schemas.money import MalformedAmountError, UnknownCurrencyError, parse_amount

REFERENCE_RATES = "reference-rates"
"""The file of rates that laws refer to; every other one is a country's."""
UNION = "EU"
"""What holds in a member state of the European Union that has no file of its own."""

# fmt: off
_MEMBERS = frozenset({
    "AT", "BE", "BG", "HR", "CY", "CZ", "DK", "EE", "FI", "FR", "DE", "GR", "HU", "IE", "IT", "LV",
    "LT", "LU", "MT", "NL", "PL", "PT", "RO", "SK", "SI", "ES", "SE",
})
# fmt: on


class LawTextError(ValueError):
    """A table of laws cannot be used: which one, where, and why."""


class LawBook(msgspec.Struct, frozen=True):
    """The laws by country and kind of debtor."""

    laws: dict[tuple[str, str], Law]

    def of(self, country: str, kind: Kind) -> Law:
        """What holds for a debtor there. Raises `LawMissingError` when no table says."""
        law = self.laws.get((country, kind))
        if law is None and country in _MEMBERS:
            law = self.laws.get((UNION, kind))
        if law is None:
            raise LawMissingError(f"no table of laws for {country!r}, {kind}")
        return law


def parse_laws(texts: Mapping[str, str]) -> LawBook:
    """The laws in these files: TOML texts by their names without `.toml`.

    Raises:
        LawTextError: naming the file, the place in it, and what is wrong.
    """
    references = _references(texts.get(REFERENCE_RATES, ""))
    laws = {}
    for name, text in texts.items():
        if name == REFERENCE_RATES:
            continue
        country = _read(name, text, _Country)
        for kind, part in (("b2b", country.b2b), ("b2c", country.b2c)):
            if part is not None:
                laws[country.country, kind] = _law(name, country.country, kind, part, references)
    return LawBook(laws)


# ── what may stand in a file ────────────────────────────────────────────────────────────────────


def _decimal(text: str) -> str:
    if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,6})?", text) is None:
        raise ValueError('write a number as text, as in "12.25"')
    return text


_Table = TypeVar("_Table", bound=BaseModel)
_Percent = Annotated[str, AfterValidator(_decimal)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Rate(_Part):
    since: dt.date
    percent: _Percent


class _Rates(_Part):
    source: str
    known_until: dt.date
    rates: list[_Rate] = Field(min_length=1)


class _Interest(_Part):
    name: str
    source: str
    compounds: bool
    reference: str | None = None
    plus: _Percent = "0"
    up_to_next: _Percent | None = None
    known_until: dt.date | None = None
    rates: list[_Rate] = []


class _Step(_Part):
    above: str
    sum: str
    percent: _Percent


class _Start(_Part):
    working_days: int = Field(ge=0)
    next_day: bool


class _Notice(_Part):
    days: int = Field(gt=0)
    starts: dict[str, _Start]


class _Costs(_Part):
    name: str
    source: str
    since: dt.date
    currency: str
    per: Literal["letter", "invoice"]
    steps: list[_Step] = Field(min_length=1)
    least: str
    most: str | None = None
    notice: _Notice | None = None


class _Debtors(_Part):
    interest: _Interest
    costs: list[_Costs] = []


class _Country(_Part):
    country: str = Field(pattern="^[A-Z]{2}$")
    b2b: _Debtors | None = None
    b2c: _Debtors | None = None


def _read(name: str, text: str, kind: type[_Table]) -> _Table:
    try:
        return kind.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise LawTextError(f"{name}.toml: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"])
        raise LawTextError(f"{name}.toml: {place}: {first['msg']}") from error


# ── from text to laws ───────────────────────────────────────────────────────────────────────────


def _references(text: str) -> dict[str, Rates]:
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LawTextError(f"{REFERENCE_RATES}.toml: {error}") from error
    found = {}
    for name, table in tables.items():
        try:
            read = _Rates.model_validate(table)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(step) for step in (name, *first["loc"]))
            raise LawTextError(f"{REFERENCE_RATES}.toml: {place}: {first['msg']}") from error
        rates = tuple(Rate(day_of(rate.since), Fraction(rate.percent)) for rate in read.rates)
        found[name] = _in_order(
            f"{REFERENCE_RATES}.toml: {name}",
            Rates(name, read.source, rates, day_of(read.known_until)),
        )
    return found


def _law(
    name: str, country: str, kind: str, part: _Debtors, references: Mapping[str, Rates]
) -> Law:
    place = f"{name}.toml: {kind}"
    interest = part.interest
    law = InterestLaw(
        interest.name,
        interest.source,
        _rates(f"{place}.interest", interest, references),
        interest.compounds,
    )
    costs = tuple(
        _costs(f"{place}.costs.{number}", one) for number, one in enumerate(part.costs, start=1)
    )
    days = [one.since for one in costs]
    if days != sorted(set(days)):
        raise LawTextError(f"{place}.costs: each must hold from a later day than the one before")
    return Law(country, "b2b" if kind == "b2b" else "b2c", law, costs)


def _rates(place: str, interest: _Interest, references: Mapping[str, Rates]) -> Rates:
    if (interest.reference is None) == (not interest.rates):
        raise LawTextError(f"{place}: give either rates of its own or a reference, not both")
    if interest.reference is None:
        if interest.known_until is None:
            raise LawTextError(f"{place}.known_until: is missing")
        own = tuple(Rate(day_of(rate.since), Fraction(rate.percent)) for rate in interest.rates)
        own_rates = Rates(interest.name, interest.source, own, day_of(interest.known_until))
        return _in_order(place, own_rates)
    reference = references.get(interest.reference)
    if reference is None:
        raise LawTextError(
            f"{place}.reference: {REFERENCE_RATES}.toml has no {interest.reference!r}"
        )
    plus = Fraction(interest.plus)
    step = None if interest.up_to_next is None else Fraction(interest.up_to_next)
    return msgspec.structs.replace(
        reference,
        name=f"{interest.name} ({reference.name})",
        rates=tuple(
            Rate(rate.since, _up_to_next(rate.percent + plus, step)) for rate in reference.rates
        ),
    )


def _up_to_next(percent: Fraction, step: Fraction | None) -> Fraction:
    return percent if not step else -(-percent // step) * step


def _in_order(place: str, rates: Rates) -> Rates:
    days = [rate.since for rate in rates.rates]
    if days != sorted(set(days)):
        raise LawTextError(f"{place}.rates: each must hold from a later day than the one before")
    if rates.known_until < days[-1]:
        raise LawTextError(f"{place}.known_until: lies before the last rate begins")
    return rates


def _costs(place: str, costs: _Costs) -> CostLaw:
    def money(setting: str, text: str) -> int:
        try:
            return parse_amount(text, costs.currency)
        except (MalformedAmountError, UnknownCurrencyError) as error:
            raise LawTextError(f"{place}.{setting}: {error}") from error

    steps = tuple(
        CostStep(money("steps", one.above), money("steps", one.sum), Fraction(one.percent))
        for one in costs.steps
    )
    above = [step.above for step in steps]
    if above[0] != 0 or above != sorted(set(above)):
        raise LawTextError(f"{place}.steps: must begin above 0 and go up")
    notice = costs.notice
    return CostLaw(
        name=costs.name,
        source=costs.source,
        since=day_of(costs.since),
        currency=costs.currency,
        per=costs.per,
        steps=steps,
        least=money("least", costs.least),
        most=None if costs.most is None else money("most", costs.most),
        notice=None
        if notice is None
        else Notice(
            notice.days,
            {
                channel: NoticeStart(start.working_days, start.next_day)
                for channel, start in notice.starts.items()
            },
        ),
    )
