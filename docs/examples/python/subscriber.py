"""A subscriber to copy: it ships or waits as credit control decides, and knows who is blocked.

    python subscriber.py localhost:9092 GROUP SCHEMAS STATE  until Ctrl-C
    python subscriber.py golden SCHEMAS                      tests the decoder on golden bytes

GROUP is your consumer group: it stays the same, for the brokers keep by it how far you are.
SCHEMAS is Headroom's directory `schemas/` (ids.lock.json and released/); STATE is a directory of
your own, which has to outlive the process. docs/subscribe.md says why things are as they are.
"""

import json
import signal
import sqlite3
import sys
import threading
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

DECISIONS = "credit.order-decisions.v1"
ALERTS = "credit.limit-alerts.v1"
EXPOSURES = "credit.exposures.v1"


class Events:
    """Bytes into records: Avro behind 0x00 and four bytes of schema id.

    Read with the schema that they were written with (the id says which) and with the newest that
    this program knows: fields that are newer are skipped, fields that were not there yet get their
    defaults.
    """

    def __init__(self, schemas: Path) -> None:
        rows = json.loads((schemas / "ids.lock.json").read_text())["schemas"]
        self._writers: dict[int, tuple[str, Any]] = {}
        self._newest: dict[str, Any] = {}
        for row in sorted(rows, key=lambda each: int(each["version"])):
            file = schemas / "released" / f"{row['record']}-{row['version']}.avsc"
            schema: Any = fastavro.parse_schema(json.loads(file.read_text()))
            self._writers[row["id"]] = row["record"], schema
            self._newest[row["record"]] = schema

    def read(self, value: bytes) -> tuple[str, dict[str, Any]]:
        """The type of the event in a message's value, and its fields."""
        magic, schema_id = value[0], int.from_bytes(value[1:5], "big")
        if magic != 0 or schema_id not in self._writers:
            # A newer release writes. Passing it over would lose a decision: stop, bring the newer
            # schemas, start again. With a schema registry, ask it for the id here.
            raise SystemExit(f"schema id {schema_id} is unknown: bring SCHEMAS up to date")
        name, writer = self._writers[schema_id]
        record = fastavro.schemaless_reader(BytesIO(value[5:]), writer, self._newest[name])
        assert isinstance(record, dict)
        return name, record


class Book:
    """What this program has done, by event id. Id and deed are written in one transaction, so an
    event that comes again, after whichever crash, finds that it was done.
    """

    def __init__(self, state: Path) -> None:
        state.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(state / "book.sqlite")
        self._db.execute("CREATE TABLE IF NOT EXISTS done (event_id TEXT PRIMARY KEY, deed TEXT)")

    def do(self, deeds: list[tuple[str, str]]) -> None:
        """Do what is asked by these events, as far as it is not done."""
        with self._db:  # one transaction: your own tables change in here, too
            new = [deed for deed in deeds if self._is_new(*deed)]
        for _, deed in new:
            say(deed)

    def _is_new(self, event_id: str, deed: str) -> bool:
        row = (event_id, deed)
        return self._db.execute("INSERT OR IGNORE INTO done VALUES (?, ?)", row).rowcount == 1


