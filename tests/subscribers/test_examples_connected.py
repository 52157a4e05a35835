"""The examples on a real broker, on what a real worker decided: what was repeated is done once,
also after a restart that hears all of it again; what was never committed is not seen.

All three run at the same time, each in a group of its own.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import pytest
from confluent_kafka import Producer
from msgspec.structs import replace
from subscribers.conftest import Installation
from subscribers.examples import LANGUAGES, SCHEMAS, Command
from worker.test_worker_process import AT, customer, order

from schemas import records
from schemas.catalogue import key_of, topic_of
from schemas.events import CreditLimitAlert, Event, ExposureChanged, OrderCancelled, OrderDecision
from streams.cloud_events import headers_of
from streams.log_reader import open_readers
from streams.partitioning import PARTITIONER
from streams.record import Record

pytestmark = [pytest.mark.connected, pytest.mark.slow]

_PATIENCE = 90.0
_ALERTS = topic_of("CreditLimitAlert")
_DECISIONS = topic_of("OrderDecision")
_EXPOSURES = topic_of("ExposureChanged")


class Running:
    """An example that runs, and the lines that it has printed so far."""

    def __init__(self, command: Command, bootstrap: str, group: str, state: Path) -> None:
        self._process = subprocess.Popen(
            [*command, bootstrap, group, SCHEMAS, state],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.status: int | None = None
        self.lines: list[str] = []
        self.errors: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=pair, daemon=True)
            for pair in (
                (self._process.stdout, self.lines), (self._process.stderr, self.errors),
            )
        ]  # fmt: skip
        for reader in self._readers:
            reader.start()

    def wait_for(self, *wanted: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not set(wanted) <= set(self.lines):
            assert time.monotonic() < deadline, (self.lines, self.errors)
            assert self._process.poll() is None, (self.lines, self.errors)
            time.sleep(0.02)

    def terminate(self) -> None:
        self._process.terminate()

    def ended(self) -> int:
        status = self._process.wait(30)
        for reader in self._readers:
            reader.join()
        return status

    @staticmethod
    def _read(stream: IO[str], into: list[str]) -> None:
        into.extend(line.rstrip("\n") for line in stream)


class Topics:
    """Reads what the worker wrote, and writes what must be dropped or not be seen."""

    def __init__(self, installation: Installation) -> None:
        self.broker = installation.broker
        self._config = {"bootstrap.servers": self.broker.bootstrap}

    def records(self, topic: str) -> list[Record]:
        """All that is readable now."""
        return [record for reader in open_readers(self._config, topic) for record in reader]

    def wait_for(self, topic: str, wanted: Callable[[Any], bool]) -> Record:
        """The newest record that holds such an event."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            for record in reversed(self.records(topic)):
                if record.value is not None and wanted(self.broker.codec.decode(record.value)):
                    return record
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def decided(self, order_id: str, decision: str) -> Record:
        return self.wait_for(
            _DECISIONS, lambda one: (one.order_id, one.decision) == (order_id, decision)
        )

    def figures(self, customer_id: str, held: int) -> Record:
        return self.wait_for(
            _EXPOSURES, lambda one: (one.customer_id, one.held_orders) == (customer_id, held)
        )

    def event(self, record: Record) -> Any:
        return self.broker.codec.decode(record.value)

    def again(self, record: Record) -> None:
        """The same record, as a worker that died before it could commit sends it once more."""
        assert record.key is not None
        self.broker.send_raw(
            record.topic, record.value, record.key.decode(), partition=record.partition,
            headers=list(record.headers),
        )  # fmt: skip

    def in_a_transaction(self, events: list[Event], *, committed: bool) -> None:
        """Events whose transaction is committed, or aborted once the brokers have them."""
        for event in events:
            self._producer.begin_transaction()
            self._producer.produce(
                topic_of(type(event).__name__),
                self.broker.codec.encode(event),
                key_of(event),
                headers=[*headers_of("credit")(event)],
            )
            assert self._producer.flush(20) == 0
            if committed:
                self._producer.commit_transaction(20)
            else:
                self._producer.abort_transaction(20)

    @cached_property
    def _producer(self) -> Producer:
        config = {"transactional.id": "kit", "partitioner": PARTITIONER, "log_level": 0}
        producer = Producer(self._config | config)
        producer.init_transactions(20)
        return producer


