"""What a policy says, setting by setting, and what changes from one to another."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import hypothesis
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy.policy_texts import documents, policy, toml_of

from agents.core.policy import Policy, PolicyBook
from agents.core.policy_changes import (
    Change,
    SegmentChanges,
    Span,
    changes,
    compare,
    reused_names,
    settings,
)
from agents.dunning.book import DunningBook
from agents.law_files import load_laws
from agents.procedure_files import load_procedures
from agents.working_days import known_holidays
from schemas.dates import parse_day
from schemas.events import Day

SHIPPED = policy("").versions[0].base


def test_every_term_shows_in_one_setting() -> None:
    """A setting that no comparison showed could change without anybody seeing it."""
    shown = []
    for field in Policy.__struct_fields__:
        if field == "version":
            continue
        other = msgspec.structs.replace(SHIPPED, **{field: _another(field)})
        (change,) = changes(SHIPPED, other)
        shown.append(change.setting)
    assert sorted(shown) == sorted(settings(SHIPPED))


def _another(field: str) -> Any:
    value = getattr(SHIPPED, field)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if field in {"currency", "fx_pivot"}:
        return "USD"
    if field == "thresholds":
        return SHIPPED.thresholds[1:]
    if field == "authority":
        return {"clerk": "0"}
    return 1 if field in _NUMBERS_OR_NONE else "7"


_NUMBERS_OR_NONE = {
    "shipping_horizon_days",
    "overdue_above_utilisation",
    "block_from_level",
    "max_extension_days",
    "payments_feed_minutes",
}


@pytest.mark.parametrize(
    "spelled",
    [
        '[overdue]\nmin_overdue_amount = "0.0000"\n',
        '[alerts]\nthresholds = ["0.8", "0.900", "1"]\nrearm = "0.050"\n',
        '[release]\nrecheck_tolerance = "0.1"\n',
        '[credit]\ndefault_limit = "none"\n',
        'version = "another name"\n',
    ],
)
def test_what_decides_the_same_is_no_change(spelled: str) -> None:
    assert changes(SHIPPED, policy(spelled).versions[0].base) == []


def test_changes_stand_in_the_order_of_the_file_with_both_values() -> None:
    text = """
        currency = "EUR"
        [documents]
        small_balance = "1"
        [release.authority]
        clerk = "1500.5"
        [credit]
        shipping_horizon_days = 28
    """
    assert changes(SHIPPED, policy(text).versions[0].base) == [
        Change("currency", None, "EUR"),
        Change("credit.shipping_horizon_days", None, 28),
        Change("release.authority", None, {"clerk": "1500.50"}),
        Change("documents.small_balance", "0.05", "1.00"),
    ]


def test_a_comparison_tells_for_whom_and_on_which_days() -> None:
    old = policy("""
        version = "old-1"
        [segments.small.overdue]
        max_overdue_days = 7
        [[versions]]
        version = "old-2"
        valid_from = 2027-01-01
        [versions.overdue]
        max_overdue_days = 20
    """)
    new = policy("""
        version = "new-1"
        [overdue]
        max_overdue_days = 20
        [[versions]]
        version = "new-2"
        valid_from = 2027-07-01
        [versions.segments.key.overdue]
        max_overdue_days = 60
    """)
    january, july = parse_day("2027-01-01"), parse_day("2027-07-01")
    days = "overdue.max_overdue_days"
    assert compare(old, new) == [
        Span(
            None,
            january - 1,
            "old-1",
            "new-1",
            [
                SegmentChanges(None, [Change(days, 30, 20)]),
                SegmentChanges("small", [Change(days, 7, 20)]),
            ],
        ),
        Span(
            january,
            july - 1,
            "old-2",
            "new-1",
            [SegmentChanges(None, []), SegmentChanges("small", [Change(days, 7, 20)])],
        ),
        Span(
            july,
            None,
            "old-2",
            "new-2",
            [
                SegmentChanges(None, []),
                SegmentChanges("key", [Change(days, 20, 60)]),
                SegmentChanges("small", [Change(days, 7, 20)]),
            ],
        ),
    ]


def test_a_name_that_comes_to_stand_for_other_terms_is_told() -> None:
    old = policy('version = "a"\n[[versions]]\nversion = "b"\nvalid_from = 2027-01-01\n')
    same = policy('version = "a"\n[fx]\nmax_age_days = 7\n')
    other = policy('version = "a"\n[segments.key.credit]\nprepayment = true\n')
    renamed = policy('version = "c"\n[credit]\nprepayment = true\n')
    assert reused_names(old, same) == []
    assert reused_names(old, other) == ["a"]
    assert reused_names(old, renamed) == []
    assert reused_names(policy(""), policy("[credit]\nprepayment = true\n")) == ["default-1"]


# ── for all policies ────────────────────────────────────────────────────────────────────────────

_books = documents().map(lambda document: policy(toml_of(document)))


@hypothesis.settings(max_examples=25)
@given(_books)
def test_nothing_changes_from_a_policy_to_itself(book: PolicyBook) -> None:
    spans = compare(book, book)
    assert [span.old_version for span in spans] == [version.version for version in book.versions]
    assert not any(segment.changes for span in spans for segment in span.segments)
    assert reused_names(book, book) == []


@hypothesis.settings(max_examples=25)
@given(_books, _books)
def test_the_way_back_is_the_mirror_image(old: PolicyBook, new: PolicyBook) -> None:
    assert compare(new, old) == [
        Span(
            span.valid_from,
            span.valid_until,
            span.new_version,
            span.old_version,
            [
                SegmentChanges(
                    segment.segment,
                    [Change(one.setting, one.new, one.old) for one in segment.changes],
                )
                for segment in span.segments
            ],
        )
        for span in compare(old, new)
    ]


@hypothesis.settings(max_examples=25)
@given(_books, _books, st.integers(parse_day("2019-01-01"), parse_day("2032-01-01")))
def test_every_day_is_in_one_span_which_says_what_changes_on_it(
    old: PolicyBook, new: PolicyBook, day: Day
) -> None:
    spans = compare(old, new)
    assert spans[0].valid_from is None
    assert spans[-1].valid_until is None
    for one, following in pairwise(spans):
        assert one.valid_until is not None
        assert one.valid_until + 1 == following.valid_from
    (span,) = [one for one in spans if _holds_on(one, day)]
    assert (span.old_version, span.new_version) == (old.at(day).version, new.at(day).version)
    for segment in span.segments:
        name = segment.segment or "nobody's"
        assert segment.changes == changes(old.at(day).of(name), new.at(day).of(name))


def _holds_on(span: Span, day: Day) -> bool:
    begun = span.valid_from is None or span.valid_from <= day
    return begun and (span.valid_until is None or day <= span.valid_until)


def test_a_book_keeps_by_what_is_dunned_when_another_policy_takes_over() -> None:
    dunning = DunningBook(load_procedures(None), load_laws(None), known_holidays)
    book = policy("").with_dunning(dunning)
    assert book.dunning is dunning
    after = book.followed_by(policy(""), parse_day("2026-03-01"))
    assert after.dunning is dunning
    assert after.with_dunning(None).dunning is None
