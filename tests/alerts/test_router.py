"""What becomes of records: notices for whom routes name, what people did for everybody."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from alerts.told import AT, HOUR, decision, limit_alert, recipient

from agents.alerts.agent import Router
from agents.alerts.alert import Alert, Customer
from agents.alerts.notice import Answered, Notice, Over, Said, Snoozed, decode
from agents.alerts.routes import ACCOUNT_MANAGER, Escalation, Route, Routes
from schemas.catalogue import JOURNAL, topic_of
from schemas.events import AlertAcknowledged, AlertSnoozed, CreditReviewed, Event
from streams.codec import Codec
from streams.errors import InvalidMessage
from streams.fast_lane.outlet import Outgoing
from streams.record import Record
from streams.registry import LockedSchemaIds

CODEC = Codec(LockedSchemaIds())
_PEOPLE = {name: recipient(name) for name in ("ann", "desk", "head")}
_ROUTE = Route("holds", (ACCOUNT_MANAGER,), kinds=("hold",), without_manager=("desk",))


def records(*events: Event, topic: str = "") -> list[Record]:
    return [
        Record(
            topic or topic_of(type(event).__name__),
            0,
            n,
            AT // 1000,
            b"C-1",
            CODEC.encode(event),
            (),
        )
        for n, event in enumerate(events)
    ]


class Batch:
    def __init__(self, read: list[Record]) -> None:
        self.read = read
        self.published: list[Outgoing] = []

    def __iter__(self) -> Any:
        return iter(self.read)

    def publish(self, outgoing: Outgoing) -> None:
        self.published.append(outgoing)


def routed(
    read: list[Record], route: Route = _ROUTE, known: list[Customer | None] | None = None
) -> list[Outgoing]:
    answers = known or [Customer("Jansen", "key", "ann")]

    def find(_alert: Alert) -> Customer | None:
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def refuse(record: Record, fault: InvalidMessage) -> Outgoing:
        return Outgoing("dead letters", record.key, fault.reason.encode(), [])

    router = Router(CODEC, Routes(_PEOPLE, (route,)), find, refuse, "notices", 3)
    batch = Batch(read)
    asyncio.run(router.route(cast("Any", batch)))
    return batch.published


def said(outgoing: list[Outgoing]) -> list[Said]:
    return [decode(one.value) for one in outgoing]


def test_a_hold_is_told_to_whom_the_route_names_under_their_key() -> None:
    (outgoing,) = routed(records(decision(), limit_alert(), decision(status="approved")))
    assert (outgoing.topic, outgoing.key, outgoing.partition) == ("notices", b"ann", -1)
    (one,) = said([outgoing])
    assert isinstance(one, Notice)
    assert (one.name, one.route, one.not_before, one.alert.at) == ("Jansen", "holds", AT, AT)


def test_the_same_record_makes_the_same_notice() -> None:
    assert routed(records(decision())) == routed(records(decision()))


def test_a_customer_who_is_not_known_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    found = routed(records(decision()), known=[None, None, Customer("", "", "ann")])
    assert [one.key for one in found] == [b"ann"]
    monkeypatch.setattr("agents.alerts.agent._CUSTOMER_SECONDS", 0.05)
    assert [one.key for one in routed(records(decision()), known=[None])] == [b"desk"]


def test_everybody_hears_what_people_did_and_of_the_journal_nothing_else() -> None:
    acts = records(
        CreditReviewed(event_id="r", occurred_at=AT, customer_id="C-1", by="ann"),
        AlertAcknowledged(event_id="a", occurred_at=AT, customer_id="C-1", alert_id="x", by="ann"),
        AlertSnoozed(event_id="s", occurred_at=AT, customer_id="C-1", by="ben", until=AT + HOUR),
        topic=JOURNAL,
    )
    broken = acts[0]._replace(value=b"no event")
    found = routed([*acts, broken])
    assert [one.partition for one in found] == [0, 1, 2, 0, 1, 2]
    assert said(found)[::3] == [
        Answered("x", "ann", AT),
        Snoozed("C-1", "", "ben", AT, AT + HOUR),
    ]


def test_the_end_of_a_hold_is_told_where_somebody_waits_for_it() -> None:
    over = records(decision(status="released", decision_number=2))
    assert routed(over) == []
    waits = Route("holds", ("ann",), kinds=("hold",), escalate=(Escalation(5, ("head",)),))
    assert said(routed(over, waits)) == [Over("order O-9 of C-1", AT)] * 3
    levels = [(one.recipient, one.level) for one in said(routed(records(decision()), waits))]  # type: ignore[union-attr]
    assert levels == [("ann", 0), ("head", 1)]


def test_what_cannot_be_read_is_a_dead_letter() -> None:
    (record,) = records(decision())
    (refused,) = routed([record._replace(value=b"hello")])
    assert refused.topic == "dead letters"