def _business(topics: Topics) -> None:
    """Two customers; one has an order on hold in the end."""
    broker = topics.broker
    broker.send(customer("K-1", 1_000_00), "K-1")
    broker.send(customer("K-2", 500_00), "K-2")
    broker.flush()
    for one in ("K-1", "K-2"):
        topics.figures(one, 0)  # so each order finds its customer
    broker.send(order("K-1", "K-O-1", 850_00), "K-1")
    broker.send(order("K-1", "K-O-2", 300_00), "K-1")
    broker.send(order("K-2", "K-O-3", 100_00), "K-2")
    broker.send(order("K-2", "K-O-4", 9_999_00), "K-2")
    broker.send(_cancelled("K-2", "K-O-4"), "K-2")
    broker.flush()


def _cancelled(customer_id: str, order_id: str) -> OrderCancelled:
    return OrderCancelled(
        event_id=f"oc-{order_id}", occurred_at=AT, customer_id=customer_id, order_id=order_id
    )


def _trouble(topics: Topics) -> None:
    """Repeats, and what was never committed, in front of what is."""
    approved = topics.decided("K-O-1", "approved")
    topics.decided("K-O-4", "cancelled")
    topics.again(approved)
    topics.again(topics.decided("K-O-2", "held"))
    topics.broker.flush()

    def forged(order_id: str) -> OrderDecision:
        decision: OrderDecision = topics.event(approved)
        return replace(decision, event_id=f"forged-{order_id}", order_id=order_id)

    figures: ExposureChanged = topics.event(topics.figures("K-1", 1))
    others = [
        replace(figures, event_id=f"forged-{name}", customer_id=name) for name in ("K-8", "K-9")
    ]
    never = [forged("K-O-never-1"), others[0], forged("K-O-never-2")]
    topics.in_a_transaction(never, committed=False)
    topics.in_a_transaction([forged("K-O-forged"), others[1]], committed=True)
    signal = json.loads((SCHEMAS / "golden" / "RiskSignal.json").read_bytes())["examples"][-1]
    # A type that these topics do not have yet.
    topics.broker.send_raw(_ALERTS, bytes.fromhex(signal["value_hex"]), "K-1")
    topics.broker.send_raw(_EXPOSURES, None, "K-9")  # as compaction is told that a key is gone
    topics.broker.flush()


@pytest.fixture(scope="module")
def lives(
    installation: Installation,
    command_of: Callable[[str], Command],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, list[Running]]:
    """Each example's two lives."""
    topics, states = Topics(installation), tmp_path_factory.mktemp("states")
    commands = {}
    for language in LANGUAGES:
        with suppress(pytest.skip.Exception):  # its own test is skipped by the same name
            commands[language] = command_of(language)

    def start() -> dict[str, Running]:
        return {
            name: Running(command, topics.broker.bootstrap, f"kit-{name}", states / name)
            for name, command in commands.items()
        }

    def stop(running: dict[str, Running]) -> None:
        for one in running.values():
            one.terminate()
        for one in running.values():
            one.status = one.ended()

    _business(topics)
    _trouble(topics)
    first = start()
    for one in first.values():
        one.wait_for("ship K-O-forged", "forget K-O-4", "alert K-1: 0.80 raised")
    topics.broker.send(_cancelled("K-1", "K-O-1"), "K-1")
    topics.broker.flush()
    for one in first.values():
        one.wait_for("ship K-O-2", "alert K-1: 0.80 cleared", "unblocked K-1")
    stop(first)

    # The brokers forget how far the groups were: everything comes again, and some of it twice.
    for future in topics.broker.admin.delete_consumer_groups(
        [f"kit-{name}" for name in commands]
    ).values():
        future.result(20)
    for book in states.glob("*/book.tsv"):
        with book.open("a") as file:
            file.write("half of a li")  # a crash in the middle of writing
    topics.again(topics.decided("K-O-2", "released"))
    for name, number in (("K-1", 6), ("K-2", 7)):
        topics.broker.send(order(name, f"K-O-{number}", 100_00), name)
    topics.broker.flush()
    topics.decided("K-O-6", "approved")
    topics.decided("K-O-7", "approved")
    alert: CreditLimitAlert = topics.event(
        topics.wait_for(_ALERTS, lambda one: one.customer_id == "K-1")
    )
    last = replace(alert, event_id="forged-alert", threshold="0.90", direction="raised")
    topics.in_a_transaction([last], committed=True)
    second = start()
    for one in second.values():
        one.wait_for("ship K-O-6", "ship K-O-7", "alert K-1: 0.90 raised")
    stop(second)
    return {name: [first[name], second[name]] for name in commands}


