"""The policy: every number that credit control turns on. None of them stands in code.

A policy is a TOML text (`agents/policy/default.toml` is the one that ships). It is checked as a
whole: all its faults are told at once, each with its place.
"""

from __future__ import annotations

import tomllib
from decimal import ROUND_DOWN, Decimal
from functools import cache
from typing import Annotated

import msgspec
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from schemas.money import exponent

_ONE = 10_000
"""Shares are kept as ten-thousandths, so that comparing them needs integers only."""

_MoneyText = Annotated[str, StringConstraints(pattern=r"^\d+(\.\d+)?$")]
_ShareText = Annotated[str, StringConstraints(pattern=r"^\d(\.\d{1,4})?$")]


class PolicyError(ValueError):
    """The policy text cannot be used; the message lists every fault with its place."""


class Threshold(msgspec.Struct, frozen=True):
    """A share of the limit that raises an alert: as people write it, and in ten-thousandths."""

    label: str
    share: int


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules need of a policy, ready for use.

    `small_balance`, `min_overdue_amount` and `default_limits` are decimal texts in major units of
    whatever currency the account has; `in_minor` turns them into money.
    """

    version: str
    thresholds: tuple[Threshold, ...]
    rearm: int
    max_overdue_days: int
    min_overdue_amount: str
    small_balance: str
    remember_days: int
    default_limits: dict[str, str]


class _Alerts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    thresholds: list[_ShareText] = Field(min_length=1)
    rearm: _ShareText

    @model_validator(mode="after")
    def _ascending(self) -> _Alerts:
        shares = [Decimal(text) for text in self.thresholds]
        if shares != sorted(set(shares)):
            raise ValueError("thresholds must rise from one to the next")
        if shares[0] <= Decimal(self.rearm):
            raise ValueError("rearm must be smaller than the lowest threshold")
        return self


class _Overdue(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    max_overdue_days: int = Field(ge=0, le=3650)
    min_overdue_amount: _MoneyText


class _Documents(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    small_balance: _MoneyText
    remember_days: int = Field(ge=1, le=3650)


class _PolicyFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    version: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    alerts: _Alerts
    overdue: _Overdue
    documents: _Documents
    default_limits: dict[str, _MoneyText] = {}


def parse_policy(text: str) -> Policy:
    """Read a policy from TOML. Raises `PolicyError` naming every fault and where it is."""
    try:
        read = _PolicyFile.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"not TOML: {error}") from error
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
            for fault in error.errors()
        )
        raise PolicyError(faults) from error
    return Policy(
        version=read.version,
        thresholds=tuple(Threshold(text, _share(text)) for text in read.alerts.thresholds),
        rearm=_share(read.alerts.rearm),
        max_overdue_days=read.overdue.max_overdue_days,
        min_overdue_amount=read.overdue.min_overdue_amount,
        small_balance=read.documents.small_balance,
        remember_days=read.documents.remember_days,
        default_limits=dict(read.default_limits),
    )


@cache
def in_minor(amount: str, currency: str) -> int:
    """`amount` in major units as minor units of `currency`, rounded down (0.05 is 0 in JPY).

    Raises `UnknownCurrencyError`.
    """
    return int(Decimal(amount).scaleb(exponent(currency)).to_integral_value(ROUND_DOWN))


def _share(text: str) -> int:
    return int(Decimal(text) * _ONE)
