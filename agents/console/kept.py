"""What the console keeps of topics besides the live state: notes on customers, releases that are
proposed, alerts and what people said to them; and why acts were refused.

Each is read from its topic alone, so every gateway has the same, and one that starts with an empty
disk reads it anew.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka.admin import AdminClient

from agents.console.tables import Tables
from schemas.catalogue import DEAD_LETTERS, topic_of
from schemas.events import (
    AlertAcknowledged,
    AlertSnoozed,
    CreditLimitAlert,
    CustomerNoteAdded,
    Event,
    Instant,
    OrderReleaseDeclined,
    OrderReleaseProposed,
)
from streams.codec import Codec
from streams.errors import InvalidMessage
from streams.follow import Follower, follow_on
from streams.kafka_client import Complaint, topic_facts
from streams.record import Record

CONTROLS = topic_of("CustomerNoteAdded")
ALERTS = topic_of("CreditLimitAlert")
ACT = "act-"
"""Begins the ids of events that people cause through a gateway."""

_LISTEN_SECONDS = 0.2
_ALERTS_KEPT_DAYS = 30
_PROPOSALS_KEPT_DAYS = 60
_REFUSALS_SINCE_SECONDS = 3600
_REFUSALS_MAX = 10_000
_OF_CONTROLS = ("notes", "proposals", "declined", "answers")
_TABLES = """
CREATE TABLE IF NOT EXISTS places (topic TEXT, topic_id TEXT, partition INTEGER, offset INTEGER,
    PRIMARY KEY (topic, partition)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notes (event_id TEXT PRIMARY KEY, customer_id TEXT, at INTEGER,
    who TEXT, role TEXT, text TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS notes_on ON notes (customer_id, at);
CREATE TABLE IF NOT EXISTS proposals (event_id TEXT PRIMARY KEY, customer_id TEXT, order_id TEXT,
    at INTEGER, who TEXT, role TEXT, why TEXT, decision_number INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS declined (customer_id TEXT, order_id TEXT, at INTEGER, who TEXT,
    why TEXT, event_id TEXT, PRIMARY KEY (customer_id, order_id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS proposals_on ON proposals (customer_id, order_id, at);
CREATE TABLE IF NOT EXISTS answers (alert_id TEXT, customer_id TEXT, did TEXT, at INTEGER, who TEXT,
    until INTEGER, why TEXT, event_id TEXT, PRIMARY KEY (alert_id, customer_id, did)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS alerts (event_id TEXT PRIMARY KEY, at INTEGER, customer_id TEXT,
    threshold TEXT, direction TEXT, exposure INTEGER, credit_limit INTEGER, currency TEXT,
    utilisation TEXT, group_id TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS alerts_by_time ON alerts (at);
"""


class Note(NamedTuple):
    """Who wrote what about a customer, and when."""

    customer_id: str
    at: Instant
    who: str
    role: str
    text: str


class Proposal(NamedTuple):
    """A release that waits for a second person, and who would have it."""

    event_id: str
    customer_id: str
    order_id: str
    at: Instant
    who: str
    role: str
    why: str
    decision_number: int | None
    """Of the decision that is to be overridden: after another one, nothing waits any more."""


class Answer(NamedTuple):
    """Somebody sees to an alert, or has nobody told of it for a while."""

    at: Instant
    who: str
    until: Instant | None
    """When silence ends; None: they see to it."""
    why: str


class Refused(NamedTuple):
    """Why the pipeline refused an event."""

    reason: str
    detail: str


class Kept:
    """Notes, proposals, alerts and answers, as their topics say them.

    Args:
        path: of the tables.
    """

    def __init__(self, path: Path) -> None:
        self._tables = Tables(path, _TABLES, anew=False)
        self._db = self._tables.db
        self._writing = threading.Lock()

    # ── readers, in any thread ──────────────────────────────────────────────────────────────────

    def notes_on(self, customer_ids: list[str]) -> list[Note]:
        """Those on a customer, under any of its ids; the latest first."""
        found = self._tables.rows(
            "SELECT customer_id, at, who, role, text FROM notes WHERE customer_id IN"
            " (SELECT value FROM json_each(?)) ORDER BY at DESC, event_id DESC",
            (json.dumps(customer_ids),),
        )
        return [Note(*row) for row in found]

    def proposals(self) -> Iterator[Proposal]:
        """The last proposal on each order, unless it was declined after that; oldest first.

        Whether the order still stands as it did is for the reader to see.
        """
        since = int((time.time() - _PROPOSALS_KEPT_DAYS * 86_400) * 1_000_000)
        yield from self._proposals("AND p.at > ?", (since,))

    def proposal_on(self, customer_id: str, order_id: str) -> Proposal | None:
        """The one that stands on an order."""
        wanted = "AND p.customer_id = ? AND p.order_id = ?"
        return next(self._proposals(wanted, (customer_id, order_id)), None)

    def _proposals(self, wanted: str, parameters: tuple[Any, ...]) -> Iterator[Proposal]:
        found = self._tables.rows(
            "SELECT p.event_id, p.customer_id, p.order_id, max(p.at) AS at, p.who, p.role,"  # noqa: S608
            " p.why, p.decision_number"
            " FROM proposals p LEFT JOIN declined d USING (customer_id, order_id)"
            f" WHERE (d.at IS NULL OR d.at < p.at) {wanted}"
            " GROUP BY p.customer_id, p.order_id ORDER BY at",
            parameters,
        )
        for row in found:
            yield Proposal(*row)

    def has(self, event_id: str) -> bool:
        """Whether a note, a proposal, what was said against one, or to an alert, has come in."""
        found = self._tables.rows(
            "SELECT 1 FROM notes WHERE event_id = ?1 UNION ALL SELECT 1 FROM proposals WHERE"
            " event_id = ?1 UNION ALL SELECT 1 FROM declined WHERE event_id = ?1"
            " UNION ALL SELECT 1 FROM answers WHERE event_id = ?1",
            (event_id,),
        )
        return bool(found)

    def answers_to(self, alert_id: str, customer_id: str) -> list[Answer]:
        """What was said to an alert, or to all about its customer; the last of each kind, the
        oldest first.
        """
        found = self._tables.rows(
            "SELECT at, who, until, why FROM answers WHERE alert_id = ?1"
            " UNION ALL SELECT at, who, until, why FROM answers WHERE alert_id = ''"
            " AND customer_id = ?2 ORDER BY at",
            (alert_id, customer_id),
        )
        return [Answer(*row) for row in found]

    def alerts(self, before: Instant | None, limit: int) -> list[sqlite3.Row]:
        """The latest alerts first; those older than `before`."""
        return self._tables.rows(
            "SELECT * FROM alerts WHERE at < ? ORDER BY at DESC, event_id DESC LIMIT ?",
            (2**62 if before is None else before, limit),
        )

    # ── writers: the thread of a topic each ─────────────────────────────────────────────────────

    def known(self, topic: str, topic_id: str) -> dict[int, int]:
        """How far a topic has been read, by partition; one that was made anew, not at all."""
        with self._writing:
            found = self._db.execute(
                "SELECT topic_id, partition, offset FROM places WHERE topic = ?", (topic,)
            ).fetchall()
            if any(row["topic_id"] != topic_id for row in found):
                self._db.execute("DELETE FROM places WHERE topic = ?", (topic,))
                for table in ["alerts"] if topic == ALERTS else _OF_CONTROLS:
                    self._db.execute(f"DELETE FROM {table}")  # noqa: S608  our own words
                return {}
        return {row["partition"]: row["offset"] for row in found}

    def take(self, topic_id: str, records: list[tuple[Record, Event | None]]) -> bool:
        """Keep what was read, and how far. Says whether any of it is of interest here."""
        with self._writing:
            self._db.execute("BEGIN")
            kept = [self.note(event) for _, event in records if event is not None]
            places = {(one.topic, one.partition): one.offset + 1 for one, _ in records}
            self._db.executemany(
                "INSERT OR REPLACE INTO places VALUES (?, ?, ?, ?)",
                [(topic, topic_id, n, offset) for (topic, n), offset in places.items()],
            )
            self._db.execute("COMMIT")
        return any(kept)

    def note(self, event: Event) -> bool:
        """Keep an event, if it is one of those that are kept."""
        match event:
            case CustomerNoteAdded():
                row: tuple[Any, ...] = (
                    event.event_id, event.customer_id, event.occurred_at, event.by,
                    event.role or "", event.text,
                )  # fmt: skip
                self._insert("notes", row)
            case OrderReleaseProposed():
                row = (
                    event.event_id, event.customer_id, event.order_id, event.occurred_at, event.by,
                    event.role or "", event.reason, event.decision_number,
                )  # fmt: skip
                self._insert("proposals", row)
            case OrderReleaseDeclined():
                row = (
                    event.customer_id, event.order_id, event.occurred_at, event.by, event.reason,
                    event.event_id,
                )  # fmt: skip
                self._db.execute(
                    "INSERT INTO declined VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                    " at = excluded.at, who = excluded.who, why = excluded.why,"
                    " event_id = excluded.event_id WHERE excluded.at > at",
                    row,
                )
            case AlertAcknowledged():
                self._answer(event, "acknowledge", None)
            case AlertSnoozed():
                self._answer(event, "snooze", event.until)
            case CreditLimitAlert():
                row = (
                    event.event_id, event.occurred_at, event.customer_id, event.threshold,
                    event.direction, event.exposure, event.credit_limit, event.currency,
                    event.utilisation, event.group_id,
                )  # fmt: skip
                self._insert("alerts", row)
            case _:
                return False
        return True

    def forget(self, now: float) -> None:
        """Alerts that are older than their topic keeps them, and what was said to such."""
        oldest = int((now - _ALERTS_KEPT_DAYS * 86_400) * 1_000_000)
        with self._writing:
            self._db.execute("DELETE FROM alerts WHERE at < ?", (oldest,))
            self._db.execute("DELETE FROM answers WHERE max(at, ifnull(until, at)) < ?", (oldest,))

    def close(self) -> None:
        """Let go of the disk."""
        self._tables.close()

    def _answer(
        self, event: AlertAcknowledged | AlertSnoozed, did: str, until: Instant | None
    ) -> None:
        row = (
            event.alert_id or "", event.customer_id, did, event.occurred_at, event.by, until,
            event.reason or "", event.event_id,
        )  # fmt: skip
        self._db.execute(
            "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " at = excluded.at, who = excluded.who, until = excluded.until, why = excluded.why,"
            " event_id = excluded.event_id WHERE excluded.at >= at",
            row,
        )

    def _insert(self, table: str, row: tuple[Any, ...]) -> None:
        marks = ", ".join("?" * len(row))
        self._db.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)  # noqa: S608


class Reader:
    """Reads a topic in a thread of its own, from where `kept` has read it to, until it is closed.

    Args:
        config: of the client.
        codec: decodes events.
        topic: to read.
        kept: what is kept of it.
        told: hears, in that thread, that there is something new.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        codec: Codec,
        topic: str,
        kept: Kept,
        told: Callable[[], None],
    ) -> None:
        self._config = config
        self._decode = codec.decode
        self._topic = topic
        self._kept = kept
        self._told = told
        self._stopping = False
        self._complain = Complaint()
        self._thread = threading.Thread(target=self._run, name=f"console {topic}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let go of the client."""
        self._stopping = True
        self._thread.join()

    def _run(self) -> None:
        follow_on(self._follow, self._topic, lambda: self._stopping)

    def _follow(self) -> None:
        topic_id = topic_facts(AdminClient(dict(self._config)), [self._topic])[self._topic].id
        begin = self._kept.known(self._topic, topic_id)
        follower = Follower(self._config, [self._topic], begin=begin)
        self._kept.forget(time.time())
        try:
            while not self._stopping:
                records = [(one, self._event(one)) for one in follower.read(_LISTEN_SECONDS)]
                if records and self._kept.take(topic_id, records):
                    self._told()
        finally:
            follower.close()

    def _event(self, record: Record) -> Event | None:
        try:
            return self._decode(record.value)
        except InvalidMessage as error:
            self._complain("%s-%s@%s: %s", *record[:3], error.reason)
            return None


class Refusals:
    """Why what people did lately was refused: read from the dead letters, and kept in memory.

    Args:
        config: of the client.
        codec: decodes events.
        told: hears of the ids of acts, in the reader's thread.
    """

    def __init__(
        self, config: Mapping[str, Any], codec: Codec, told: Callable[[list[str]], None]
    ) -> None:
        self._config = config
        self._decode = codec.decode
        self._told = told
        self._of: dict[str, Refused] = {}
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="refusals", daemon=True)
        self._thread.start()

    def get(self, event_id: str) -> Refused | None:
        """Why an event was refused, if it was."""
        return self._of.get(event_id)

    def close(self) -> None:
        """Let go of the client."""
        self._stopping = True
        self._thread.join()

    def _run(self) -> None:
        follow_on(self._follow, DEAD_LETTERS, lambda: self._stopping)

    def _follow(self) -> None:
        since = int((time.time() - _REFUSALS_SINCE_SECONDS) * 1000)
        follower = Follower(self._config, [DEAD_LETTERS], since=since)
        try:
            while not self._stopping:
                acts = [name for one in follower.read(_LISTEN_SECONDS) if (name := self._note(one))]
                if acts:
                    self._told(acts)
        finally:
            follower.close()

    def _note(self, record: Record) -> str | None:
        said = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}
        try:
            event = self._decode(record.value)
        except InvalidMessage:
            return None  # nobody here can have written it
        if event is None or not event.event_id.startswith(ACT):
            return None
        reason, detail = said.get("headroom_reason", ""), said.get("headroom_detail", "")
        self._of[event.event_id] = Refused(reason, detail)
        while len(self._of) > _REFUSALS_MAX:
            del self._of[next(iter(self._of))]
        return event.event_id
