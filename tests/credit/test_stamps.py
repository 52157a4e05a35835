"""Of facts that replace each other the one that arose last counts, whenever it arrives."""

from __future__ import annotations

from agents.core.records import Stamp
from agents.credit.stamps import supersedes
from schemas.events import CustomerBlocked


def _event(event_id: str, at: int) -> CustomerBlocked:
    return CustomerBlocked(
        event_id=event_id, occurred_at=at, customer_id="C-1", reason="fraud", by="ann"
    )


def test_what_arose_later_replaces_what_arose_before_and_never_the_other_way() -> None:
    stamp = Stamp()
    assert supersedes(stamp, _event("e-1", 10))
    assert not supersedes(stamp, _event("e-0", 9))
    assert supersedes(stamp, _event("e-2", 11))
    assert not supersedes(stamp, _event("e-1", 10))
    assert (stamp.at, stamp.event_ids) == (11, ["e-2"])


def test_of_one_instant_the_later_to_arrive_counts_and_repeats_do_not() -> None:
    stamp = Stamp()
    assert supersedes(stamp, _event("e-1", 10))
    assert supersedes(stamp, _event("e-2", 10))
    assert not supersedes(stamp, _event("e-1", 10))
    assert not supersedes(stamp, _event("e-2", 10))
    assert stamp.event_ids == ["e-1", "e-2"]
