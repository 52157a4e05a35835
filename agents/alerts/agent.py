"""The alerts agent: who is to be told of limit alerts, holds, releases and risk signals, and tells
them.

    routing    reads the alerts and what people did about them, asks the file of routes, and writes
               a notice for each recipient; without state: a notice that is written twice is one
    telling    lets notices leave, as letters leave (`agents.notify.partition`)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

from faust.types import TP

from agents.alerts import notice as notices
from agents.alerts.alert import Alert, Customer, alert_of, ended_by
from agents.alerts.carriers import Chat, SignedWebhook, drafting
from agents.alerts.customers import NOBODY, customer_of
from agents.alerts.notice import Answered, Notice, Over, Said, Snoozed
from agents.alerts.routes import Recipient, Routes
from agents.alerts.routes_file import load_routes
from agents.alerts.words import AlertTexts, texts_of
from agents.live_copy import LiveCopy
from agents.notify.addresses import mail_address
from agents.notify.agent import letting_leave
from agents.notify.carriers import Carrier, Outcome, Words
from agents.notify.letter_office import clock_of, mail_server_of, mark_of_process, refusal
from agents.notify.mail import Mailer
from agents.notify.notices import Notices
from agents.notify.outbox import Waiting
from agents.notify.partition import NotifyPartition, Office
from schemas.catalogue import ALERT_NOTICES, ALERTS_CHANGELOG, JOURNAL, internal_topic, topic_of
from schemas.events import AlertAcknowledged, AlertSnoozed
from streams.app import Member, PassLane, Wiring, batch_topic, build_app, member_on, state_directory
from streams.codec import Codec
from streams.dead_letters import dead_letter
from streams.errors import ConfigurationError, InvalidMessage
from streams.fast_lane.fail_stop import fail_stop
from streams.fast_lane.outlet import Outgoing
from streams.fast_lane.partition import Batch, PassPartition
from streams.record import Record
from streams.settings import Settings

SOURCES = (
    topic_of("CreditLimitAlert"),
    topic_of("OrderDecision"),
    topic_of("RiskSignal"),
    JOURNAL,
)
_ACTS = frozenset({"AlertAcknowledged", "AlertSnoozed"})
_CUSTOMER_SECONDS = 2.0
"""How long a step waits for customers whom the copy of the state does not know: it is behind the
decision by a commit.
"""
_LOOK_SECONDS = 0.02
_AWAY_SECONDS = 3600.0
"""An endpoint that is away is tried at least every hour, for the day for which a notice is good."""
_THREADS_MIN = 8


def alerts(wiring: Wiring, codec: Codec) -> list[Member]:
    """The agent's two members, ready to start.

    Raises:
        ConfigurationError: the file of routes or a setting cannot be used.
    """
    settings = wiring.settings
    if settings.alert_routes is None:
        raise ConfigurationError("alerts need HEADROOM_ALERT_ROUTES")
    routes = load_routes(settings.alert_routes)
    return [_telling(wiring, routes), _routing(wiring, codec, routes)]


# ── routing ─────────────────────────────────────────────────────────────────────────────────────


def _routing(wiring: Wiring, codec: Codec, routes: Routes) -> Member:
    app = build_app(wiring, "alerts")
    lane = PassLane(wiring, app, sources=SOURCES, from_now_on=True)
    directory = state_directory(wiring.settings, str(app.conf.id)) / "copy"
    copy = LiveCopy(wiring.settings, directory)
    topic = internal_topic(ALERT_NOTICES, wiring.settings.app_id)
    router = Router(
        codec,
        routes,
        partial(customer_of, copy=copy),
        refusal(wiring),
        topic,
        wiring.topics[topic].partitions,
    )

    @app.agent(batch_topic(app, *SOURCES), name="alerts")
    @fail_stop
    async def route(stream: Any) -> None:
        while copy.missing():  # noqa: ASYNC110  the copy is filled by a thread
            await asyncio.sleep(_LOOK_SECONDS)
        async for batch in lane.lane.batches(stream):
            await router.route(batch)

    def close() -> None:
        copy.close()
        lane.close()

    def is_ready() -> bool:
        """All that happens from now on is told, whatever becomes of this worker."""
        return lane.lane.is_ready() and all(
            one.has_begun for one in lane.lane.partitions if isinstance(one, PassPartition)
        )

    made = member_on("alerts", app, lane.lane, stop=lane.lane.stop, close=close)
    return replace(made, is_ready=is_ready)


class Router:
    """Says who is to be told of what records say.

    Args:
        codec: decodes them.
        routes: of the file.
        find: the customer of an alert; None: not known yet.
        refuse: the dead letter of a record that says nothing.
        topic: of notices.
        partitions: of it.
    """

    def __init__(
        self,
        codec: Codec,
        routes: Routes,
        find: Callable[[Alert], Customer | None],
        refuse: Callable[[Record, InvalidMessage], Outgoing],
        topic: str,
        partitions: int,
    ) -> None:
        self._codec = codec
        self._routes = routes
        self._find = find
        self._refuse = refuse
        self._topic = topic
        self._partitions = partitions

    async def route(self, batch: Batch) -> None:
        """Publish what becomes of a step's records."""
        patience = time.monotonic() + _CUSTOMER_SECONDS
        for record in batch:
            try:
                for outgoing in await self._said(record, patience):
                    batch.publish(outgoing)
            except InvalidMessage as fault:
                batch.publish(self._refuse(record, fault))

    async def _said(self, record: Record, patience: float) -> Sequence[Outgoing]:
        if record.topic == JOURNAL:
            return self._act(record)
        event, at = self._codec.decode(record.value), record.timestamp * 1000
        subject = ended_by(event) if self._routes.escalates else ""
        over = self._to_all(Over(subject, at)) if subject else []
        alert = alert_of(event, at)
        if alert is None:
            return over
        customer = await self._customer(alert, patience)
        return [*over, *map(self._to_one, self._notices(alert, customer))]

    def _act(self, record: Record) -> Sequence[Outgoing]:
        """Of the journal only what people did about alerts is decoded."""
        try:
            if self._codec.type_of(record.value) not in _ACTS:
                return ()
            event = self._codec.decode(record.value)
        except InvalidMessage:
            return ()  # the credit agent reads it too, and says what is wrong with it
        match event:
            case AlertAcknowledged():
                reason = event.reason or ""
                said: Said = Answered(event.alert_id, event.by, event.occurred_at, reason)
            case AlertSnoozed():
                said = Snoozed(
                    event.customer_id,
                    event.alert_id or "",
                    event.by,
                    event.occurred_at,
                    event.until,
                    event.reason or "",
                )
            case _:
                return ()
        return self._to_all(said)

    async def _customer(self, alert: Alert, patience: float) -> Customer:
        """Waits a little for one who is not known yet: the copy is behind by a commit."""
        customer = self._find(alert)
        while customer is None and time.monotonic() < patience:
            await asyncio.sleep(_LOOK_SECONDS)
            customer = self._find(alert)
        return NOBODY if customer is None else customer

    def _notices(self, alert: Alert, customer: Customer) -> Iterable[Notice]:
        for told in self._routes.told(alert, customer):
            yield Notice(
                alert=alert,
                recipient=told.recipient,
                name=customer.name,
                level=told.level,
                not_before=told.not_before,
                urgent=not told.at_ones_leisure,
                route=told.route,
                digest=told.digest,
            )

    def _to_one(self, notice: Notice) -> Outgoing:
        """To the partition of the recipient, who is told by one worker."""
        return Outgoing(self._topic, notice.recipient.encode(), notices.encode(notice), [])

    def _to_all(self, said: Said) -> list[Outgoing]:
        value = notices.encode(said)
        return [
            Outgoing(self._topic, None, value, [], partition)
            for partition in range(self._partitions)
        ]


