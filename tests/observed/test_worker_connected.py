"""What a worker tells while it works: one trace for an order, and a log without personal data.

One worker with all agents, a real broker, ClickHouse's engine, a mail server and a collector of
traces; the events hold a word of their own in every field that may hold personal data.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from notify.firm import Firm, working_day
from observed.canaries import AMOUNT, Canaries, cut, leaks
from observed.collector import Collector
from worker.conftest import START

from schemas import events as ev
from schemas.catalogue import DEAD_LETTERS, JOURNAL, topic_of
from schemas.events import DunningStepSettled, Event, OrderDecision, OrderPlaced
from streams.embedded.kafka import EmbeddedKafka
from streams.trace_context import TRACEPARENT, TRACESTATE, context_in

pytestmark = [pytest.mark.connected, pytest.mark.slow]

_PROCEDURE = """
kind = "b2b"

[[steps]]
days = 1
channels = ["email"]
template = "friendly_reminder"
"""
_FAULTY = """
from agents.credit import rules
from agents.notify import mail
from schemas.events import CustomerBlocked

blocked, compose = rules._HANDLERS[CustomerBlocked], mail.compose

def fails_to_block(case, event):
    if event.customer_id == "C-5":
        raise ValueError(f"{event.reason} by {event.by}")
    blocked(case, event)

def fails_to_compose(step, letter, creditor, sent_at):
    if step.customer_id == "C-4":
        raise KeyError(letter.text)
    return compose(step, letter, creditor, sent_at)

