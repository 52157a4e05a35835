"""What may stand in a policy file, setting by setting: types and limits.

"none" switches a rule off. Amounts and shares are texts, as TOML's numbers are floats.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from schemas.money import is_known

_NONE = "none"
_LONGEST_NAME = 64


def _none_word(value: object) -> object:
    return None if value == _NONE else value


def _no_roles(value: object) -> object:
    return {} if value == _NONE else value


def _written(form: str, advice: str) -> Callable[[object], object]:
    """A check that a number is a text of this form."""
    pattern = re.compile(form)

    def check(value: object) -> object:
        if not isinstance(value, str) or pattern.fullmatch(value) is None:
            raise ValueError(advice)
        return value

    return check


def _plain_day(value: object) -> object:
    if type(value) is not dt.date:
        raise ValueError("write a day without quotes and without a time, as in 2026-07-01")
    return value


def _known_currency(value: str) -> str:
    if not is_known(value):
        raise ValueError(f"{value!r} is no ISO 4217 currency with minor units")
    return value


def name_fault(name: str) -> str | None:
    """What is wrong with the name of a version, a segment or a role."""
    if not name:
        return "must not be empty"
    if len(name) > _LONGEST_NAME or name != name.strip() or not name.isprintable():
        return f"must be at most {_LONGEST_NAME} characters, without blanks around them"
    return None


def _named(name: str) -> str:
    fault = name_fault(name)
    if fault is not None:
        raise ValueError(fault)
    return name


def _roles_named(roles: dict[str, str | None]) -> dict[str, str | None]:
    for role in roles:
        fault = name_fault(role)
        if fault is not None:
            raise ValueError(f"the name of role {role!r} {fault}")
    return roles


# So many digits fit 64 bits of minor units, whatever the currency.
_amount = _written(
    r"[0-9]{1,14}(\.[0-9]{1,4})?",
    'write an amount in quotes, up to 14 digits and four behind the point, as in "2500.00"',
)
_share = _written(
    r"0(\.[0-9]{1,4})?|1(\.0{1,4})?",
    'write a share in quotes, from "0" to "1", up to four digits behind the point: "0.10" is 10 %',
)
_threshold = _written(
    r"[01](\.[0-9]{1,4})?|2(\.0{1,4})?",
    'write a share of the limit in quotes, up to "2" and four digits behind the point: '
    '"0.80" is 80 %',
)

_Switch = Annotated[bool, Field(strict=True)]
_Money = Annotated[str, BeforeValidator(_amount)]
_Share = Annotated[str, BeforeValidator(_share)]
_Threshold = Annotated[str, BeforeValidator(_threshold)]
_Currency = Annotated[str, AfterValidator(_known_currency)]
_CurrencyOrNone = Annotated[_Currency | None, BeforeValidator(_none_word)]
_MoneyOrNone = Annotated[_Money | None, BeforeValidator(_none_word)]
_ShareOrNone = Annotated[_Share | None, BeforeValidator(_none_word)]
_Days = Annotated[int, Field(ge=0, le=3650, strict=True)]
_DaysOrNone = Annotated[_Days | None, BeforeValidator(_none_word)]
_LevelOrNone = Annotated[
    Annotated[int, Field(ge=1, le=99, strict=True)] | None, BeforeValidator(_none_word)
]
_MinutesOrNone = Annotated[
    Annotated[int, Field(ge=1, le=525_600, strict=True)] | None, BeforeValidator(_none_word)
]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Credit(_Section):
    default_limit: _MoneyOrNone
    cap_by_insurance: _Switch
    own_risk_margin: _Share
    prepayment: _Switch
    prepayment_after_write_off: _Switch
    held_orders_consume: _Switch
    strict_fifo: _Switch
    amounts: Literal["gross", "net"]
    shipping_horizon_days: _DaysOrNone


class _Alerts(_Section):
    thresholds: list[_Threshold] = Field(min_length=1)
    rearm: _Share
    forecast_days: _Days

    @field_validator("thresholds")
    @classmethod
    def _rise(cls, thresholds: list[str]) -> list[str]:
        shares = [Decimal(text) for text in thresholds]
        if shares != sorted(set(shares)):
            raise ValueError("thresholds must rise from one to the next")
        return thresholds

    @field_validator("rearm")
    @classmethod
    def _below_the_lowest(cls, rearm: str, others: ValidationInfo) -> str:
        thresholds = others.data.get("thresholds")
        if thresholds is not None and Decimal(thresholds[0]) <= Decimal(rearm):
            raise ValueError("rearm must be smaller than the lowest threshold")
        return rearm


class _Overdue(_Section):
    max_overdue_days: _Days
    min_overdue_amount: _Money
    above_utilisation: _ShareOrNone
    defer_promised: _Switch


class _Dunning(_Section):
    block_from_level: _LevelOrNone


class _Insurance(_Section):
    max_extension_days: _DaysOrNone


class _Release(_Section):
    validity_days: Annotated[int, Field(ge=1, le=3650, strict=True)]
    recheck_tolerance: _Share
    four_eyes_above: _MoneyOrNone
    authority: Annotated[
        dict[str, _MoneyOrNone], BeforeValidator(_no_roles), AfterValidator(_roles_named)
    ]


class _Fx(_Section):
    max_age_days: _Days
    pivot: _Currency


class _Feeds(_Section):
    payments_minutes: _MinutesOrNone


class _Documents(_Section):
    small_balance: _Money
    remember_days: Annotated[int, Field(ge=1, le=3650, strict=True)]


class Terms(_Section):
    """All that holds for one segment in one version, after everything inherited was filled in."""

    version: Annotated[str, AfterValidator(_named)]
    valid_from: Annotated[dt.date | None, BeforeValidator(_plain_day)] = None
    currency: _CurrencyOrNone = None
    credit: _Credit
    alerts: _Alerts
    overdue: _Overdue
    dunning: _Dunning
    insurance: _Insurance
    release: _Release
    fx: _Fx
    feeds: _Feeds
    documents: _Documents
