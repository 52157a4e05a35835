"""The sink agent: journal and outgoing topics into ClickHouse.

What a record becomes stands in `plan`, how it is written in `writer`, when its offset is committed
in `partition`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
from clickhouse_connect.driver.client import Client
from confluent_kafka import TopicPartition
from faust.types import TP

from agents.core.policy import PolicyBook
from agents.sink.intention import read_intention
from agents.sink.migrations import migrate
from agents.sink.partition import Inserts, SinkPartition, crowd
from agents.sink.plan import SOURCES, Planner
from agents.sink.stored import choose
from agents.sink.tables import TABLES
from agents.sink.writer import Writer, note_policy
from streams.app import Member, Wiring, batch_topic, build_app, member_on
from streams.clickhouse import open_clickhouse
from streams.codec import Codec
from streams.errors import InvalidMessage
from streams.fast_lane.asker import Asker
from streams.fast_lane.commit import CommitOffset, CommitsTogether
from streams.fast_lane.fail_stop import fail_stop
from streams.fast_lane.lane import Lane
from streams.fast_lane.restore import OpeningAbandonedError
from streams.kafka_client import client_config
from streams.settings import Settings

_LOOK_SECONDS = 0.1
"""How often a partition looks whether its batch is due."""
_ASK_SECONDS = 10.0


def sink(wiring: Wiring, codec: Codec, policy: PolicyBook) -> Member:
    """The agent, ready to start. ClickHouse is asked for with the first batch, and awaited."""
    settings = wiring.settings
    app = build_app(wiring, "sink")
    writer = Writer(lambda: connect(settings, policy), settings.clickhouse_cluster)
    inserts = Inserts(writer.write, wiring.executor)
    planner = Planner(codec.decode, msgspec.json.encode, (InvalidMessage,))
    commit = CommitsTogether(CommitOffset(app))
    asker = Asker(client_config(settings), str(app.conf.id))
    partitions: dict[TP, SinkPartition] = {}
    crowded = crowd(lambda: list(partitions.values()), settings.in_flight_bytes)

    def open_partition(tp: TP, abandoned: Callable[[], bool]) -> SinkPartition:
        if abandoned():
            raise OpeningAbandonedError
        topic_id = wiring.topics[tp.topic].id
        # The lane has asked the group whose the partition is: nobody else can change this now.
        committed = asker.committed_place(TopicPartition(*tp), _ASK_SECONDS)
        partitions[tp] = SinkPartition(
            tp,
            planner,
            inserts,
            commit,
            topic_id=topic_id,
            intended=read_intention(committed.metadata, topic_id),
            batch_rows=settings.sink_batch_rows,
            batch_seconds=settings.sink_batch_seconds,
            crowded=crowded,
            tracing=wiring.tracing,
        )
        return partitions[tp]

    lane = Lane(
        app,
        topics=SOURCES,
        open_partition=open_partition,
        executor=wiring.executor,
        commit_interval_seconds=min(_LOOK_SECONDS, settings.sink_batch_seconds),
        in_flight_bytes=settings.in_flight_bytes,
        metrics=wiring.metrics,
    )

    @app.agent(batch_topic(app, *SOURCES), name="sink")
    @fail_stop
    async def write(stream: Any) -> None:
        async for batch in lane.batches(stream):
            first = batch.records[0]
            partitions[TP(first.topic, first.partition)].take(batch.records)

    def show_lag() -> None:
        now = time.time()
        wiring.metrics.clickhouse_away.set(inserts.away)
        for table, seconds in lag_seconds(list(partitions.values()), now).items():
            wiring.metrics.sink_lag_seconds.labels(table.removesuffix("_raw")).set(seconds)

    async def stop() -> None:
        for partition in partitions.values():
            partition.hurry = True
        await lane.stop()

    def close() -> None:
        writer.close()
        asker.close()

    wiring.metrics.before_scrape.append(show_lag)
    return member_on("sink", app, lane, stop=stop, close=close)


def connect(settings: Settings, policy: PolicyBook) -> Client:
    """A client of a ClickHouse that has the tables of this release.

    Raises:
        ClickHouseUnreachableError: nobody answers; asking again later may help.
        ConfigurationError: the tables are of another release, or bringing them up to this one is a
            matter for a person (`headroom clickhouse migrate`).
    """
    client = open_clickhouse(settings)
    try:
        migrate(client, cluster=settings.clickhouse_cluster)
        choose(client, cluster=settings.clickhouse_cluster)
        latest = policy.versions[-1].base
        if settings.clickhouse_cluster is not None:
            # Else rows wait on the disk of the server that took them, and the sink commits them.
            client.set_client_setting("distributed_foreground_insert", 1)
        note_policy(client, latest.version, latest.small_balance)
    except BaseException:
        client.close()
        raise
    return client


def lag_seconds(partitions: list[SinkPartition], now: float) -> dict[str, float]:
    """By table, the age of the oldest record that was taken in and is not written; 0 without one.

    `now` is in seconds since 1970.
    """
    lag = dict.fromkeys(TABLES, 0.0)
    for partition in partitions:
        for table, timestamp in partition.oldest_waiting().items():
            lag[table] = max(lag[table], now - timestamp / 1000)
    return lag
