"""Builds the Faust App of an agent, and the lane on which its records travel, from the settings."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import faust
from confluent_kafka import Consumer, TopicPartition
from faust.app.base import BootStrategy
from faust.types import TP
from mode.utils.objects import cached_property
from mode.utils.queues import FlowControlEvent

from streams.fast_lane.asker import Asker
from streams.fast_lane.assignment import Assignor, Share
from streams.fast_lane.commit import (
    AcknowledgedFirst,
    CommitOffset,
    EffectivelyOnce,
    ExactlyOnce,
    Guarantee,
    InTransaction,
    PassGuarantee,
)
from streams.fast_lane.fetch import Fetch
from streams.fast_lane.lane import Lane
from streams.fast_lane.outlet import Outlet
from streams.fast_lane.partition import Books, LedgerPartition, PassPartition
from streams.fast_lane.restore import OpeningAbandonedError, restore
from streams.fast_lane.standby import Standbys
from streams.fast_lane.store import Memory, PartitionStore, StateCodec
from streams.fast_lane.transaction import Transactions
from streams.fast_lane.transport import BatchSchema, BatchTransport
from streams.kafka_client import TopicFacts, client_config, faust_credentials, producer_config
from streams.metrics import Metrics
from streams.settings import Settings

if TYPE_CHECKING:  # OpenTelemetry is imported only where somebody takes traces
    from streams.tracing import Tracing

logger = logging.getLogger(__name__)

_STREAM_BATCHES = 1_000_000
"""Faust's own bound on what waits for an agent. It counts messages and naps for a second when it is
reached; the lane bounds bytes instead, before anything is fetched."""
_ASK_SECONDS = 5.0
_HEARTBEAT_SECONDS = 0.25
"""With the answer to a heartbeat the members of a group hear that partitions are shared out anew,
and all wait for the last of them: it is a part of the silence when a worker comes or goes.
"""
_THREADS = 64
_BLOCK_CACHE_BYTES = 64 << 20
_WRITE_BUFFER_BYTES = 128 << 20
_CACHED_KEYS = 400_000
"""Live objects that a worker keeps of what is on disk, about 1 KiB each."""


class _WithoutWeb(BootStrategy):
    """Faust's own web server stays down: the worker has one for all agents (`streams.health`)."""

    enable_web = False


class _FlowControl(FlowControlEvent):
    """Faust resumes the flow once for each round in which partitions are shared out, and throws
    away what waits for the agents when it does. When one round follows another at once, it does so
    for both after the second: what was let through in between would be lost.
    """

    def resume(self) -> None:
        if not self.is_active():
            super().resume()


class HeadroomApp(faust.App):
    """A Faust App without a web server, which logs as Faust does."""

    BootStrategy = _WithoutWeb
    logger = logging.getLogger("faust")

    @cached_property
    def flow_control(self) -> FlowControlEvent:
        return _FlowControl()


