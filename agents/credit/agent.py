"""The credit agent: the journal in; order decisions, alerts, early warnings and exposures out.

The rules are in `agents.credit.rules`. This file binds them to their topics.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from agents.clock.agent import announce_business_days, day_begins
from agents.core.policy import PolicyBook
from agents.core.refusal import Refusal
from agents.credit import state
from agents.credit.day_run import continued
from agents.credit.effects import (
    AccountLeft,
    AccountTouched,
    Continuation,
    Effect,
    Forward,
    GroupTouched,
    Sent,
    Standing,
)
from agents.credit.failures import Failures
from agents.credit.parking import AccountFailedError, parked_in
from agents.credit.portfolio import Portfolio, Totals, first_held
from agents.credit.rules import figures, group_figures, has_figures
from schemas.catalogue import JOURNAL, credit_changelog, topic_of
from schemas.events import (
    BY_NAME,
    AccountMoved,
    BusinessDayStarted,
    CreditLimitAlert,
    DunningStep,
    DunningStepSettled,
    Event,
    HandoverChanged,
    OrderDecision,
    RiskSignal,
)
from streams.app import LedgerLane, Member, Wiring, batch_topic, build_app, member
from streams.cloud_events import ORIGIN, SEAT, Headers, headers_of, place_of
from streams.codec import Codec
from streams.dead_letters import DeadLetterCap, FaultClass, dead_letter, log_refusal
from streams.errors import InvalidMessage
from streams.fast_lane.fail_stop import fail_stop
from streams.fast_lane.outlet import Outgoing
from streams.fast_lane.partition import Batch
from streams.fast_lane.store import PartitionStore
from streams.lately import Lately
from streams.metrics import Metrics
from streams.record import Record

if TYPE_CHECKING:  # OpenTelemetry is imported only where somebody takes traces
    from streams.tracing import Span, Tracing

logger = logging.getLogger(__name__)


def credit(wiring: Wiring, codec: Codec, policy: PolicyBook) -> Member:
    """The agent, ready to start."""
    app = build_app(wiring, "credit", has_leader=True, stateful=[JOURNAL])
    portfolio = Portfolio(wiring.metrics)
    desk = CreditDesk(
        codec,
        policy,
        portfolio,
        wiring.metrics,
        f"{JOURNAL}@{wiring.topics[JOURNAL].id}",
        DeadLetterCap(wiring.settings.dead_letters_per_minute),
        wiring.tracing,
    )
    lane = LedgerLane(
        wiring,
        app,
        source=JOURNAL,
        changelog=credit_changelog(wiring.settings.app_id),
        codec=state,
        books=desk,
    )

    @app.agent(batch_topic(app, JOURNAL), name="credit")
    @fail_stop
    async def decide(stream: Any) -> None:
        async for batch in lane.lane.batches(stream):
            desk.decide(batch)

    if wiring.settings.clock == "wall":
        announce_business_days(app, wiring, codec, lane.outlet)

    def show() -> None:
        stores = [partition.store for partition in lane.lane.partitions]
        portfolio.show(stores)
        parked = sum(len(parked_in(store)) for store in stores)
        wiring.metrics.parked_accounts.set(parked)
        now = time.time()
        oldest = [one for store in stores if (one := first_held(store)) is not None]
        waited = now - min(oldest) / 1_000_000 if oldest else 0.0
        wiring.metrics.oldest_held_order_seconds.set(max(waited, 0.0))
        days = [day for store in stores if (day := store.get(state.BUSINESS_DAY)) is not None]
        if days and wiring.settings.clock == "wall":
            began = day_begins(min(days), wiring.settings.time_zone)
            wiring.metrics.business_day_age_seconds.set(now - began)

    wiring.metrics.before_scrape.append(show)
    return member("credit", app, lane)


_GROUP = "\0"
"""Before the id of a group among the keys that were touched; no customer's id begins so."""
_NOTHING = Standing("", 0, 0)
_DIRECT = Sent()
_PARKED_PER_MINUTE_MAX = 20
"""More is no fault of single accounts but one of this release, or of its machine."""
_decode_seat = msgspec.json.Decoder(Sent).decode


