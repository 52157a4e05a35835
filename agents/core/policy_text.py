"""Reads a policy file: TOML, checked as a whole, every fault with its place.

A file says what differs from the policy that ships; a segment what differs from its version; a
version what differs from the one before it:

    version = "wholesale-1"
    [overdue]
    max_overdue_days = 21
    [segments.key_account.overdue]
    max_overdue_days = 45

    [[versions]]
    version = "wholesale-2"
    valid_from = 2026-07-01
    [versions.overdue]
    max_overdue_days = 14
"""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Any, Literal

import msgspec
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from agents.core.policy import ALWAYS, SHARE_ONE, Policy, PolicyBook, PolicyVersion, Threshold
from schemas.dates import parse_day
from schemas.money import is_known

_NONE = "none"
_OF_ONE_SEGMENT = ("credit", "alerts", "overdue", "dunning", "insurance", "release")
"""Sections that a segment may say something else in; the others hold for everybody."""


class PolicyError(ValueError):
    """The policy text cannot be used; the message lists every fault with its place."""


# ── what may stand in a file ────────────────────────────────────────────────────────────────────


def _none_word(value: object) -> object:
    return None if value == _NONE else value


def _known_currency(value: str) -> str:
    if not is_known(value):
        raise ValueError(f"{value!r} is no ISO 4217 currency with minor units")
    return value


_Money = Annotated[str, StringConstraints(pattern=r"^\d{1,15}(\.\d{1,4})?$")]
_Share = Annotated[str, StringConstraints(pattern=r"^\d(\.\d{1,4})?$")]
_Currency = Annotated[str, BeforeValidator(_known_currency)]
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
    cap_by_insurance: bool
    own_risk_margin: _Share
    prepayment: bool
    prepayment_after_write_off: bool
    held_orders_consume: bool
    strict_fifo: bool
    amounts: Literal["gross", "net"]
    shipping_horizon_days: _DaysOrNone


class _Alerts(_Section):
    thresholds: list[_Share] = Field(min_length=1)
    rearm: _Share
    forecast_days: _Days

    @model_validator(mode="after")
    def _ascending(self) -> _Alerts:
        shares = [Decimal(text) for text in self.thresholds]
        if shares != sorted(set(shares)):
            raise ValueError("thresholds must rise from one to the next")
        if shares[0] <= Decimal(self.rearm):
            raise ValueError("rearm must be smaller than the lowest threshold")
        return self


class _Overdue(_Section):
    max_overdue_days: _Days
    min_overdue_amount: _Money
    above_utilisation: _ShareOrNone


class _Dunning(_Section):
    block_from_level: _LevelOrNone


class _Insurance(_Section):
    max_extension_days: _DaysOrNone


class _Release(_Section):
    validity_days: Annotated[int, Field(ge=1, le=3650, strict=True)]
    recheck_tolerance: _Share
    four_eyes_above: _MoneyOrNone
    authority: dict[str, _MoneyOrNone]


class _Fx(_Section):
    max_age_days: _Days
    pivot: _Currency


class _Feeds(_Section):
    payments_minutes: _MinutesOrNone


class _Documents(_Section):
    small_balance: _Money
    remember_days: Annotated[int, Field(ge=1, le=3650, strict=True)]


class _Terms(_Section):
    """All that holds for one segment in one version, after everything inherited was filled in."""

    version: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    valid_from: dt.date | None = None
    currency: _Currency | None = None
    credit: _Credit
    alerts: _Alerts
    overdue: _Overdue
    dunning: _Dunning
    insurance: _Insurance
    release: _Release
    fx: _Fx
    feeds: _Feeds
    documents: _Documents


# ── reading ─────────────────────────────────────────────────────────────────────────────────────


class _Layer(msgspec.Struct):
    """The text of one version or segment: where it stands in the file, and what it says."""

    place: str
    terms: dict[str, Any]
    segments: dict[str, dict[str, Any]]


def parse_policy(text: str, shipped: str = "") -> PolicyBook:
    """Read a policy from TOML.

    Args:
        text: the policy.
        shipped: the policy that says what `text` leaves out; empty: `text` leaves out nothing.

    Raises:
        PolicyError: it cannot be used; every fault is told, with its place.
    """
    faults: list[str] = []
    read = _toml(text, faults)
    base = _toml(shipped, faults) if shipped else {}
    if faults:
        raise PolicyError("; ".join(faults))
    versions: list[PolicyVersion] = []
    told: set[tuple[str, str]] = set()
    inherited = _merged(base, {})
    inherited_segments: dict[str, dict[str, Any]] = {}
    for layer in _layers(read, faults):
        inherited = _merged(inherited, layer.terms)
        for name, said in layer.segments.items():
            inherited_segments[name] = _merged(inherited_segments.get(name, {}), said)
        built = _version(layer, inherited, inherited_segments, told, faults)
        if built is not None:
            versions.append(built)
    _check_succession(versions, faults)
    if faults:
        raise PolicyError("; ".join(faults))
    return PolicyBook(tuple(versions))


