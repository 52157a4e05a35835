"""Finds an order in Kafka: the accounts whose part of the journal it is in, and what was published
about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from confluent_kafka.admin import AdminClient

from agents.credit.explanation import Witness, is_called
from agents.credit.named_documents import named_documents
from agents.journal.entries import Entry
from agents.journal.from_kafka import entries, journal_readers
from schemas.catalogue import topic_of
from schemas.events import AccountMoved, Event, OrderDecision
from streams.codec import Codec
from streams.errors import InvalidMessage
from streams.kafka_client import topic_facts
from streams.log_reader import LogReader
from streams.partitioning import partition_of
from streams.record import Record

_DECISIONS = topic_of("OrderDecision")


class Published(NamedTuple):
    """A decision as it stands in its topic."""

    partition: int
    offset: int
    decision: OrderDecision


def replay_journal(
    config: Mapping[str, Any],
    codec: Codec,
    witness: Witness,
    order_id: str,
    track: Callable[[str, int], Callable[[int], None]],
) -> None:
    """Have the witness replay all of the journal that can have had a part in the order.

    Args:
        config: of a Kafka client.
        codec: decodes the journal.
        witness: of the order.
        order_id: the order.
        track: begins a stage of so many offsets, and says what to tell how many more are done.
    """
    searching = journal_readers(config)
    advance = track("searching", _span(searching))
    accounts: dict[int, set[bytes]] = {}
    needle = order_id.encode()
    for reader in searching:
        wanted = _holds(needle)
        for entry in entries(reader, codec, wanted, advance):
            if _is_about(entry.event, order_id):
                accounts.setdefault(entry.partition, set()).add(entry.key.encode())
    replaying = [reader for reader in journal_readers(config) if reader.partition in accounts]
    advance = track("replaying", _span(replaying))
    for reader in replaying:
        witness.replay(_of_accounts(reader, codec, accounts[reader.partition], advance))


def published(
    config: Mapping[str, Any], codec: Codec, customer_id: str, order_id: str
) -> dict[str, Published]:
    """The decisions on an order that their topic still holds, by event id; of repeats the first."""
    count = topic_facts(AdminClient(dict(config)), [_DECISIONS])[_DECISIONS].partitions
    reader = LogReader(config, _DECISIONS, partition_of(customer_id.encode(), count))
    found: dict[str, Published] = {}
    needle = order_id.encode()
    for record in reader:
        if needle not in (record.value or b""):
            continue
        try:
            event = codec.decode(record.value)
        except InvalidMessage:
            continue
        if (
            isinstance(event, OrderDecision)
            and event.customer_id == customer_id
            and event.order_id == order_id
        ):
            found.setdefault(event.event_id, Published(record.partition, record.offset, event))
    return found


def _of_accounts(
    reader: LogReader, codec: Codec, accounts: set[bytes], advance: Callable[[int], None]
) -> Iterator[Entry]:
    """What concerns these accounts, or every account."""
    return entries(reader, codec, lambda record: not record.key or record.key in accounts, advance)


def _holds(needle: bytes) -> Callable[[Record], bool]:
    return lambda record: needle in (record.value or b"")


def _is_about(event: Event, order_id: str) -> bool:
    if isinstance(event, AccountMoved):
        return any(
            entry.key[:1] == "o" and is_called(entry.key[1:], order_id) for entry in event.entries
        )
    return any(
        document[:1] == "o" and is_called(document[1:], order_id)
        for document in named_documents(event)
    )


def _span(readers: list[LogReader]) -> int:
    return sum(reader.end - reader.first for reader in readers)
