"""A scenario: brokers of its own, workers, business at a steady rate, the checker at its end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from faults.checker import Verdict, check
from faults.cluster import Cluster
from faults.offsets import waiting
from faults.traffic import Traffic, wait_until
from worker.conftest import START, Broker, WorkerProcess, make_worker  # noqa: F401  a fixture

from schemas.catalogue import JOURNAL
from streams.embedded.kafka import EmbeddedKafka

_STOP_SECONDS = 45.0
_COMMIT_SECONDS = 180.0


class Brokers(Protocol):
    """One broker or three."""

    bootstrap_servers: str


class Scenario:
    """What a test breaks. Business begins when the workers are up; `end` judges."""

    def __init__(self, brokers: Brokers, make: Any, guarantee: str) -> None:
        self.brokers = brokers
        self.guarantee = guarantee
        self.broker = Broker(brokers.bootstrap_servers, replicas=self.replicas_of(brokers))
        self.traffic = Traffic(self.broker)
        self.workers: list[WorkerProcess] = []
        self.app_id = ""
        self.faults = 0
        self._make = make
        self._began = time.monotonic()

    @staticmethod
    def replicas_of(brokers: Brokers) -> int:
        return getattr(brokers, "replicas", 1)

    def worker(self, name: str = "a", bootstrap: str | None = None, **more: str) -> WorkerProcess:
        """Another worker, not started."""
        replicas = self.replicas_of(self.brokers)
        settings = {
            "guarantee": self.guarantee,
            "replication_factor": str(replicas),
            "min_insync_replicas": str(max(replicas - 1, 1)),
        }
        made: WorkerProcess = self._make(
            bootstrap or self.brokers.bootstrap_servers, name, **(settings | more)
        )
        self.app_id = made.app_id
        self.workers.append(made)
        return made

    def begin(self, *workers: WorkerProcess, program: str = START) -> None:
        """Start them, and business when they are ready and share the customers."""
        for worker in workers:
            worker.start(program)
        for worker in workers:
            worker.wait_until_ready()
        self.traffic.start()
        wait_until(lambda: all(w.partitions(JOURNAL) for w in workers), 60, "all have a share")
        self.traffic.wait_for_answers()
        self._began = time.monotonic()

    def wait_until_committed(self, seconds: float = _COMMIT_SECONDS) -> None:
        """Until all that was sent is done and committed. Every order may be answered before: what
        follows the last order in its topic, and its invoices and payments in theirs, is not.
        """
        deadline = time.monotonic() + seconds
        while left := waiting(self.broker, self.app_id):
            assert time.monotonic() < deadline, f"not committed: {', '.join(left)}"
            time.sleep(0.2)

    def end(self) -> Verdict:
        """No more business; the workers stop as planned; nothing may have been lost or doubled."""
        recovered = time.monotonic()
        silence = self.traffic.silence(self._began, recovered)
        self.traffic.stop()
        self.wait_until_committed()
        for worker in self.workers:
            if worker.exit_code is None:
                worker.terminate()
        for worker in self.workers:
            assert worker.wait(_STOP_SECONDS) in (0, -9), worker.log
            assert "Traceback" not in worker.log, worker.log
        verdict = check(self.broker, self.traffic.sent, self.guarantee, self.app_id)
        print(
            f"\n{self.guarantee}: {verdict.events:,} events, {verdict.decisions:,} decisions,"
            f" {self.faults} faults, longest silence {silence:.1f} s, {verdict.repeats} repeats,"
            f" losses {len(verdict.findings)}"
        )
        assert verdict.findings == []
        assert not left_behind(self.app_id), "a process is left"
        return verdict


def left_behind(app_id: str) -> list[int]:
    """Processes of the scenario's workers that still run."""
    mark = f"HEADROOM_APP_ID={app_id}\0".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if mark in (entry / "environ").read_bytes() + b"\0":
                    found.append(int(entry.name))
            except OSError:
                continue  # it has just ended, or is not ours
    return found


Begin = Callable[..., Scenario]


@pytest.fixture
def scenario(make_worker: Any) -> Iterator[Begin]:  # noqa: F811
    made: list[Scenario] = []

    def make(brokers: Brokers, guarantee: str) -> Scenario:
        made.append(Scenario(brokers, make_worker, guarantee))
        return made[-1]

    yield make
    for one in made:
        one.traffic.end()


@pytest.fixture
def one_broker(tmp_path: Path, cache_dir: Path) -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka(tmp_path / "kafka", cache=cache_dir) as broker:
        yield broker


@pytest.fixture
def three_brokers(tmp_path: Path, cache_dir: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path / "cluster", cache=cache_dir) as brokers:
        yield brokers