def _toml(text: str, faults: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        faults.append(f"not TOML: {error}")
        return {}


def _layers(read: dict[str, Any], faults: list[str]) -> Iterator[_Layer]:
    """The file's first version, then its `versions` in their order."""
    later = read.pop("versions", [])
    if "valid_from" in read:
        faults.append("valid_from: the first version holds from the beginning, give later ones one")
        del read["valid_from"]
    yield _layer("", read, faults)
    if not isinstance(later, list):
        faults.append("versions: write each version as [[versions]]")
        return
    for at, one in enumerate(later):
        place = f"versions[{at}]."
        if not isinstance(one, dict):
            faults.append(f"{place[:-1]}: is no table")
            continue
        faults += [
            f"{place}{key}: Field required" for key in ("version", "valid_from") if key not in one
        ]
        yield _layer(place, one, faults)


def _layer(place: str, said: dict[str, Any], faults: list[str]) -> _Layer:
    segments = said.pop("segments", {})
    if not isinstance(segments, dict) or not all(
        isinstance(one, dict) for one in segments.values()
    ):
        faults.append(f"{place}segments: write each segment as [{place}segments.NAME.SECTION]")
        segments = {}
    for name, sections in segments.items():
        faults += [
            f"{place}segments.{name}.{section}: a segment may have sections of its own for "
            f"{', '.join(_OF_ONE_SEGMENT)} only"
            for section in sorted(sections.keys() - set(_OF_ONE_SEGMENT))
        ]
    return _Layer(place, said, segments)


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`under`, with what `over` says in its place, table by table."""
    merged = dict(under)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = (
            _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return merged


def _version(
    layer: _Layer,
    inherited: dict[str, Any],
    segments: dict[str, dict[str, Any]],
    told: set[tuple[str, str]],
    faults: list[str],
) -> PolicyVersion | None:
    base = _validated(inherited, layer.place, told, faults)
    found: dict[str, Policy] = {}
    for name, said in segments.items():
        terms = _validated(_merged(inherited, said), f"{layer.place}segments.{name}.", told, faults)
        if terms is not None:
            found[name] = _policy(terms)
    if base is None:
        return None
    valid_from = ALWAYS if base.valid_from is None else parse_day(base.valid_from.isoformat())
    return PolicyVersion(
        version=base.version, valid_from=valid_from, base=_policy(base), segments=found
    )


def _validated(
    merged: dict[str, Any], place: str, told: set[tuple[str, str]], faults: list[str]
) -> _Terms | None:
    """The terms, or None; a fault is told where it stands, not again where it is inherited."""
    try:
        return _Terms.model_validate(merged)
    except ValidationError as error:
        for fault in error.errors():
            where = ".".join(
                f"[{part}]" if isinstance(part, int) else str(part) for part in fault["loc"]
            ).replace(".[", "[")
            what = fault["msg"].removeprefix("Value error, ")
            if (where, what) not in told:
                told.add((where, what))
                faults.append(f"{place}{where}: {what}")
        return None


def _check_succession(versions: list[PolicyVersion], faults: list[str]) -> None:
    for at, (before, after) in enumerate(pairwise(versions)):
        if after.valid_from <= before.valid_from:
            faults.append(f"versions[{at}].valid_from: must be later than that of the one before")
        if after.version in {one.version for one in versions[: at + 1]}:
            faults.append(f"versions[{at}].version: {after.version!r} is taken")


def _policy(terms: _Terms) -> Policy:
    return Policy(
        version=terms.version,
        currency=terms.currency,
        default_limit=terms.credit.default_limit,
        cap_by_insurance=terms.credit.cap_by_insurance,
        own_risk_margin=_share(terms.credit.own_risk_margin),
        prepayment=terms.credit.prepayment,
        prepayment_after_write_off=terms.credit.prepayment_after_write_off,
        held_orders_consume=terms.credit.held_orders_consume,
        strict_fifo=terms.credit.strict_fifo,
        net_of_vat=terms.credit.amounts == "net",
        shipping_horizon_days=terms.credit.shipping_horizon_days,
        thresholds=tuple(Threshold(text, _share(text)) for text in terms.alerts.thresholds),
        rearm=_share(terms.alerts.rearm),
        forecast_days=terms.alerts.forecast_days,
        max_overdue_days=terms.overdue.max_overdue_days,
        min_overdue_amount=terms.overdue.min_overdue_amount,
        overdue_above_utilisation=_share_or_none(terms.overdue.above_utilisation),
        block_from_level=terms.dunning.block_from_level,
        max_extension_days=terms.insurance.max_extension_days,
        # A role that a segment or a later version takes out has no authority.
        authority={
            role: "0" if up_to is None else up_to for role, up_to in terms.release.authority.items()
        },
        four_eyes_above=terms.release.four_eyes_above,
        validity_days=terms.release.validity_days,
        recheck_tolerance=_share(terms.release.recheck_tolerance),
        fx_max_age_days=terms.fx.max_age_days,
        fx_pivot=terms.fx.pivot,
        payments_feed_minutes=terms.feeds.payments_minutes,
        small_balance=terms.documents.small_balance,
        remember_days=terms.documents.remember_days,
    )


def _share(text: str) -> int:
    return int(Decimal(text) * SHARE_ONE)


def _share_or_none(text: str | None) -> int | None:
    return None if text is None else _share(text)
