"""The gateway as a process. Any number of them beside each other; none has what another needs."""

from __future__ import annotations

import asyncio
import ipaddress
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import uvicorn
from confluent_kafka import Producer

from agents.console.run import ConsoleParts, secrets_of
from agents.core.policy import PolicyBook
from agents.gateway.app import Gateway, application
from agents.gateway.book import DecisionBook
from agents.gateway.callers import Caller, Callers, load_keys
from agents.gateway.desk import Desk, Journalist
from agents.gateway.feed import Feed
from agents.live_copy import LiveCopy
from agents.rule_files import load_rules
from schemas.catalogue import JOURNAL, topic_of
from schemas.events import OrderDecision
from streams.codec import Codec
from streams.errors import ConfigurationError
from streams.kafka_client import client_config, producer_config, topic_facts, wait_for_brokers
from streams.logs import set_up_log
from streams.registry import open_codec
from streams.settings import Settings

_CONNECTIONS_MAX = 10_000
"""Far more than requests that may wait: those who only ask how it is must still get through."""
_KEEP_ALIVE_SECONDS = 60
_STOP_SECONDS = 10


def run_gateway(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. The settings name a broker.

    Raises:
        ConfigurationError: a setting or a file is wrong.
        TopicMissingError: no worker has run yet.
    """
    set_up_log(settings)
    keys = _keys(settings)
    secrets_of(settings)
    codec = open_codec(settings)
    policies = load_rules(settings)
    uvicorn.run(
        application(partial(_opened, settings, codec, keys, policies)),
        host=settings.gateway_host,
        port=settings.gateway_port,
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS_MAX,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_STOP_SECONDS,
    )


@asynccontextmanager
async def _opened(
    settings: Settings, codec: Codec, keys: dict[str, Caller] | None, policies: PolicyBook
) -> AsyncIterator[Gateway]:
    admin = await asyncio.to_thread(wait_for_brokers, settings)
    assert admin is not None  # noqa: S101  nobody gives up
    config = client_config(settings)
    partitions = topic_facts(admin, [JOURNAL])[JOURNAL].partitions
    directory = settings.state_dir / f"gateway-{settings.worker_name}"
    # An order that waits for company waits for its answer.
    producer = Producer(producer_config(settings) | {"linger.ms": 0})
    journalist = Journalist(producer, codec, partitions)
    desks: list[Desk] = []

    def heard(decisions: list[OrderDecision]) -> None:
        for desk in desks:
            desk.hear(decisions)
        lists.heard(decisions)

    def latest_on(order_id: str, customer_id: str) -> list[OrderDecision]:
        return book.latest_on(order_id, customer_id)

    lists = ConsoleParts(settings, codec, policies, directory / "console", latest_on)
    book = DecisionBook(config, codec, directory / "decisions", heard)
    desk = Desk(journalist, book.answer_to, book.latest_on, at_once=settings.gateway_at_once)
    desks.append(desk)
    book.start()
    copy = LiveCopy(settings, directory / "state", lists.index)
    alerts = Feed(config, topic_of("CreditLimitAlert"), codec)
    decisions = Feed(config, topic_of("OrderDecision"), codec)
    stopping = threading.Event()

    def poll() -> None:
        while not stopping.is_set():
            journalist.poll()

    polling = threading.Thread(target=poll, name="journalist", daemon=True)
    polling.start()
    callers = Callers(keys)
    try:
        yield Gateway(
            callers=callers,
            book=book,
            desk=desk,
            copy=copy,
            policies=policies,
            alerts=alerts,
            decisions=decisions,
            timeout_seconds=settings.gateway_timeout_seconds,
            console=lists.opened(callers, desk, copy, is_open=keys is None),
        )
    finally:
        stopping.set()
        await asyncio.to_thread(polling.join)
        for one in (alerts, decisions, book, lists, copy):
            await asyncio.to_thread(one.close)


def _keys(settings: Settings) -> dict[str, Caller] | None:
    if settings.gateway_keys is not None:
        return load_keys(settings.gateway_keys)
    if not _is_loopback(settings.gateway_host):
        raise ConfigurationError(
            "HEADROOM_GATEWAY_KEYS is not set, so anybody could release orders: without keys a"
            " gateway listens on a loopback address only"
        )
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
