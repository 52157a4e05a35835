"""Policies for property tests: the one that ships, with a few of its settings otherwise."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from hypothesis import strategies as st

from agents.core.policy import PolicyBook
from agents.core.policy_text import parse_policy
from schemas.dates import format_day
from schemas.events import Day

_SHIPPED = files("agents").joinpath("policy", "default.toml").read_text("utf-8")

Setting = tuple[str, str]
"""Where it stands, "section.key", and what it says, as TOML."""

_OF_A_SEGMENT: tuple[Setting, ...] = (
    ("credit.held_orders_consume", "true"),
    ("credit.strict_fifo", "true"),
    ("credit.shipping_horizon_days", "5"),
    ("credit.amounts", '"net"'),
    ("credit.prepayment", "true"),
    ("credit.prepayment_after_write_off", "true"),
    ("credit.cap_by_insurance", "true"),
    ("credit.own_risk_margin", '"0.10"'),
    ("credit.default_limit", '"4"'),
    ("overdue.max_overdue_days", "5"),
    ("overdue.min_overdue_amount", '"1.50"'),
    ("overdue.above_utilisation", '"0.40"'),
    ("dunning.block_from_level", "2"),
    ("insurance.max_extension_days", "20"),
    ("release.validity_days", "2"),
    ("release.recheck_tolerance", '"0"'),
    ("release.four_eyes_above", '"2"'),
    ("release.authority.clerk", '"1.50"'),
    ("alerts.thresholds", '["0.50", "1.00"]'),
)
_OF_ALL: tuple[Setting, ...] = (
    *_OF_A_SEGMENT,
    ("currency", '"EUR"'),
    ("documents.small_balance", '"0"'),
    ("feeds.payments_minutes", "30"),
    ("fx.max_age_days", "2"),
)


def _some_of(settings: tuple[Setting, ...], most: int) -> st.SearchStrategy[list[Setting]]:
    return st.lists(st.sampled_from(settings), max_size=most, unique_by=lambda one: one[0])


def policies(later_version_from: Day) -> st.SearchStrategy[PolicyBook]:
    """A policy, with terms of its own for the segment "key", perhaps with a second version."""
    return st.builds(
        _policy,
        _some_of(_OF_ALL, 5),
        _some_of(_OF_A_SEGMENT, 3),
        st.none() | _some_of(_OF_A_SEGMENT, 2),
        st.just(later_version_from),
    )


def policy(*settings: Setting) -> PolicyBook:
    """The policy that ships, with these settings."""
    return _policy(settings, (), None, 0)


def _policy(
    base: Iterable[Setting],
    key_segment: Iterable[Setting],
    later: Iterable[Setting] | None,
    later_from: Day,
) -> PolicyBook:
    lines = [f"{place} = {value}" for place, value in base]
    lines += [f"segments.key.{place} = {value}" for place, value in key_segment]
    if later is not None:
        lines += ["[[versions]]", 'version = "later"', f"valid_from = {format_day(later_from)}"]
        lines += [f"{place} = {value}" for place, value in later]
    return _parsed("\n".join(lines))


@cache
def _parsed(text: str) -> PolicyBook:
    return parse_policy(text, _SHIPPED)
