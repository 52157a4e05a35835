"""Whoever looks for personal data in a log finds it."""

from __future__ import annotations

import json
import logging

import pytest
from observed.canaries import AMOUNT, Canaries, leaks

from agents.intake.rules import check
from schemas.events import INCOMING, JOURNAL_ONLY, CustomerUpserted
from streams.logs import JsonLines, TextLines

_DAY = 20_000


@pytest.fixture
def canaries() -> Canaries:
    return Canaries()


@pytest.mark.parametrize("lines", [JsonLines(), TextLines()])
def test_a_line_that_says_what_an_event_says_is_noticed(
    lines: logging.Formatter, canaries: Canaries
) -> None:
    """As somebody would write it who did not think of it."""
    (event,) = (one for one in canaries.events("C-1", _DAY) if isinstance(one, CustomerUpserted))
    careless = [
        ("cannot apply %r", event),
        ("a letter to %s", event.email),
        ("welcome, %s", (event.name or "").upper()),
        ("limit is %.2f", AMOUNT / 100),
    ]
    for message, what in careless:
        record = logging.LogRecord("agents.x", logging.INFO, "", 1, message, (what,), None)
        assert leaks(lines.format(record), canaries.put), message
    record = logging.LogRecord("agents.x", logging.INFO, "", 1, "%s", (event.event_id,), None)
    assert leaks(lines.format(record), canaries.put) == []


def test_every_type_that_comes_in_has_words_in_it_or_has_nowhere_to_put_them(
    canaries: Canaries,
) -> None:
    taken = list(canaries.events("C-1", _DAY))
    assert {type(one) for one in taken} == set(INCOMING) - set(JOURNAL_ONLY)
    assert [one for one in taken if check(one) is not None] == []
    put = " ".join(canaries.put.values())
    for field in ("name", "email", "phone", "reason", "by", "confirmed_by", "detail", "provider"):
        assert f".{field}" in put


def test_what_is_broken_is_refused_for_the_word_in_it(canaries: Canaries) -> None:
    broken = list(canaries.broken("C-1", _DAY))
    assert len(broken) >= 12
    for event in broken:
        refusal = check(event)
        assert refusal is not None
        assert leaks(refusal.detail, canaries.put), "the dead letter says it; the log must not"
        assert json.loads(json.dumps(refusal.reason)).isidentifier()
