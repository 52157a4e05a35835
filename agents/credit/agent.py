"""The credit agent: the journal in; order decisions, limit alerts and exposures out.

The rules are in `agents.credit.rules`. This file binds them to their topics.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from agents.clock.agent import announce_business_days
from agents.core.policy import PolicyBook
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
from streams.dead_letters import FaultClass, dead_letter
from streams.errors import InvalidMessage
from streams.fast_lane.commit import Outgoing
from streams.fast_lane.fail_stop import fail_stop
from streams.fast_lane.fetch import Record
from streams.fast_lane.partition import Batch
from streams.fast_lane.store import PartitionStore
from streams.metrics import Metrics


def credit(wiring: Wiring, codec: Codec, policy: PolicyBook) -> Member:
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
            desk.decide(batch)

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
    """Applies the rules to records and publishes what follows."""

    def __init__(
        self, codec: Codec, policy: PolicyBook, portfolio: Portfolio, metrics: Metrics
    ) -> None:
        self._codec = codec
        self._policy = policy
        self._portfolio = portfolio
        self._headers = headers_of("credit")
        self._events = metrics.tally(metrics.events)
        self._decided = metrics.tally(metrics.order_decisions)
        self._alerted = metrics.tally(metrics.limit_alerts)
        self._refused = metrics.tally(metrics.dead_letters)

    def decide(self, batch: Batch) -> None:
        """Fold journal records into the state, one after the other; what follows leaves at once."""
        ledger = batch.ledger
        totals = self._portfolio.totals(ledger)
        decode, policy, events = self._codec.decode, self._policy, self._events
        for record in batch:
            try:
                event = decode(record.value)
            except InvalidMessage as fault:
                self._refuse(batch, record, fault.reason, "message", fault.detail)
                continue
            kind = type(event)
            events[JOURNAL, kind.__name__] += 1
            if kind is BusinessDayStarted:
                batch.close_the_books()  # the figures with which the day before ended
            for effect in reduce(ledger, event, policy):
                match effect:
                    case AccountTouched():
                        totals.move(effect.before, effect.after)
                        batch.touch(effect.account_id)
                    case OrderDecision():
                        self._decided[effect.decision, next(iter(effect.reasons), "")] += 1
                        batch.publish(self._outgoing(effect, effect.customer_id, record.timestamp))
                    case CreditLimitAlert():
                        self._alerted[effect.threshold, effect.direction] += 1
                        batch.publish(self._outgoing(effect, effect.customer_id))
                    case Refusal():
                        self._refuse(batch, record, effect.reason, "rule", effect.detail)

    # ── what is said once per commit (`streams.fast_lane.partition.Books`) ──────────────────────

    def figures(self, store: PartitionStore, keys: Iterable[str]) -> Sequence[Outgoing]:
        """`ExposureChanged` of the accounts that were touched."""
        return [
            self._outgoing(figures(store, account_id, self._policy), account_id)
            for account_id in keys
        ]

    def closing(self, store: PartitionStore) -> None:
        self._portfolio.save(store)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _refuse(
        self,
        batch: Batch,
        record: Record,
        reason: str,
        fault_class: FaultClass,
        detail: str,
    ) -> None:
        self._refused[reason,] += 1
        batch.publish(dead_letter(record, reason=reason, fault_class=fault_class, detail=detail))

    def _outgoing(self, event: Event, customer_id: str, answers: int = 0) -> Outgoing:
        return Outgoing(
            topic_of(type(event).__name__),
            customer_id.encode(),
            self._codec.encode(event),
            self._headers(event),
            answers=answers,
        )
