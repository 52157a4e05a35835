"""Checks run at once, each within its time; what fails is a finding, a bug of ours is not."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from agents.doctor.findings import Check, Finding, run_all
from streams.errors import ConfigurationError

FINE = Finding("fine", "ok", "as it should be")


def test_findings_come_in_the_order_of_the_checks_whoever_ends_first() -> None:
    second_ended = threading.Event()

    def first() -> list[Finding]:
        assert second_ended.wait(10)
        return [FINE, Finding("fine", "warning", "and another")]

    def second() -> Iterator[Finding]:
        yield Finding("second", "ok", "")
        second_ended.set()

    found = run_all([Check("fine", first, ""), Check("second", second, "")], 10)
    assert [(one.check, one.verdict) for one in found] == [
        ("fine", "ok"), ("fine", "warning"), ("second", "ok"),
    ]  # fmt: skip


def test_an_error_of_the_thing_is_a_finding_with_what_to_do() -> None:
    def look() -> list[Finding]:
        raise ConfigurationError("no such file\nsecond line")

    found = run_all([Check("policy", look, "write one")], 10)
    assert found == [Finding("policy", "wrong", "no such file", "write one")]


def test_what_hangs_is_a_finding_and_the_others_are_told() -> None:
    forever = threading.Event()

    def hang() -> list[Finding]:
        forever.wait()
        return []

    found = run_all([Check("broker", hang, "start it"), Check("fine", lambda: [FINE], "")], 0.2)
    forever.set()
    assert found == [Finding("broker", "wrong", "does not answer within 0.2 s", "start it"), FINE]


def test_what_finds_nothing_says_nothing() -> None:
    assert run_all([Check("files", list, "")], 10) == []


def test_a_bug_of_ours_shows_itself() -> None:
    def look() -> list[Finding]:
        raise ZeroDivisionError("ours")

    with pytest.raises(ZeroDivisionError):
        run_all([Check("bug", look, "")], 10)