class Wiring:
    """What the agents of one worker share: settings, threads, metrics, memory, ids of topics, and
    where spans go, if anywhere.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        topics: Mapping[str, TopicFacts],
        tracing: Tracing | None = None,
    ) -> None:
        self.settings = settings
        self.metrics = metrics
        self.topics = topics
        self.tracing = tracing
        self.executor: Executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="commit")
        self.memory = Memory(
            block_cache_bytes=_BLOCK_CACHE_BYTES, write_buffer_bytes=_WRITE_BUFFER_BYTES
        )


def build_app(
    wiring: Wiring,
    agent: str,
    *,
    has_leader: bool = False,
    stateful: Collection[str] = (),
    oldest_first: bool = False,
) -> faust.App:
    """The Faust App of one agent: its own consumer group, so that each agent scales by itself.

    With `has_leader`, one of the App's workers is the leader: who has the one partition of
    `leader_topic`. `stateful` are the topics whose partitions have a state. With `oldest_first` the
    agent gets the records of all its partitions in the order of time, as far as they are here.
    """
    settings = wiring.settings
    app_id = f"{settings.app_id}-{agent}"
    faust_directory = state_directory(settings, app_id) / "faust"
    faust_directory.mkdir(parents=True, exist_ok=True)
    brokers = [
        f"kafka://{broker.strip()}" for broker in (settings.kafka_bootstrap or "").split(",")
    ]
    app = HeadroomApp(
        app_id,
        broker=";".join(brokers),
        broker_credentials=faust_credentials(settings),
        broker_client_id=f"{app_id}-{settings.worker_name}",
        broker_session_timeout=settings.session_timeout_seconds,
        broker_heartbeat_interval=_HEARTBEAT_SECONDS,
        broker_rebalance_timeout=30.0,
        consumer_group_instance_id=settings.instance_id or None,
        consumer_auto_offset_reset="earliest",
        datadir=faust_directory,
        key_serializer="raw",
        value_serializer="raw",
        store="memory://",
        # Offsets are the lane's; waiting for Faust's acknowledgements would wait for ever.
        stream_wait_empty=False,
        stream_buffer_maxsize=_STREAM_BATCHES,
        topic_replication_factor=settings.replication_factor,
        topic_disable_leader=not has_leader,
        # All topics are made before (`streams.topics`). Faust gives up when the brokers choose a
        # controller just then.
        topic_allow_declare=False,
        worker_redirect_stdouts=False,
        web_enabled=False,
    )
    # Set, not looked up by name: an entry point would depend on how the package was installed.
    app.transport = BatchTransport(
        app.conf.broker_consumer,
        app,
        fetch=Fetch(client_config(settings), app_id, oldest_first=oldest_first),
        assignor=Assignor(settings.instance_id, stateful=stateful, standbys=settings.standbys),
    )
    return app


def leader_topic(app_id: str, agent: str) -> str:
    """The topic whose owner leads the workers of an agent, by the name that Faust gives it."""
    return f"{app_id}-{agent}-__assignor-__leader"


def batch_topic(app: faust.App, *topics: str) -> Any:
    """The topics as an agent reads them: in batches, with offsets that are the lane's matter, not
    Faust's.
    """
    return app.topic(*topics, schema=BatchSchema(), acks=False)


def state_directory(settings: Settings, app_id: str) -> Path:
    return settings.state_dir / settings.worker_name / app_id


@dataclass(frozen=True)
class Member:
    """One agent of a worker: what the worker starts, asks and stops.

    `stuck_for` tells the seconds that the oldest uncommitted record has waited, `held` which
    partitions stand still, and why. `stop` takes in no
    more and commits what was done, while the App still runs; `leave` then gives the place in the
    group up, unless it is to be kept; `close` follows when the App has stopped.
    """

    name: str
    app: faust.App
    is_ready: Callable[[], bool]
    stuck_for: Callable[[], float]
    held: Callable[[], Collection[str]]
    stop: Callable[[], Awaitable[None]]
    leave: Callable[[], Awaitable[None]]
    close: Callable[[], object]


def member(name: str, app: faust.App, lane: PassLane | LedgerLane) -> Member:
    """An agent on a lane of the product's own making."""
    return member_on(name, app, lane.lane, stop=lane.lane.stop, close=lane.close)


def member_on(
    name: str,
    app: faust.App,
    lane: Lane,
    *,
    stop: Callable[[], Awaitable[None]],
    close: Callable[[], object],
) -> Member:
    """An agent on a lane with partitions of its own kind."""
    return Member(
        name,
        app,
        is_ready=lane.is_ready,
        stuck_for=lane.stuck_for,
        held=lane.held,
        stop=stop,
        leave=lane.membership.leave,
        close=close,
    )


