"""Trouble with the brokers: the worker waits, says so, and goes on by itself; nothing is lost."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.cluster import Cluster, Node, java_of
from faults.conftest import Begin, Scenario
from faults.traffic import wait_until

from schemas.catalogue import JOURNAL

pytestmark = [pytest.mark.connected, pytest.mark.slow]

BOTH = pytest.mark.parametrize("guarantee", ["effectively_once", "exactly_once"])


@pytest.mark.parametrize(
    "guarantee", [pytest.param("effectively_once", marks=pytest.mark.long), "exactly_once"]
)
def test_a_leader_is_killed_and_comes_back(
    three_brokers: Cluster, scenario: Begin, guarantee: str
) -> None:
    one = scenario(three_brokers, guarantee)
    one.begin(one.worker())
    kill_and_start(one, three_brokers, three_brokers.nodes[0])
    one.end()


@pytest.mark.long
@BOTH
def test_all_leaders_are_killed_one_after_the_other(
    three_brokers: Cluster, scenario: Begin, guarantee: str
) -> None:
    """Each leads some partitions of the journal and of the changelog, coordinates some groups and
    transactions, and one leads the quorum.
    """
    one = scenario(three_brokers, guarantee)
    one.begin(one.worker())
    for node in three_brokers.nodes:
        kill_and_start(one, three_brokers, node)
    one.end()


def kill_and_start(one: Scenario, brokers: Cluster, node: Node) -> None:
    node.kill()
    one.faults += 1
    one.traffic.wait_for_answers()
    brokers.start_nodes(node)
    brokers.wait_until_in_sync(JOURNAL)
    one.traffic.wait_for_answers()


@pytest.mark.long
@BOTH
def test_too_few_replicas_are_waited_for(
    three_brokers: Cluster, scenario: Begin, guarantee: str
) -> None:
    """Two of three are gone: nobody can write, no leader can be chosen, no quorum is there."""
    one = scenario(three_brokers, guarantee)
    worker = one.worker()
    one.begin(worker)
    gone = three_brokers.nodes[1:]
    for node in gone:
        node.kill()
        one.faults += 1
    time.sleep(15)
    assert worker.exit_code is None, worker.log
    three_brokers.start_nodes(*gone)
    one.traffic.wait_for_answers()
    assert worker.exit_code is None, worker.log
    one.end()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own for the third broker."""
    if os.geteuid() != 0:
        pytest.skip("a disk of its own for a broker: mounting needs root")
    disk = tmp_path / "cluster" / "node3"
    disk.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.long
def test_a_brokers_disk_is_full(small_disk: Path, three_brokers: Cluster, scenario: Begin) -> None:
    """It gives up; the other two go on. With room again it comes back and catches up."""
    one = scenario(three_brokers, "effectively_once")
    one.begin(one.worker())
    node = three_brokers.nodes[2]
    filler = small_disk / "filler"
    fill(filler)
    one.faults += 1
    wait_until(lambda: java_of(node) is None, 60, "the broker gives up")
    one.traffic.wait_for_answers()
    filler.unlink()
    node.stop()
    three_brokers.start_nodes(node)
    three_brokers.wait_until_in_sync(JOURNAL)
    one.traffic.wait_for_answers()
    one.end()


def fill(filler: Path) -> None:
    """Until nothing fits any more."""
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * size)


@pytest.mark.long
@BOTH
def test_brokers_are_restarted_one_after_the_other(
    three_brokers: Cluster, scenario: Begin, guarantee: str
) -> None:
    """As planned: each hands over what it leads and coordinates before it goes."""
    one = scenario(three_brokers, guarantee)
    one.begin(one.worker())
    for node in three_brokers.nodes:
        node.stop()
        one.faults += 1
        three_brokers.start_nodes(node)
        three_brokers.wait_until_in_sync(JOURNAL)
    one.traffic.wait_for_answers()
    one.end()


@pytest.mark.long
def test_half_a_minute_without_an_answer_is_waited_for(
    three_brokers: Cluster, scenario: Begin
) -> None:
    """All brokers freeze: longer than transactions, sessions and requests may take."""
    one = scenario(three_brokers, "effectively_once")
    worker = one.worker()
    one.begin(worker)
    processes = [java_of(node) for node in three_brokers.nodes]
    for process in processes:
        assert process is not None
        os.kill(process, signal.SIGSTOP)
        one.faults += 1
    time.sleep(30)
    assert worker.exit_code is None, worker.log
    for process in processes:
        assert process is not None
        os.kill(process, signal.SIGCONT)
    one.traffic.wait_for_answers()
    one.end()
