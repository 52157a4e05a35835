"""Policy files for tests: made up by Hypothesis, and written as TOML."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from agents.core.policy import ALWAYS, PolicyBook, PolicyVersion
from agents.core.policy_changes import Value, settings
from agents.core.policy_text import OF_ONE_SEGMENT, parse_policy
from agents.policy_file import shipped_text
from schemas.dates import format_day

SHIPPED = shipped_text()


def policy(text: str) -> PolicyBook:
    """A policy file's text on top of the policy that ships."""
    return parse_policy(text, SHIPPED)


# ── written ─────────────────────────────────────────────────────────────────────────────────────


def toml_of(table: Mapping[str, Any], under: str = "") -> str:
    """The table as TOML: what it says itself, then the tables in it."""
    own = [
        f"{json.dumps(key)} = {_toml_value(value)}"
        for key, value in table.items()
        if not _is_table(value)
    ]
    inner = []
    for key, value in table.items():
        name = under + json.dumps(key)
        if isinstance(value, dict):
            inner.append(f"[{name}]\n" + toml_of(value, f"{name}."))
        elif _is_table(value):
            inner += [f"[[{name}]]\n" + toml_of(one, f"{name}.") for one in value]
    return "\n".join([*own, *inner])


def _is_table(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and isinstance(value[0], dict))


def _toml_value(value: object) -> str:
    return value.isoformat() if isinstance(value, dt.date) else json.dumps(value)


def document_of(book: PolicyBook) -> dict[str, Any]:
    """A policy file that says every setting of a policy itself."""
    first, *later = (_version_of(version) for version in book.versions)
    return first | ({"versions": later} if later else {})


def _version_of(version: PolicyVersion) -> dict[str, Any]:
    said: dict[str, Any] = {"version": version.version}
    if version.valid_from != ALWAYS:
        said["valid_from"] = dt.date.fromisoformat(format_day(version.valid_from))
    said |= _sections_of(settings(version.base))
    segments = {name: _sections_of(settings(terms)) for name, terms in version.segments.items()}
    if segments:
        said["segments"] = {
            name: {section: said for section, said in sections.items() if section in OF_ONE_SEGMENT}
            for name, sections in segments.items()
        }
    return said


def _sections_of(values: Mapping[str, Value]) -> dict[str, Any]:
    sections: dict[str, Any] = {}
    for name, value in values.items():
        written = "none" if value is None else value
        section, _, key = name.rpartition(".")
        if section:
            sections.setdefault(section, {})[key] = written
        else:
            sections[key] = written
    return sections


# ── made up ─────────────────────────────────────────────────────────────────────────────────────

_switches = st.booleans()
_amounts = st.builds(
    lambda ten_thousandths, digits: f"{Decimal(ten_thousandths) / 10_000:.{digits}f}",
    st.integers(0, 10**17),
    st.integers(0, 4),
)
_shares = st.integers(0, 10_000).map(lambda share: str(Decimal(share) / 10_000))
_days = st.integers(0, 3650)
_names = st.sampled_from(["small", "key account", "x.y", '"quoted"', "größer"])


def _or_none(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.just("none") | values


def _section(**optional: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=optional)


@st.composite
def _alerts(draw: st.DrawFn) -> dict[str, Any]:
    thresholds = sorted(draw(st.sets(st.integers(1, 20_000), min_size=1, max_size=4)))
    rearm = draw(st.integers(0, min(thresholds[0] - 1, 10_000)))
    return {
        "thresholds": [str(Decimal(share) / 10_000) for share in thresholds],
        "rearm": str(Decimal(rearm) / 10_000),
        "forecast_days": draw(_days),
    }


_OF_A_SEGMENT = {
    "credit": _section(
        default_limit=_or_none(_amounts),
        cap_by_insurance=_switches,
        own_risk_margin=_shares,
        prepayment=_switches,
        prepayment_after_write_off=_switches,
        held_orders_consume=_switches,
        strict_fifo=_switches,
        amounts=st.sampled_from(["gross", "net"]),
        shipping_horizon_days=_or_none(_days),
    ),
    "alerts": _alerts(),
    "overdue": _section(
        max_overdue_days=_days,
        min_overdue_amount=_amounts,
        above_utilisation=_or_none(_shares),
        defer_promised=_switches,
    ),
    "dunning": _section(block_from_level=_or_none(st.integers(1, 99))),
    "insurance": _section(max_extension_days=_or_none(_days)),
    "release": _section(
        validity_days=st.integers(1, 3650),
        recheck_tolerance=_shares,
        four_eyes_above=_or_none(_amounts),
        authority=st.dictionaries(
            st.sampled_from(["clerk", "manager", "the board"]), _or_none(_amounts), min_size=1
        ),
    ),
}
_OF_EVERYBODY = {
    "currency": _or_none(st.sampled_from(["EUR", "JPY", "KWD"])),
    "fx": _section(max_age_days=_days, pivot=st.sampled_from(["EUR", "USD"])),
    "feeds": _section(payments_minutes=_or_none(st.integers(1, 525_600))),
    "documents": _section(small_balance=_amounts, remember_days=st.integers(1, 3650)),
}
_terms = _section(
    **_OF_A_SEGMENT,
    **_OF_EVERYBODY,
    segments=st.dictionaries(_names, _section(**_OF_A_SEGMENT), min_size=1, max_size=2),
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Policy files without faults, as what TOML reads from them."""
    starts = sorted(draw(st.sets(st.dates(dt.date(2020, 1, 1), dt.date(2030, 12, 31)), max_size=2)))
    later = [
        {"version": f"v{number}", "valid_from": start} | draw(_terms)
        for number, start in enumerate(starts, start=2)
    ]
    return {"version": "v1"} | draw(_terms) | ({"versions": later} if later else {})


@st.composite
def shuffled(draw: st.DrawFn, document: Any) -> Any:
    """The same, with the keys of every table in another order; versions keep theirs."""
    if isinstance(document, dict):
        keys = draw(st.permutations(list(document)))
        return {key: draw(shuffled(document[key])) for key in keys}
    if isinstance(document, list):
        return [draw(shuffled(one)) for one in document]
    return document