class CreditDesk:
    """Applies the rules to records and publishes what follows."""

    def __init__(
        self,
        codec: Codec,
        policy: PolicyBook,
        portfolio: Portfolio,
        metrics: Metrics,
        journal: str,
        cap: DeadLetterCap,
        tracing: Tracing | None = None,
    ) -> None:
        self._tracing = tracing
        self._codec = codec
        self._journal = journal
        self._policy = policy
        self._failures = Failures()
        self._failed_lately = Lately(_PARKED_PER_MINUTE_MAX + 1)
        self._portfolio = portfolio
        self._headers = headers_of("credit")
        self._topics = {kind: topic_of(name) for name, kind in BY_NAME.items()}
        self._events = metrics.tally(metrics.events)
        self._decided = metrics.tally(metrics.order_decisions)
        self._alerted = metrics.tally(metrics.limit_alerts)
        self._dunned = metrics.tally(metrics.dunning_steps)
        self._refused = metrics.tally(metrics.dead_letters)
        self._cap = cap

    def decide(self, batch: Batch) -> None:
        """Fold journal records into the state, one after the other; what follows leaves at once.

        Raises `FailedAgainError` and `AccountFailedError` when no account is at fault alone.
        """
        ledger = batch.ledger
        totals = self._portfolio.totals(ledger)
        decode, policy, events = self._codec.decode, self._policy, self._events
        tracing = self._tracing
        for record in batch:
            span = None if tracing is None else tracing.take_up("credit", record)
            try:
                event = decode(record.value)
            except InvalidMessage as fault:
                self._refuse(batch, record, fault.reason, "message", fault.detail)
                if span is not None:
                    span.end(refused=fault.reason)
                continue
            kind = type(event)
            events[JOURNAL, kind.__name__] += 1
            if kind is BusinessDayStarted:
                batch.close_the_books()  # the figures with which the day before ended
            headers = record.headers
            sent = _DIRECT
            if headers and headers[-1][0] == SEAT:
                sent = _decode_seat(headers[-1][1] or b"")
            try:
                place = (record.partition, record.offset)
                effects = self._failures.reduce(place, ledger, event, policy, sent)
            except AccountFailedError as error:
                self._begin_again(batch, record, error)
                return
            self._tell(batch, record, event, effects, totals, span)
            if span is not None:
                refused = next((one.reason for one in effects if isinstance(one, Refusal)), "")
                span.end(event, refused=refused)

    def _tell(
        self,
        batch: Batch,
        record: Record,
        event: Event,
        effects: Iterable[Effect],
        totals: Totals,
        span: Span | None,
    ) -> None:
        """Publish what follows from a record, and note what is said with the next commit."""
        forwarded = 0
        for effect in effects:
            match effect:
                case AccountTouched():
                    totals.move(effect.before, effect.after)
                    batch.touch(effect.account_id)
                case OrderDecision():
                    self._decided[effect.decision, next(iter(effect.reasons), "")] += 1
                    batch.publish(
                        self._outgoing(effect, effect.customer_id, span, record.timestamp)
                    )
                case CreditLimitAlert():
                    self._alerted[effect.threshold, effect.direction] += 1
                    batch.publish(self._outgoing(effect, effect.customer_id, span))
                case DunningStep():
                    if not effect.proposed:
                        self._dunned[str(effect.level), effect.channel] += 1
                    batch.publish(self._outgoing(effect, effect.customer_id, span))
                case RiskSignal() | DunningStepSettled() | HandoverChanged():
                    batch.publish(self._outgoing(effect, effect.customer_id, span))
                case Refusal():
                    refused = record
                    if effect.event is not None:  # it had waited; the record is another
                        refused = record._replace(value=self._codec.encode(effect.event))
                    refused_event = event if effect.event is None else effect.event
                    self._refuse(
                        batch, refused, effect.reason, "rule", effect.detail, refused_event, span
                    )
                case Forward():
                    sent_on = self._forward(record, event, effect, forwarded, span)
                    batch.forward(sent_on, moves=isinstance(effect.event, AccountMoved))
                    forwarded += 1
                case Continuation():
                    batch.forward(self._goes_on(record, effect, forwarded), moves=False)
                    forwarded += 1
                case GroupTouched():
                    batch.touch(_GROUP + effect.group_id)
                case AccountLeft():
                    totals.move(effect.before, _NOTHING)
                    batch.touch(effect.account_id)

    # ── what is said once per commit (`streams.fast_lane.partition.Books`) ──────────────────────

    def figures(self, store: PartitionStore, keys: Iterable[str]) -> Sequence[Outgoing]:
        """`ExposureChanged` of the accounts that were touched, as far as they are still here, and
        `GroupExposureChanged` of the groups.
        """
        said = []
        for key in keys:
            if key.startswith(_GROUP):
                group_id = key.removeprefix(_GROUP)
                said.append(self._outgoing(group_figures(store, group_id, self._policy), group_id))
            elif has_figures(store, key):
                said.append(self._outgoing(figures(store, key, self._policy), key))
        return said

    def closing(self, store: PartitionStore) -> None:
        self._portfolio.save(store)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _begin_again(self, batch: Batch, record: Record, error: AccountFailedError) -> None:
        """Have the step thrown away; when the record is come to again its account is parked."""
        if self._failed_lately.one_more():
            raise error
        logger.error(
            "%s-%s@%s: account %r is parked: %s %r fails",
            *(record.topic, record.partition, record.offset, error.account_id),
            *(type(error.event).__name__, error.event.event_id),
            exc_info=error.__cause__,
            extra={
                "topic": record.topic,
                "partition": record.partition,
                "offset": record.offset,
                "account": error.account_id,
                "event_id": error.event.event_id,
                "order_id": getattr(error.event, "order_id", None),
            },
        )
        batch.abandon(f"account {error.account_id!r} failed")

    def _refuse(
        self,
        batch: Batch,
        record: Record,
        reason: str,
        fault_class: FaultClass,
        detail: str,
        event: Event | None = None,
        span: Span | None = None,
    ) -> None:
        self._cap.count(batch, record)
        log_refusal(record, reason, event, "" if span is None else span.trace_id)
        self._refused[reason,] += 1
        batch.publish(dead_letter(record, reason=reason, fault_class=fault_class, detail=detail))

    def _forward(
        self, record: Record, event: Event, forward: Forward, number: int, span: Span | None
    ) -> Outgoing:
        """A journal record for where the account is kept; it names this one as its origin, so that
        a repeat after a crash is dropped there.
        """
        moved = forward.event
        value = record.value if moved is event else self._codec.encode(moved)
        position = place_of(record.offset, number)
        headers = self._traced(moved, span)
        headers.append((ORIGIN, f"{self._journal}:{record.partition}:{position}".encode()))
        headers.append((SEAT, msgspec.json.encode(forward.sent)))
        return Outgoing(JOURNAL, forward.key.encode(), value, headers)

    def _goes_on(self, record: Record, continuation: Continuation, number: int) -> Outgoing:
        """A journal record of this partition, behind what has come in."""
        event = continued(continuation)
        headers = self._headers(event)
        position = place_of(record.offset, number)
        headers.append((ORIGIN, f"{self._journal}:{record.partition}:{position}".encode()))
        return Outgoing(JOURNAL, None, self._codec.encode(event), headers, record.partition)

    def _outgoing(
        self, event: Event, customer_id: str, span: Span | None = None, answers: int = 0
    ) -> Outgoing:
        return Outgoing(
            self._topics[type(event)],
            customer_id.encode(),
            self._codec.encode(event),
            self._traced(event, span),
            answers=answers,
            trace_id="" if span is None else span.trace_id,
        )

    def _traced(self, event: Event, span: Span | None) -> Headers:
        """The headers of what follows from a record, with the trace that the record belongs to."""
        headers = self._headers(event)
        return headers if span is None else headers + span.headers
