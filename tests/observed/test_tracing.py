"""What becomes of a record's trace: what is passed on, what is kept, and what happens when nobody
takes it.
"""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest
from observed.collector import Collector

from agents.intake.agent import Journalist
from schemas.catalogue import INPUT_TOPICS, JOURNAL
from schemas.events import Event, OrderPlaced, PaymentFailed
from streams import tracing
from streams.codec import Codec
from streams.dead_letters import DeadLetterCap
from streams.embedded.ports import LOOPBACK, free_ports
from streams.fast_lane.outlet import Outgoing
from streams.kafka_client import TopicFacts
from streams.metrics import Metrics
from streams.record import Record
from streams.registry import open_schema_ids
from streams.trace_context import context_in
from streams.tracing import Tracing

_PARENT = [("traceparent", b"00-" + b"5a" * 16 + b"-" + b"c7" * 8 + b"-01"), ("tracestate", b"a=1")]
_CODEC = Codec(open_schema_ids(None))
_TOPICS = {topic: TopicFacts("id", 4) for topic in (*INPUT_TOPICS, JOURNAL)}


class Batch:
    """A step of these records, and what was published in it."""

    def __init__(self, *records: Record) -> None:
        self.records = records
        self.published: list[Outgoing] = []

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def publish(self, outgoing: Outgoing) -> None:
        self.published.append(outgoing)


def an_order(number: int = 0, amount: int = 100) -> OrderPlaced:
    return OrderPlaced(
        event_id=f"e-{number}",
        occurred_at=1_772_000_000_000_000,
        customer_id="C-1",
        order_id=f"O-{number}",
        amount=amount,
        currency="EUR",
    )


def a_record(event: Event, offset: int = 0, headers: Any = ()) -> Record:
    return Record("credit.orders.v1", 0, offset, 1, None, _CODEC.encode(event), headers)


def written(tracing: Tracing | None, *records: Record) -> list[Outgoing]:
    batch = Batch(*records)
    journalist = Journalist(_CODEC, _TOPICS, Metrics(), DeadLetterCap(100), tracing)
    journalist.write(cast("Any", batch))
    return batch.published


@pytest.fixture
def collector() -> Iterator[Collector]:
    one = Collector()
    yield one
    one.close()


def test_off_nothing_is_added_and_nothing_is_imported_for_it() -> None:
    (outgoing,) = written(None, a_record(an_order(), headers=_PARENT))
    assert context_in(outgoing.headers) is None
    program = (
        "import sys; import agents.worker; "
        "loaded = {name.partition('.')[0] for name in sys.modules}; "
        "sys.exit(bool(loaded & {'opentelemetry', 'google', 'requests'}))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_is_done_again_after_a_crash_is_the_same_headers_included(
    collector: Collector,
) -> None:
    records = [a_record(an_order(n), n, _PARENT if n % 2 else ()) for n in range(20)]
    runs = []
    for _ in range(2):
        tracing = Tracing(collector.url, 0.5, "headroom", "worker-1")
        runs.append(written(tracing, *records))
        tracing.close()
    assert runs[0] == runs[1]
    carried = [context_in(one.headers) for one in runs[0]]
    assert all(one is not None for one in carried[1::2])
    assert 0 < sum(one is not None for one in carried[::2]) < 10
    assert all(one.headers[-1][0] == "headroom_origin" for one in runs[0])
    ids = [(one.trace_id, one.span_id) for one in collector.spans]
    assert len(ids) == 2 * len(set(ids))


def test_only_orders_begin_a_trace_and_any_event_goes_on_with_one(collector: Collector) -> None:
    failed = PaymentFailed(
        event_id="f-1", occurred_at=1_772_000_000_000_000, customer_id="C-1", payment_id="P-1",
        reason="no funds",
    )  # fmt: skip
    tracing = Tracing(collector.url, 1.0, "headroom", "worker-1")
    order, alone, sent = written(
        tracing, a_record(an_order()), a_record(failed, 1), a_record(failed, 2, _PARENT)
    )
    tracing.close()
    begun, gone_on = context_in(order.headers), context_in(sent.headers)
    assert begun is not None
    assert begun.sampled
    assert context_in(alone.headers) is None
    assert gone_on is not None
    assert (gone_on.trace_id, gone_on.state) == ("5a" * 16, b"a=1")
    (root,) = collector.of(begun.trace_id)
    assert (root.parent, root.span_id) == ("", begun.span_id)
    assert "no funds" not in str(collector.spans)


def test_a_refused_order_has_its_span_and_its_line_says_so(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    tracing = Tracing(collector.url, 0.0, "headroom", "worker-1")
    written(tracing, a_record(an_order(amount=-5), headers=_PARENT))
    written(tracing, a_record(an_order(), 1, _PARENT)._replace(value=b"none"))
    tracing.close()
    refused, unread = collector.of("5a" * 16)
    assert refused.error
    assert refused.about["error.type"] == "amount_not_positive"
    assert refused.about["headroom.order.id"] == "O-0"
    assert unread.about["error.type"] == "undecodable"
    lines = cast("Any", caplog.records)
    assert [line.trace_id for line in lines] == ["5a" * 16] * 2
    assert (lines[0].event_id, lines[0].order_id, lines[0].account) == ("e-0", "O-0", "C-1")


def test_while_nobody_takes_spans_work_goes_on_and_memory_is_bounded(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "_WAITING_MAX", 1024)
    monkeypatch.setattr(tracing, "_SEND_SECONDS", 0.2)
    (port,) = free_ports(1, [])
    away = Tracing(f"http://somebody:secret@{LOOPBACK}:{port}", 1.0, "headroom", "worker-1")
    records = [a_record(an_order(n), n) for n in range(3000)]
    assert len(written(away, *records)) == 3000
    (processor,) = away._provider._active_span_processor._span_processors
    assert len(cast("Any", processor)._batch_processor._queue) <= 1024
    deadline = time.monotonic() + 20
    while not caplog.records and time.monotonic() < deadline:
        time.sleep(0.05)
    away.close()
    said = [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]
    (line,) = said  # how many were in the first lot depends on the machine
    assert re.fullmatch(
        rf"nobody takes traces at {LOOPBACK}:{port}: [0-9]+ spans are dropped", line
    )
    assert not any(record.exc_info for record in caplog.records)


def test_a_slow_answer_names_its_trace_to_who_asks_for_openmetrics() -> None:
    metrics = Metrics()
    metrics.answered(0.012, "5a" * 16)
    metrics.answered(0.5, "")
    plain, _ = metrics.exposition()
    assert b"trace_id" not in plain
    exposed, media_type = metrics.exposition("application/openmetrics-text; version=1.0.0")
    assert media_type.startswith("application/openmetrics-text")
    (line,) = (one for one in exposed.decode().splitlines() if "trace_id" in one)
    assert line.startswith('headroom_decision_latency_seconds_bucket{le="0.015"} 1.0 # {trace_id=')
