"""A copy of the live state that is kept up to date, for services that answer questions.

It is read from the changelogs, as a hot standby is, and so is behind the workers by their commit
interval and some milliseconds. It belongs to no group and holds nothing up.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from confluent_kafka.admin import AdminClient

from agents.core.ledger import Ledger
from agents.credit import state
from schemas.catalogue import credit_changelog
from streams.fast_lane.standby import Standbys
from streams.fast_lane.store import Memory, PartitionStore, is_of_ledger
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


class Watch(Protocol):
    """Hears of what the copy takes in, in the copy's thread, which waits for it."""

    def opened(self, partition: int) -> None:
        """The copy of a partition begins: what was known of it is not to be relied on."""
        ...

    def changed(self, partition: int, keys: Collection[bytes]) -> None:
        """These keys have been written, or deleted."""
        ...


class LiveCopy:
    """All partitions of an installation's state.

    Args:
        settings: broker and application.
        directory: of the disk; kept, so that the next start is quick.
        watch: hears of changes.

    Raises:
        TopicMissingError: no worker has run yet.
    """

    def __init__(self, settings: Settings, directory: Path, watch: Watch | None = None) -> None:
        changelog = credit_changelog(settings.app_id)
        facts = topic_facts(AdminClient(client_config(settings)), [changelog])[changelog]
        self._memory = Memory(block_cache_bytes=_BLOCK_CACHE, write_buffer_bytes=_WRITE_BUFFERS)
        self._directory = directory
        self._watch = watch
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
        return [self.of_partition(partition) for partition in range(self._partitions)]

    def of_partition(self, partition: int) -> Ledger:
        """That of one partition. Raises `CopyNotReadyError`."""
        store = self._standbys.copy(partition)
        if store is None:
            raise CopyNotReadyError(f"partition {partition}")
        return store.glance()

    @property
    def partitions(self) -> int:
        """How many there are."""
        return self._partitions

    def close(self) -> None:
        """Let go of the disk."""
        self._standbys.stop()

    def _open(self, partition: int) -> PartitionStore:
        path = self._directory / str(partition)
        if self._watch is None:
            return PartitionStore(path, state, self._memory, cached_keys=_CACHED_KEYS)
        self._watch.opened(partition)
        return _WatchedStore(path, self._memory, self._watch, partition)

    def _ledger(self, key: str) -> Ledger:
        return self.of_partition(partition_of(key.encode(), self._partitions))


class _WatchedStore(PartitionStore):
    def __init__(self, path: Path, memory: Memory, watch: Watch, partition: int) -> None:
        super().__init__(path, state, memory, cached_keys=_CACHED_KEYS)
        self._watch = watch
        self._partition = partition

    def write(
        self, changes: Mapping[bytes, bytes | None], *, changelog_offset: int, now: float
    ) -> None:
        super().write(changes, changelog_offset=changelog_offset, now=now)
        self._watch.changed(self._partition, [key for key in changes if is_of_ledger(key)])
