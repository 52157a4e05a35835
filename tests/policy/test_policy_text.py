"""How a policy file is read: what it leaves out, segments, versions, and every fault with its
place.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy.policy_texts import SHIPPED, document_of, documents, policy, shuffled, toml_of

from agents.core.policy import in_minor
from agents.core.policy_changes import compare, settings
from agents.core.policy_lines import lines_of
from agents.core.policy_text import PolicyError, parse_policy
from schemas.dates import parse_day


def faults(text: str) -> list[str]:
    """What is wrong in a policy file, as it is told."""
    with pytest.raises(PolicyError) as raised:
        policy(text)
    told = [str(fault) for fault in raised.value.faults]
    assert str(raised.value) == "; ".join(told)
    return told


# ── what a file leaves out ──────────────────────────────────────────────────────────────────────


def test_the_policy_that_ships_leaves_nothing_out() -> None:
    (version,) = parse_policy(SHIPPED).versions
    assert version.version == "default-1"
    assert version.segments == {}
    assert [threshold.label for threshold in version.base.thresholds] == ["0.80", "0.90", "1.00"]


def test_an_empty_file_is_the_policy_that_ships() -> None:
    assert policy("").versions == parse_policy(SHIPPED).versions


def test_a_file_says_only_what_differs() -> None:
    terms = policy('version = "mine"\n[overdue]\nmax_overdue_days = 14\n').versions[0].base
    shipped = parse_policy(SHIPPED).versions[0].base
    assert (terms.version, terms.max_overdue_days) == ("mine", 14)
    assert terms.min_overdue_amount == shipped.min_overdue_amount
    assert terms.thresholds == shipped.thresholds


def test_none_switches_a_rule_off_that_is_inherited() -> None:
    text = """
        [release]
        four_eyes_above = "1000"
        [release.authority]
        clerk = "500"
        [segments.trusted.release]
        four_eyes_above = "none"
        authority = "none"
        [segments.watched.release.authority]
        clerk = "none"
        manager = "9000"
    """
    version = policy(text).versions[0]
    assert version.base.four_eyes_above == "1000"
    assert version.of("trusted").four_eyes_above is None
    assert version.of("trusted").authority == {}
    # A role without authority is not the same as a policy that names no roles.
    assert version.of("watched").authority == {"clerk": "0", "manager": "9000"}


def test_an_amount_is_cut_to_the_digits_of_its_currency() -> None:
    assert in_minor("0.0599", "EUR") == 5
    assert in_minor("0.05", "JPY") == 0
    assert in_minor("2500.5", "KWD") == 2_500_500


# ── segments and versions ───────────────────────────────────────────────────────────────────────

TWO_YEARS = """
    version = "first"
    [overdue]
    max_overdue_days = 20
    min_overdue_amount = "100"
    [segments.key.overdue]
    max_overdue_days = 40

    [[versions]]
    version = "second"
    valid_from = 2027-01-01
    [versions.overdue]
    max_overdue_days = 10
    min_overdue_amount = "50"
    [versions.segments.small.overdue]
    max_overdue_days = 5

    [[versions]]
    version = "third"
    valid_from = 2028-01-01
    [versions.segments.key.overdue]
    max_overdue_days = 30
