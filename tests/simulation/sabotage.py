"""Ways to break the product that the simulation has to notice, each as a patch for one run.

Each undoes one thing that docs/guarantees.md leans on.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

import streams.app
from streams.fast_lane.commit import ExactlyOnce
from streams.fast_lane.lane import Lane
from streams.fast_lane.outlet import Flight, Outgoing
from streams.fast_lane.partition import Batch
from streams.fast_lane.restore import Restored
from streams.fast_lane.store import PartitionStore
from streams.fast_lane.transaction import CommitError, FencedError, Transactions
from streams.kafka_client import producer_config

Sabotage = Callable[[], AbstractContextManager[Any]]


def nobody_is_fenced() -> AbstractContextManager[Any]:
    """Every opening of a partition has a transactional id of its own."""
    numbers = itertools.count()

    def open_unfenced(settings: Any, app_id: str, tp: Any, group_metadata: Any = None) -> Any:
        return Transactions(
            producer_config(settings),
            transactional_id=f"{app_id}-{tp.topic}-{tp.partition}-{next(numbers)}",
            source=(tp.topic, tp.partition),
            group_metadata=group_metadata,
        )

    return patch.object(streams.app, "open_transactions", open_unfenced)


def offsets_before_events() -> AbstractContextManager[Any]:
    """Nobody waits for events to be acknowledged before the offset behind them is committed."""
    return patch.object(Flight, "wait", lambda _flight: None)


def repeats_count_twice() -> AbstractContextManager[Any]:
    """The origin of a journal record is forgotten."""
    return patch.object(PartitionStore, "is_repeat", lambda *_origin: False)


def commits_behind_a_failed_one() -> AbstractContextManager[Any]:
    """After a commit that failed the next one goes on behind it, over a new producer."""

    class Careless(Transactions):
        def __init__(self, config: Any, **what: Any) -> None:
            self._begin: Callable[[], None] = lambda: super(Careless, self).__init__(config, **what)
            self._begin()

        def write(self, *args: Any, **state: Any) -> int:
            try:
                return super().write(*args, **state)
            except (CommitError, FencedError):
                self._begin()
                return 0

    return patch.object(streams.app, "Transactions", Careless)


def a_state_that_is_not_restored() -> AbstractContextManager[Any]:
    """A partition goes on from the disk as it is."""

    def restore(store: PartitionStore, *_clients: Any, **_places: Any) -> Restored:
        store.reload()
        return Restored(0, 0.0, store.next_offset or 0)

    return patch.object(streams.app, "restore", restore)


def answers_beside_the_transaction() -> AbstractContextManager[Any]:
    """In `exactly_once` an event leaves, and is not in the transaction that commits its step."""

    def send(guarantee: Any, outgoing: Outgoing) -> None:
        if len(guarantee.flight.held) % 5 != 4:
            guarantee.flight.hold(outgoing)

    return patch.object(ExactlyOnce, "send", send)


def failed_commits_passed_over() -> AbstractContextManager[Any]:
    """A failed commit is passed over: the worker goes on with the partition as it is."""
    return patch.object(Lane, "_begin_again", lambda *_failed: None)


def a_step_that_failed_counts() -> AbstractContextManager[Any]:
    """What the rules began before they failed is committed, the rest of the step passed over."""
    return patch.object(Batch, "abandon", lambda *_why: None)
