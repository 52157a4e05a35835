"""What partitions of dunning steps share: carriers, and the records that say what became of a
letter.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from hashlib import blake2b
from urllib.parse import urlsplit
from uuid import uuid4
from zoneinfo import ZoneInfo

from faust.types import TP

from agents.dunning.procedure import HANDOVERS
from agents.handover.carrier import HandoverCarrier, archive_by_itself, handover_targets
from agents.notify.carriers import Carrier, Errand, Outcome, Words
from agents.notify.creditor import creditor_of
from agents.notify.letters import LETTERS, Letters, key_of
from agents.notify.mail import MailCarrier, MailServer, mail_server
from agents.notify.outbox import Now, Waiting
from agents.notify.partition import Office
from agents.notify.texts_file import load_texts
from agents.notify.ticket import links_of
from agents.notify.webhook import WebhookCarrier
from agents.procedure_files import load_procedures
from agents.roster import has_carriers
from schemas.catalogue import topic_of
from schemas.dates import day_of
from schemas.events import Day, DunningStep, DunningStepReported, LetterWritten
from streams.app import Wiring
from streams.cloud_events import headers_of
from streams.codec import Codec
from streams.dead_letters import dead_letter, log_refusal
from streams.errors import ConfigurationError, InvalidMessage
from streams.fast_lane.outlet import Outgoing
from streams.record import Record
from streams.settings import Settings

CHANNELS = (*LETTERS, *HANDOVERS)


def letter_office(wiring: Wiring, codec: Codec) -> Office:
    """The office of an installation's letters.

    Raises:
        ConfigurationError: a text, a carrier or the creditor cannot be used.
    """
    carriers = _carriers(wiring.settings)
    letters = wiring.metrics.letters
    now = clock_of(wiring.settings)
    return Office(
        trade=lambda: Letters({*LETTERS, *_channels(wiring.settings)}),
        carriers=carriers,
        decode=codec.decode,
        reports=partial(_reports, codec, lambda: now().today),
        kept=partial(_kept, codec),
        refuse=refusal(wiring),
        now=now,
        mark=mark_of_process(),
        remembered={},
        counted=lambda channel, result: letters.labels(channel, result).inc(),
        channel=lambda errand: str(errand.channel),
        name=key_of,
        about=_about,
    )


def clock_of(settings: Settings) -> Callable[[], Now]:
    """Tells the time, and the day at the creditor's."""
    zone = ZoneInfo(settings.time_zone)

    def now() -> Now:
        return Now(int(time.time() * 1_000_000), day_of(datetime.now(zone).date()))

    return now


def mark_of_process() -> str:
    """What no other process writes."""
    return f"{socket.gethostname()}-{uuid4().hex[:8]}"


def refusal(wiring: Wiring) -> Callable[[Record, InvalidMessage], Outgoing]:
    """Makes the dead letter of a record that says nothing."""

    def refuse(record: Record, fault: InvalidMessage) -> Outgoing:
        wiring.metrics.dead_letters.labels(fault.reason).inc()
        log_refusal(record, fault.reason)
        return dead_letter(record, reason=fault.reason, fault_class="message", detail=fault.detail)

    return refuse


def _reports(
    codec: Codec, today: Callable[[], Day], tp: TP, waiting: Waiting, outcome: Outcome
) -> Sequence[Outgoing]:
    """What the journal hears of a step. Of what was told to whoever collects a claim it hears
    nothing.
    """
    del tp
    step = waiting.errand
    if not isinstance(step, DunningStep):
        return ()
    event = DunningStepReported(
        event_id=_id_of(waiting.key, outcome.result),
        occurred_at=int(time.time() * 1_000_000),
        customer_id=step.customer_id,
        step_id=step.step_id,
        attempt=step.attempt or 1,
        channel=step.channel,
        result=outcome.result,
        on=today(),
        detail=outcome.detail,
    )
    return (_outgoing(codec, event),)


def _kept(codec: Codec, waiting: Waiting, words: Words) -> Sequence[Outgoing]:
    """The words of a letter."""
    step = waiting.errand
    if not isinstance(step, DunningStep):
        return ()
    letter = LetterWritten(
        event_id=_id_of(waiting.key, "written"),
        occurred_at=int(time.time() * 1_000_000),
        customer_id=step.customer_id,
        step_id=step.step_id,
        attempt=step.attempt or 1,
        channel=step.channel,
        to=words.to,
        language=words.language,
        subject=words.subject,
        text=words.text,
        html=words.html,
    )
    return (_outgoing(codec, letter),)


def _outgoing(codec: Codec, event: DunningStepReported | LetterWritten) -> Outgoing:
    topic = topic_of(type(event).__name__)
    headers = headers_of("notify")(event)
    return Outgoing(topic, event.customer_id.encode(), codec.encode(event), headers)


def _about(errand: Errand) -> dict[str, str]:
    return {
        "event_id": errand.event_id,
        "step_id": errand.step_id,
        "account": errand.customer_id,
    }


def _id_of(key: str, what: str) -> str:
    return blake2b(f"{key}\0{what}".encode(), digest_size=16).hexdigest()


# ── carriers ────────────────────────────────────────────────────────────────────────────────────


def mail_server_of(settings: Settings) -> MailServer | None:
    """Where mails are handed in, if anywhere.

    Raises:
        ConfigurationError: it is no address.
    """
    if settings.smtp_url is None:
        return None
    try:
        return mail_server(settings.smtp_url.get_secret_value())
    except ValueError as error:
        raise ConfigurationError(f"HEADROOM_SMTP_URL: {error}") from error


def _channels(settings: Settings) -> list[str]:
    """Those on which claims are handed over."""
    return list(handover_targets(settings))


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
    server = mail_server_of(settings)
    if server is not None:
        makers["email"] = partial(MailCarrier, server, creditor, render)
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
