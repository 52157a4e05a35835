"""`headroom dlq` beside a real worker: parked accounts, dead letters, and the cap on their rate."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from reconcile.test_reconcile_connected import Installation
from worker.conftest import START, Broker, WorkerProcess
from worker.test_worker_process import customer, order

from schemas.catalogue import DEAD_LETTERS, topic_of
from schemas.events import OrderDecision
from streams.embedded.kafka import EmbeddedKafka

pytestmark = [pytest.mark.connected, pytest.mark.slow]

_ORDERS = topic_of("OrderPlaced")
_DECISIONS = topic_of("OrderDecision")
_WHO = ("--by", "ann", "--reason", "mended")
FAULTY = """
from agents.credit import rules
from schemas.events import OrderPlaced

order_placed = rules._HANDLERS[OrderPlaced]

def fails_on_13(case, event):
    order_placed(case, event)
    if event.amount == 13:
        raise ZeroDivisionError("a fault of this release")

rules._HANDLERS[OrderPlaced] = fails_on_13
"""


class Office:
    """A broker of its own, a worker, and `headroom dlq`."""

    def __init__(self, directory: Path, bootstrap: str) -> None:
        made = Installation(bootstrap, directory)
        self.environment = made.environment | {"HEADROOM_DEAD_LETTERS_PER_MINUTE": "20"}
        self.broker = Broker(bootstrap)
        self.worker = WorkerProcess(self.environment, directory / "worker.log")

    def start(self, program: str = START) -> None:
        self.worker.start(program)
        self.worker.wait_until_ready()

    def dlq(self, *arguments: str, fails: bool = False) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "agents.cli.main", "dlq", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == (1 if fails else 0), done.stderr
        return done.stderr if fails else done.stdout

    def listed(self, *arguments: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.dlq("list", "--json", *arguments))
        return told

    def metric(self, name: str) -> float:
        lines = self.worker.get("/metrics")[1].splitlines()
        return sum(float(one.split()[-1]) for one in lines if one.startswith(name))


@pytest.fixture
def office(tmp_path: Path, cache_dir: Path) -> Iterator[Office]:
    with EmbeddedKafka(tmp_path / "kafka", cache=cache_dir) as kafka:
        one = Office(tmp_path, kafka.bootstrap_servers)
        yield one
        if one.worker.exit_code is None:
            one.worker.kill()


def eventually(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_a_failing_event_parks_its_account_until_somebody_mends_it(office: Office) -> None:
    """Also over a crash; the others are answered meanwhile, and what waited is answered in its
    order, once.
    """
    broker = office.broker
    read = broker.reader(_DECISIONS)

    def answered(number: int) -> list[OrderDecision]:
        found = read(lambda messages: len({m.value() for m in messages}) >= number)
        values = list(dict.fromkeys(m.value() for m in found))
        return [one for v in values if isinstance(one := broker.codec.decode(v), OrderDecision)]

    office.start(FAULTY + START)
    for customer_id in ("C-1", "C-2"):
        broker.send(customer(customer_id, 1_000), customer_id)
    broker.flush()
    eventually(lambda: office.metric('headroom_events_total{topic="credit.journal.v1"') >= 2)
    for customer_id, order_id, amount in (
        ("C-1", "O-1", 100), ("C-1", "O-2", 13), ("C-2", "O-3", 200), ("C-1", "O-4", 950),
        ("C-1", "O-5", 50), ("C-2", "O-6", 300),
    ):  # fmt: skip
        broker.send(order(customer_id, order_id, amount), customer_id)
    broker.flush()
    assert {one.order_id for one in answered(3)} == {"O-1", "O-3", "O-6"}
    eventually(lambda: office.metric("headroom_parked_accounts") == 1)
    assert "account 'C-1' is parked: OrderPlaced" in office.worker.log
    assert "ZeroDivisionError" in office.worker.log
    assert "a fault of this release" not in office.worker.log, "it may quote the event"

    office.worker.kill()
    office.start(FAULTY + START)
    eventually(lambda: office.metric("headroom_parked_accounts") == 1)
    eventually(lambda: [one["waiting"] for one in office.listed()["parked"]] == [3])
    shown = json.loads(office.dlq("show", "--customer", "C-1", "--json"))
    waiting = [one["order_id"] for one in shown["waiting"]]
    assert waiting == ["O-2", "O-4", "O-5"]
    assert "ZeroDivisionError: a fault of this release" in shown["because"]
    assert "C-1" in office.dlq("list")
    assert "not parked" in office.dlq("retry", "--customer", "C-2", *_WHO, fails=True)

    # Retried by the same release it fails again.
    failed = office.worker.log.count("is parked: ")
    office.dlq("retry", "--customer", "C-1", *_WHO)
    eventually(lambda: office.worker.log.count("is parked: ") > failed)
    assert office.listed()["parked"][0]["waiting"] == 3
    stray = office.dlq(
        "discard", "--customer", "C-1", "--event", "no such", *_WHO, fails=True
    )  # fmt: skip
    assert "no event 'no such' waits" in stray
    last = shown["waiting"][2]["event_id"]
    office.dlq("discard", "--customer", "C-1", "--event", last, *_WHO)
    eventually(lambda: office.listed()["parked"][0]["waiting"] == 2)

    office.worker.terminate()
    assert office.worker.wait(30) == 0, office.worker.log
    office.start()
    office.dlq("retry", "--customer", "C-1", *_WHO)
    said = [(one.order_id, one.decision) for one in answered(5)]
    assert said[3:] == [("O-2", "approved"), ("O-4", "held")]
    eventually(lambda: office.listed()["parked"] == [])
    assert office.metric("headroom_parked_accounts") == 0
    assert office.listed()["letters"] == []
    (letter,) = office.listed("--all")["letters"]
    assert (letter["reason"], letter["type"]) == ("discarded", "OrderPlaced")
    assert letter["detail"] == "OrderPlaced discarded by ann: mended"


def test_dead_letters_are_retried_and_discarded_once(office: Office) -> None:
    broker = office.broker
    office.start()
    broker.send(customer("C-1", 1_000), "C-1")
    for n in range(3):
        broker.send(order("C-1", f"O-{n}", -5), "C-1")
    broker.send_raw(_ORDERS, b"hello", "C-1")
    broker.flush()
    eventually(lambda: len(office.listed()["letters"]) == 4)
    letters = office.listed()["letters"]
    unread = next(one for one in letters if one["type"] is None)
    assert unread["reason"] == "undecodable"
    assert "68656c6c6f" in office.dlq("show", unread["id"])
    office.dlq("discard", unread["id"], *_WHO)
    assert f"{unread['id']} was discarded by ann: mended" in office.dlq(
        "retry", unread["id"], *_WHO, fails=True
    )
    assert len(office.listed()["letters"]) == 3
    again = office.dlq("retry", "--refused-for", "amount_not_positive", *_WHO)
    assert again.count(f"sent to {_ORDERS} again") == 3
    # They are as wrong as before, and so they are letters again.
    eventually(lambda: len(office.listed()["letters"]) == 3)
    retried = [one["offset"] for one in office.listed()["letters"]]
    assert retried == sorted(retried)
    settled = [one["settled"] for one in office.listed("--all")["letters"] if "settled" in one]
    assert sorted(one["how"] for one in settled) == ["discarded", *["retried"] * 3]


def test_too_many_dead_letters_hold_their_topic_and_no_other(office: Office) -> None:
    broker = office.broker
    read_dead, read_decisions = broker.reader(DEAD_LETTERS), broker.reader(_DECISIONS)
    office.start()
    payments = topic_of("PaymentReceived")
    for n in range(60):
        broker.send_raw(payments, b"%d" % n, "K")
    broker.flush()
    eventually(lambda: office.worker.get("/readyz")[0] == 503)
    status = office.worker.get("/readyz")[1]
    assert f"intake: stands still: {payments}-" in status
    assert f"20 records of {payments} went to the dead letters in a minute" in status
    assert office.worker.get("/livez")[0] == 200
    assert office.metric("headroom_held_partitions") == 1
    broker.send(customer("C-1", 1_000), "C-1")
    broker.send(order("C-1", "O-1", 10), "C-1")
    broker.flush()
    assert read_decisions(lambda messages: len(messages) >= 1)
    assert len(read_dead(lambda messages: len(messages) >= 20)) == 20

    office.worker.terminate()
    assert office.worker.wait(30) == 0, office.worker.log
    office.environment["HEADROOM_DEAD_LETTERS_PER_MINUTE"] = "1000"
    office.start()
    wanted = {b"%d" % n for n in range(60)}
    found = read_dead(lambda messages: {m.value() for m in messages} == wanted)
    assert {m.value() for m in found} == wanted
