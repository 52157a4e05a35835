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
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

import msgspec
from pydantic import ValidationError

from agents.core.policy import ALWAYS, SHARE_ONE, Policy, PolicyBook, PolicyVersion, Threshold
from agents.core.policy_faults import Fault, faults_of, in_plain_words
from agents.core.policy_lines import Path
from agents.core.policy_sections import Terms, name_fault
from schemas.dates import parse_day
from streams.errors import ConfigurationError

OF_ONE_SEGMENT = ("credit", "alerts", "overdue", "dunning", "insurance", "release")
"""Sections that a segment may say something else in; the others hold for everybody."""


class PolicyError(ConfigurationError):
    """The policy cannot be used; the message tells every fault with its place.

    Attributes:
        faults: the same one by one; none when there was no text to read.
    """

    def __init__(self, message: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(message)
        self.faults = tuple(faults)


_Wrong: TypeAlias = tuple[Path, str]
"""Where, and what is wrong there."""


class _Layer(msgspec.Struct):
    """The text of one version: where it stands in the file, and what it says."""

    place: Path
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
    found: list[_Wrong] = []
    terms = _toml(shipped)
    layers = list(_layers(_toml(text), found))
    _check_succession(terms, layers, found)
    versions: list[PolicyVersion] = []
    wrong: frozenset[_Wrong] = frozenset()
    segments: dict[str, dict[str, Any]] = {}
    wrong_in: dict[str, frozenset[_Wrong]] = {}
    for layer in layers:
        terms = _merged(terms, layer.terms)
        base, wrong = _validated(terms, layer.terms, layer.place, wrong, found)
        of_segments: dict[str, Terms | None] = {}
        for name in segments | layer.segments:
            said = layer.segments.get(name, {})
            segments[name] = _merged(segments.get(name, {}), said)
            of_segments[name], wrong_in[name] = _validated(
                _merged(terms, segments[name]),
                said,
                (*layer.place, "segments", name),
                wrong | wrong_in.get(name, frozenset()),
                found,
            )
        if base is not None:
            versions.append(_version(base, of_segments))
    if found:
        faults = faults_of(text, found)
        raise PolicyError("; ".join(map(str, faults)), faults)
    return PolicyBook(tuple(versions))


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    # Also what is no TOMLDecodeError: a number of five thousand digits, a thousand brackets.
    except (ValueError, RecursionError) as error:
        fault = Fault(None, "", f"not TOML: {error}")
        raise PolicyError(str(fault), [fault]) from error


def _layers(read: dict[str, Any], found: list[_Wrong]) -> Iterator[_Layer]:
    """The file's first version, then its `versions` in their order."""
    later = read.pop("versions", [])
    if "valid_from" in read:
        found.append(
            (("valid_from",), "the first version holds from the beginning, only later ones have it")
        )
        del read["valid_from"]
    yield _layer((), read, found)
    if not isinstance(later, list):
        found.append((("versions",), "write each version as [[versions]]"))
        return
    for at, one in enumerate(later):
        place: Path = ("versions", at)
        if not isinstance(one, dict):
            found.append((place, "write each version as [[versions]]"))
            continue
        found += [
            ((*place, key), "is missing") for key in ("version", "valid_from") if key not in one
        ]
        yield _layer(place, one, found)


def _layer(place: Path, said: dict[str, Any], found: list[_Wrong]) -> _Layer:
    segments = said.pop("segments", {})
    form = f"write each segment as [{'versions.' if place else ''}segments.NAME.SECTION]"
    if not isinstance(segments, dict):
        found.append(((*place, "segments"), form))
        segments = {}
    own: dict[str, dict[str, Any]] = {}
    for name, sections in segments.items():
        where: Path = (*place, "segments", name)
        if not isinstance(sections, dict):
            found.append((where, form))
            continue
        fault = name_fault(name)
        if fault is not None:
            found.append((where, f"the name of a segment {fault}"))
        found += [
            ((*where, section), f"a segment has no such section, only {', '.join(OF_ONE_SEGMENT)}")
            for section in sorted(sections.keys() - set(OF_ONE_SEGMENT))
        ]
        own[name] = {key: sections[key] for key in OF_ONE_SEGMENT if key in sections}
    return _Layer(place, said, own)


def _check_succession(shipped: dict[str, Any], layers: list[_Layer], found: list[_Wrong]) -> None:
    """Every version has a name of its own and begins after the one before it."""
    first, *later = layers
    taken: list[object] = [first.terms.get("version", shipped.get("version"))]
    since: dt.date | None = None
    for layer in later:
        version, valid_from = layer.terms.get("version"), layer.terms.get("valid_from")
        if type(valid_from) is dt.date:
            if since is not None and valid_from <= since:
                found.append(
                    ((*layer.place, "valid_from"), "must be later than that of the version before")
                )
            since = valid_from
        if version is not None and version in taken:
            found.append(((*layer.place, "version"), f"{version!r} is the name of another version"))
        taken.append(version)


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`under`, with what `over` says in its place, table by table."""
    merged = dict(under)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = (
            _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return merged


def _validated(
    merged: dict[str, Any],
    said: dict[str, Any],
    place: Path,
    inherited: frozenset[_Wrong],
    found: list[_Wrong],
) -> tuple[Terms | None, frozenset[_Wrong]]:
    """The terms, or None, and all that is wrong in them.

    A fault is told where it stands, not again where it is inherited: not when it was there before
    and `said`, the text of this place, says nothing on it.
    """
    try:
        return Terms.model_validate(merged), frozenset()
    except ValidationError as error:
        wrong = [(fault["loc"], in_plain_words(fault)) for fault in error.errors()]
    found += [
        ((*place, *path), what)
        for path, what in wrong
        if (path, what) not in inherited or _says(said, path)
    ]
    return None, frozenset(wrong)


def _says(said: Any, path: Path) -> bool:
    for part in path:
        try:
            said = said[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True


# ── from text to terms ──────────────────────────────────────────────────────────────────────────


def _version(base: Terms, segments: Mapping[str, Terms | None]) -> PolicyVersion:
    return PolicyVersion(
        version=base.version,
        valid_from=ALWAYS if base.valid_from is None else parse_day(base.valid_from.isoformat()),
        base=_policy(base),
        segments={name: _policy(terms) for name, terms in segments.items() if terms is not None},
    )


def _policy(terms: Terms) -> Policy:
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
        thresholds=tuple(_threshold(text) for text in terms.alerts.thresholds),
        rearm=_share(terms.alerts.rearm),
        forecast_days=terms.alerts.forecast_days,
        max_overdue_days=terms.overdue.max_overdue_days,
        min_overdue_amount=terms.overdue.min_overdue_amount,
        overdue_above_utilisation=_share_or_none(terms.overdue.above_utilisation),
        defer_promised=terms.overdue.defer_promised,
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


def _threshold(text: str) -> Threshold:
    """The label says which alert is up, so it is the same for "0.8" and "0.80"."""
    return Threshold(decimal_text(Decimal(text)), _share(text))


def decimal_text(number: Decimal) -> str:
    """The one spelling of an amount or a share: two digits behind the point, more if needed."""
    digits = -int(number.normalize().as_tuple().exponent)
    return f"{number:.{max(digits, 2)}f}"


def _share(text: str) -> int:
    return int(Decimal(text) * SHARE_ONE)


def _share_or_none(text: str | None) -> int | None:
    return None if text is None else _share(text)
