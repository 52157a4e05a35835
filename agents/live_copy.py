"""A copy of the live state that is kept up to date, for services that answer questions.

It is read from the changelogs, as a hot standby is, and so is behind the workers by their commit
interval and some milliseconds. It belongs to no group and holds nothing up.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from confluent_kafka.admin import AdminClient

from agents.core.ledger import Ledger
from agents.credit import state
from schemas.catalogue import credit_changelog
from streams.fast_lane.standby import Standbys
from streams.fast_lane.store import Memory, PartitionStore
from streams.kafka_client import client_config, topic_facts
from streams.partitioning import partition_of
from streams.settings import Settings

_CACHED_KEYS = 1
"""Nothing is kept decoded: the copy is looked at while it is written."""
_BLOCK_CACHE = 64 << 20
_WRITE_BUFFERS = 64 << 20


class CopyNotReadyError(Exception):
    """The copy has not read all there is yet."""


class Place(NamedTuple):
    """Where an account is: the ledger of its partition, and its id there."""

    ledger: Ledger
    account_id: str


class LiveCopy:
    """All partitions of an installation's state.

    Args:
        settings: broker and application.
        directory: of the disk; kept, so that the next start is quick.

    Raises:
        TopicMissingError: no worker has run yet.
    """

    def __init__(self, settings: Settings, directory: Path) -> None:
        changelog = credit_changelog(settings.app_id)
        facts = topic_facts(AdminClient(client_config(settings)), [changelog])[changelog]
        self._memory = Memory(block_cache_bytes=_BLOCK_CACHE, write_buffer_bytes=_WRITE_BUFFERS)
        self._directory = directory
        self._partitions = facts.partitions
        self._standbys = Standbys(
            client_config(settings),
            group=f"{settings.app_id}-copy",
            changelog=changelog,
            changelog_id=facts.id,
            open_store=self._open,
            ask_for_a_round=lambda: None,
        )
        self._standbys.follow(range(facts.partitions), [])

    def missing(self) -> list[int]:
        """Partitions that have not been read to their end yet."""
        return sorted(set(range(self._partitions)) - self._standbys.ready())

    def place_of(self, customer_id: str) -> Place:
        """Where the customer's account is: with the customer, with a group, or with the customer
        into which it was merged. There may be none.

        Raises:
            CopyNotReadyError: it is not known yet.
        """
        account_id, home = customer_id, customer_id
        while True:
            ledger = self._ledger(home)
            if ledger.get(state.account_key(account_id)) is not None:
                return Place(ledger, account_id)
            seat: state.Seat | None = ledger.get(state.seat_key(account_id))
            if seat is not None and seat.merged_into:
                account_id = home = seat.merged_into
            elif seat is not None and seat.group_id and home != seat.group_id:
                home = seat.group_id
            else:
                return Place(ledger, account_id)

    def ledgers(self) -> list[Ledger]:
        """Those of all partitions. Raises `CopyNotReadyError` when one has not been read yet."""
        return [self._of_partition(partition) for partition in range(self._partitions)]

    def close(self) -> None:
        """Let go of the disk."""
        self._standbys.stop()

    def _open(self, partition: int) -> PartitionStore:
        path = self._directory / str(partition)
        return PartitionStore(path, state, self._memory, cached_keys=_CACHED_KEYS)

    def _ledger(self, key: str) -> Ledger:
        return self._of_partition(partition_of(key.encode(), self._partitions))

    def _of_partition(self, partition: int) -> Ledger:
        store = self._standbys.copy(partition)
        if store is None:
            raise CopyNotReadyError(f"partition {partition}")
        return store.glance()
