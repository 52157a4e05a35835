"""The intake agent: every input record becomes a journal record, or a dead letter.

It has no state. Why a plain commit of the offset behind acknowledged records loses nothing, and why
repeats do no harm, stands in `streams.fast_lane.commit`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agents.intake.rules import account_of, check
from schemas.catalogue import INPUT_TOPICS, JOURNAL
from schemas.events import Event, OrderPlaced
from streams.app import Member, PassLane, Wiring, batch_topic, build_app, member
from streams.cloud_events import ORIGIN, headers_of
from streams.codec import Codec
from streams.dead_letters import DeadLetterCap, FaultClass, dead_letter, log_refusal
from streams.errors import InvalidMessage
from streams.fast_lane.fail_stop import fail_stop
from streams.fast_lane.outlet import Outgoing
from streams.fast_lane.partition import Batch
from streams.kafka_client import TopicFacts
from streams.metrics import Metrics
from streams.partitioning import partition_of
from streams.record import Record

if TYPE_CHECKING:  # OpenTelemetry is imported only where somebody takes traces
    from streams.tracing import Span, Tracing

_SPAN = "intake"


def intake(wiring: Wiring, codec: Codec) -> Member:
    """The agent, ready to start."""
    app = build_app(wiring, "intake", oldest_first=True)
    lane = PassLane(wiring, app, sources=INPUT_TOPICS)
    cap = DeadLetterCap(wiring.settings.dead_letters_per_minute)
    journalist = Journalist(codec, wiring.topics, wiring.metrics, cap, wiring.tracing)

    @app.agent(batch_topic(app, *INPUT_TOPICS), name="intake")
    @fail_stop
    async def accept(stream: Any) -> None:
        async for batch in lane.lane.batches(stream):
            journalist.write(batch)

    return member("intake", app, lane)


class Journalist:
    """Says what becomes of input records."""

    def __init__(
        self,
        codec: Codec,
        topics: Mapping[str, TopicFacts],
        metrics: Metrics,
        cap: DeadLetterCap,
        tracing: Tracing | None = None,
    ) -> None:
        self._tracing = tracing
        self._decode = codec.decode
        self._headers = headers_of("intake")
        self._partitions = topics[JOURNAL].partitions
        self._sources = {topic: f"{topic}@{topics[topic].id}" for topic in INPUT_TOPICS}
        self._events = metrics.tally(metrics.events)
        self._refused = metrics.tally(metrics.dead_letters)
        self._cap = cap

    def write(self, batch: Batch) -> None:
        """Publish what becomes of a step's records: the journal's record, one per partition for an
        event that concerns every account, or a dead letter.
        """
        for record in batch:
            self._write(batch, record)

    def _write(self, batch: Batch, record: Record) -> None:
        tracing = self._tracing
        span = None if tracing is None else tracing.take_up(_SPAN, record)
        try:
            event = self._decode(record.value)
        except InvalidMessage as fault:
            self._refuse(batch, record, "message", fault.reason, fault.detail, span=span)
            return
        origin = f"{self._sources[record.topic]}:{record.partition}:{record.offset}"
        if span is None and tracing is not None and type(event) is OrderPlaced:
            span = tracing.begin(_SPAN, record, origin)
        refusal = check(event)
        if refusal is not None:
            self._refuse(batch, record, "rule", refusal.reason, refusal.detail, event, span)
            return
        self._events[record.topic, type(event).__name__] += 1
        headers = self._headers(event)
        if span is not None:
            headers += span.headers
            span.end(event)
        headers.append((ORIGIN, origin.encode()))
        account = account_of(event)
        if account is None:
            for partition in range(self._partitions):
                batch.publish(Outgoing(JOURNAL, None, record.value, headers, partition))
            return
        key = account.encode()
        partition = partition_of(key, self._partitions)
        batch.publish(Outgoing(JOURNAL, key, record.value, headers, partition))

    def _refuse(
        self,
        batch: Batch,
        record: Record,
        fault_class: FaultClass,
        reason: str,
        detail: str,
        event: Event | None = None,
        span: Span | None = None,
    ) -> None:
        self._refused[reason,] += 1
        log_refusal(record, reason, event, "" if span is None else span.trace_id)
        if span is not None:
            span.end(event, refused=reason)
        batch.publish(dead_letter(record, reason=reason, fault_class=fault_class, detail=detail))
        self._cap.count(batch, record)