# ── telling ─────────────────────────────────────────────────────────────────────────────────────


def _telling(wiring: Wiring, routes: Routes) -> Member:
    settings, metrics = wiring.settings, wiring.metrics
    office = alert_office(wiring, routes)
    channels = sorted({one.channel for one in routes.recipients.values()})

    def show(ours: list[NotifyPartition]) -> None:
        now = time.time()
        for channel in channels:
            waiting = sum(one.waiting.get(channel, 0) for one in ours)
            metrics.alerts_waiting.labels(channel).set(waiting)
            since = min((one.overdue[channel] for one in ours if channel in one.overdue), default=0)
            overdue = max(now - since / 1_000_000, 0.0) if since else 0.0
            metrics.alerts_overdue_seconds.labels(channel).set(overdue)

    return letting_leave(
        wiring,
        "alerts-telling",
        internal_topic(ALERT_NOTICES, settings.app_id),
        internal_topic(ALERTS_CHANGELOG, settings.app_id),
        office,
        # Of its own: what waits for an endpoint that is slow is not to keep commits waiting.
        ThreadPoolExecutor(_THREADS_MIN + len(routes.recipients), thread_name_prefix="telling"),
        show,
    )


def alert_office(wiring: Wiring, routes: Routes) -> Office:
    """The office of an installation's alerts.

    Raises:
        ConfigurationError: a setting is missing or cannot be used.
    """
    settings = wiring.settings
    sent, dead = wiring.metrics.alerts_sent, wiring.metrics.dead_letters
    trade = partial(Notices, routes.recipients)

    def reports(tp: TP, waiting: Waiting, outcome: Outcome) -> Sequence[Outgoing]:
        """What did not get through is a dead letter."""
        if outcome.result == "sent":
            return ()
        reason = f"alert_{outcome.result}"
        dead.labels(reason).inc()
        said: Notice = waiting.errand
        record = Record(
            tp.topic,
            tp.partition,
            waiting.offset,
            said.alert.at // 1000,
            said.recipient.encode(),
            notices.encode(said),
            (),
        )
        detail = f"to {said.recipient}: {outcome.detail or outcome.result}"
        return (dead_letter(record, reason=reason, fault_class="message", detail=detail),)

    def kept(_waiting: Waiting, _words: Words) -> Sequence[Outgoing]:
        return ()

    return Office(
        trade=trade,
        carriers=carriers_of(settings, routes),
        decode=notices.decode,
        reports=reports,
        kept=kept,
        refuse=refusal(wiring),
        now=clock_of(settings),
        mark=mark_of_process(),
        remembered={},
        counted=lambda channel, result: sent.labels(channel, result).inc(),
        channel=trade().channel_of,
        name=lambda said: f"alert {said.alert.alert_id}",
        about=_about,
        away_seconds=_AWAY_SECONDS,
    )


