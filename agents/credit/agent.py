"""The credit agent: the journal in; order decisions, limit alerts and exposures out.

The rules are in `agents.credit.rules`. This file binds them to their topics.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from aiokafka import ConsumerRecord
from confluent_kafka import KafkaError, Message

from agents.clock.agent import announce_business_days
from agents.core.policy import Policy
from agents.core.refusal import Refusal
from agents.credit import state
from agents.credit.effects import AccountTouched
from agents.credit.portfolio import Portfolio
from agents.credit.rules import figures, reduce
from schemas.catalogue import JOURNAL, topic_of
from schemas.events import BusinessDayStarted, CreditLimitAlert, Event, OrderDecision
from streams.app import LedgerLane, Member, Wiring, batch_topic, build_app, member
from streams.cloud_events import headers_of
from streams.codec import Codec
from streams.dead_letters import dead_letter
from streams.errors import InvalidMessage
from streams.fast_lane.commit import Delivered, Flight, Outgoing
from streams.fast_lane.fail_stop import fail_stop
from streams.fast_lane.partition import Batch
from streams.fast_lane.store import PartitionStore
from streams.metrics import Metrics


def credit(wiring: Wiring, codec: Codec, policy: Policy) -> Member:
    """The agent, ready to start."""
    app = build_app(wiring, "credit", has_leader=True)
    portfolio = Portfolio(wiring.metrics)
    desk = CreditDesk(codec, policy, portfolio, wiring.metrics)
    lane = LedgerLane(
        wiring,
        app,
        source=JOURNAL,
        changelog=changelog_of(wiring.settings.app_id),
        codec=state,
        books=desk,
    )

    @app.agent(batch_topic(app, JOURNAL), name="credit")
    @fail_stop
    async def decide(stream: Any) -> None:
        async for batch in lane.lane.batches(stream):
            for record in batch:
                desk.decide(record, batch)
            desk.count()

    if wiring.settings.clock == "wall":
        announce_business_days(app, wiring, codec, lane.outlet)
    wiring.metrics.before_scrape.append(
        lambda: portfolio.show(partition.store for partition in lane.lane.partitions)
    )
    return member("credit", app, lane)


def changelog_of(app_id: str) -> str:
    """The topic that holds the agent's state."""
    return f"{app_id}-credit-changelog"


class CreditDesk:
    """Applies the rules to a record and publishes what follows."""

    def __init__(
        self, codec: Codec, policy: Policy, portfolio: Portfolio, metrics: Metrics
    ) -> None:
        self._codec = codec
        self._policy = policy
        self._portfolio = portfolio
        self._metrics = metrics
        self._headers = headers_of("credit")
        self._decided: Counter[tuple[str, str]] = Counter()
        self._alerted: Counter[tuple[str, str]] = Counter()
        self._events: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    def decide(self, record: ConsumerRecord, batch: Batch) -> None:
        """Fold one journal record into the state; what follows leaves at once."""
        try:
            event = self._codec.decode(record.value)
        except InvalidMessage as fault:
            self._refused[fault.reason] += 1
            batch.publish(
                dead_letter(record, reason=fault.reason, fault_class="message", detail=fault.detail)
            )
            return
        self._events[type(event).__name__] += 1
        if type(event) is BusinessDayStarted:
            batch.close_the_books()  # the figures with which the day before ended
        for effect in reduce(batch.ledger, event, self._policy):
            match effect:
                case AccountTouched():
                    batch.touch(effect.account_id)
                case OrderDecision():
                    self._decided[effect.decision, next(iter(effect.reasons), "")] += 1
                    batch.publish(
                        self._outgoing(effect, effect.customer_id),
                        self._timed(record.timestamp, batch.flight),
                    )
                case CreditLimitAlert():
                    self._alerted[effect.threshold, effect.direction] += 1
                    batch.publish(self._outgoing(effect, effect.customer_id))
                case Refusal():
                    self._refused[effect.reason] += 1
                    batch.publish(
                        dead_letter(
                            record, reason=effect.reason, fault_class="rule", detail=effect.detail
                        )
                    )

    def count(self) -> None:
        """Hand the batch's counts to the metrics."""
        metrics = self._metrics
        for kind, number in self._events.items():
            metrics.events.labels(JOURNAL, kind).inc(number)
        for (decision, reason), number in self._decided.items():
            metrics.order_decisions.labels(decision, reason).inc(number)
        for (threshold, direction), number in self._alerted.items():
            metrics.limit_alerts.labels(threshold, direction).inc(number)
        for reason, number in self._refused.items():
            metrics.dead_letters.labels(reason).inc(number)
        for counter in (self._events, self._decided, self._alerted, self._refused):
            counter.clear()

    # ── what is said once per commit (`streams.fast_lane.partition.Books`) ──────────────────────

    def figures(self, store: PartitionStore, keys: Iterable[str]) -> Sequence[Outgoing]:
        """`ExposureChanged` of the accounts that were touched."""
        return [
            self._outgoing(figures(store, account_id, self._policy), account_id)
            for account_id in keys
        ]

    def closing(self, store: PartitionStore, keys: Iterable[str]) -> None:
        self._portfolio.update(store, keys)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _outgoing(self, event: Event, customer_id: str) -> Outgoing:
        return Outgoing(
            topic_of(type(event).__name__),
            customer_id.encode(),
            self._codec.encode(event),
            self._headers(event),
        )

    def _timed(self, journalled_at: int, flight: Flight) -> Delivered:
        """Hears of the decision's delivery and takes the time since the journal's record,
        milliseconds.
        """
        observe = self._metrics.decision_latency_seconds.observe

        def delivered(error: KafkaError | None, message: Message) -> None:
            observe(max(time.time() - journalled_at / 1000, 0.0))
            flight.delivered(error, message)

        return delivered
