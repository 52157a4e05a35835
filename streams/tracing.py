"""Spans of what agents do with records of sampled traces, on their way to a collector.

A worker imports this module only where HEADROOM_OTLP_ENDPOINT is set, since OpenTelemetry takes
half a second of a start. Spans name the records, events and orders that they are about, by their
ids, and say nothing of what these say.

Nobody waits for a span: while the collector is away `_WAITING_MAX` of them wait, and the oldest are
dropped.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from schemas.events import Event
from streams import cloud_events
from streams.cloud_events import Headers
from streams.kafka_client import Complaint
from streams.record import Record
from streams.trace_context import TraceContext, begun_at, context_in, span_id_of

_WAITING_MAX = 8192
"""Spans, about 2 kB each."""
_BATCH_MAX = 512
_SEND_EVERY_MS = 1000
_SEND_SECONDS = 3.0
_TRACES = "/v1/traces"


class Span:
    """What one agent does with one record. Of a trace that is not sampled nothing is kept, but its
    context is passed on.

    Attributes:
        headers: what everything that follows from the record carries.
        trace_id: of a trace that is sampled; else empty.
    """

    __slots__ = ("_kept", "_record", "headers", "trace_id")

    def __init__(self, record: Record, context: TraceContext, kept: trace.Span | None) -> None:
        self._record = record
        self._kept = kept
        self.headers: Headers = context.headers()
        self.trace_id = context.trace_id if context.sampled else ""

    def end(self, event: Event | None = None, *, refused: str = "") -> None:
        """It is done.

        Args:
            event: what the record was; else it is named as its headers do.
            refused: why it was refused, in one word.
        """
        if self._kept is None:
            return
        self._kept.set_attributes(_names_of(self._record, event))
        if refused:
            self._kept.set_attribute("error.type", refused)
            self._kept.set_status(trace.StatusCode.ERROR)
        self._kept.end()


class Tracing:
    """The spans of a worker. They begin on the event loop, and end wherever they do.

    Args:
        endpoint: of the collector, without `/v1/traces`.
        share: of the orders whose sender did not decide, how many are traced: 0 to 1.
        service: who traces.
        instance: which one of them.
    """

    def __init__(self, endpoint: str, share: float, service: str, instance: str) -> None:
        # It says of every attempt that it failed; `_SpansOut` says so once in a while.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._share = share
        self._ids = _GivenIds()
        self._out = _SpansOut(endpoint)
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,  # whether a trace is kept was decided where it began
            resource=Resource.create({"service.name": service, "service.instance.id": instance}),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                self._out,
                max_queue_size=_WAITING_MAX,
                schedule_delay_millis=_SEND_EVERY_MS,
                max_export_batch_size=_BATCH_MAX,
            )
        )
        self._tracer = self._provider.get_tracer("headroom")

    def take_up(self, name: str, record: Record) -> Span | None:
        """The span of what is done with a record that carries a context; else None."""
        context = context_in(record.headers)
        if context is None:
            return None
        return self._span(name, record, context) if context.sampled else Span(record, context, None)

    def begin(self, name: str, record: Record, origin: str) -> Span | None:
        """The first span of a trace; None when the record is none of those that are traced.

        Args:
            name: what is done.
            record: with which.
            origin: its place, with the id of its topic: no other record has the same.
        """
        context = begun_at(origin, self._share)
        return None if context is None else self._span(name, record, context)

    def close(self) -> None:
        """Send what waits, unless nobody takes it."""
        self._out.closing = True
        self._provider.shutdown()

    def _span(self, name: str, record: Record, context: TraceContext) -> Span:
        place = f"{record.topic}:{record.partition}:{record.offset}"
        own = context._replace(span_id=span_id_of(context, name, place))
        self._ids.context = own
        kept = self._tracer.start_span(
            name,
            _parent(context),
            kind=trace.SpanKind.CONSUMER,
            start_time=time.time_ns(),
        )
        return Span(record, own, kept)


class _GivenIds(IdGenerator):
    """Ids that were made before (`span_id_of`), not at random. Spans begin in one thread."""

    context: TraceContext

    def generate_trace_id(self) -> int:
        return int(self.context.trace_id, 16)

    def generate_span_id(self) -> int:
        return int(self.context.span_id, 16)


class _SpansOut(SpanExporter):
    """Sends spans, and says once in a while that nobody takes them."""

    def __init__(self, endpoint: str) -> None:
        self.closing = False
        """What cannot be sent at once is given up."""
        self._exporter = OTLPSpanExporter(
            endpoint=endpoint.rstrip("/") + _TRACES, timeout=_SEND_SECONDS
        )
        self._away = False
        self._complain = Complaint()
        self._where = urlsplit(endpoint).netloc.rpartition("@")[2]

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self.closing and self._away:
            return SpanExportResult.FAILURE
        result = self._exporter.export(spans)
        self._away = result is not SpanExportResult.SUCCESS
        if self._away:
            self._complain(
                "nobody takes traces at %s: %s spans are dropped", self._where, len(spans)
            )
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]


def _parent(context: TraceContext) -> Context:
    """What a span begins in; nothing, where a trace begins."""
    if not context.span_id:
        return Context()
    span = trace.SpanContext(
        int(context.trace_id, 16),
        int(context.span_id, 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
        trace_state=trace.TraceState.from_header([context.state.decode(errors="replace")]),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(span), Context())


def _names_of(record: Record, event: Event | None) -> dict[str, Any]:
    """Ids and places, under OpenTelemetry's names where it has some."""
    names: dict[str, Any] = {
        "messaging.system": "kafka",
        "messaging.operation.type": "process",
        "messaging.destination.name": record.topic,
        "messaging.destination.partition.id": str(record.partition),
        "messaging.kafka.offset": record.offset,
    }
    if event is not None:
        names["messaging.message.id"] = event.event_id
        names["headroom.event.type"] = type(event).__name__
        order_id = getattr(event, "order_id", None)
        if order_id is not None:
            names["headroom.order.id"] = order_id
    elif (said := cloud_events.read(record.headers)) is not None and said.id is not None:
        names["messaging.message.id"] = said.id
        names["headroom.event.type"] = (said.type or "").removeprefix("headroom.")
    return names