class BlockList:
    """Who has no headroom left or an order on hold: the newest figures of every customer, from the
    compacted topic, read from its start each time that the program starts.
    """

    def __init__(self, settings: dict[str, Any], events: Events) -> None:
        self._events = events
        self._blocked: set[str] = set()
        # It joins no group: every instance reads all partitions, and keeps no place in them.
        self._consumer = Consumer(settings)
        facts = self._consumer.list_topics(EXPOSURES, timeout=30).topics[EXPOSURES]
        places = [
            TopicPartition(EXPOSURES, number, OFFSET_BEGINNING) for number in facts.partitions
        ]
        self._consumer.assign(places)
        behind = {place.partition for place in places}
        while behind:
            message = self._consumer.poll(1.0)
            if message is not None and is_end(message):
                behind.discard(partition_of(message))
            elif message is not None:
                self._apply(message)
        say(f"block list: {' '.join(sorted(self._blocked)) or 'nobody'}")

    def follow(self) -> None:
        """What has changed since."""
        while (message := self._consumer.poll(0)) is not None:
            if not is_end(message):
                customer, was_blocked, is_blocked = self._apply(message)
                if is_blocked != was_blocked:
                    say(f"{'blocked' if is_blocked else 'unblocked'} {customer}")

    def _apply(self, message: Message) -> tuple[str, bool, bool]:
        key, value = message.key(), message.value()
        customer = (key or b"").decode()
        was_blocked = customer in self._blocked
        is_blocked = False
        if value is not None:  # None would say that the key is gone
            _, figures = self._events.read(value)
            headroom = figures["headroom"]  # minor units of its currency; None: no limit
            is_blocked = (headroom is not None and headroom <= 0) or figures["held_orders"] > 0
        (self._blocked.add if is_blocked else self._blocked.discard)(customer)
        return customer, was_blocked, is_blocked


def deed_of(name: str, event: dict[str, Any]) -> str | None:
    """What an event makes this program do; None: nothing. Yours will ship, print, write mails."""
    if name == "CreditLimitAlert":
        return f"alert {event['customer_id']}: {event['threshold']} {event['direction']}"
    if name != "OrderDecision":
        return None  # a type of a newer release
    order = event["order_id"]
    match event["decision"]:
        case "approved" | "released":
            return f"ship {order}"
        case "held":
            return f"wait {order}: {', '.join(event['reasons'])}"
        case "cancelled":
            return f"forget {order}"
        case other:  # a word of a newer release
            return f"wait {order}: {other}"


def run(brokers: str, group: str, schemas: Path, state: Path) -> None:
    events, book = Events(schemas), Book(state)
    settings: dict[str, Any] = {
        "bootstrap.servers": brokers,  # with security.protocol, sasl.* as your cluster wants them
        "group.id": group,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "enable.partition.eof": True,
    }
    block_list = BlockList(settings, events)
    consumer = Consumer(settings)
    consumer.subscribe([DECISIONS, ALERTS])
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    while not stopped.is_set():
        block_list.follow()
        messages = [one for one in consumer.consume(500, timeout=0.2) if not is_end(one)]
        deeds = []
        for message in messages:
            value = message.value()
            assert value is not None  # these topics have no empty values
            name, event = events.read(value)
            deed = deed_of(name, event)
            if deed is not None:
                # The same id is in the header ce_id, for those who would not decode.
                deeds.append((event["event_id"], deed))
        if messages:
            book.do(deeds)
            # Behind the deeds. Who dies in between hears of them again, and drops them.
            consumer.commit(asynchronous=False)
    consumer.close()


def is_end(message: Message) -> bool:
    """Whether it only says that a partition has no more for now."""
    error = message.error()
    if error is None:
        return False
    if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  its public name
        return True
    raise KafkaException(error)


def partition_of(message: Message) -> int:
    number = message.partition()
    assert number is not None
    return number


def golden(schemas: Path) -> None:
    """A test for your decoder: every golden value gives the record that stands beside it."""
    events, count = Events(schemas), 0
    for file in sorted((schemas / "golden").glob("*.json")):
        for example in json.loads(file.read_text())["examples"]:
            _, found = events.read(bytes.fromhex(example["value_hex"]))
            if json.loads(json.dumps(found, default=plain)) != example["record"]:
                raise SystemExit(f"{file.name}, version {example['version']}: found {found}")
            count += 1
    say(f"{count} golden values are read as they should be")


def plain(value: datetime | date) -> int:
    """What fastavro makes times and days of, as Avro's own microseconds and days."""
    if isinstance(value, datetime):
        return (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return (value - date(1970, 1, 1)).days


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "golden":
        golden(Path(sys.argv[2]))
    elif len(sys.argv) == 5:
        run(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
    else:
        raise SystemExit(__doc__)