"""


@pytest.mark.parametrize(
    ("day", "segment", "expected"),
    [
        ("2026-12-31", "", (20, "100")),
        ("2026-12-31", "key", (40, "100")),
        ("2026-12-31", "small", (20, "100")),
        ("2027-01-01", "", (10, "50")),
        ("2027-01-01", "key", (40, "50")),
        ("2027-01-01", "small", (5, "50")),
        ("2028-01-01", "", (10, "50")),
        ("2028-01-01", "key", (30, "50")),
        ("2028-01-01", "small", (5, "50")),
        ("2028-01-01", "Key", (10, "50")),
    ],
)
def test_a_segment_says_what_differs_from_its_version_and_a_version_from_the_one_before(
    day: str, segment: str, expected: tuple[int, str]
) -> None:
    terms = policy(TWO_YEARS).at(parse_day(day)).of(segment)
    assert (terms.max_overdue_days, terms.min_overdue_amount) == expected


@pytest.mark.parametrize(
    ("day", "version"),
    [
        ("0001-01-01", "first"),
        ("2026-12-31", "first"),
        ("2027-01-01", "second"),
        ("2027-12-31", "second"),
        ("2028-01-01", "third"),
        ("9999-12-31", "third"),
    ],
)
def test_the_version_of_a_day_is_the_last_that_began(day: str, version: str) -> None:
    found = policy(TWO_YEARS).at(parse_day(day))
    assert found.version == found.base.version == found.of("key").version == version


@pytest.mark.parametrize(
    ("after", "until", "changes"),
    [
        ("2026-01-01", "2026-12-31", False),
        ("2026-12-31", "2027-01-01", True),
        ("2027-01-01", "2027-01-01", False),
        ("2027-01-01", "2027-12-31", False),
        ("2026-06-01", "2029-01-01", True),
    ],
)
def test_a_book_knows_whether_another_version_comes_into_force(
    after: str, until: str, changes: bool
) -> None:
    assert policy(TWO_YEARS).changes_within(parse_day(after), parse_day(until)) is changes


# ── faults ──────────────────────────────────────────────────────────────────────────────────────

AMOUNT = 'write an amount in quotes, up to 14 digits and four behind the point, as in "2500.00"'
SHARE = (
    'write a share in quotes, from "0" to "1", up to four digits behind the point: "0.10" is 10 %'
)
NO_SUCH_SECTION = (
    "a segment has no such section, only credit, alerts, overdue, dunning, insurance, release"
)
DAY = "write a day without quotes and without a time, as in 2026-07-01"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("overdue.max_overdue_days = -1", "must be at least 0"),
        ("overdue.max_overdue_days = 4000", "must be at most 3650"),
        ("overdue.max_overdue_days = 1.5", "write a whole number, without quotes"),
        ('overdue.max_overdue_days = "30"', "write a whole number, without quotes"),
        ("overdue.max_overdue_days = true", "write a whole number, without quotes"),
        ('overdue.max_overdue_days = "none"', "write a whole number, without quotes"),
        ("release.validity_days = 0", "must be at least 1"),
        ("dunning.block_from_level = 0", "must be at least 1"),
        ("overdue.min_overdue_amount = 250", AMOUNT),
        ("overdue.min_overdue_amount = 250.00", AMOUNT),
        ('overdue.min_overdue_amount = "-1"', AMOUNT),
        ('overdue.min_overdue_amount = "1,000.00"', AMOUNT),
        ('overdue.min_overdue_amount = "1e3"', AMOUNT),
        ('overdue.min_overdue_amount = "0.00001"', AMOUNT),
        ('overdue.min_overdue_amount = "123456789012345"', AMOUNT),
        ('overdue.min_overdue_amount = "٣"', AMOUNT),
        ('overdue.min_overdue_amount = "none"', AMOUNT),
        ("release.four_eyes_above = false", AMOUNT),
        ('credit.own_risk_margin = "1.1"', SHARE),
        ('credit.own_risk_margin = "10"', SHARE),
        ('credit.own_risk_margin = "10%"', SHARE),
        ("credit.own_risk_margin = 0.1", SHARE),
        ('release.recheck_tolerance = "1.0001"', SHARE),
        ('overdue.above_utilisation = "2"', SHARE),
        ('alerts.thresholds = ["0.80", "0.80"]', "thresholds must rise from one to the next"),
        ('alerts.thresholds = ["0.90", "0.80"]', "thresholds must rise from one to the next"),
        ("alerts.thresholds = []", "name at least one"),
        ('alerts.thresholds = "0.80"', 'write a list, as in ["0.80", "0.90"]'),
        ('credit.prepayment = "yes"', "write true or false, without quotes"),
        ("credit.prepayment = 1", "write true or false, without quotes"),
        ('credit.amounts = "brutto"', 'write "gross" or "net"'),
        ('currency = "EURO"', "'EURO' is no ISO 4217 currency with minor units"),
        ('fx.pivot = "XAU"', "'XAU' is no ISO 4217 currency with minor units"),
        ("currency = 978", "write a text in quotes"),
        ('version = ""', "must not be empty"),
        ('version = " v"', "must be at most 64 characters, without blanks around them"),
        (f'version = "{"v" * 65}"', "must be at most 64 characters, without blanks around them"),
        ("version = 2", "write a text in quotes"),
        ("credit = 3", "write it as a section with its settings below"),
        (
            "release.authority = 3",
            'write it as a section, each line a role and its amount, or "none"',
        ),
        ("release.authority.clerk = 3", AMOUNT),
        (
            'release.authority = {" " = "3"}',
            "the name of role ' ' must be at most 64 characters, without blanks around them",
        ),
        ("segments = 3", "write each segment as [segments.NAME.SECTION]"),
        ("segments.key = 3", "write each segment as [segments.NAME.SECTION]"),
        ("segments.key.credit = 3", "write it as a section with its settings below"),
        ('segments.key.credit.default_limit = "-1"', AMOUNT),
        ('segments."a b".overdue.max_overdue_days = -1', "must be at least 0"),
        ("versions = 3", "write each version as [[versions]]"),
        (
            "valid_from = 2026-01-01",
            "the first version holds from the beginning, only later ones have it",
        ),
    ],
)
def test_a_fault_is_told_with_its_line_and_its_setting(line: str, told: str) -> None:
    setting = line.partition(" = ")[0]
    assert faults(f"# a comment\n\n{line}\n") == [f"line 3, {setting}: {told}"]


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("overdue.max_overdue_day = 3", ", is overdue.max_overdue_days meant?"),
        ("max_overdue_days = 3", ", is overdue.max_overdue_days meant?"),
        ("credit.max_age_days = 3", ", is fx.max_age_days meant?"),
        ("credits.prepayment = true", ", is credit meant?"),
        ("colour = 3", ""),
        ("segments.key.overdue.max_days = 3", ", is overdue.max_overdue_days meant?"),
    ],
)
def test_a_setting_that_does_not_exist_is_told_with_what_may_be_meant(
    line: str, meant: str
) -> None:
    setting = line.partition(" = ")[0].removesuffix(".prepayment")
    assert faults(line) == [f"line 1, {setting}: there is no such setting{meant}"]


def test_the_place_in_a_list_is_counted_from_one() -> None:
    (told,) = faults('[alerts]\nthresholds = [\n  "0.80",\n  0.9,\n]\n')
    assert told.startswith("line 2, alerts.thresholds[2]: write a share of the limit in quotes")


@pytest.mark.parametrize("section", ["fx", "feeds", "documents", "fxx"])
def test_a_segment_has_no_section_that_holds_for_everybody(section: str) -> None:
    assert faults(f"[segments.key.{section}]\n") == [
        f"line 1, segments.key.{section}: {NO_SUCH_SECTION}"
    ]


def test_a_segment_has_no_currency_and_needs_a_name() -> None:
    assert faults('[segments.key]\ncurrency = "USD"\n[segments.""]\n') == [
        f"line 2, segments.key.currency: {NO_SUCH_SECTION}",
        'line 3, segments."": the name of a segment must not be empty',
    ]


def test_rearm_must_leave_room_below_the_lowest_threshold() -> None:
    below = "rearm must be smaller than the lowest threshold"
    assert faults('[alerts]\nthresholds = ["0.05"]\n') == [f"line 1, alerts.rearm: {below}"]
    assert faults('[alerts]\nrearm = "0.80"\n') == [f"line 2, alerts.rearm: {below}"]
    assert policy('[alerts]\nrearm = "0.7999"\n').versions[0].base.rearm == 7999


def test_versions_need_a_day_and_a_name_of_their_own_and_stand_in_order() -> None:
    text = """version = "a"
