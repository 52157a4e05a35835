"""The notify agent: dunning steps leave as mails, text messages and letters on paper; what became
of each goes back to the journal.

How a letter is made stands in `rendering`, how it leaves in `partition`. Notices of alerts leave
the same way, for the alerts agent (`agents.alerts.agent`).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import msgspec
from faust.types import TP

from agents.notify.letter_office import CHANNELS, letter_office
from agents.notify.outbox import Known
from agents.notify.partition import NotifyPartition, Office
from schemas.catalogue import NOTIFY_CHANGELOG, internal_topic, topic_of
from streams.app import Member, Wiring, batch_topic, build_app, member_on, open_transactions
from streams.codec import Codec
from streams.fast_lane.commit import CommitOffset
from streams.fast_lane.fail_stop import fail_stop
from streams.fast_lane.lane import Lane
from streams.fast_lane.restore import OpeningAbandonedError
from streams.fast_lane.store import POSITION_KEY
from streams.kafka_client import client_config
from streams.log_reader import LogReader
from streams.settings import Settings

SOURCE = topic_of("DunningStep")
_LOOK_SECONDS = 0.1


def notify(wiring: Wiring, codec: Codec) -> Member:
    """The agent, ready to start.

    Raises:
        ConfigurationError: a text, a carrier or the creditor cannot be used.
    """
    settings = wiring.settings
    metrics = wiring.metrics

    def show(ours: list[NotifyPartition]) -> None:
        for channel in CHANNELS:
            waiting = sum(one.waiting.get(channel, 0) for one in ours)
            metrics.letters_waiting.labels(channel).set(waiting)
            away = any(channel in one.away for one in ours)
            metrics.carrier_away.labels(channel).set(away)

    return letting_leave(
        wiring,
        "notify",
        SOURCE,
        internal_topic(NOTIFY_CHANGELOG, settings.app_id),
        letter_office(wiring, codec),
        wiring.executor,
        show,
    )


def letting_leave(
    wiring: Wiring,
    name: str,
    source: str,
    changelog: str,
    office: Office,
    executor: Executor,
    show: Callable[[list[NotifyPartition]], None],
) -> Member:
    """An agent that lets things leave which a topic names.

    Args:
        wiring: of the worker.
        name: of the agent.
        source: the topic.
        changelog: where it is written what is about to leave and has left.
        office: what the partitions share.
        executor: threads that wait for carriers.
        show: sets figures before each scrape.
    """
    settings = wiring.settings
    app = build_app(wiring, name)
    commit_offset = CommitOffset(app)
    partitions: dict[TP, NotifyPartition] = {}

    def open_partition(tp: TP, abandoned: Callable[[], bool]) -> NotifyPartition:
        if abandoned():
            raise OpeningAbandonedError
        # Fenced first: what it had not written by then is written by nobody.
        transactions = open_transactions(settings, str(app.conf.id), tp)
        known, next_offset = read_known(settings, changelog, tp.partition)
        partitions[tp] = NotifyPartition(
            tp,
            office,
            transactions,
            changelog,
            known,
            next_offset,
            may_send=lane.has_read_all,
            tell_group=commit_offset,
            executor=executor,
        )
        return partitions[tp]

    lane = Lane(
        app,
        topics=[source],
        open_partition=open_partition,
        executor=wiring.executor,
        commit_interval_seconds=_LOOK_SECONDS,
        in_flight_bytes=settings.in_flight_bytes,
        metrics=wiring.metrics,
    )

    @app.agent(batch_topic(app, source), name=name)
    @fail_stop
    async def take(stream: Any) -> None:
        async for batch in lane.batches(stream):
            first = batch.records[0]
            partitions[TP(first.topic, first.partition)].take(batch.records)

    async def stop() -> None:
        for partition in partitions.values():
            partition.stopping = True
        await lane.stop()

    wiring.metrics.before_scrape.append(
        lambda: show([one for one in lane.partitions if isinstance(one, NotifyPartition)])
    )
    return member_on(name, app, lane, stop=stop, close=lambda: None)


def read_known(
    settings: Settings, changelog: str, partition: int
) -> tuple[dict[str, Known], int | None]:
    """What the changelog says of attempts, and from where to read on."""
    known: dict[str, Known] = {}
    next_offset = None
    decode = msgspec.json.Decoder(Known).decode
    for record in LogReader(client_config(settings), changelog, partition):
        key = record.key or b""
        if key == POSITION_KEY:
            next_offset = int(record.value or b"0")
        elif record.value is None:
            known.pop(key.decode(), None)
        else:
            known[key.decode()] = decode(record.value)
    return known, next_offset
