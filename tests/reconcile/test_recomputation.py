"""A journal on which the rules fail is recomputed as a worker went through it."""

from __future__ import annotations

from pathlib import Path

import pytest
from credit.journals import CUSTOMER, Journal
from credit.office import entries
from credit.policy_worlds import policy
from credit.test_parking import Desk, discarded, order_fails, retried

from agents.credit import parking, state
from agents.reconcile import recomputation
from agents.reconcile.expected import ExpectedFigures
from agents.reconcile.recomputation import Recomputation
from agents.reconcile.shelf import Shelf
from schemas.catalogue import JOURNAL
from schemas.events import Event
from streams.codec import Codec
from streams.fast_lane.store import Memory, PartitionStore, plumbing_of
from streams.record import Record
from streams.registry import LockedSchemaIds

_CODEC = Codec(LockedSchemaIds())


def told() -> list[Event]:
    journal = Journal()
    journal.customer(1_000)
    journal.customer(1_000, "C-2")
    journal.order("O-1", 300)
    journal.order("O-2", 300)
    journal.order("O-3", 300)
    journal.wait(1)
    journal.order("O-4", 300, "C-2")
    journal += [retried(number=1), discarded("e-4"), retried(number=2)]
    journal.order("O-5", 10)
    return journal


@pytest.mark.parametrize("records_per_write", [1, 3, 100])
def test_what_failed_is_taken_back_and_parked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, records_per_write: int
) -> None:
    monkeypatch.setattr(recomputation, "_RECORDS_PER_WRITE", records_per_write)
    memory = Memory(block_cache_bytes=1 << 20, write_buffer_bytes=1 << 20)
    store = PartitionStore(tmp_path / "state", state, memory)
    figures = ExpectedFigures(Shelf(tmp_path / "figures"), 0, _CODEC.encode, policy())
    second = Recomputation(store, _CODEC, policy(), figures)
    desk = Desk(policy())
    parked = []
    with order_fails("O-2"):
        for offset, event in enumerate(told()):
            record = Record(JOURNAL, 0, offset, 0, CUSTOMER.encode(), _CODEC.encode(event), [])
            said = desk.apply(event)
            wanted = [one for one in said if isinstance(one, Event)]
            assert [one for one in second.apply(record) if isinstance(one, Event)] == wanted
            parked.append(list(parking.parked_in(store)))
    second.stand_at(len(parked))
    assert parked[3:] == [[], *[[CUSTOMER]] * 6, [], []]
    found = {key: raw for key, raw in store.committed() if plumbing_of(key) is None}
    assert found == {key.encode(): state.encode(key, value) for key, value in entries(desk.ledger)}
    store.close()