[[versions]]
version = "b"
valid_from = 2027-01-01
[[versions]]
version = "a"
valid_from = 2027-01-01
[[versions]]
valid_from = "2028-01-01"
[[versions]]
version = "b"
valid_from = 2029-01-01T00:00:00
[[versions]]
version = "c"
"""
    assert faults(text) == [
        "line 6, versions[2].version: 'a' is the name of another version",
        "line 7, versions[2].valid_from: must be later than that of the version before",
        "line 8, versions[3].version: is missing",
        f"line 9, versions[3].valid_from: {DAY}",
        "line 11, versions[4].version: 'b' is the name of another version",
        f"line 12, versions[4].valid_from: {DAY}",
        "line 13, versions[5].valid_from: is missing",
    ]


def test_the_first_version_may_not_have_the_shipped_name_again_later() -> None:
    text = '[[versions]]\nversion = "default-1"\nvalid_from = 2027-01-01\n'
    assert faults(text) == [
        "line 2, versions[1].version: 'default-1' is the name of another version"
    ]


def test_a_fault_is_told_where_it_stands_and_not_where_it_is_inherited() -> None:
    text = """[overdue]
max_overdue_days = -1
[segments.key.overdue]
min_overdue_amount = "5"
[segments.small.overdue]
max_overdue_days = -1
[[versions]]
version = "b"
valid_from = 2027-01-01
[versions.segments.small.overdue]
min_overdue_amount = "-5"
"""
    assert faults(text) == [
        "line 2, overdue.max_overdue_days: must be at least 0",
        "line 6, segments.small.overdue.max_overdue_days: must be at least 0",
        f"line 11, versions[1].segments.small.overdue.min_overdue_amount: {AMOUNT}",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "version = ",
        "a = 1\na = 2\n",
        "valid_from = 2026-02-30",
        "a = " + "9" * 5000,
        "a = " + "[" * 50_000,
        "\0",
    ],
    ids=["no value", "said twice", "no day", "long number", "deep list", "no text"],
)
def test_what_is_no_toml_is_told_as_such(text: str) -> None:
    (fault,) = faults(text)
    assert fault.startswith("not TOML: ")


# ── for all files ───────────────────────────────────────────────────────────────────────────────


@hypothesis.settings(max_examples=40)
@given(documents())
def test_a_policy_written_with_its_own_settings_reads_back_the_same(
    document: dict[str, Any],
) -> None:
    book = policy(toml_of(document))
    again = parse_policy(toml_of(document_of(book)))
    assert [(version.version, version.valid_from) for version in again.versions] == [
        (version.version, version.valid_from) for version in book.versions
    ]
    for version, same in zip(book.versions, again.versions, strict=True):
        assert settings(same.base) == settings(version.base)
        assert {name: settings(terms) for name, terms in same.segments.items()} == {
            name: settings(terms) for name, terms in version.segments.items()
        }


@hypothesis.settings(max_examples=40)
@given(st.data(), documents())
def test_the_order_of_keys_does_not_matter(data: st.DataObject, document: dict[str, Any]) -> None:
    text = toml_of(document)
    other = toml_of(data.draw(shuffled(document)))
    spans = compare(policy(text), policy(other))
    assert [segment.changes for span in spans for segment in span.segments if segment.changes] == []
    assert [(span.old_version, span.new_version) for span in spans] == [
        (version, version) for version in (one.version for one in policy(text).versions)
    ]


_CHARACTERS = st.sampled_from("abc_[]{}=\"'.,#\n 019-") | st.characters(codec="utf-8")


@hypothesis.settings(max_examples=60)
@given(documents(), st.integers(0, 400), st.text(_CHARACTERS, max_size=8), st.integers(0, 8))
def test_a_damaged_file_is_read_or_refused_and_nothing_else(
    document: dict[str, Any], at: int, inserted: str, dropped: int
) -> None:
    text = toml_of(document)
    text = text[:at] + inserted + text[at + dropped :]
    try:
        told: Sequence[object] = policy(text).versions
    except PolicyError as error:
        told = error.faults
    assert told


@hypothesis.settings(max_examples=60)
@given(documents())
def test_every_key_is_found_on_the_line_on_which_it_is_written(document: dict[str, Any]) -> None:
    text = toml_of(document)
    written = text.split("\n")
    read = tomllib.loads(text)
    for path, line in lines_of(text).items():
        value: Any = read
        for part in path:
            value = value[part]
        named = [part for part in path if isinstance(part, str)]
        assert toml_of({named[-1]: 0}).removesuffix(" = 0") in written[line - 1]
        if isinstance(value, str) and isinstance(path[-1], str):
            assert written[line - 1] == toml_of({path[-1]: value})


def test_lines_are_counted_through_texts_lists_and_inline_tables() -> None:
    text = """\
a = '''
[not.a.table]
b = 1
'''
list = [
  1,  # one
  {x = 2},
]
[t."u.v"]
w.x = {y = [1]}
[[arrays]]
[[arrays.inner]]
k = 1
[[arrays.inner]]
k = 2
[[arrays]]
[[arrays.inner]]
k = 3
"""
    lines = lines_of(text)
    assert lines["a",] == 1
    assert lines["list", 1, "x"] == 5
    assert lines["t", "u.v"] == 9
    assert lines["t", "u.v", "w", "x", "y", 0] == 10
    assert lines["arrays", 0, "inner", 1, "k"] == 15
    assert lines["arrays", 1] == 16
    assert lines["arrays", 1, "inner", 0, "k"] == 18
    assert ("b",) not in lines


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_lines_end_as_on_any_system(ending: str) -> None:
    text = "# title\n[overdue]\nmax_overdue_days = -1\n".replace("\n", ending)
    assert faults(text) == ["line 3, overdue.max_overdue_days: must be at least 0"]