class LedgerLane:
    """The lane of an agent with state: opens its partitions and holds what they share."""

    def __init__(
        self,
        wiring: Wiring,
        app: faust.App,
        *,
        source: str,
        changelog: str,
        codec: StateCodec,
        books: Books | None = None,
    ) -> None:
        settings = wiring.settings
        self._wiring = wiring
        self._app_id = str(app.conf.id)
        self._changelog = changelog
        self._codec = codec
        self._books = books
        self._source = source
        self.outlet = Outlet(producer_config(settings), wiring.metrics.answered)
        self._asker = Asker(client_config(settings), self._app_id)
        self._tell_group = CommitOffset(app)
        self.lane = _lane(wiring, app, [source], self._open)
        self._standbys = Standbys(
            client_config(settings),
            group=self._app_id,
            changelog=changelog,
            changelog_id=wiring.topics[changelog].id,
            open_store=self._store,
            ask_for_a_round=self.lane.membership.ask_for_a_round,
        )
        self.lane.follow = self._follow
        assignor: Assignor = app.transport.assignor  # type: ignore[attr-defined]  # `build_app`'s
        assignor.ready = lambda: {source: sorted(self._standbys.ready())}

    def _open(self, tp: TP, abandoned: Callable[[], bool]) -> LedgerPartition:
        """Fence whoever had the partition, then read its state, then go on where the state ends."""
        settings = self._wiring.settings
        if abandoned():
            raise OpeningAbandonedError
        begun = time.monotonic()
        guarantee = self._guarantee(open_transactions(settings, self._app_id, tp))
        fenced = time.monotonic()
        self._standbys.release(tp.partition)
        store = self._store(tp.partition)
        opened = time.monotonic()
        try:
            restored = restore(
                store,
                client_config(settings),
                self._asker,
                group=self._app_id,
                source=(tp.topic, tp.partition),
                changelog=self._changelog,
                changelog_id=self._wiring.topics[self._changelog].id,
                abandoned=abandoned,
            )
        except BaseException:
            store.close()
            raise
        logger.debug(
            "%s-%s: fenced in %.3f s, disk opened in %.3f s, %s records restored in %.3f s",
            *tp,
            fenced - begun,
            opened - fenced,
            restored.records,
            restored.seconds,
        )
        return LedgerPartition(
            tp,
            store,
            guarantee,
            restored.next_offset,
            self._wiring.executor,
            self._tell_group,
            self._books,
        )

    def _store(self, partition: int) -> PartitionStore:
        settings = self._wiring.settings
        return PartitionStore(
            state_directory(settings, self._app_id) / str(partition),
            self._codec,
            self._wiring.memory,
            cached_keys=_CACHED_KEYS // settings.partitions,
        )

    def _follow(self, share: Share) -> None:
        self._standbys.follow(share.copies(self._source), share.warming.get(self._source, ()))

    def _guarantee(self, transactions: Transactions) -> Guarantee:
        if self._wiring.settings.guarantee == "exactly_once":
            answered = self._wiring.metrics.answered
            return ExactlyOnce(answered, transactions, self._changelog)
        return EffectivelyOnce(self.outlet, transactions, self._changelog)

    def close(self) -> None:
        self._standbys.stop()
        self._asker.close()
        self.outlet.close()


class PassLane:
    """The lane of an agent without state.

    With `from_now_on` what its topics held before it ran for the first time is none of its
    business.
    """

    def __init__(
        self,
        wiring: Wiring,
        app: faust.App,
        *,
        sources: Collection[str],
        from_now_on: bool = False,
    ) -> None:
        settings, executor, app_id = wiring.settings, wiring.executor, str(app.conf.id)
        self._asker = Asker(client_config(settings), app_id) if from_now_on else None
        self._guarantee: Callable[[TP], PassGuarantee]
        if settings.guarantee == "exactly_once":
            group = Consumer({**client_config(settings), "group.id": app_id})
            self._guarantee = lambda tp: InTransaction(
                open_transactions(settings, app_id, tp, group.consumer_group_metadata()), executor
            )
            self.close: Callable[[], object] = group.close
        else:
            outlet, commit_offset = Outlet(producer_config(settings)), CommitOffset(app)
            self._guarantee = lambda tp: AcknowledgedFirst(outlet, commit_offset, tp, executor)
            self.close = outlet.close
        self.lane = _lane(wiring, app, sources, self._open)

    def _open(self, tp: TP, abandoned: Callable[[], bool]) -> PassPartition:
        if abandoned():
            raise OpeningAbandonedError
        return PassPartition(tp, self._guarantee(tp), self._first_offset(tp))

    def _first_offset(self, tp: TP) -> int | None:
        """The end of the log for who has never read it, if that is wanted; None: where the group
        stands.
        """
        if self._asker is None:
            return None
        place = TopicPartition(*tp)
        if self._asker.committed(place, _ASK_SECONDS) >= 0:
            return None
        return self._asker.bounds(place, _ASK_SECONDS)[1]


def open_transactions(
    settings: Settings, app_id: str, tp: TP, group_metadata: Any = None
) -> Transactions:
    """Fence whoever had the partition."""
    return Transactions(
        producer_config(settings),
        transactional_id=f"{app_id}-{tp.topic}-{tp.partition}",
        source=(tp.topic, tp.partition),
        group_metadata=group_metadata,
    )


def _lane(wiring: Wiring, app: faust.App, topics: Collection[str], opener: Any) -> Lane:
    return Lane(
        app,
        topics=topics,
        open_partition=opener,
        executor=wiring.executor,
        commit_interval_seconds=wiring.settings.commit_interval_seconds,
        in_flight_bytes=wiring.settings.in_flight_bytes,
        metrics=wiring.metrics,
    )
