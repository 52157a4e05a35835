"""A worker: any set of the agents in one process, started, watched and stopped together."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import signal
import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import uvloop
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from agents.roster import AGENTS, usual_agents
from agents.rule_files import load_rules
from schemas.catalogue import TOPICS, internal_topic
from streams.app import Member, Wiring, leader_topic
from streams.certificates import watch_certificates
from streams.errors import ConfigurationError
from streams.fast_lane.fail_stop import stop_the_process
from streams.fast_lane.fetch import OF_NO_HELP_TO_WAIT
from streams.garbage import settle
from streams.health import HealthServer
from streams.kafka_client import cause_of, topic_facts, wait_for_brokers
from streams.logs import set_up_log
from streams.metrics import Metrics
from streams.registry import open_codec
from streams.settings import Settings
from streams.topics import TopicSpec, apply, catalogue_topics

if TYPE_CHECKING:
    from streams.tracing import Tracing

logger = logging.getLogger(__name__)

_STUCK_SECONDS = 30.0
"""A commit that takes so long has lost its brokers: the worker is not ready."""
_DEAD_SECONDS = 300.0
"""A commit that takes so long will not come any more: the worker should be started anew."""
_STOP_SECONDS = 30.0
_ASK_AGAIN_SECONDS = 1.0


def run_worker(settings: Settings, only: Collection[str] | None = None) -> None:
    """Run the agents, the usual ones or those named, until SIGTERM or SIGINT, which hand the
    partitions over to other workers, or SIGUSR1, which keeps them for the same worker to come back.
    The settings name a broker (`streams.embedded.parts.with_broker`).

    Raises:
        ConfigurationError: a setting, the policy or the web port is wrong.
    """
    only = usual_agents(settings) if only is None else only
    unknown = sorted(set(only) - set(AGENTS))
    if unknown:
        raise ConfigurationError(
            f"no such agent: {', '.join(unknown)} (there are {', '.join(AGENTS)})"
        )
    faulthandler.enable()  # where it was, should a library written in C end the process
    set_up_log(settings)
    # Faust makes loops of its own for its threads, so the policy is set and not only this loop.
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(_Worker(settings, only).run())


class _Worker:
    def __init__(self, settings: Settings, only: Collection[str]) -> None:
        self._settings = settings
        self._only = only
        self._metrics = Metrics()
        self._members: list[Member] = []
        self._tracing: Tracing | None = None
        self._started = False
        self._stopping = asyncio.Event()
        self._comes_back = False

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._stopping.set)
        loop.add_signal_handler(signal.SIGUSR1, self._stop_and_come_back)
        health = HealthServer(self._metrics, alive=self._why_dead, ready=self._why_not_ready)
        await health.start(self._settings.web_host, self._settings.web_port)
        try:
            admin = await asyncio.to_thread(
                wait_for_brokers, self._settings, give_up=self._stopping.is_set
            )
            if admin is not None:
                watch_certificates(self._settings, self._metrics)
                await self._work(admin)
        finally:
            await health.stop()

    async def _work(self, admin: AdminClient) -> None:
        wiring = await asyncio.to_thread(self._wire, admin)
        self._members = _make(self._only, wiring)
        watches = [asyncio.create_task(_watch(member, self._stopping)) for member in self._members]
        try:
            await asyncio.gather(*(member.app.start() for member in self._members))
        except Exception as error:  # noqa: BLE001  whatever keeps Faust from starting
            # Half started, Faust does not end by itself.
            stop_the_process("an agent could not start", error)
        settle()
        self._started = True
        logger.info("worker runs %s", ", ".join(member.name for member in self._members))
        await self._stopping.wait()
        logger.info("worker stops%s", "; its places are kept" if self._comes_back else "")
        for watch in watches:
            watch.cancel()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await asyncio.gather(*(self._end(member) for member in self._members))
        except TimeoutError:
            stop_the_process(f"not everything ended within {_STOP_SECONDS:.0f} s")
        for member in self._members:
            member.close()
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)
        logger.info("worker has stopped")

    async def _end(self, member: Member) -> None:
        await member.stop()
        if not self._comes_back:
            await member.leave()
        await member.app.stop()

    def _stop_and_come_back(self) -> None:
        """Stop for a moment: the groups keep the worker's places until its session ends."""
        self._comes_back = True
        self._stopping.set()

    def _wire(self, admin: AdminClient) -> Wiring:
        """Waits for brokers that answer, but are still choosing a controller or a leader."""
        names = [internal_topic(name, self._settings.app_id) for name in TOPICS]
        self._tracing = _open_tracing(self._settings)
        while True:
            try:
                apply(admin, _specs(self._settings))
                facts = topic_facts(admin, names)
                return Wiring(self._settings, self._metrics, facts, self._tracing)
            except KafkaException as error:
                cause = cause_of(error)
                if self._stopping.is_set() or cause.code() in OF_NO_HELP_TO_WAIT:
                    raise
                logger.warning("the brokers cannot tell of the topics yet: %s", cause.str())
                time.sleep(_ASK_AGAIN_SECONDS)

    def _why_not_ready(self) -> Sequence[str]:
        if not self._started:
            return ["starting"]
        waiting = [
            f"{m.name}: partitions are being restored" for m in self._members if not m.is_ready()
        ]
        held = [f"{m.name}: stands still: {why}" for m in self._members for why in m.held()]
        return [*waiting, *held, *self._stuck(_STUCK_SECONDS)]

    def _why_dead(self) -> Sequence[str]:
        return self._stuck(_DEAD_SECONDS)

    def _stuck(self, seconds: float) -> list[str]:
        stuck = [(member.name, member.stuck_for()) for member in self._members]
        return [f"{name}: nothing committed for {s:.0f} s" for name, s in stuck if s > seconds]