rules._HANDLERS[CustomerBlocked] = fails_to_block
mail.compose = fails_to_compose
"""
_SAMPLED, _NOT_SAMPLED = "5a" * 16, "0f" * 16
_SENDER = "c7" * 8
_DECISIONS = topic_of("OrderDecision")


class Told:
    """What came of a run: the worker's log, the collector's spans, the decisions' headers."""

    def __init__(self, directory: Path, bootstrap: str) -> None:
        self.canaries = Canaries()
        self.collector = Collector()
        self.refused: Counter[str] = Counter()
        self.firm = Firm(
            directory, bootstrap, _PROCEDURE, 6,
            HEADROOM_LOG_LEVEL="debug",
            HEADROOM_LOG_FORMAT="json",
            HEADROOM_OTLP_ENDPOINT=self.collector.url,
            HEADROOM_TRACE_SAMPLE="0",
            HEADROOM_SINK_BATCH_SECONDS="0.2",
        )  # fmt: skip
        self.today = working_day()
        self.at = (self.today - 40) * 86_400_000_000

    def run(self) -> None:
        firm, broker = self.firm, self.firm.broker
        read_decisions = broker.reader(_DECISIONS)
        read_dead = broker.reader(DEAD_LETTERS)
        self.read_journal = broker.reader(JOURNAL)
        firm.mailroom.at_recipient = self._answer
        firm.desk.start(_FAULTY + START, only="intake,credit,sink,notify")
        firm.desk.wait_until_ready()
        self._customers()
        self._orders()
        firm.begin(self.today)
        firm.told(_all_settled)
        for event in self.canaries.events("C-9", self.today):
            broker.send(event)
        self._broken()
        read_dead(lambda read: len(read) >= self.refused.total())
        _until(lambda: len(self.collector.of(_SAMPLED)) >= 4)
        decided = read_decisions(lambda read: len(read) >= 3)
        self.headers = {
            event.order_id: message.headers() or []
            for message in decided
            if isinstance(event := broker.codec.decode(message.value()), OrderDecision)
        }
        firm.desk.terminate()
        assert firm.desk.wait(30) == 0, firm.desk.log
        self.log = firm.desk.log
        refused = self.log.count('"logger":"streams.dead_letters"')
        dead = read_dead(lambda read: len(read) >= refused)
        self.refused_at = [_origin(message) for message in dead]

    def close(self) -> None:
        self.firm.close()
        self.collector.close()

    def _answer(self, address: str) -> str | None:
        """C-1 is not there, and C-2 has to wait."""
        if address == self.addresses["C-1"]:
            return f"550 5.1.1 <{address}> unknown, says {self.canaries.word('a server')}"
        if address == self.addresses["C-2"]:
            return f"451 4.7.1 <{address}> greylisted, says {self.canaries.word('a server')}"
        return None

    def _customers(self) -> None:
        """Each owes an invoice; C-3 has no address that is one."""
        word, broker = self.canaries.word, self.firm.broker
        self.addresses: dict[str, str] = {}
        for customer_id in self.firm.customers:
            address = f"{word('email')}@customers.example"
            self.addresses[customer_id] = address if customer_id != "C-3" else f"{address} @"
            broker.send(
                ev.CustomerUpserted(
                    event_id=f"cu-{customer_id}",
                    occurred_at=self.at,
                    customer_id=customer_id,
                    currency="EUR",
                    credit_limit=10 * AMOUNT,
                    name=word("name"),
                    email=self.addresses[customer_id],
                    phone=word("phone"),
                    country="NL",
                )
            )
            broker.send(
                ev.InvoiceIssued(
                    event_id=f"in-{customer_id}",
                    occurred_at=self.at,
                    customer_id=customer_id,
                    invoice_id=f"I-{customer_id}",
                    amount=AMOUNT,
                    currency="EUR",
                    issued_on=self.today - 35,
                    due_on=self.today - 5,
                )
            )
        broker.send(
            ev.CustomerBlocked(
                event_id="bl-C-5", occurred_at=self.at, customer_id="C-5",
                reason=word("reason"), by=word("by"),
            )
        )  # fmt: skip
        broker.flush()
        sent = 2 * len(self.firm.customers) + 1
        assert len(self.read_journal(lambda read: len(read) >= sent)) == sent

    def _orders(self) -> None:
        """One that is traced, one whose sender does not want it, one whose sender says nothing."""
        parents = {
            "O-traced": f"00-{_SAMPLED}-{_SENDER}-01",
            "O-not": f"00-{_NOT_SAMPLED}-{_SENDER}-00",
            "O-silent": None,
        }
        for order_id, parent in parents.items():
            headers: list[tuple[str, bytes]] = []
            if parent is not None:
                headers = [(TRACEPARENT, parent.encode()), (TRACESTATE, b"shop=1")]
            order = OrderPlaced(
                event_id=f"op-{order_id}",
                occurred_at=self.at,
                customer_id="C-0",
                order_id=order_id,
                amount=AMOUNT,
                currency="EUR",
            )
            value = self.firm.broker.codec.encode(order)
            self.firm.broker.send_raw(topic_of("OrderPlaced"), value, "C-0", headers=headers)

    def _broken(self) -> None:
        """What rules refuse, and bytes that are no event."""
        broker = self.firm.broker
        for event in self.canaries.broken("C-9", self.today):
            broker.send(event)
            self.refused[event.event_id] += 1
        for event in self.canaries.events("C-9", self.today):
            for raw in cut(broker.codec.encode(event)):
                if raw != broker.codec.encode(event):
                    self._send_bytes(event, raw)
        self._send_bytes(event, self.canaries.word("bytes").encode())
        broker.flush()

    def _send_bytes(self, event: Event, raw: bytes) -> None:
        event_id = f"raw-{self.refused.total()}"
        headers = [
            ("ce_specversion", b"1.0"),
            ("ce_id", event_id.encode()),
            ("from", self.canaries.word("a header").encode()),
        ]
        key = self.canaries.word("a key")
        self.firm.broker.send_raw(topic_of(type(event).__name__), raw, key, headers=headers)
        self.refused[event_id] += 1


def _all_settled(said: list[Any]) -> bool:
    """Nobody waits but C-2, to whom the server says to come back."""
    ends = {"sent", "undeliverable", "impossible"}
    done = {
        one.customer_id
        for one in said
        if isinstance(one, DunningStepSettled) and one.outcome in ends
    }
    return done >= {"C-0", "C-1", "C-3", "C-4"}


def _origin(message: Any) -> tuple[str, int, int]:
    headers = dict(message.headers())
    return (
        headers["headroom_original_topic"].decode(),
        int(headers["headroom_original_partition"]),
        int(headers["headroom_original_offset"]),
    )


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Iterator[Told]:
    directory = tmp_path_factory.mktemp("observed")
    with EmbeddedKafka(directory / "kafka", cache=cache_dir) as kafka:
        one = Told(directory, kafka.bootstrap_servers)
        try:
            one.run()
            yield one
        finally:
            one.close()


def test_no_line_of_the_log_holds_what_events_or_servers_say(told: Told) -> None:
    assert len(told.canaries.put) > 200
    assert leaks(told.log, told.canaries.put) == []
    assert "customers.example" not in told.log


