"""The portal as a process. Any number of them beside each other; none has what another needs."""

from __future__ import annotations

import logging
from zoneinfo import ZoneInfo

import uvicorn
from confluent_kafka import Producer

from agents.live_copy import LiveCopy
from agents.notify.creditor import creditor_of
from agents.notify.ticket import links_of, secrets_of
from agents.portal.app import Portal, application
from agents.portal.mollie_payments import MolliePayments
from agents.portal.providers import PaymentProvider
from streams.errors import ConfigurationError
from streams.kafka_client import producer_config, wait_for_brokers
from streams.logs import set_up_log
from streams.postbox import Postbox
from streams.registry import open_codec
from streams.settings import Settings

_AT_ONCE_MAX = 200
"""More at once are told to come back: 503."""
_KEEP_ALIVE_SECONDS = 10
_STOP_SECONDS = 10


def run_portal(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. The settings name a broker.

    Raises:
        ConfigurationError: a setting is missing or wrong.
        TopicMissingError: no worker has run yet.
    """
    set_up_log(settings)
    # Where it listens, and that it ends. Who asks for what is not said: a link is a key.
    logging.getLogger("uvicorn").setLevel(logging.INFO)
    if links_of(settings) is None:
        raise ConfigurationError("HEADROOM_PORTAL_URL: it has to be known where customers come to")
    creditor, secrets, provider = creditor_of(settings), secrets_of(settings), _provider(settings)
    codec = open_codec(settings)
    wait_for_brokers(settings)
    copy = LiveCopy(settings, settings.state_dir / "portal")
    postbox = Postbox(Producer(producer_config(settings)), codec, "portal")
    portal = Portal(
        place_of=copy.place_of,
        say=postbox.post,
        creditor=creditor,
        secrets=secrets,
        url=(settings.portal_url or "").rstrip("/"),
        provider=provider,
        zone=ZoneInfo(settings.time_zone),
        promise_days=settings.portal_promise_days,
        missing=copy.missing,
    )
    try:
        uvicorn.run(
            application(portal),
            host=settings.portal_host,
            port=settings.portal_port,
            log_config=None,
            access_log=False,  # a link is the key to its page
            server_header=False,
            limit_concurrency=_AT_ONCE_MAX,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
    finally:
        copy.close()


def _provider(settings: Settings) -> PaymentProvider | None:
    if settings.mollie_key is None:
        return None
    key = settings.mollie_key.get_secret_value()
    try:
        return MolliePayments(key, settings.mollie_url or "", ZoneInfo(settings.time_zone))
    except ValueError as error:
        raise ConfigurationError(f"HEADROOM_MOLLIE_KEY: {error}") from error