def _open_tracing(settings: Settings) -> Tracing | None:
    """Where spans go; None when nobody takes them, and then nothing is imported for it either."""
    if settings.otlp_endpoint is None:
        return None
    from streams.tracing import Tracing  # noqa: PLC0415  half a second, for who asked for it

    return Tracing(
        settings.otlp_endpoint, settings.trace_sample, settings.app_id, settings.worker_name
    )


def _make(only: Collection[str], wiring: Wiring) -> list[Member]:
    """The agents that were asked for. Only they are imported: with what all of them bring along a
    start would take twice as long, and half as much memory again.
    """
    codec = open_codec(wiring.settings)
    policy = load_rules(wiring.settings)
    members: list[Member] = []
    if "intake" in only:
        from agents.intake.agent import intake  # noqa: PLC0415

        members.append(intake(wiring, codec))
    if "credit" in only:
        from agents.credit.agent import credit  # noqa: PLC0415

        members.append(credit(wiring, codec, policy))
    if "sink" in only:
        from agents.sink.agent import sink  # noqa: PLC0415

        members.append(sink(wiring, codec, policy))
    if "notify" in only:
        from agents.notify.agent import notify  # noqa: PLC0415

        members.append(notify(wiring, codec))
    if "alerts" in only:
        from agents.alerts.agent import alerts  # noqa: PLC0415

        members.extend(alerts(wiring, codec))
    return members


async def _watch(member: Member, stopping: asyncio.Event) -> None:
    """An App that ended by itself has crashed."""
    await member.app.wait_until_stopped()
    if not stopping.is_set():
        stop_the_process(f"{member.name}: Faust gave up", member.app.crash_reason)


def _specs(settings: Settings) -> list[TopicSpec]:
    """The topics that a worker needs. They are created when missing, so that a first start needs no
    other step.
    """
    leader = TopicSpec(leader_topic(settings.app_id, "credit"), 1, settings.replication_factor)
    return [*catalogue_topics(settings), leader]
