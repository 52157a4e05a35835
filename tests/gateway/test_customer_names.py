"""Names of customers as a gateway keeps them, without brokers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.gateway.customer_names import CUSTOMERS, CustomerNames, beginnings, folded
from schemas.events import CustomerBlocked, CustomerUpserted, Event
from streams.codec import Codec
from streams.record import Record
from streams.registry import LockedSchemaIds

CODEC = Codec(LockedSchemaIds())


class Kept:
    """Names that are told what was read."""

    def __init__(self, directory: Path) -> None:
        self.names = CustomerNames({}, CODEC, directory)
        self._offset = 0

    def read(self, *events: Event) -> None:
        records = []
        for event in events:
            records.append(Record(CUSTOMERS, 0, self._offset, 0, b"k", CODEC.encode(event), []))
            self._offset += 1
        self.names.take(records)

    def found(self, text: str) -> list[str]:
        return [one.customer_id for one in self.names.starting(text, None)]


def said(customer_id: str, name: str | None, at: int) -> CustomerUpserted:
    return CustomerUpserted(
        event_id=f"{customer_id}-{at}", occurred_at=at, customer_id=customer_id, currency="EUR",
        credit_limit=None, name=name,
    )  # fmt: skip


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    one = Kept(tmp_path)
    yield one
    one.names.close()


@pytest.mark.parametrize("together", [True, False])
def test_the_latest_name_is_the_one_that_counts(kept: Kept, together: bool) -> None:
    """Whatever comes last."""
    events = [
        said("C-1", "First", 1), said("C-1", "Third Name", 3), said("C-1", "Second", 2),
        said("C-2", "Third", 1),
    ]  # fmt: skip
    for some in [events] if together else [[one] for one in events]:
        kept.read(*some)
    assert kept.found("first") == kept.found("second") == []
    assert kept.found("third") == ["C-2", "C-1"]
    assert kept.found("name") == ["C-1"]
    kept.read(said("C-1", None, 4))
    assert kept.found("third") == ["C-2"]


def test_what_is_not_about_names_and_what_cannot_be_read_is_passed_over(kept: Kept) -> None:
    blocked = CustomerBlocked(event_id="b", occurred_at=1, customer_id="C-1", reason="r", by="x")
    kept.read(blocked, said("C-1", "Name", 1))
    kept.names.take([Record(CUSTOMERS, 0, 9, 0, b"k", b"rubbish", [])])
    assert kept.found("n") == ["C-1"]


def test_it_is_all_there_after_a_new_start(tmp_path: Path) -> None:
    before = Kept(tmp_path)
    before.read(said("C-1", "Name", 5))
    before.names.close()
    after = Kept(tmp_path)
    after.read(said("C-1", "Older", 1))
    assert after.found("") == ["C-1"]
    assert after.found("name") == ["C-1"]
    after.names.close()


def test_one_goes_on_behind_where_the_page_before_ended(kept: Kept) -> None:
    kept.read(*(said(f"C-{n}", "Jan Jansen Jan", n) for n in range(5)), said("D", "Jaap", 1))
    every = list(kept.names.starting("ja", None))
    assert [one.customer_id for one in every] == ["D", "C-0", "C-1", "C-2", "C-3", "C-4"]
    for at, one in enumerate(every):
        assert list(kept.names.starting("ja", one)) == every[at + 1 :]


@given(st.text(max_size=200))
def test_any_name_is_found_by_how_it_begins(name: str) -> None:
    begins = beginnings(name)
    assert len(begins) <= 8
    assert all(len(one) <= 64 and "\0" not in one for one in begins)
    if begins:
        assert folded(name).startswith(begins[0])
