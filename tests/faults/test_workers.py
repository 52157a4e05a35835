"""Trouble with workers, and with everything at once; more work than they can do."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.cluster import Cluster
from faults.conftest import Begin, Scenario
from faults.traffic import wait_until
from worker.conftest import WorkerProcess

from schemas.catalogue import JOURNAL
from streams.embedded.kafka import EmbeddedKafka

pytestmark = [pytest.mark.connected, pytest.mark.slow]

BOTH = pytest.mark.parametrize("guarantee", ["effectively_once", "exactly_once"])
_MIB = 1 << 20
_LOOKS = 4
"""Over so many looks it is judged how fast a worker is: its records come in lots."""
_STEPS_AT_LEAST = 2_000.0
"""More than a worker does here, from the first moment on."""


class Nemesis:
    """Breaks one thing after the other, by chance, and mends each after a while."""

    def __init__(self, one: Scenario, brokers: Cluster, chance: random.Random) -> None:
        self._one = one
        self._brokers = brokers
        self._chance = chance
        self._faults: list[Callable[[], None]] = [
            self._kill,
            self._kill,
            self._freeze,
            self._kill_a_broker,
            self._cut,
        ]

    def run(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            self._chance.choice(self._faults)()
            self._one.faults += 1
            time.sleep(self._chance.uniform(0.5, 4.0))

    def _some_worker(self) -> WorkerProcess:
        worker = self._chance.choice(self._one.workers)
        assert worker.exit_code is None, worker.log
        return worker

    def _kill(self) -> None:
        worker = self._some_worker()
        worker.kill()
        time.sleep(self._chance.choice([0.0, 2.0, 9.0]))
        worker.start()

    def _freeze(self) -> None:
        worker = self._some_worker()
        worker.signal(signal.SIGSTOP)
        time.sleep(self._chance.choice([1.0, 4.0, 11.0]))
        worker.signal(signal.SIGCONT)

    def _kill_a_broker(self) -> None:
        node = self._chance.choice(self._brokers.nodes)
        node.kill()
        time.sleep(self._chance.choice([0.0, 8.0]))
        self._brokers.start_nodes(node)
        # A second one away at the same time would be another fault: too few replicas.
        self._brokers.wait_until_in_sync(JOURNAL)

    def _cut(self) -> None:
        self._brokers.cut()
        time.sleep(self._chance.choice([1.0, 4.0, 11.0]))
        self._brokers.heal()


def everything_at_once(
    brokers: Cluster, scenario: Begin, guarantee: str, seconds: float, seed: int
) -> None:
    one = scenario(brokers, guarantee)
    one.begin(one.worker("a", brokers.far_servers), one.worker("b"))
    print(f"\nseed {seed}")
    Nemesis(one, brokers, random.Random(seed)).run(seconds)
    one.traffic.wait_for_answers()
    for worker in one.workers:
        worker.wait_until_ready()  # none has ended by itself
    one.end()


@pytest.mark.parametrize(
    "guarantee", ["effectively_once", pytest.param("exactly_once", marks=pytest.mark.long)]
)
def test_a_minute_of_everything_at_once(
    three_brokers: Cluster, scenario: Begin, guarantee: str
) -> None:
    everything_at_once(three_brokers, scenario, guarantee, 60.0, seed=time.time_ns() % 1_000_000)


@pytest.mark.long
@BOTH
def test_ten_minutes_of_everything_at_once(
    three_brokers: Cluster, scenario: Begin, guarantee: str
) -> None:
    everything_at_once(three_brokers, scenario, guarantee, 600.0, seed=time.time_ns() % 1_000_000)


def overload(broker: EmbeddedKafka, scenario: Begin, seconds: float, grows_by: int) -> None:
    """Three times what the worker does, whatever that is here; then nothing, until it is done.

    `grows_by`: how much more memory it may take meanwhile, in MiB.
    """
    one = scenario(broker, "effectively_once")
    worker = one.worker(in_flight_bytes=str(32 * _MIB))
    one.begin(worker)
    shared_out = worker.log.count("partitions assigned")
    at_rest = memory = memory_of(worker)
    sent, before = len(one.traffic.sent), taken_in(worker)
    lag = 0.0
    began = now = time.monotonic()
    lately = deque([(began, before)], maxlen=_LOOKS)
    while now < began + seconds:
        time.sleep(0.5)
        now, so_far = time.monotonic(), taken_in(worker)
        since, done = lately[0]
        # A step is three events, so as many steps as it does events are three times as much.
        one.traffic.steps = max((so_far - done) / (now - since), _STEPS_AT_LEAST)
        lately.append((now, so_far))
        memory = max(memory, memory_of(worker))
        lag = max(lag, lag_of(worker))
    one.traffic.steps = 0.0
    offered, speed = len(one.traffic.sent) - sent, (taken_in(worker) - before) / seconds
    # Two thirds of it are left: twice as long at the speed that it had.
    one.traffic.wait_until_quiet(max(600.0, 4 * seconds))
    one.wait_until_committed()  # invoices and payments are answered to nobody
    wait_until(lambda: lag_of(worker) == 0.0, 10, "no lag is reported")
    recovered = time.monotonic() - now
    memory = max(memory, memory_of(worker))
    print(
        f"\noffered {offered / seconds:,.0f} events/s for {seconds:.0f} s, {speed:,.0f}"
        f" were done; memory {at_rest / _MIB:.0f} MiB before, {memory / _MIB:.0f} MiB at most;"
        f" lag {lag:.1f} s at most; all done {recovered:.0f} s later"
    )
    assert lag > 1.0, "it was not overloaded, or does not say so"
    assert worker.log.count("partitions assigned") == shared_out, "the group shared out anew"
    assert memory < at_rest + grows_by * _MIB
    one.end()


def test_more_than_it_can_do_is_done_later(one_broker: EmbeddedKafka, scenario: Begin) -> None:
    overload(one_broker, scenario, 6.0, grows_by=400)


@pytest.mark.long
def test_five_minutes_of_more_than_it_can_do(one_broker: EmbeddedKafka, scenario: Begin) -> None:
    # With two million documents it also keeps as much of its state as it ever does.
    overload(one_broker, scenario, 300.0, grows_by=800)


def memory_of(worker: WorkerProcess) -> int:
    """Resident, in bytes."""
    pages = int(Path(f"/proc/{worker.pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def lag_of(worker: WorkerProcess) -> float:
    """Of the partition that is furthest behind, in seconds, as the worker reports it."""
    found = re.findall(r"^headroom_consumer_lag_seconds\{.*\} (\S+)", metrics(worker), re.MULTILINE)
    return max(map(float, found), default=0.0)


def taken_in(worker: WorkerProcess) -> float:
    """Events of the journal, so far."""
    found = re.findall(
        r'^headroom_events_total\{.*topic="credit\.journal\.v1".*\} (\S+)',
        metrics(worker),
        re.MULTILINE,
    )
    return sum(map(float, found))


def metrics(worker: WorkerProcess) -> str:
    status, text = worker.get("/metrics")
    assert status == 200, worker.log
    return text