def _about(said: Notice) -> dict[str, str]:
    return {"event_id": said.alert.alert_id, "account": said.alert.customer_id}


def carriers_of(settings: Settings, routes: Routes) -> Callable[[], Mapping[str, Carrier]]:
    """What makes the carriers of the file's recipients, by way.

    Raises:
        ConfigurationError: a setting is missing or cannot be used.
    """
    texts = texts_of(settings)
    makers: dict[str, Callable[[], Carrier]] = {}
    for one in routes.recipients.values():
        if one.channel == "email":
            makers["email"] = _mailer(settings, texts)
        else:
            makers[f"to {one.name}"] = partial(_hook, one, texts)
    return lambda: {way: make() for way, make in makers.items()}


def _hook(recipient: Recipient, texts: AlertTexts) -> Carrier:
    if recipient.channel == "webhook":
        return SignedWebhook(recipient)
    return Chat(recipient, texts)


def _mailer(settings: Settings, texts: AlertTexts) -> Callable[[], Carrier]:
    server, sender = mail_server_of(settings), settings.alert_sender or settings.creditor_email
    if server is None or sender is None:
        raise ConfigurationError(
            "alerts by mail need HEADROOM_SMTP_URL and HEADROOM_ALERT_SENDER or"
            " HEADROOM_CREDITOR_EMAIL"
        )
    try:
        mail_address("", sender)
    except ValueError as error:
        raise ConfigurationError(f"HEADROOM_ALERT_SENDER: {error}") from error
    return lambda: Mailer(server, sender, drafting(texts, sender))
