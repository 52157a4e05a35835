"""What has to hold at the end of every scenario, whatever was broken on the way.

The checker believes nobody: it reads the topics from their beginning and recomputes the journal by
the pure rules. `test_checker.py` shows that it notices workers that are broken on purpose.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from faults.offsets import waiting
from worker.conftest import START, Broker

from agents.policy_file import load_policy
from agents.simulate import Simulation
from schemas.catalogue import DEAD_LETTERS, JOURNAL, topic_of
from schemas.events import Event, OrderDecision, OrderPlaced
from streams.fast_lane.partition import origin_of
from streams.log_reader import LogReader
from streams.record import Record

OUTGOING = ("OrderDecision", "CreditLimitAlert", "RiskSignal")
_OUTGOING_TOPICS = [topic_of(name) for name in OUTGOING]
_SHOWN = 5
_SECONDS = 120
_EVENTS_PER_SECOND = 2_000
"""So many the command reconciles at least."""


@dataclass
class Verdict:
    """What was found: nothing, if all promises were kept."""

    findings: list[str] = field(default_factory=list)
    events: int = 0
    decisions: int = 0
    repeats: int = 0
    """Outgoing events that a subscriber reads more than once, all byte for byte the same."""

    def note(self, what: str, which: Iterable[object]) -> None:
        """A finding, if there are any of them."""
        found = sorted(str(one) for one in which)
        if found:
            shown = ", ".join(found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
            self.findings.append(f"{len(found)} {what}: {shown}")


def check(broker: Broker, sent: Iterable[Event], guarantee: str, app_id: str) -> Verdict:
    """Everything that was sent was decided once in effect, and all that says so agrees.

    Args:
        broker: with topics of which everything belongs to the scenario.
        sent: the events that the brokers acknowledged to their senders.
        guarantee: how the workers were set.
        app_id: of the workers, which have stopped as planned.
    """
    return _Check(broker, {event.event_id: event for event in sent}, guarantee, app_id).verdict


class _Check:
    """Partition by partition: all of an overloaded worker's at once would fill the memory. What the
    rules say to a partition of the journal goes to the partition of the same number.
    """

    def __init__(self, broker: Broker, sent: dict[str, Event], guarantee: str, app_id: str) -> None:
        self.verdict = Verdict(events=len(sent))
        self._broker = broker
        self._sent = sent
        self._exactly_once = guarantee == "exactly_once"
        self._app_id = app_id
        self._written: Counter[str] = Counter()
        self._decided: Counter[str] = Counter()
        for partition in range(broker.partitions):
            logs = _read(broker, [JOURNAL, DEAD_LETTERS, *_OUTGOING_TOPICS], partition)
            self._journal(logs[JOURNAL])
            self._outgoing(logs)
            self._decisions(logs[topic_of("OrderDecision")])
            self._dead_letters(logs[DEAD_LETTERS])
        self._all_of_it()
        self._offsets()
        self._state()

    def _journal(self, records: list[Record]) -> None:
        once = list(_once(records))
        for record in once:
            event = self._decode(record)
            self._written[event.event_id] += 1
            if event != self._sent.get(event.event_id):
                self._note("events in the journal are not what was sent", [event.event_id])
        if self._exactly_once:
            self._note("records of the journal are repeats", range(len(records) - len(once)))

    def _outgoing(self, logs: dict[str, list[Record]]) -> None:
        expected = {event.event_id: event for event in self._recomputed(logs[JOURNAL])}
        published: dict[str, set[bytes | None]] = defaultdict(set)
        repeats = 0
        for topic in _OUTGOING_TOPICS:
            for record in logs[topic]:
                values = published[header(record, "ce_id")]
                repeats += record.value in values
                values.add(record.value)
        self._note("ids have two contents", (i for i, v in published.items() if len(v) > 1))
        self._note("outgoing events are missing", expected.keys() - published.keys())
        self._note("outgoing events should not be there", published.keys() - expected.keys())
        self._note(
            "outgoing events are not what the rules say",
            (
                id_
                for id_, values in published.items()
                if any(self._decode_raw(value) != expected.get(id_) for value in values)
            ),
        )
        self.verdict.repeats += repeats
        if self._exactly_once:
            self._note("outgoing events are repeats", range(repeats))

    def _decisions(self, records: list[Record]) -> None:
        """One first decision for each order; whoever reads on gets the rest in their order."""
        numbers: dict[str, int] = {}
        seen: set[bytes | None] = set()
        for record in records:
            event = self._decode(record)
            if record.value in seen or not isinstance(event, OrderDecision):
                continue
            seen.add(record.value)
            self.verdict.decisions += 1
            number = event.decision_number
            if number != numbers.get(event.order_id, 0) + 1:
                self._note("decisions are out of their order", [f"{event.order_id} {number}"])
            numbers[event.order_id] = number
            self._decided[event.order_id] += number == 1

    def _all_of_it(self) -> None:
        written, decided = self._written, self._decided
        self._note("events sent are not in the journal", self._sent.keys() - written.keys())
        self._note("events are in the journal twice", (e for e, n in written.items() if n > 1))
        orders = {e.order_id for e in self._sent.values() if isinstance(e, OrderPlaced)}
        self._note("orders have no first decision", (o for o in orders if not decided[o]))
        self._note("orders have two first decisions", (o for o, n in decided.items() if n > 1))

    def _dead_letters(self, letters: list[Record]) -> None:
        self._note("dead letters", (header(letter, "headroom_detail") for letter in letters))

    def _offsets(self) -> None:
        """The groups were told the end of all that there is to read."""
        self._note("committed offsets are behind", waiting(self._broker, self._app_id))

    def _state(self) -> None:
        """Live state, figures and journal, by the command that users have for it."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("HEADROOM_")}
        environment["HEADROOM_KAFKA_BOOTSTRAP"] = self._broker.bootstrap
        environment["HEADROOM_APP_ID"] = self._app_id
        done = subprocess.run(
            [sys.executable, "-c", START, "reconcile"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS + self.verdict.events / _EVENTS_PER_SECOND,
        )
        if done.returncode != 0 or "0 differences in" not in done.stdout:
            self._note("times reconcile failed", [f"{done.stdout[-2000:]}{done.stderr[-2000:]}"])

    def _recomputed(self, records: list[Record]) -> Iterator[Event]:
        """What the pure rules say to a partition of the journal, repeats left out."""
        simulation = Simulation(load_policy(None))
        for record in _once(records):
            for effect in simulation.feed(self._decode(record)):
                assert isinstance(effect, Event), effect
                yield effect

    def _note(self, what: str, which: Iterable[object]) -> None:
        self.verdict.note(what, which)

    def _decode(self, record: Record) -> Event:
        return self._decode_raw(record.value)

    def _decode_raw(self, raw: bytes | None) -> Event:
        return self._broker.codec.decode(raw)


def _once(records: Iterable[Record]) -> Iterator[Record]:
    """The journal's records without repeats of an input record."""
    seen = set()
    for record in records:
        origin = origin_of(record)
        if origin not in seen:
            seen.add(origin)
            yield record


def _read(broker: Broker, topics: Sequence[str], partition: int) -> dict[str, list[Record]]:
    """All that a reader of committed records gets of a partition of each topic."""
    config = {"bootstrap.servers": broker.bootstrap, "log_level": 0}
    with ThreadPoolExecutor(len(topics)) as readers:
        logs = readers.map(lambda topic: list(LogReader(config, topic, partition)), topics)
        return dict(zip(topics, logs, strict=True))


def header(record: Record, name: str) -> str:
    return (dict(record.headers)[name] or b"").decode()