def test_every_line_is_an_object_and_says_when_and_how_bad(told: Told) -> None:
    lines = [json.loads(line) for line in told.log.splitlines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    levels = Counter(line["level"] for line in lines)
    assert levels.keys() == {"debug", "info", "warning", "error"}


def test_a_refused_record_has_a_line_with_its_place_and_its_ids(told: Told) -> None:
    lines = [json.loads(line) for line in told.log.splitlines()]
    refused = [line for line in lines if line["logger"] == "streams.dead_letters"]
    assert told.refused.keys() <= {line["event_id"] for line in refused}
    assert len(refused) == len(told.refused_at)
    at_intake = {
        (one["topic"], one["partition"], one["offset"])
        for one in refused
        if one["topic"] != JOURNAL
    }
    assert len(at_intake) == told.refused.total()
    assert at_intake <= set(told.refused_at)
    reasons = {one["reason"] for one in refused}
    assert {"undecodable", "unknown_currency", "unknown_kind", "malformed_rate"} <= reasons
    assert {one.get("account") for one in refused} >= {"C-9"}


def test_what_fails_for_one_account_or_letter_is_told_by_ids_and_places(told: Told) -> None:
    lines = [json.loads(line) for line in told.log.splitlines()]
    (parked,) = [line for line in lines if "is parked" in line["message"]]
    assert parked["message"].endswith("account 'C-5' is parked: CustomerBlocked 'bl-C-5' fails")
    assert (parked["account"], parked["event_id"]) == ("C-5", "bl-C-5")
    assert parked["exception"].endswith("\nValueError")
    assert "fails_to_block" in parked["exception"]
    (letter,) = [line for line in lines if "cannot be made into a message" in line["message"]]
    assert letter["account"] == "C-4"
    assert letter["exception"].endswith("\nKeyError")
    (greylisted,) = [line for line in lines if "is not taken" in line["message"]]
    assert greylisted["account"] == "C-2"
    assert greylisted["message"].endswith(": the mail server answers 451 4.7.1")
    by_mail = {
        line["account"]: line["message"] for line in lines if " by email: " in line["message"]
    }
    assert {one: said.rpartition(": ")[2] for one, said in by_mail.items()} == {
        "C-0": "sent", "C-1": "bounced", "C-3": "bounced", "C-4": "failed",
    }  # fmt: skip


def test_a_sampled_order_is_one_trace_from_intake_to_its_rows(told: Told) -> None:
    spans = told.collector.of(_SAMPLED)
    assert Counter(one.name for one in spans) == {"intake": 1, "credit": 1, "sink insert": 2}
    intake = next(one for one in spans if one.name == "intake")
    credit = next(one for one in spans if one.name == "credit")
    rows = {one.about["messaging.destination.name"]: one for one in spans if "sink" in one.name}
    assert intake.parent == _SENDER
    assert credit.parent == intake.span_id
    assert rows[JOURNAL].parent == intake.span_id
    assert rows[_DECISIONS].parent == credit.span_id
    assert intake.end <= credit.start
    assert credit.end <= rows[_DECISIONS].start <= rows[_DECISIONS].end
    assert len({one.span_id for one in spans}) == 4
    for one in (intake, credit):
        assert one.about["messaging.message.id"] == "op-O-traced"
        assert one.about["headroom.order.id"] == "O-traced"
    assert credit.about["messaging.destination.name"] == JOURNAL
    assert not any(one.error for one in spans)
    assert {one.state for one in spans} == {"shop=1"}
    assert {one.service["service.instance.id"] for one in spans} == {"worker-1"}
    carried = context_in(told.headers["O-traced"])
    assert carried is not None
    assert (carried.trace_id, carried.span_id) == (_SAMPLED, credit.span_id)
    assert (carried.sampled, carried.state) == (True, b"shop=1")


def test_who_is_not_sampled_has_no_spans_and_what_the_sender_said_is_passed_on(told: Told) -> None:
    assert {one.trace_id for one in told.collector.spans} == {_SAMPLED}
    carried = context_in(told.headers["O-not"])
    assert carried is not None
    assert (carried.trace_id, carried.span_id) == (_NOT_SAMPLED, _SENDER)
    assert not carried.sampled
    names = [name for name, _ in told.headers["O-silent"]]
    assert TRACEPARENT not in names
    assert TRACESTATE not in names
    assert not leaks(str(told.collector.spans), told.canaries.put)
