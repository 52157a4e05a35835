"""Copies of the state of partitions that others own, kept up to date from the changelog.

Whoever has such a copy reads only the end of the changelog when it takes the partition over,
however large the state is. A thread of its own reads committed records for all copies of an agent.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streams.fast_lane.asker import Asker
from streams.fast_lane.fail_stop import stop_the_process
from streams.fast_lane.restore import changelog_reader, where_to_read_on
from streams.fast_lane.store import PartitionStore
from streams.kafka_client import Complaint, cause_of

logger = logging.getLogger(__name__)

_RECORDS_PER_WRITE = 10_000
_LISTEN_SECONDS = 0.02
_ASK_SECONDS = 3.0
_CONFIRM_SECONDS = 600.0
"""A copy to which nothing was added for so long is looked at: the disk notes that it is not old."""


class Standbys:
    """The copies that this worker keeps for one agent.

    Args:
        config: of the client.
        group: names the client to the brokers; it is not joined.
        changelog: topic of the state.
        changelog_id: the broker's id of it.
        open_store: opens the disk of a partition; who calls it owns the store.
        ask_for_a_round: the copies that this worker is to take over are there.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        group: str,
        changelog: str,
        changelog_id: str,
        open_store: Callable[[int], PartitionStore],
        ask_for_a_round: Callable[[], None],
    ) -> None:
        self._config = config
        self._group = group
        self._changelog = changelog
        self._changelog_id = changelog_id
        self._open_store = open_store
        self._ask_for_a_round = ask_for_a_round
        self._wanted: frozenset[int] = frozenset()
        self._warming: frozenset[int] = frozenset()
        self._ready: frozenset[int] = frozenset()
        self._copies: dict[int, PartitionStore] = {}
        self._confirmed_at: dict[int, float] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._complain = Complaint()

    # ── any thread's side ───────────────────────────────────────────────────────────────────────

    def follow(self, copies: Collection[int], warming: Collection[int]) -> None:
        """Keep copies of these partitions, of no others. When those that are `warming` are up to
        date, another round is asked for.
        """
        with self._changed:
            self._wanted = frozenset(copies)
            self._warming = frozenset(warming)
            self._changed.notify_all()
        if self._wanted and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="standby", daemon=True)
            self._thread.start()

    def release(self, partition: int) -> None:
        """Let go of a copy; when this returns its disk can be opened."""
        with self._changed:
            self._wanted -= {partition}
            self._changed.notify_all()
            self._changed.wait_for(lambda: partition not in self._copies)

    def copy(self, partition: int) -> PartitionStore | None:
        """The copy of a partition, to glance at; None while it is not up to date."""
        return self._copies.get(partition) if partition in self._ready else None

    def ready(self) -> frozenset[int]:
        """The partitions whose copy has been up to date since it was begun."""
        return self._ready

    def stop(self) -> None:
        """Let go of everything."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    # ── the thread's side ───────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        consumer = changelog_reader(self._config, self._group)
        asker = Asker(self._config, self._group)
        try:
            while not self._stopping:
                self._obey(consumer, asker)
                if self._copies:
                    self._read(consumer)
                    self._confirm(asker)
                else:
                    with self._changed:
                        self._changed.wait_for(lambda: self._wanted or self._stopping)
        except Exception as error:  # noqa: BLE001  without it no copy would be kept, in silence
            stop_the_process("a standby cannot be kept", error)
        finally:
            for partition in list(self._copies):
                self._close(partition, consumer)
            asker.close()
            consumer.close()

    def _obey(self, consumer: Consumer, asker: Asker) -> None:
        for partition in self._copies.keys() - self._wanted:
            self._close(partition, consumer)
        for partition in self._wanted - self._copies.keys():
            self._open(partition, consumer, asker)
        with self._changed:
            warm = self._warming and self._warming <= self._ready
            if warm:
                self._warming = frozenset()
        if warm:
            self._ask_for_a_round()

    def _open(self, partition: int, consumer: Consumer, asker: Asker) -> None:
        with self._changed:
            if partition not in self._wanted:
                return
            store = self._copies[partition] = self._open_store(partition)
        place = TopicPartition(self._changelog, partition)
        try:
            start, _end = where_to_read_on(store, asker, place, self._changelog_id)
        except KafkaException as error:
            self._complain("standby of %s waits: %s", self._changelog, cause_of(error).str())
            self._close(partition, consumer)
            time.sleep(_LISTEN_SECONDS)
            return
        self._confirmed_at[partition] = time.monotonic()
        consumer.incremental_assign([start])

    def _close(self, partition: int, consumer: Consumer) -> None:
        if self._confirmed_at.pop(partition, None) is not None:
            consumer.incremental_unassign([TopicPartition(self._changelog, partition)])
        self._copies[partition].close()
        with self._changed:
            self._ready -= {partition}
            del self._copies[partition]
            self._changed.notify_all()

    def _read(self, consumer: Consumer) -> None:
        first = consumer.poll(_LISTEN_SECONDS)
        if first is None:
            return
        changes: dict[int, dict[bytes, bytes | None]] = {}
        offsets: dict[int, int] = {}
        ended: set[int] = set()
        for message in [first, *consumer.consume(_RECORDS_PER_WRITE, 0)]:
            partition, offset = message.partition(), message.offset() or 0
            if partition not in self._copies or partition is None:
                continue
            if message.error() is None:
                changes.setdefault(partition, {})[message.key() or b""] = message.value()
                offsets[partition] = offset + 1
            elif self._is_end(message, partition, consumer):
                offsets[partition] = max(offset, offsets.get(partition, 0))
                ended.add(partition)
        for partition, offset in offsets.items():
            if partition in self._copies:
                self._copies[partition].write(
                    changes.get(partition, {}), changelog_offset=offset, now=time.time()
                )
                self._confirmed_at[partition] = time.monotonic()
        for partition in ended & self._copies.keys() - self._ready:
            logger.info("%s-%s: the standby is up to date", self._changelog, partition)
            self._ready |= {partition}

    def _is_end(self, message: Message, partition: int, consumer: Consumer) -> bool:
        """Whether an error says that the log ends here. Otherwise see to it."""
        error = message.error()
        assert error is not None  # noqa: S101  the caller looked
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  its public name
            return True
        if error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001
            # What we were to read on from is gone: look again at what the disk is worth.
            self._close(partition, consumer)
        else:
            self._complain("standby of %s: %s", self._changelog, error.str())
        return False

    def _confirm(self, asker: Asker) -> None:
        """Note that a copy is as good as the changelog, to which nothing was added."""
        now = time.monotonic()
        for partition, at in list(self._confirmed_at.items()):
            if now - at < _CONFIRM_SECONDS or partition not in self._ready:
                continue
            self._confirmed_at[partition] = now
            store = self._copies[partition]
            try:
                _, end = asker.bounds(TopicPartition(self._changelog, partition), _ASK_SECONDS)
            except KafkaException:
                continue  # in ten minutes there is another look
            if end <= store.changelog_offset:
                store.write({}, changelog_offset=end, now=time.time())
