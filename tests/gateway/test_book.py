"""What a gateway keeps of decisions, without brokers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway.test_desk import decided

from agents.gateway.book import (
    DECISIONS,
    Answered,
    DecisionBook,
    content_hash,
    request_event_id,
    request_name,
)
from schemas.events import OrderDecision
from streams.codec import Codec
from streams.record import Record
from streams.registry import LockedSchemaIds

CODEC = Codec(LockedSchemaIds())
NAME = request_name("shop", "key-1")
CONTENT = content_hash(b"body")
EVENT = request_event_id(NAME, CONTENT)


class Kept:
    """A book that is told what was read."""

    def __init__(self, directory: Path) -> None:
        self.heard: list[OrderDecision] = []
        self.book = DecisionBook({}, CODEC, directory, self.heard.extend)
        self._offset = 0

    def read(self, *decisions: OrderDecision | bytes) -> None:
        records = []
        for one in decisions:
            raw = one if isinstance(one, bytes) else CODEC.encode(one)
            records.append(Record(DECISIONS, 0, self._offset, 0, b"C-1", raw, []))
            self._offset += 1
        self.book.take(records)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    one = Kept(tmp_path)
    yield one
    one.book.close()


def test_a_request_has_its_first_decision_an_order_its_last(kept: Kept) -> None:
    first = decided(EVENT, decision="held")
    released = decided("paid", decision="released", decision_number=2)
    kept.read(first, released)
    assert kept.book.answer_to(NAME) == Answered(CONTENT, first)
    assert kept.book.latest_on("O-1", "C-1") == [released]
    assert kept.heard == [first, released]


@pytest.mark.parametrize("together", [True, False])
def test_what_comes_once_more_after_a_crash_is_not_the_last_word(
    kept: Kept, together: bool
) -> None:
    first = decided(EVENT, decision="held")
    released = decided("paid", decision="released", decision_number=2)
    if together:
        kept.read(first, released, first)
    else:
        kept.read(first, released)
        kept.read(first)
    assert kept.book.latest_on("O-1", "C-1") == [released]
    assert kept.book.answer_to(NAME) == Answered(CONTENT, first)


def test_a_number_of_two_digits_comes_behind_one_of_one(kept: Kept) -> None:
    decisions = [decided("e", decision_number=n) for n in range(1, 12)]
    kept.read(*decisions)
    assert kept.book.latest_on("O-1", "C-1") == [decisions[-1]]


def test_an_id_that_several_customers_use_is_told_apart(kept: Kept) -> None:
    mine, theirs = decided("a"), decided("b", customer_id="C-2")
    longer = decided("c", order_id="O-10")
    kept.read(mine, theirs, longer)
    assert kept.book.latest_on("O-1") == [mine, theirs]
    assert kept.book.latest_on("O-1", "C-2") == [theirs]
    assert kept.book.latest_on("O-") == []
    assert kept.book.latest_on("O-1", "C-3") == []


def test_what_cannot_be_read_and_what_nobody_asked_for_is_passed_over(kept: Kept) -> None:
    kept.read(b"rubbish", decided("of the topic"))
    assert kept.book.answer_to(NAME) is None
    assert [one.cause_event_id for one in kept.heard] == ["of the topic"]


def test_it_is_all_there_after_a_new_start(tmp_path: Path) -> None:
    before: Any = Kept(tmp_path)
    first = decided(EVENT)
    before.read(first)
    before.book.close()
    after = Kept(tmp_path)
    assert after.book.answer_to(NAME) == Answered(CONTENT, first)
    assert after.book.latest_on("O-1") == [first]
    after.book.close()
