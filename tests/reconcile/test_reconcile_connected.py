"""`headroom reconcile` on a real broker behind a real worker: it agrees, and it notices."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from worker.conftest import Broker, WorkerProcess, free_port
from worker.test_worker_process import AT, customer, order

from agents.catch_up import wait_for_group
from agents.credit import state
from agents.simulate import business_day
from schemas import events as ev
from schemas.catalogue import JOURNAL, credit_changelog, topic_of
from schemas.dates import MICROSECONDS_PER_DAY
from streams.embedded.kafka import EmbeddedKafka
from streams.log_reader import LogReader
from streams.partitioning import partition_of

pytestmark = [pytest.mark.connected, pytest.mark.slow]

_APP = "reconciled"
_CHANGELOG = credit_changelog(_APP)
_EXPOSURES = topic_of("ExposureChanged")
_CUSTOMERS = [f"C-{n}" for n in range(6)]
_MEMBERS = ("M-1", "M-2")
_DAY = AT // MICROSECONDS_PER_DAY


class Installation:
    """A broker of its own and the environment in which worker and commands find it."""

    def __init__(self, bootstrap: str, directory: Path) -> None:
        self.bootstrap = bootstrap
        self.directory = directory
        clean = {name: v for name, v in os.environ.items() if not name.startswith("HEADROOM_")}
        self.environment = clean | {
            "HEADROOM_KAFKA_BOOTSTRAP": bootstrap,
            "HEADROOM_REPLICATION_FACTOR": "1",
            "HEADROOM_MIN_INSYNC_REPLICAS": "1",
            "HEADROOM_APP_ID": _APP,
            "HEADROOM_STATE_DIR": str(directory / "state"),
            "HEADROOM_EMBEDDED_DIR": str(directory / "embedded"),
            "HEADROOM_CLOCK": "replayed",
            "HEADROOM_SESSION_TIMEOUT_SECONDS": "6",
            "HEADROOM_WEB_PORT": str(free_port()),
        }

    def headroom(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "agents.cli.main", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    def differences(self) -> list[dict[str, Any]]:
        """What `headroom reconcile` finds; it agrees with its exit status."""
        done = self.headroom("reconcile", "--json")
        findings = [json.loads(line) for line in done.stdout.splitlines()]
        assert findings, done.stderr
        found = [one for one in findings if one["finding"] == "difference"]
        assert done.returncode == (1 if found else 0), done.stdout + done.stderr
        return found

    def clickhouse(self, statement: str) -> None:
        """In a process of its own: one process can hold one engine."""
        program = (
            "import sys; from streams.clickhouse import open_clickhouse; "
            "from streams.settings import load_settings; "
            "open_clickhouse(load_settings()).command(sys.argv[1])"
        )
        subprocess.run(
            [sys.executable, "-c", program, statement], env=self.environment, check=True, timeout=60
        )

    def write(self, topic: str, key: bytes, value: bytes | None, partition: int) -> None:
        producer = Producer({"bootstrap.servers": self.bootstrap})
        producer.produce(topic, value, key, partition)
        assert producer.flush(20) == 0

    def last(self, topic: str, key: bytes) -> tuple[int, bytes]:
        """Partition and value of the last record of a key."""
        config = {"bootstrap.servers": self.bootstrap}
        for partition in range(4):
            found = [r.value for r in LogReader(config, topic, partition) if r.key == key]
            if found and found[-1] is not None:
                return partition, found[-1]
        raise AssertionError(f"{key!r} is not in {topic}")


def feed(broker: Broker) -> None:
    """Orders, invoices, payments, a foreign currency, a group, and days that begin."""
    for customer_id in _CUSTOMERS:
        broker.send(customer(customer_id, 1_000_00), customer_id)
    broker.send(
        ev.FxRatePublished(
            event_id="fx-1", occurred_at=AT, base="EUR", quote="USD", rate="1.10", valid_on=_DAY
        )
    )
    broker.send(
        ev.CreditGroupUpserted(
            event_id="g-1", occurred_at=AT, group_id="G-1", currency="EUR", credit_limit=900_00
        )
    )
    for member in _MEMBERS:
        broker.send(msgspec.structs.replace(customer(member, 800_00), group_id="G-1"), member)
    broker.flush()
    time.sleep(1)  # another topic: nothing else orders the customers before their orders
    for n in range(60):
        customer_id = (*_CUSTOMERS, *_MEMBERS)[n % 8]
        broker.send(order(customer_id, f"O-{n}", 130_00, AT + n), customer_id)
    broker.send(
        ev.InvoiceIssued(
            event_id="i-1",
            occurred_at=AT + 100,
            customer_id="C-1",
            invoice_id="I-1",
            amount=333_33,
            currency="USD",
            issued_on=_DAY,
            due_on=_DAY + 2,
        )
    )
    broker.flush()
    for day in range(_DAY, _DAY + 6):
        for partition in range(4):
            broker.send_raw(
                JOURNAL, broker.codec.encode(business_day(day)), None, partition=partition
            )
    broker.flush()


@pytest.fixture(scope="module")
def installation(
    tmp_path_factory: pytest.TempPathFactory, cache_dir: Path
) -> Iterator[Installation]:
    """What a worker left that has done all there was and stopped."""
    directory = tmp_path_factory.mktemp("reconcile")
    with EmbeddedKafka(directory / "kafka", cache=cache_dir) as kafka:
        made = Installation(kafka.bootstrap_servers, directory)
        broker = Broker(made.bootstrap)
        worker = WorkerProcess(made.environment, directory / "worker.log")
        worker.start(only="intake,credit,sink")
        worker.wait_until_ready()
        feed(broker)
        time.sleep(2)
        wait_for_group(
            {"bootstrap.servers": made.bootstrap}, f"{_APP}-credit", [JOURNAL], 4, lambda: None
        )
        # While it runs, and with what is under way: no difference.
        for n in range(100, 400):
            broker.send(order(_CUSTOMERS[n % 6], f"O-{n}", 1_00, AT + n), None)
        assert made.differences() == [], worker.log
        broker.flush()
        wait_for_group(
            {"bootstrap.servers": made.bootstrap}, f"{_APP}-credit", [JOURNAL], 4, lambda: None
        )
        wait_for_group(
            {"bootstrap.servers": made.bootstrap}, f"{_APP}-sink", [JOURNAL], 4, lambda: None
        )
        worker.signal(signal.SIGTERM)
        assert worker.wait(30) == 0, worker.log
        yield made


def test_nothing_differs_and_the_accounts_are_counted(installation: Installation) -> None:
    done = installation.headroom("reconcile")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "0 differences in 9 accounts\n"


def test_a_changed_order_in_the_live_state_is_named(installation: Installation) -> None:
    key = state.order_key("C-2", "O-2").encode()
    partition, before = installation.last(_CHANGELOG, key)
    changed = state.decode(key.decode(), before)
    changed.total += 1_00
    installation.write(_CHANGELOG, key, state.encode(key.decode(), changed), partition)
    (found,) = installation.differences()
    assert (found["against"], found["account_id"]) == ("live_state", "C-2")
    assert (found["what"], found["field"]) == ("order O-2", "total")
    assert (found["found"], found["expected"]) == ("131.00 EUR", "130.00 EUR")
    assert found["cause"].startswith("the same events, another outcome")
    installation.write(_CHANGELOG, key, before, partition)
    assert installation.differences() == []


def test_a_document_that_the_live_state_lost_or_made_up_is_named(
    installation: Installation,
) -> None:
    key = state.order_key("C-3", "O-3").encode()
    partition, before = installation.last(_CHANGELOG, key)
    installation.write(_CHANGELOG, key, None, partition)
    made_up = state.order_key("C-3", "O-none").encode()
    installation.write(_CHANGELOG, made_up, before, partition)
    found = {one["what"]: one for one in installation.differences()}
    assert found.keys() == {"order O-3", "order O-none"}
    assert found["order O-3"]["found"] == "nothing"
    assert found["order O-none"]["expected"] == "nothing"
    installation.write(_CHANGELOG, key, before, partition)
    installation.write(_CHANGELOG, made_up, None, partition)
    assert installation.differences() == []


def test_a_state_that_misses_an_event_is_said_to_be_behind(installation: Installation) -> None:
    key = state.account_key("C-4").encode()
    partition, before = installation.last(_CHANGELOG, key)
    changed = state.decode(key.decode(), before)
    changed.sequence -= 1
    installation.write(_CHANGELOG, key, state.encode(key.decode(), changed), partition)
    (found,) = installation.differences()
    assert found["cause"] == "the live state is behind: it lacks 1 events of the account"
    installation.write(_CHANGELOG, key, before, partition)


def test_changed_missing_and_stray_figures_are_named(installation: Installation) -> None:
    codec = Broker(installation.bootstrap).codec
    partition, before = installation.last(_EXPOSURES, b"C-0")
    figures = codec.decode(before)
    assert isinstance(figures, ev.ExposureChanged)
    wrong = msgspec.structs.replace(figures, exposure=figures.exposure + 1)
    installation.write(_EXPOSURES, b"C-0", codec.encode(wrong), partition)
    other, gone = installation.last(_EXPOSURES, b"C-1")
    installation.write(_EXPOSURES, b"C-1", None, other)
    stray = msgspec.structs.replace(figures, customer_id="X-1")
    installation.write(_EXPOSURES, b"X-1", codec.encode(stray), partition_of(b"X-1", 4))
    found = {one["account_id"]: one for one in installation.differences()}
    assert found.keys() == {"C-0", "C-1", "X-1"}
    assert {one["against"] for one in found.values()} == {"exposures"}
    assert found["C-0"]["field"] == "exposure"
    assert found["C-0"]["cause"].startswith("right event, wrong figures")
    assert found["C-1"]["found"] == "nothing"
    assert found["X-1"]["expected"] == "nothing"
    installation.write(_EXPOSURES, b"C-0", before, partition)
    installation.write(_EXPOSURES, b"C-1", gone, other)
    installation.write(_EXPOSURES, b"X-1", None, partition_of(b"X-1", 4))
    assert installation.differences() == []


def test_rows_that_clickhouse_lost_or_made_up_are_named(installation: Installation) -> None:
    installation.clickhouse("CREATE TABLE headroom.kept AS headroom.order_decisions_raw")
    installation.clickhouse(
        "INSERT INTO headroom.kept SELECT * FROM headroom.order_decisions_raw"
        " WHERE order_id = 'O-7'"
    )
    installation.clickhouse("DELETE FROM headroom.order_decisions_raw WHERE order_id = 'O-7'")
    installation.clickhouse(
        "INSERT INTO headroom.order_decisions_raw"
        " SELECT * REPLACE ('made-up' AS event_id) FROM headroom.kept LIMIT 1"
    )
    found = installation.differences()
    assert {one["against"] for one in found} == {"clickhouse"}
    missing = [one for one in found if one["found"] == "nothing"]
    strays = [one for one in found if one["expected"] == "nothing"]
    assert missing
    assert [one["what"] for one in strays] == ["order_decisions_raw made-up"]
    assert all(one["what"].startswith("order_decisions_raw") for one in missing)
    assert missing[0]["cause"] == "the row was deleted, or a batch of the sink was lost"
    installation.clickhouse("DELETE FROM headroom.order_decisions_raw WHERE event_id = 'made-up'")
    installation.clickhouse("INSERT INTO headroom.order_decisions_raw SELECT * FROM headroom.kept")
    installation.clickhouse("DROP TABLE headroom.kept")
    assert installation.differences() == []


def test_figures_that_were_changed_in_clickhouse_are_named(installation: Installation) -> None:
    table = "headroom.exposures_raw"
    change = f"ALTER TABLE {table} UPDATE exposure_minor = exposure_minor %s 100 WHERE "
    whose = "customer_id = 'C-2' SETTINGS mutations_sync = 2"
    installation.clickhouse(change % "+" + whose)
    (found,) = installation.differences()
    assert (found["against"], found["account_id"], found["field"]) == (
        "clickhouse",
        "C-2",
        "exposure",
    )
    assert found["cause"] == "the row was changed, or written by another release"
    installation.clickhouse(change % "-" + whose)
    assert installation.differences() == []


def test_state_is_rebuilt_beside_the_live_one_and_in_its_place(installation: Installation) -> None:
    """What was changed, deleted and made up is put right, a partition that lost all is made anew,
    and a worker goes on from it.
    """
    done = installation.headroom("rebuild")
    assert (done.returncode, done.stdout) == (0, "0 differences in 9 accounts\n"), done.stderr
    changelog: dict[tuple[int, bytes], bytes | None] = {}
    lost = partition_of(b"C-3", 4)
    config = {"bootstrap.servers": installation.bootstrap}
    for partition in range(4):
        for record in LogReader(config, _CHANGELOG, partition):
            changelog[partition, record.key or b""] = record.value
    held = {place: value for place, value in changelog.items() if value is not None}
    for partition, raw_key in held:
        if partition == lost:
            installation.write(_CHANGELOG, raw_key, None, partition)
    key = state.account_key("C-2").encode()
    whose, before = installation.last(_CHANGELOG, key)
    changed = state.decode(key.decode(), before)
    changed.sequence += 5
    installation.write(_CHANGELOG, key, state.encode(key.decode(), changed), whose)
    assert installation.headroom("rebuild").returncode == 1

    done = installation.headroom("rebuild", "--replace")
    assert done.returncode == 0, done.stderr
    assert "C-3" in done.stdout
    done = installation.headroom("rebuild", "--json")
    assert done.returncode == 0, done.stdout
    for (partition, raw_key), value in held.items():
        if not raw_key.startswith(b"\xff"):
            reader = LogReader(config, _CHANGELOG, partition)
            assert [one.value for one in reader if one.key == raw_key][-1] == value
            break
    worker = WorkerProcess(installation.environment, Path(installation.directory) / "again.log")
    worker.start(only="intake,credit")
    worker.wait_until_ready()
    refused = installation.headroom("rebuild", "--replace")
    assert refused.returncode == 1
    assert "workers run the credit agent" in refused.stderr
    broker = Broker(installation.bootstrap)
    read = broker.reader(topic_of("OrderDecision"))
    broker.send(order("C-3", "O-new", 1_00, AT + 500), "C-3")
    broker.flush()
    assert read(lambda messages: len(messages) >= 1)
    wait_for_group(
        {"bootstrap.servers": installation.bootstrap}, f"{_APP}-credit", [JOURNAL], 4, lambda: None
    )
    worker.signal(signal.SIGTERM)
    assert worker.wait(30) == 0, worker.log
    assert installation.differences() == []


def test_it_runs_on_a_schedule_and_says_what_came_of_it(installation: Installation) -> None:
    port = free_port()
    environment = installation.environment | {"HEADROOM_WEB_PORT": str(port)}

    def scraped() -> dict[str, float]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return {}
        pairs = (one.rsplit(" ", 1) for one in lines if one.startswith("headroom_reconcile"))
        return {name: float(value) for name, value in pairs}

    def eventually(holds: Callable[[dict[str, float]], bool]) -> dict[str, float]:
        end = time.monotonic() + 90
        while not holds(found := scraped()):
            assert time.monotonic() < end
            time.sleep(0.2)
        return found

    ended = "headroom_reconcile_timestamp_seconds"
    with subprocess.Popen(
        [sys.executable, "-m", "agents.cli.main", "reconcile", "--every", "1"],
        env=environment,
        stderr=subprocess.DEVNULL,
    ) as process:
        first = eventually(lambda found: found.get(ended, 0.0) > 0)
        assert first["headroom_reconcile_accounts"] == 9
        assert first['headroom_reconcile_differences{against="live_state"}'] == 0
        assert first['headroom_reconcile_differences{against="clickhouse"}'] == 0
        key = state.order_key("C-2", "O-2").encode()
        partition, before = installation.last(_CHANGELOG, key)
        installation.write(_CHANGELOG, key, None, partition)
        again = eventually(
            lambda found: found['headroom_reconcile_differences{against="live_state"}'] == 1
        )
        assert again[ended] > first[ended]
        installation.write(_CHANGELOG, key, before, partition)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_a_journal_whose_beginning_is_gone_is_not_called_compared(
    installation: Installation,
) -> None:
    """Last, since a journal that was cut stays so."""
    admin = AdminClient({"bootstrap.servers": installation.bootstrap})
    partition = partition_of(b"C-0", 4)
    for future in admin.delete_records([TopicPartition(JOURNAL, partition, 2)]).values():
        future.result(20)
    done = installation.headroom("reconcile")
    assert done.returncode == 1
    assert f"{JOURNAL}[{partition}] begins at 2" in done.stderr
