"""A checker that cannot fail is worthless: workers that are broken on purpose, and what it says."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from faults.checker import check
from faults.conftest import Begin, Scenario
from faults.traffic import wait_until
from worker.conftest import START

from streams.embedded.kafka import EmbeddedKafka

pytestmark = [pytest.mark.connected, pytest.mark.slow]

AHEAD_OF_ITS_EVENTS = """
import threading, time
from streams.fast_lane import outlet

# Events leave late, and the state does not wait for them.
outlet.Flight.wait = lambda self: None
send = outlet.Outlet.send
late = outlet.Outlet.__init__

def send_late(self, outgoing, flight):
    threading.Timer(2.0, send, (self, outgoing, flight)).start()

outlet.Outlet.send = send_late
"""

WITHOUT_A_FENCE = """
import os
from streams.fast_lane import membership, transaction

# Every producer is another's, so nobody is fenced; and who was replaced does not believe it.
membership.Membership.is_current = lambda self, generation: True
begin = transaction.Transactions.__init__

def begin_unfenced(self, config, *, transactional_id, **more):
    begin(self, config, transactional_id=f"{transactional_id}-{os.urandom(4).hex()}", **more)

transaction.Transactions.__init__ = begin_unfenced
"""

FREEZES_WITH_STATE_IN_HAND = """
import os, signal, threading
from streams.fast_lane import transaction

# When asked to, it freezes with its next commit of state in hand. That is the first thing it does
# when it wakes up, and the last: in a group again, it might get the partition back and mend it.
asked = threading.Semaphore(0)
signal.signal(signal.SIGUSR2, lambda *_: asked.release())
write = transaction.Transactions.write

def write_late(self, *given, changelog=None, **more):
    late = changelog is not None and asked.acquire(blocking=False)
    if late:
        # Its own thread first: another would let this one go on for a moment.
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
    written = write(self, *given, changelog=changelog, **more)
    if late:
        os._exit(17)
    return written

transaction.Transactions.write = write_late
"""

IDS_BY_CHANCE = """
import os
from agents.credit import case

# The same event said again has another id.
case.outgoing_id = lambda *_: os.urandom(8).hex()
"""

PASSES_OVER = """
from streams.fast_lane import partition

# Offsets are committed for records that are still to be done.
finish = partition.PassPartition.finish

def finish_ahead(self, end, size):
    finish(self, end, size)
    self._next_offset = end + 3

partition.PassPartition.finish = finish_ahead
"""


def broken(how: str) -> str:
    """The program of a worker with one thing changed."""
    return how + START


def judged(one: Scenario) -> str:
    """All that the checker has to say when the workers believe that all is done."""
    one.traffic.steps = 0.0
    one.wait_until_committed()
    return judged_now(one)


def judged_now(one: Scenario) -> str:
    """All that it has to say once what is in hand was written."""
    one.traffic.steps = 0.0
    time.sleep(6.0)
    one.traffic.end()
    for worker in one.workers:
        if worker.exit_code is None:
            worker.terminate()
            worker.wait(45)
    return "\n".join(check(one.broker, one.traffic.sent, one.guarantee, one.app_id).findings)


def test_a_state_ahead_of_its_events_is_noticed(one_broker: EmbeddedKafka, scenario: Begin) -> None:
    one = scenario(one_broker, "effectively_once")
    worker = one.worker()
    one.begin(worker, program=broken(AHEAD_OF_ITS_EVENTS))
    worker.kill()
    worker.start()
    worker.wait_until_ready()
    said = judged(one)
    assert "outgoing events are missing" in said
    assert "orders have no first decision" in said


def test_an_offset_ahead_of_its_records_is_noticed(
    one_broker: EmbeddedKafka, scenario: Begin
) -> None:
    one = scenario(one_broker, "effectively_once")
    worker = one.worker()
    one.begin(worker, program=broken(PASSES_OVER))
    for _ in range(3):
        one.traffic.wait_for_answers()  # else nothing has been committed since the last time
        worker.kill()
        worker.start(broken(PASSES_OVER))
        worker.wait_until_ready()
    assert "events sent are not in the journal" in judged(one)


def test_ids_that_differ_from_run_to_run_are_noticed(
    one_broker: EmbeddedKafka, scenario: Begin
) -> None:
    one = scenario(one_broker, "effectively_once")
    worker = one.worker()
    one.begin(worker, program=broken(IDS_BY_CHANCE))
    said = judged(one)
    assert "outgoing events should not be there" in said
    assert "outgoing events are missing" in said


def test_two_owners_of_a_partition_are_noticed(one_broker: EmbeddedKafka, scenario: Begin) -> None:
    """The former one wakes up when all is done, and commits the state that it had in hand."""
    one = scenario(one_broker, "effectively_once")
    frozen = one.worker("a", commit_interval_seconds="3")
    other = one.worker("b", commit_interval_seconds="3")
    one.begin(frozen, other, program=broken(WITHOUT_A_FENCE + FREEZES_WITH_STATE_IN_HAND))
    frozen.signal(signal.SIGUSR2)
    wait_until(lambda: is_frozen(frozen.pid), 60, "it has something to commit")
    one.traffic.wait_for_answers(10)
    one.traffic.steps = 0.0
    one.traffic.wait_until_quiet()
    one.wait_until_committed()
    frozen.signal(signal.SIGCONT)
    assert frozen.wait(60) == 17, frozen.log
    assert "times reconcile failed" in judged_now(one)


def is_frozen(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    return status.rpartition(")")[2].split()[0] == "T"
