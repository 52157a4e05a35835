"""What has to hold at the end of every scenario, whatever was broken on the way.

The checker believes nobody: it reads the topics from their beginning and recomputes the journal by
the pure rules. `test_checker.py` shows that it notices workers that are broken on purpose.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from faults.offsets import waiting
from worker.conftest import START, Broker

from agents.policy_file import load_policy
from agents.simulate import Simulation
from schemas.catalogue import DEAD_LETTERS, INPUT_TOPICS, JOURNAL, topic_of
from schemas.events import Event, OrderDecision, OrderPlaced
from streams.fast_lane.partition import origin_of
from streams.log_reader import LogReader
from streams.record import Record

OUTGOING = ("OrderDecision", "CreditLimitAlert", "RiskSignal")
_SHOWN = 5
_SECONDS = 120
_READERS = 8


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
    def __init__(self, broker: Broker, sent: dict[str, Event], guarantee: str, app_id: str) -> None:
        self.verdict = Verdict(events=len(sent))
        self._broker = broker
        self._sent = sent
        self._exactly_once = guarantee == "exactly_once"
        self._app_id = app_id
        outgoing = [topic_of(name) for name in OUTGOING]
        self._logs = _read(broker, [JOURNAL, DEAD_LETTERS, *outgoing, *INPUT_TOPICS])
        self._journal()
        self._outgoing(outgoing)
        self._first_decisions()
        self._dead_letters()
        self._offsets()
        self._state()

    def _journal(self) -> None:
        written: Counter[str] = Counter()
        repeats = 0
        for records in self._logs[JOURNAL]:
            once = list(_once(records))
            repeats += len(records) - len(once)
            for record in once:
                event = self._decode(record)
                written[event.event_id] += 1
                if event != self._sent.get(event.event_id):
                    self._note("events in the journal are not what was sent", [event.event_id])
        self._note("events sent are not in the journal", self._sent.keys() - written.keys())
        self._note("events are in the journal twice", (e for e, n in written.items() if n > 1))
        if self._exactly_once:
            self._note("records of the journal are repeats", range(repeats))

    def _outgoing(self, topics: Iterable[str]) -> None:
        expected = {event.event_id: event for event in self._recomputed()}
        published: dict[str, set[bytes | None]] = defaultdict(set)
        for topic in topics:
            for records in self._logs[topic]:
                for record in records:
                    values = published[header(record, "ce_id")]
                    self.verdict.repeats += record.value in values
                    values.add(record.value)
        contents = {id_: [self._decode_raw(v) for v in vs] for id_, vs in published.items()}
        self._note("ids have two contents", (i for i, v in published.items() if len(v) > 1))
        self._note("outgoing events are missing", expected.keys() - published.keys())
        self._note("outgoing events should not be there", published.keys() - expected.keys())
        self._note(
            "outgoing events are not what the rules say",
            (i for i, told in contents.items() if any(one != expected.get(i) for one in told)),
        )
        if self._exactly_once:
            self._note("outgoing events are repeats", range(self.verdict.repeats))

    def _first_decisions(self) -> None:
        """One for each order; whoever reads on gets the rest in their order."""
        first: dict[str, set[bytes | None]] = defaultdict(set)
        for records in self._logs[topic_of("OrderDecision")]:
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
                if number == 1:
                    first[event.order_id].add(record.value)
        orders = {e.order_id for e in self._sent.values() if isinstance(e, OrderPlaced)}
        self._note("orders have no first decision", orders - first.keys())
        self._note("orders have two first decisions", (o for o, v in first.items() if len(v) > 1))

    def _dead_letters(self) -> None:
        letters = [letter for records in self._logs[DEAD_LETTERS] for letter in records]
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
            timeout=_SECONDS,
        )
        if done.returncode != 0 or "0 differences in" not in done.stdout:
            self._note("times reconcile failed", [f"{done.stdout[-2000:]}{done.stderr[-2000:]}"])

    def _recomputed(self) -> Iterator[Event]:
        """What the pure rules say to the journal, partition by partition, repeats left out."""
        for records in self._logs[JOURNAL]:
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


def _read(broker: Broker, topics: Iterable[str]) -> dict[str, list[list[Record]]]:
    """All that a reader of committed records gets: by topic, by partition."""
    config = {"bootstrap.servers": broker.bootstrap, "log_level": 0}
    logs: dict[str, list[list[Record]]] = {topic: [] for topic in topics}
    places = [(topic, n) for topic in logs for n in range(broker.partitions)]
    with ThreadPoolExecutor(_READERS) as readers:
        for (topic, _), records in zip(
            places, readers.map(lambda place: list(LogReader(config, *place)), places), strict=True
        ):
            logs[topic].append(records)
    return logs


def header(record: Record, name: str) -> str:
    return (dict(record.headers)[name] or b"").decode()
