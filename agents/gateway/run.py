"""The gateway as a process. Any number of them beside each other; none has what another needs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import uvicorn
from confluent_kafka import Producer

from agents.console.app import BACK
from agents.console.run import ConsoleParts, secrets_of
from agents.core.policy import PolicyBook
from agents.gateway.alert_book import AlertBook
from agents.gateway.app import Gateway, application
from agents.gateway.book import DecisionBook
from agents.gateway.callers import Caller, Callers, load_keys, terms_of
from agents.gateway.customer_names import CustomerNames
from agents.gateway.desk import Desk, Journalist
from agents.gateway.feed import Feed
from agents.gateway.issuer import Issuer, open_client
from agents.gateway.server import BoundedProtocol
from agents.gateway.sign_in import Client, SignIn
from agents.gateway.tokens import Terms
from agents.live_copy import LiveCopy
from agents.rule_files import load_rules
from schemas.catalogue import JOURNAL, topic_of
from schemas.events import OrderDecision
from streams.codec import Codec
from streams.errors import ConfigurationError
from streams.garbage import settle
from streams.kafka_client import client_config, producer_config, topic_facts, wait_for_brokers
from streams.logs import set_up_log
from streams.registry import open_codec
from streams.settings import Settings, is_loopback

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
    check_door(settings)
    keys = None if settings.gateway_keys is None else load_keys(settings.gateway_keys)
    terms = terms_of(settings)
    secrets_of(settings)
    codec = open_codec(settings)
    policies = load_rules(settings)
    admin = wait_for_brokers(settings)  # here a signal still ends the process by itself
    assert admin is not None  # noqa: S101  nobody gives up
    partitions = topic_facts(admin, [JOURNAL])[JOURNAL].partitions
    uvicorn.run(
        application(partial(_opened, settings, codec, policies, keys, terms, partitions)),
        host=settings.gateway_host,
        port=settings.gateway_port,
        http=BoundedProtocol,
        ws="none",
        log_config=None,
        log_level="error",  # strangers could write a warning a request
        access_log=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS_MAX,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_STOP_SECONDS,
    )


@asynccontextmanager
async def _opened(
    settings: Settings,
    codec: Codec,
    policies: PolicyBook,
    keys: dict[str, Caller] | None,
    terms: Terms | None,
    partitions: int,
) -> AsyncIterator[Gateway]:
    config = client_config(settings)
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
    alert_book = AlertBook(config, codec, directory / "alerts")
    names = CustomerNames(config, codec, directory / "names")
    for kept in (alert_book, names):
        kept.start()
    try:
        async with _door(settings, keys, terms) as (callers, sign_in):
            settle()
            yield Gateway(
                callers=callers,
                book=book,
                alert_book=alert_book,
                names=names,
                desk=desk,
                copy=copy,
                policies=policies,
                alerts=alerts,
                decisions=decisions,
                timeout_seconds=settings.gateway_timeout_seconds,
                console=lists.opened(callers, desk, copy, sign_in, is_open=callers.is_open),
            )
    finally:
        stopping.set()
        await asyncio.to_thread(polling.join)
        # At once: where no broker answers, each waits for what it has just asked.
        followers = (alerts, decisions, book, alert_book, names)
        await asyncio.gather(*(asyncio.to_thread(one.close) for one in followers))
        for one in (lists, copy):  # which the others told
            await asyncio.to_thread(one.close)


@asynccontextmanager
async def _door(
    settings: Settings, keys: dict[str, Caller] | None, terms: Terms | None
) -> AsyncIterator[tuple[Callers, SignIn | None]]:
    if terms is None:
        yield Callers(keys), None
        return
    issuer = Issuer(terms, open_client())
    sign_in = None
    if settings.oidc_client_id is not None and settings.console_url is not None:
        secret = settings.oidc_client_secret
        client = Client(
            settings.oidc_client_id,
            None if secret is None else secret.get_secret_value(),
            settings.console_url.rstrip("/") + BACK,
        )
        hours = settings.console_session_hours
        sign_in = SignIn(issuer, client, secrets_of(settings), hours)
    async with issuer.kept_up():
        yield Callers(keys, issuer, sign_in), sign_in


def check_door(settings: Settings) -> None:
    """That not everybody who reaches the gateway may do everything.

    Raises:
        ConfigurationError: nobody has to say who they are, and others than this machine reach it.
    """
    is_open = settings.gateway_keys is None and settings.oidc_issuer is None
    if is_open and not is_loopback(settings.gateway_host):
        raise ConfigurationError(
            "neither HEADROOM_GATEWAY_KEYS nor HEADROOM_OIDC_ISSUER is set, so anybody could"
            " release orders: such a gateway listens on a loopback address only"
        )
