"""All that is known of one customer, from the topics: what came in, what was said, what was
written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka.admin import AdminClient

from agents.journal.entries import DIRECT, Entry
from agents.journal.from_kafka import entries
from schemas.catalogue import JOURNAL, topic_of
from schemas.events import CustomersMerged, DunningStep, DunningStepSettled, LetterWritten
from streams.codec import Codec
from streams.errors import InvalidMessage
from streams.kafka_client import topic_facts
from streams.log_reader import LogReader, Track
from streams.partitioning import partition_of
from streams.record import Record

_STEPS = topic_of("DunningStep")
_LETTERS = topic_of("LetterWritten")


@dataclass
class History:
    """What the topics have of a customer, and of those who were merged into that one.

    Attributes:
        partitions: of each part of the journal that has to do with them what concerns one of them,
            or everybody, in its order.
        steps: dunning steps and what became of them, in their order, the first of repeats.
        letters: by step and attempt the last that was written.
    """

    partitions: list[list[Entry]]
    steps: list[DunningStep | DunningStepSettled] = field(default_factory=list)
    letters: dict[tuple[str, int], LetterWritten] = field(default_factory=dict)

    @property
    def own(self) -> Iterator[Entry]:
        """What concerns the customers themselves."""
        return (entry for part in self.partitions for entry in part if entry.key)


def read_history(
    config: Mapping[str, Any], codec: Codec, customer_id: str, track: Track
) -> History:
    """Read it all, up to now. What a customer sends is in one part of the journal, whatever group
    it is in, so only that is read.
    """
    facts = topic_facts(AdminClient(dict(config)), [JOURNAL, _STEPS, _LETTERS])
    count = facts[JOURNAL].partitions
    customers, wanted = {customer_id}, [customer_id]
    parts: dict[int, list[Entry]] = {}
    while wanted:
        partition = partition_of(wanted.pop().encode(), count)
        parts[partition] = list(_concerning(config, codec, customers, partition, track))
        merged = {
            entry.event.merged_customer_id
            for entry in parts[partition]
            if isinstance(entry.event, CustomersMerged) and entry.event.customer_id in customers
        }
        wanted += sorted(merged - customers)
        customers |= merged
    history = History(list(parts.values()))
    for one in customers:
        _read_said(
            config, codec, one, facts[_STEPS].partitions, facts[_LETTERS].partitions, history
        )
    return history


def _concerning(
    config: Mapping[str, Any], codec: Codec, customers: set[str], partition: int, track: Track
) -> Iterator[Entry]:
    """What one part of the journal has about these customers, or about everybody."""
    reader = LogReader(config, JOURNAL, partition)
    keys = {one.encode() for one in customers}

    def wanted(record: Record) -> bool:
        return not record.key or record.key in keys

    advance = track("reading the journal", reader.end - reader.first)
    return (one for one in entries(reader, codec, wanted, advance) if one.sent == DIRECT)


def _read_said(
    config: Mapping[str, Any],
    codec: Codec,
    customer_id: str,
    steps: int,
    letters: int,
    into: History,
) -> None:
    key = customer_id.encode()
    seen: set[str] = set()
    for topic, count in ((_STEPS, steps), (_LETTERS, letters)):
        for record in LogReader(config, topic, partition_of(key, count)):
            if record.key != key:
                continue
            try:
                event = codec.decode(record.value)
            except InvalidMessage:
                continue
            if isinstance(event, LetterWritten):
                into.letters[event.step_id, event.attempt] = event
            elif isinstance(event, DunningStep | DunningStepSettled) and event.event_id not in seen:
                seen.add(event.event_id)
                into.steps.append(event)
