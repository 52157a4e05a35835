"""Bringing a partition's store up to what is committed, from its changelog.

The disk is a cache of the changelog and says up to which changelog offset it is one. It may be
behind (a crash, a loss of power, another worker's turn in between): the rest is read. It may not be
ahead, since the disk is written after the transaction; if it looks so, or belongs to a changelog
that was deleted and made anew, it is thrown away.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from streams.errors import HeadroomError
from streams.fast_lane.asker import Asker
from streams.fast_lane.store import PartitionStore

logger = logging.getLogger(__name__)

KEPT_DISK_SECONDS = 12 * 3600.0
"""A disk not written for longer is not trusted. Compaction may have dropped the tombstones of keys
that it still holds: it keeps them for `delete.retention.ms`, at least a day, after they were
written.
"""

_REQUEST_SECONDS = 3.0
_PATIENCE_SECONDS = 20.0
_RECOVERY_SECONDS = 10.0
_BACK_OFF_SECONDS = 0.2
_LISTEN_SECONDS = 1.0
_GATHER_SECONDS = 0.01

_Answer = TypeVar("_Answer")
_RECORDS_PER_WRITE = 10_000


class StateLostError(HeadroomError):
    """State, committed offset and journal do not fit together: going on would skip events."""


class OpeningAbandonedError(Exception):
    """The partition was revoked while it was being opened; what was read so far is on disk."""


class Restored(NamedTuple):
    """How a partition was brought up to date: `records` read from the changelog in `seconds`."""

    records: int
    seconds: float
    next_offset: int


def restore(
    store: PartitionStore,
    config: Mapping[str, Any],
    asker: Asker,
    *,
    group: str,
    source: tuple[str, int],
    changelog: str,
    changelog_id: str,
    abandoned: Callable[[], bool] = lambda: False,
) -> Restored:
    """Make `store` what the last transaction left, and say at which journal offset to go on.

    The former owner must be fenced already (`EffectivelyOnce`), or its last transaction may still
    be open. `asker` asks for the group.

    Raises:
        StateLostError: events would be skipped; the message says what is missing.
        OpeningAbandonedError: `abandoned` said that the partition is wanted no longer.
    """
    started = time.monotonic()
    consumer = changelog_reader(config, group)
    place = TopicPartition(*source)
    try:
        # The group is asked before the changelog: whoever takes the partition over while it is read
        # here may tell the group more than the state here can know.
        committed = _ask(lambda: asker.committed(place, _REQUEST_SECONDS), abandoned)
        records = _replay(
            store, consumer, asker, TopicPartition(changelog, source[1]), changelog_id, abandoned
        )
        bounds = _bounds(asker, place, store.next_offset or 0, abandoned)
        next_offset = _next_offset(store, place, committed, bounds)
    finally:
        consumer.close()
    return Restored(records, time.monotonic() - started, next_offset)


def changelog_reader(config: Mapping[str, Any], group: str) -> Consumer:
    """A client that reads committed records and tells where a log ends. It joins no group."""
    return Consumer(
        {
            **config,
            "group.id": group,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 20,
            "queued.max.messages.kbytes": 32 * 1024,
        }
    )


def where_to_read_on(
    store: PartitionStore,
    asker: Asker,
    changelog: TopicPartition,
    changelog_id: str,
    abandoned: Callable[[], bool] = lambda: False,
) -> tuple[TopicPartition, int]:
    """From where to read a changelog so that the disk becomes a copy of it, and where it ends now.
    A disk that is none is emptied.
    """
    name = f"{changelog.topic}-{changelog.partition}"
    offset = store.changelog_offset
    first, end = _bounds(asker, changelog, offset, abandoned)
    why = None
    if store.changelog_id not in (None, changelog_id):
        why = "belongs to a changelog that no longer exists"
    elif offset > end:
        why = f"is at {offset}, the changelog ends at {end}"
    elif 0 < offset < first:
        why = f"is at {offset}, the changelog begins at {first}"
    elif offset and time.time() - store.written_at > KEPT_DISK_SECONDS:
        why = "was not written for too long"
    if why is not None:
        logger.warning("state of %s on disk %s: reading it all anew", name, why)
        store.wipe()
        offset = 0
    store.follow(changelog_id)
    start = TopicPartition(changelog.topic, changelog.partition, offset or OFFSET_BEGINNING)
    return start, end if end > max(offset, first) else offset


def _replay(
    store: PartitionStore,
    consumer: Consumer,
    asker: Asker,
    changelog: TopicPartition,
    changelog_id: str,
    abandoned: Callable[[], bool],
) -> int:
    start, end = where_to_read_on(store, asker, changelog, changelog_id, abandoned)
    records = 0
    if end > store.changelog_offset:
        consumer.assign([start])
        records = _read_to_the_end(store, consumer, end, abandoned)
        consumer.unassign()
    store.reload()
    return records


def _bounds(
    asker: Asker, place: TopicPartition, reached: int, abandoned: Callable[[], bool]
) -> tuple[int, int]:
    """The first offset of a log and the one behind its last. A broker that has just started may not
    know for a moment how far its log goes: an end before what was `reached` is asked for again.
    """
    deadline = time.monotonic() + _RECOVERY_SECONDS
    while True:
        first, end = _ask(lambda: asker.bounds(place, _REQUEST_SECONDS), abandoned)
        if end >= reached or time.monotonic() > deadline:
            return first, end
        time.sleep(_BACK_OFF_SECONDS)


def _read_to_the_end(
    store: PartitionStore, consumer: Consumer, end: int, abandoned: Callable[[], bool]
) -> int:
    """Read on until the consumer stands at the end that the log had when we asked, markers
    included.
    """
    records = 0
    while True:
        if abandoned():
            raise OpeningAbandonedError
        changes: dict[bytes, bytes | None] = {}
        offset = -1
        done = False
        first = consumer.poll(_LISTEN_SECONDS)
        if first is None:
            continue
        # Asked for a lot at once and with patience, the client would sit out its time at the end.
        for message in [first, *consumer.consume(_RECORDS_PER_WRITE, _GATHER_SECONDS)]:
            error = message.error()
            if error is not None:
                if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001  its public name
                    if error.retriable():
                        continue
                    raise KafkaException(error)
                done = (message.offset() or 0) >= end
                offset = max(offset, message.offset() or 0)
                continue
            changes[message.key() or b""] = message.value()
            offset = (message.offset() or 0) + 1
            records += 1
        if offset >= 0:
            store.write(changes, changelog_offset=offset, now=time.time())
        if done:
            return records


def _next_offset(
    store: PartitionStore, source: TopicPartition, committed: int, bounds: tuple[int, int]
) -> int:
    """Where to go on in the journal. The state's own word counts; the group was told it later."""
    first, end = bounds
    name = f"{source.topic}-{source.partition}"
    next_offset = store.next_offset
    if next_offset is None:
        if committed > 0:
            raise StateLostError(
                f"{name} was processed up to {committed}, but its changelog holds no state: "
                "delete the group's offsets to rebuild the state from the journal"
            )
        if first > 0:
            logger.warning("%s begins at %s: the state will not know what was before", name, first)
        return first
    if committed > next_offset:
        raise StateLostError(
            f"{name} was processed up to {committed}, but its state stands at {next_offset}"
        )
    if next_offset < first:
        raise StateLostError(
            f"{name}: the state stands at {next_offset}, but the journal begins at {first}"
        )
    if next_offset > end:
        raise StateLostError(
            f"{name}: the state stands at {next_offset}, the journal ends at {end}"
        )
    return next_offset


def _ask(question: Callable[[], _Answer], abandoned: Callable[[], bool]) -> _Answer:
    """The brokers' answer. A leader being chosen or a coordinator that loads takes a while."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        if abandoned():
            raise OpeningAbandonedError
        try:
            return question()
        except KafkaException:
            if time.monotonic() > deadline:
                raise
        time.sleep(_BACK_OFF_SECONDS)
