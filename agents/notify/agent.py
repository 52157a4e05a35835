"""The notify agent: dunning steps leave as mails, text messages and letters on paper; what became
of each goes back to the journal.

How a letter is made stands in `rendering`, how it leaves in `partition`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4
from zoneinfo import ZoneInfo

import msgspec
from faust.types import TP

from agents.dunning.procedure import HANDOVERS
from agents.handover.carrier import HandoverCarrier, archive_by_itself, handover_targets
from agents.notify.carriers import Carrier
from agents.notify.creditor import creditor_of
from agents.notify.mail import MailCarrier, mail_server
from agents.notify.outbox import LETTERS, Known
from agents.notify.partition import NotifyPartition, Office
from agents.notify.texts_file import load_texts
from agents.notify.ticket import links_of
from agents.notify.webhook import WebhookCarrier
from agents.procedure_files import load_procedures
from schemas.catalogue import NOTIFY_CHANGELOG, internal_topic, topic_of
from schemas.dates import day_of
from schemas.events import DunningStepReported, LetterWritten
from streams.app import Member, Wiring, batch_topic, build_app, member_on, open_transactions
from streams.cloud_events import headers_of
from streams.codec import Codec
from streams.dead_letters import dead_letter, log_refusal
from streams.errors import ConfigurationError, InvalidMessage
from streams.fast_lane.commit import CommitOffset
from streams.fast_lane.fail_stop import fail_stop
from streams.fast_lane.fetch import Record
from streams.fast_lane.lane import Lane
from streams.fast_lane.outlet import Outgoing
from streams.fast_lane.restore import OpeningAbandonedError
from streams.fast_lane.store import POSITION_KEY
from streams.kafka_client import client_config
from streams.log_reader import LogReader
from streams.settings import Settings

SOURCE = topic_of("DunningStep")
_LOOK_SECONDS = 0.1


def has_carriers(settings: Settings) -> bool:
    """Whether anything can be sent."""
    return any(
        (
            settings.smtp_url,
            settings.sms_webhook_url,
            settings.print_webhook_url,
            settings.agency_url,
            settings.legal_url,
        )
    )


def notify(wiring: Wiring, codec: Codec) -> Member:
    """The agent, ready to start.

    Raises:
        ConfigurationError: a text, a carrier or the creditor cannot be used.
    """
    settings = wiring.settings
    office = _office(wiring, codec)
    changelog = internal_topic(NOTIFY_CHANGELOG, settings.app_id)
    app = build_app(wiring, "notify")
    commit_offset = CommitOffset(app)
    partitions: dict[TP, NotifyPartition] = {}

    def open_partition(tp: TP, abandoned: Callable[[], bool]) -> NotifyPartition:
        if abandoned():
            raise OpeningAbandonedError
        # Fenced first: what it had not written by then is written by nobody.
        transactions = open_transactions(settings, str(app.conf.id), tp)
        known, next_offset = _known(settings, changelog, tp.partition)
        partitions[tp] = NotifyPartition(
            tp,
            office,
            transactions,
            changelog,
            known,
            next_offset,
            may_send=lane.has_read_all,
            tell_group=commit_offset,
            executor=wiring.executor,
        )
        return partitions[tp]

    lane = Lane(
        app,
        topics=[SOURCE],
        open_partition=open_partition,
        executor=wiring.executor,
        commit_interval_seconds=_LOOK_SECONDS,
        in_flight_bytes=settings.in_flight_bytes,
        metrics=wiring.metrics,
    )

    @app.agent(batch_topic(app, SOURCE), name="notify")
    @fail_stop
    async def take(stream: Any) -> None:
        async for batch in lane.batches(stream):
            first = batch.records[0]
            partitions[TP(first.topic, first.partition)].take(batch.records)

    def show() -> None:
        ours = [one for one in lane.partitions if isinstance(one, NotifyPartition)]
        for channel in (*LETTERS, *HANDOVERS):
            waiting = sum(one.waiting[channel] for one in ours)
            wiring.metrics.letters_waiting.labels(channel).set(waiting)
            away = any(channel in one.away for one in ours)
            wiring.metrics.carrier_away.labels(channel).set(away)

    async def stop() -> None:
        for partition in partitions.values():
            partition.stopping = True
        await lane.stop()

    wiring.metrics.before_scrape.append(show)
    return member_on("notify", app, lane, stop=stop, close=lambda: None)


def _office(wiring: Wiring, codec: Codec) -> Office:
    settings = wiring.settings
    zone = ZoneInfo(settings.time_zone)
    headers = headers_of("notify")
    topic, letters_topic = topic_of("DunningStepReported"), topic_of("LetterWritten")
    letters = wiring.metrics.letters

    def report(event: DunningStepReported) -> Outgoing:
        return Outgoing(topic, event.customer_id.encode(), codec.encode(event), headers(event))

    def keep(letter: LetterWritten) -> Outgoing:
        return Outgoing(
            letters_topic, letter.customer_id.encode(), codec.encode(letter), headers(letter)
        )

    def refuse(record: Record, fault: InvalidMessage) -> Outgoing:
        wiring.metrics.dead_letters.labels(fault.reason).inc()
        log_refusal(record, fault.reason)
        return dead_letter(record, reason=fault.reason, fault_class="message", detail=fault.detail)

    return Office(
        carriers=_carriers(settings),
        decode=codec.decode,
        report=report,
        keep=keep,
        refuse=refuse,
        today=lambda: day_of(datetime.now(zone).date()),
        mark=f"{socket.gethostname()}-{uuid4().hex[:8]}",
        remembered={},
        counted=lambda channel, result: letters.labels(channel, result).inc(),
    )


def _carriers(settings: Settings) -> Callable[[], Mapping[str, Carrier]]:
    """What makes the carriers that the settings name, by channel."""
    if not has_carriers(settings):
        raise ConfigurationError(
            "letters need HEADROOM_SMTP_URL, HEADROOM_SMS_WEBHOOK_URL or "
            "HEADROOM_PRINT_WEBHOOK_URL, handovers HEADROOM_AGENCY_URL or HEADROOM_LEGAL_URL"
        )
    creditor = creditor_of(settings)
    texts = load_texts(settings.texts_dir, load_procedures(settings.procedures_dir))
    render = partial(
        texts.render,
        creditor=creditor,
        invoice_url=settings.invoice_url,
        link=links_of(settings),
    )
    on_paper = partial(render, on_paper=True)
    makers: dict[str, Callable[[], Carrier]] = {}
    if settings.smtp_url is not None:
        try:
            server = mail_server(settings.smtp_url.get_secret_value())
        except ValueError as error:
            raise ConfigurationError(f"HEADROOM_SMTP_URL: {error}") from error
        makers["email"] = lambda: MailCarrier(server, creditor, render)
    if settings.sms_webhook_url is not None:
        sms = _service("HEADROOM_SMS_WEBHOOK_URL", settings.sms_webhook_url.get_secret_value())
        makers["sms"] = lambda: WebhookCarrier(sms, render, on_paper=False)
    if settings.print_webhook_url is not None:
        paper = _service(
            "HEADROOM_PRINT_WEBHOOK_URL", settings.print_webhook_url.get_secret_value()
        )
        makers["letter"] = lambda: WebhookCarrier(paper, on_paper, on_paper=True)
    for channel, target in handover_targets(settings).items():
        makers[channel] = partial(HandoverCarrier, target, partial(archive_by_itself, settings))
    return lambda: {channel: make() for channel, make in makers.items()}


def _service(setting: str, url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"{setting}: should be http://... or https://...")
    return url


def _known(
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
