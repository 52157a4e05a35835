"""What the demo knows while it runs: the latest figures per customer, and counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from statistics import quantiles

from schemas.events import CreditLimitAlert, Day, Event, ExposureChanged, OrderDecision


@dataclass(frozen=True, slots=True)
class Latency:
    """Order sent to decision read, milliseconds."""

    p50: float
    p99: float


@dataclass(slots=True)
class Board:
    """Filled by the demo's readers, shown by its screen. Seconds are of any steady clock."""

    days_total: int
    day: Day = 0
    days_done: int = 0
    events_sent: int = 0
    decisions: Counter[str] = field(default_factory=Counter)
    hold_reasons: Counter[str] = field(default_factory=Counter)
    alerts: Counter[str] = field(default_factory=Counter)
    figures: dict[str, ExposureChanged] = field(default_factory=dict)
    held: dict[str, OrderDecision] = field(default_factory=dict)
    last_words: list[str] = field(default_factory=list)
    _asked_at: dict[str, float] = field(default_factory=dict)
    _latencies: list[float] = field(default_factory=list)

    def asked(self, order_id: str, now: float) -> None:
        """An order was sent."""
        self._asked_at[order_id] = now

    def read(self, event: Event, now: float) -> None:
        """Something came out."""
        match event:
            case OrderDecision():
                self._decided(event, now)
            case CreditLimitAlert():
                self.alerts[f"{event.threshold} {event.direction}"] += 1
            case ExposureChanged():
                self.figures[event.customer_id] = event
            case _:
                return

    def latency(self) -> Latency | None:
        """Of all first decisions so far; None before there are enough to tell."""
        if len(self._latencies) < 2:  # noqa: PLR2004  quantiles need two
            return None
        parts = quantiles(self._latencies, n=100, method="inclusive")
        return Latency(p50=parts[49] * 1000, p99=parts[98] * 1000)

    def busiest(self, count: int) -> list[ExposureChanged]:
        """The customers nearest to their limits, nearest first."""
        return sorted(self.figures.values(), key=lambda one: (-_share(one), one.customer_id))[
            :count
        ]

    def exposure(self) -> int:
        return sum(one.exposure for one in self.figures.values())

    def _decided(self, decision: OrderDecision, now: float) -> None:
        self.decisions[decision.decision] += 1
        self.hold_reasons.update(decision.reasons)
        if decision.decision == "held":
            self.held[decision.order_id] = decision
        else:
            self.held.pop(decision.order_id, None)
        if decision.decision_number == 1:
            asked_at = self._asked_at.pop(decision.order_id, None)
            if asked_at is not None:
                self._latencies.append(now - asked_at)
        if decision.decision != "approved":
            why = ", ".join(decision.reasons) or f"because of {decision.cause_event_id}"
            self.last_words.append(f"{decision.order_id} {decision.decision}: {why}")
            del self.last_words[:-5]


def _share(figures: ExposureChanged) -> float:
    """Utilisation to sort by; not money."""
    if not figures.credit_limit:
        return 0.0
    return figures.exposure / figures.credit_limit
