"""Faust's Kafka transport, changed so that a partition's records come as one message.

Per event Faust does a lot (a task switch or four, an event object, acknowledgement books); per
batch the same work is nothing. All records that came for one partition are delivered as one Faust
message, whose value is a `Fetched` and whose offset is that of the last record.

aiokafka keeps the membership in the group and commits offsets; it fetches nothing. The records are
read by `streams.fast_lane.fetch`, from the partitions that the lane opened.

This file overrides internals of faust-streaming 0.15.3 and aiokafka 0.14.0, which are pinned for
that reason.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from typing import Any

import aiokafka
import faust
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from streams.fast_lane.assignment import Assignor
from streams.fast_lane.fetch import Fetch

_faust_logger = logging.getLogger("faust")
_STOPPED_FLOW_SECONDS = 0.01


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread in which aiokafka keeps its membership."""

    consumer: BatchConsumer
    logger = _faust_logger

    async def on_start(self) -> None:
        await super().on_start()
        consumer = self._ensure_consumer()
        # Who fetches nothing for so long counts as idle, leaves its group and does not come back.
        # The lane watches over what is read (`Lane.stuck_for`).
        consumer._coordinator._max_poll_interval = math.inf  # noqa: SLF001
        fetcher = consumer._fetcher  # noqa: SLF001
        actions = fetcher._get_actions_per_node  # noqa: SLF001

        def all_but_fetches(assignment: Any) -> Any:
            _fetches, *others = actions(assignment)
            return [], *others

        fetcher._get_actions_per_node = all_but_fetches  # noqa: SLF001

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._partition_assignment_strategy = (transport.assignor,)  # noqa: SLF001
        return consumer


def consumer_of(app: Any) -> aiokafka.AIOKafkaConsumer:
    """The client with which an App is a member of its group. It belongs to the App's thread."""
    return app.consumer._thread._ensure_consumer()  # noqa: SLF001


def let_read_again(app: Any, tp: TP) -> None:
    """Have Faust pass on records of a partition that it has passed on before: it drops what lies
    behind the last one otherwise.
    """
    app.consumer._read_offset.pop(tp, None)  # noqa: SLF001


class BatchConsumer(driver.Consumer):
    """Delivers a partition's records as one message."""

    transport: BatchTransport
    logger = _faust_logger

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing: Faust would complain, of each partition every few seconds, that aiokafka fetches
        nothing. The lane watches over what is read (`Lane.is_ready`, `Lane.stuck_for`).
        """

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:  # noqa: ASYNC109
        """The next message: what was read of one partition."""
        if not self.flow_active:
            await asyncio.sleep(_STOPPED_FLOW_SECONDS)
            return
        fetch = self.transport.fetch
        # Not taken while Faust lets nothing through: it may be of the partition's next owner, us.
        if not await fetch.arrival(timeout) or self.should_stop or not self.flow_active:
            return
        tp, fetched = fetch.take()
        yield (
            tp,
            ConsumerMessage(
                tp.topic,
                tp.partition,
                fetched.end - 1,
                0.0,
                0,
                [],
                None,
                fetched,  # type: ignore[arg-type]  # `BatchSchema` hands it through
                None,
                tp=tp,
                generation_id=self.app.consumer_generation_id,
            ),
        )


class BatchTransport(driver.Transport):
    """The transport of one Faust App, all of whose topics come in batches."""

    Consumer = BatchConsumer

    def __init__(self, *args: Any, fetch: Fetch, assignor: Assignor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fetch = fetch
        self.assignor = assignor


class BatchSchema(faust.Schema[Any, Any]):
    """Hands a message on as the consumer made it: decoding is the agent's work."""

    def loads_key(self, app: Any, message: Any, **_options: Any) -> Any:  # noqa: ARG002
        return message.key

    def loads_value(self, app: Any, message: Any, **_options: Any) -> Any:  # noqa: ARG002
        return message.value
