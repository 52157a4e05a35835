"""A worker goes, others answer for its customers: how soon, and with the same words."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from worker.conftest import WorkerProcess
from worker.load import SteadyLoad
from worker.proxy import FarKafka

from schemas.catalogue import JOURNAL

pytestmark = [pytest.mark.connected, pytest.mark.slow]

SESSION_SECONDS = 6.0
"""As `make_worker` sets it."""
SLOW_MACHINE_SECONDS = 6.0
"""What a promise may be late here; the figures are printed."""
NOBODY_WAITED_SECONDS = 30.0
"""Planned stops are judged by the clock in `headroom bench takeover`; here by what nobody may have
waited for, on a machine that does much else:
"""
LONG_SESSION = {"session_timeout_seconds": "60"}
"""Longer, too, than it takes to start a process on such a machine."""

SAID_BY_A_ZOMBIE = ("membership lost", "was replaced while it was silent")

BOTH = pytest.mark.parametrize("guarantee", ["effectively_once", "exactly_once"])


@pytest.fixture
def load(kafka: str) -> Iterator[SteadyLoad]:
    made = SteadyLoad(kafka)
    yield made
    made.end()


@pytest.fixture
def far_kafka(tmp_path: Path, cache_dir: Path) -> Iterator[FarKafka]:
    with FarKafka(tmp_path / "kafka", cache=cache_dir) as broker:
        yield broker


def started(
    load: SteadyLoad, kafka: str, make_worker: Any, names: str, **settings: str
) -> list[WorkerProcess]:
    """Workers with load on them, each answering for some of the customers."""
    workers = [make_worker(kafka, name, **settings) for name in names]
    under_load(load, *workers)
    return workers


def under_load(load: SteadyLoad, *workers: WorkerProcess) -> None:
    """All run, and share the customers."""
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.wait_until_ready()
    # One that came later first copies the state of its share.
    load.wait_until(lambda: all(worker.partitions(JOURNAL) for worker in workers))
    load.start()
    load.wait_for_answers()


def said_by_a_zombie(worker: WorkerProcess) -> bool:
    """That it was replaced, in one of the ways in which it can find out."""
    return any(words in worker.log for words in SAID_BY_A_ZOMBIE)


def assert_kept_its_place(successor: WorkerProcess) -> None:
    """The zombie did not fence it."""
    assert successor.exit_code is None
    assert "was fenced" not in successor.log
    assert "going back to what is committed" not in successor.log


@BOTH
def test_planned_stops_one_after_the_other_are_hardly_noticed(
    kafka: str, load: SteadyLoad, make_worker: Any, guarantee: str
) -> None:
    """Three workers are stopped and started again in turn, with orders coming in."""
    workers = started(load, kafka, make_worker, "abc", guarantee=guarantee, **LONG_SESSION)
    for worker in workers:
        stopped = time.monotonic()
        worker.signal(signal.SIGTERM)
        assert worker.wait(30) == 0, worker.log
        load.wait_for_answers()
        down = load.silence(stopped)
        back = time.monotonic()
        worker.start()
        worker.wait_until_ready()
        load.wait_for_answers()
        up = load.silence(back)
        print(f"{guarantee}: silence {down:.2f} s when stopped, {up:.2f} s when started")
        assert down < 1 + NOBODY_WAITED_SECONDS, worker.log
        assert up < 1 + NOBODY_WAITED_SECONDS, worker.log
    load.stop()
    load.check(guarantee)
    assert all("Traceback" not in worker.log for worker in workers)


@BOTH
def test_a_killed_worker_is_missed_no_longer_than_its_session(
    kafka: str, load: SteadyLoad, make_worker: Any, guarantee: str
) -> None:
    gone, _other = started(load, kafka, make_worker, "ab", guarantee=guarantee)
    killed = time.monotonic()
    gone.kill()
    load.wait_for_answers()
    silence = load.silence(killed)
    print(f"{guarantee}: silence {silence:.2f} s after a kill, session {SESSION_SECONDS:.0f} s")
    assert silence < SESSION_SECONDS + 2 + SLOW_MACHINE_SECONDS
    load.stop()
    load.check(guarantee)


@BOTH
def test_a_worker_that_was_frozen_until_it_was_replaced_changes_nothing_and_says_so(
    kafka: str, load: SteadyLoad, make_worker: Any, guarantee: str
) -> None:
    frozen, successor = started(load, kafka, make_worker, "ab", guarantee=guarantee)
    frozen.signal(signal.SIGSTOP)
    load.wait_for_answers()  # of all customers, so its partitions have moved
    frozen.signal(signal.SIGCONT)
    load.wait_until(lambda: said_by_a_zombie(frozen))
    load.wait_for_answers()
    assert_kept_its_place(successor)
    load.stop()
    load.check(guarantee)


@BOTH
def test_a_worker_that_was_cut_off_until_it_was_replaced_changes_nothing_and_says_so(
    far_kafka: FarKafka, make_worker: Any, guarantee: str
) -> None:
    """It goes on for a moment with what it has: answers that nobody gets, until the network is back
    and they all arrive behind those of its successor.
    """
    load = SteadyLoad(far_kafka.bootstrap_servers)
    try:
        cut_off = make_worker(far_kafka.far_servers, "a", guarantee=guarantee)
        successor = make_worker(far_kafka.bootstrap_servers, "b", guarantee=guarantee)
        under_load(load, cut_off, successor)
        far_kafka.proxy.cut()
        cut = time.monotonic()
        load.wait_for_answers()  # of all customers, so its partitions have moved
        print(f"{guarantee}: silence {load.silence(cut):.2f} s after the cut")
        far_kafka.proxy.heal()
        load.wait_until(lambda: said_by_a_zombie(cut_off))
        load.wait_for_answers()
        assert_kept_its_place(successor)
        load.stop()
        load.check(guarantee)
        print(f"{guarantee}: {load.repeats} repeats")
        # What it could not deliver has come, and changed nothing.
        assert (load.repeats > 0) == (guarantee == "effectively_once")
    finally:
        load.end()


def test_a_worker_that_comes_right_back_keeps_its_partitions(
    kafka: str, load: SteadyLoad, make_worker: Any
) -> None:
    """SIGUSR1: the group keeps its place for a session, and nobody else's partitions move."""
    back, other = started(load, kafka, make_worker, "ab", **LONG_SESSION)
    theirs = back.partitions(JOURNAL), other.partitions(JOURNAL)
    rounds = other.log.count("partitions assigned")
    stopped = time.monotonic()
    back.signal(signal.SIGUSR1)
    assert back.wait(30) == 0, back.log
    back.start()
    back.wait_until_ready()
    load.wait_for_answers()
    print(f"silence {load.silence(stopped):.2f} s while it was started anew")
    assert other.log.count("partitions assigned") == rounds, other.log
    assert (back.partitions(JOURNAL), other.partitions(JOURNAL)) == theirs
    load.stop()
    load.check("effectively_once")


def test_a_worker_stays_in_its_group_however_long_it_runs(
    kafka: str, load: SteadyLoad, make_worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through aiokafka nothing is fetched. It would take a worker for idle after 1,000 s, leave its
    group and never come back.
    """
    monkeypatch.setenv("BROKER_MAX_POLL_INTERVAL", "2")
    (worker,) = started(load, kafka, make_worker, "a")
    time.sleep(6)  # three times as long
    load.wait_for_answers()
    assert "membership lost" not in worker.log, worker.log
    assert worker.get("/readyz")[0] == 200
    load.stop()
    load.check("effectively_once")