def _ours(running: Running) -> list[str]:
    """The lines about this module's customers; others use the installation too."""
    head, *rest = running.lines
    listed = [name for name in head.removeprefix("block list: ").split() if name.startswith("K-")]
    return [f"block list: {' '.join(listed)}", *(line for line in rest if "K-" in line)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_repeats_are_done_once_and_what_was_aborted_is_not_seen(
    lives: dict[str, list[Running]], command_of: Callable[[str], Command], language: str
) -> None:
    command_of(language)  # skips where the machine cannot run it
    first, second = lives[language]
    lines = _ours(first)
    assert lines[0] == "block list: K-1"
    assert sorted(lines[1:]) == sorted([
        "ship K-O-1", "wait K-O-2: credit_limit_exceeded", "alert K-1: 0.80 raised",
        "ship K-O-3", "wait K-O-4: credit_limit_exceeded", "forget K-O-4", "ship K-O-forged",
        "forget K-O-1", "ship K-O-2", "alert K-1: 0.80 cleared", "unblocked K-1",
    ])  # fmt: skip
    for story in (
        ["ship K-O-1", "wait K-O-2: credit_limit_exceeded", "forget K-O-1", "ship K-O-2"],
        ["wait K-O-4: credit_limit_exceeded", "forget K-O-4"],
    ):
        assert [line for line in lines if line in story] == story

    again = _ours(second)
    assert again[0] == "block list: "
    assert sorted(again[1:]) == ["alert K-1: 0.90 raised", "ship K-O-6", "ship K-O-7"]
    told = [line for life in (first, second) for line in life.lines]
    assert [line for line in told if "null" in line or "None" in line or "C-1042" in line] == []
    assert (first.errors, second.errors) == ([], [])
    assert {first.status, second.status} == {143 if language == "java" else 0}


def _golden(command: Command, schemas: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, "golden", schemas], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_golden_values_are_read_and_a_wrong_one_is_noticed(
    command_of: Callable[[str], Command], language: str, tmp_path: Path
) -> None:
    done = _golden(command_of(language), SCHEMAS)
    assert done.returncode == 0, done.stderr
    count = len(records.locked())
    assert done.stdout == f"{count} golden values are read as they should be\n"

    for name in ("ids.lock.json", "released"):
        (tmp_path / name).symlink_to(SCHEMAS / name)
    (tmp_path / "golden").mkdir()
    wrong = json.loads((SCHEMAS / "golden" / "OrderDecision.json").read_bytes())
    wrong["examples"][-1]["record"]["amount"] += 1
    (tmp_path / "golden" / "OrderDecision.json").write_text(json.dumps(wrong))
    noticed = _golden(command_of(language), tmp_path)
    assert noticed.returncode == 1
    assert "OrderDecision.json, version 2" in noticed.stderr
