"""The metrics of a worker: a closed list, names and labels as the contract has them, base units, no
customer ids.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder

_FAST = (
    0.001,
    0.002,
    0.003,
    0.005,
    0.0075,
    0.01,
    0.015,
    0.02,
    0.03,
    0.05,
    0.1,
    0.25,
    1.0,
    5.0,
    30.0,
)
_SLOW = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)


class Metrics:
    """One worker's metrics. `before_scrape` callbacks set what is cheaper
    to set once per scrape than per event.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.before_scrape: list[Callable[[], None]] = []
        # Processor time, memory and start of the process, under the names that all programs use.
        ProcessCollector(registry=self.registry)
        self.build_info = Gauge(
            "headroom_build_info", "1; which version runs", ["version"], registry=self.registry
        )
        self.build_info.labels(version("headroom-credit")).set(1)
        self.events = Counter(
            "headroom_events_total", "Events taken in", ["topic", "type"], registry=self.registry
        )
        self.order_decisions = Counter(
            "headroom_order_decisions_total",
            "Decisions on orders, by their first reason",
            ["decision", "reason"],
            registry=self.registry,
        )
        self.decision_latency_seconds = Histogram(
            "headroom_decision_latency_seconds",
            "From the order's record in the journal to its decision acknowledged by the brokers",
            buckets=_FAST,
            registry=self.registry,
        )
        self.limit_alerts = Counter(
            "headroom_limit_alerts_total",
            "Alerts of credit limits",
            ["threshold", "direction"],
            registry=self.registry,
        )
        self.dunning_steps = Counter(
            "headroom_dunning_steps_total",
            "Messages to customers sent on their way",
            ["level", "channel"],
            registry=self.registry,
        )
        self.letters = Counter(
            "headroom_letters_total",
            "What became of messages to customers",
            ["channel", "result"],
            registry=self.registry,
        )
        self.letters_waiting = Gauge(
            "headroom_letters_waiting",
            "Messages to customers that have not left yet",
            ["channel"],
            registry=self.registry,
        )
        self.carrier_away = Gauge(
            "headroom_carrier_away",
            "1 while what takes messages cannot be reached",
            ["channel"],
            registry=self.registry,
        )
        self.alerts_sent = Counter(
            "headroom_alerts_sent_total",
            "What became of notices of alerts to people and programs",
            ["channel", "result"],
            registry=self.registry,
        )
        self.alerts_waiting = Gauge(
            "headroom_alerts_waiting",
            "Notices of alerts that have not left yet, digests and escalations to come among them",
            ["channel"],
            registry=self.registry,
        )
        self.alerts_overdue_seconds = Gauge(
            "headroom_alerts_overdue_seconds",
            "For how long the oldest notice waits that should have left; 0: none does",
            ["channel"],
            registry=self.registry,
        )
        self.dead_letters = Counter(
            "headroom_dead_letters_total", "Events refused", ["reason"], registry=self.registry
        )
        self.parked_accounts = Gauge(
            "headroom_parked_accounts",
            "Accounts of this worker's partitions that stand still behind an event that failed",
            registry=self.registry,
        )
        self.held_partitions = Gauge(
            "headroom_held_partitions",
            "Partitions that stand still, since too much of them went to the dead letters",
            ["group"],
            registry=self.registry,
        )
        self.consumer_lag_seconds = Gauge(
            "headroom_consumer_lag_seconds",
            "Age of the last record taken in, while there are more; 0 when there are none",
            ["partition"],
            registry=self.registry,
        )
        self.commit_seconds = Histogram(
            "headroom_commit_seconds",
            "A partition's group commit, from frozen state to durable",
            buckets=_FAST,
            registry=self.registry,
        )
        self.recovery_seconds = Histogram(
            "headroom_recovery_seconds",
            "From a partition assigned to its first record let through",
            buckets=_SLOW,
            registry=self.registry,
        )
        self.sink_lag_seconds = Gauge(
            "headroom_sink_lag_seconds",
            "Age of the newest row written, while there are more to write",
            ["table"],
            registry=self.registry,
        )
        self.exposure_total = Gauge(
            "headroom_exposure_total",
            "Exposure of the accounts of this worker's partitions, in units of the currency",
            ["currency"],
            registry=self.registry,
        )
        self.orders_held = Gauge(
            "headroom_orders_held",
            "Orders on hold in this worker's partitions",
            registry=self.registry,
        )

        self.oldest_held_order_seconds = Gauge(
            "headroom_oldest_held_order_seconds",
            "Age of the order placed first of those on hold in this worker's partitions; 0: none",
            registry=self.registry,
        )
        self.business_day_age_seconds = Gauge(
            "headroom_business_day_age_seconds",
            "Since the business day began that the partition furthest behind is on",
            registry=self.registry,
        )
        self.opening_seconds = Gauge(
            "headroom_opening_seconds",
            "For how long the partition has been opened that was begun first; 0: none is",
            ["group"],
            registry=self.registry,
        )
        self.clickhouse_away = Gauge(
            "headroom_clickhouse_away",
            "1 while ClickHouse takes no rows",
            registry=self.registry,
        )
        self.certificate_expiry_timestamp_seconds = Gauge(
            "headroom_certificate_expiry_timestamp_seconds",
            "When the certificate ends that we trust or are shown, since 1970",
            ["certificate"],
            registry=self.registry,
        )

        self.reconcile_differences = Gauge(
            "headroom_reconcile_differences",
            "What differed from the journal when it was compared last",
            ["against"],
            registry=self.registry,
        )
        self.reconcile_not_compared = Gauge(
            "headroom_reconcile_not_compared",
            "Parts that could not be compared with the journal the last time",
            registry=self.registry,
        )
        self.reconcile_accounts = Gauge(
            "headroom_reconcile_accounts",
            "Accounts and groups that were compared the last time",
            registry=self.registry,
        )
        self.reconcile_timestamp_seconds = Gauge(
            "headroom_reconcile_timestamp_seconds",
            "When the last comparison ended that came to an end, since 1970",
            registry=self.registry,
        )
        self.reconcile_seconds = Gauge(
            "headroom_reconcile_seconds", "How long it took", registry=self.registry
        )

    def tally(self, metric: Counter) -> collections.Counter[tuple[str, ...]]:
        """A count by the metric's labels, which the metric takes over before each scrape: cheap
        enough for every event.
        """
        counted: collections.Counter[tuple[str, ...]] = collections.Counter()

        def take_over() -> None:
            for labels, number in counted.items():
                metric.labels(*labels).inc(number)
            counted.clear()

        self.before_scrape.append(take_over)
        return counted

    def exposition(self, accepted: str = "") -> tuple[bytes, str]:
        """All metrics in Prometheus' text format, or in another that is asked for.

        Args:
            accepted: formats, as the HTTP header `Accept` names them.

        Returns the metrics and the format's media type. Only OpenMetrics has room for exemplars.
        """
        for refresh in self.before_scrape:
            refresh()
        encode, media_type = choose_encoder(accepted)
        return encode(self.registry), media_type

    def answered(self, seconds: float, trace_id: str) -> None:
        """An order has its decision; with a trace it can be seen what took so long."""
        exemplar = {"trace_id": trace_id} if trace_id else None
        self.decision_latency_seconds.observe(seconds, exemplar)

    def forget_partition(self, app_id: str, tp: Any) -> None:
        """The partition is no longer ours, so its lag is not ours to tell."""
        label = partition_label(app_id, tp)
        if (label,) in self.consumer_lag_seconds._metrics:  # noqa: SLF001  remove() raises otherwise
            self.consumer_lag_seconds.remove(label)


def partition_label(app_id: str, tp: Any) -> str:
    """The value of the label `partition`: two agents read the journal, so the agent's group is part
    of it.
    """
    return f"{app_id}/{tp.topic}-{tp.partition}"
