"""What a gateway keeps of a topic on its disk, so that it answers from an index and not by reading.

It is made of the topic alone: any number of gateways have the same, and one that starts with an
empty disk reads it anew.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient
from rocksdict import AccessType, Options, Rdict, WriteBatch

from schemas.events import Event
from streams.codec import Codec
from streams.errors import InvalidMessage
from streams.follow import Follower, follow_on
from streams.kafka_client import Complaint, topic_facts
from streams.record import Record

_LISTEN_SECONDS = 0.2
_TOPIC_ID = b"@id"


class TopicBook(ABC):
    """Reads on in a thread of its own from its start until it is closed.

    Args:
        config: of the client.
        topic: whose events it keeps.
        codec: decodes them.
        directory: of the disk.
        kept_seconds: after which an entry is forgotten; None: never.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        topic: str,
        codec: Codec,
        directory: Path,
        kept_seconds: int | None = None,
    ) -> None:
        self._config = config
        self._topic = topic
        self._decode = codec.decode
        directory.mkdir(parents=True, exist_ok=True)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        access = AccessType.read_write()
        self._db = Rdict(
            str(directory),
            options,
            access_type=access if kept_seconds is None else access.with_ttl(kept_seconds),
        )
        self._ready = threading.Event()
        self._stopping = False
        self._complain = Complaint()
        self._thread = threading.Thread(target=self._run, name=f"book {topic}", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    @property
    def is_ready(self) -> bool:
        """All that was there at the start has been read."""
        return self._ready.is_set()

    def close(self) -> None:
        """Let go of the client and the disk."""
        self._stopping = True
        if self._thread.is_alive():
            self._thread.join()
        self._db.close()

    # ── the thread's side ───────────────────────────────────────────────────────────────────────

    @abstractmethod
    def _note(self, events: Iterable[tuple[Event, bytes]], batch: WriteBatch) -> None:
        """Write what is kept of events, which come with their bytes. What is in the batch cannot
        be read from the disk yet.
        """

    def take(self, records: list[Record]) -> None:
        """Keep what was read, and how far; called by one thread."""
        if not records:
            return
        batch = WriteBatch(raw_mode=True)
        for record in records:
            batch.put(_place_key(record.partition), b"%d" % (record.offset + 1))
        self._note(self._events(records), batch)
        self._db.write(batch)

    def _events(self, records: list[Record]) -> Iterator[tuple[Event, bytes]]:
        for record in records:
            try:
                event = self._decode(record.value)
            except InvalidMessage as error:
                # Of a newer release, perhaps; who looks for it does not find it.
                self._complain("%s-%s@%s: %s", *record[:3], error.reason)
                continue
            if record.value is not None:
                yield event, record.value

    def _run(self) -> None:
        follow_on(self._follow, self._topic, lambda: self._stopping)

    def _follow(self) -> None:
        facts = topic_facts(AdminClient(dict(self._config)), [self._topic])[self._topic]
        if self._db.get(_TOPIC_ID) != facts.id.encode():
            self._forget()
            self._db.put(_TOPIC_ID, facts.id.encode())
        known = {n: int(self._db.get(_place_key(n)) or 0) for n in range(facts.partitions)}
        follower = Follower(self._config, [self._topic], begin=known)
        try:
            while not self._stopping:
                self.take(list(follower.read(_LISTEN_SECONDS)))
                if follower.has_read_what_was_there:
                    self._ready.set()
        finally:
            follower.close()

    def _forget(self) -> None:
        """The topic was made anew: what was read of the former one is no more."""
        batch = WriteBatch(raw_mode=True)
        for key in self._db.keys():  # noqa: SIM118  no dict
            batch.delete(key)
        self._db.write(batch)


def _place_key(partition: int) -> bytes:
    return b"@%d" % partition
