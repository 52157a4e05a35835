"""Live: whether credit control works, now."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.frame import framed, workers
from deploy.grafana.panels import (
    ANY_IS_BAD,
    GREEN,
    ORANGE,
    RED,
    Field,
    Panels,
    lines,
    number,
    rows,
    worse_from,
)
from deploy.grafana.queries import of, promql, promql_now

_PLACED = 'topic="credit.journal.v1", type="OrderPlaced"'
_LATENCY = of("headroom_decision_latency_seconds_bucket")
_FIRING = 'ALERTS{alertname=~"Headroom.+", alertstate="firing"}'
_HELD = of("headroom_order_decisions_total", 'decision="held"')
_FAILED = of("headroom_letters_total", 'result=~"failed|uncertain|late"')
_ALERTS = 'ALERTS{alertname=~"Headroom.+", alertstate="firing", severity!="none"}'
_AGENT = '"agent", "$1", "partition", "([^/]+)/.*"'


def board() -> Dashboard:
    return framed(
        "live",
        "Whether credit control works, at a glance: all of the first row is green or blue.",
        [
            ("Does credit control work?", _at_a_glance()),
            ("Decisions", _decisions()),
            ("What waits", _what_waits()),
            ("What is wrong", _what_is_wrong()),
        ],
        variables=workers(),
        since="now-1h",
        refresh="10s",
    )


def _at_a_glance() -> Panels:
    return [
        number(
            promql(
                f"sum(rate({of('headroom_events_total', _PLACED)}[$__rate_interval]))", "orders"
            ),
            promql(
                f"sum(rate({of('headroom_order_decisions_total')}[$__rate_interval])) or vector(0)",
                "decisions",
            ),
            title="Orders, decisions",
            about="Orders that reach the journal, and decisions made, in a second. A held order is decided"
            " again when it is released, so there may be more decisions than orders; fewer are trouble.",
            unit="reqps",
            runbook="HeadroomNoDecisions",
        ),
        number(
            promql(f"histogram_quantile(0.99, sum by (le) (increase({_LATENCY}[5m])))"),
            levels=worse_from(0.05, 0.1),
            title="99 % decided within",
            about="99 % of the decisions of the last five minutes were acknowledged by the brokers within"
            " this time of their order's record in the journal. The objective is 100 ms.",
            unit="s",
            runbook="HeadroomDecisionsSlow",
        ),
        number(
            promql(f"max({of('headroom_consumer_lag_seconds')})"),
            levels=worse_from(5, 30),
            title="Furthest behind",
            about="Age of the last record taken in by the agent that is furthest behind; 0 when nothing waits.",
            unit="s",
            runbook="HeadroomLagging",
        ),
        number(
            promql(f"sum({of('headroom_held_partitions')})"),
            levels=ANY_IS_BAD,
            title="Partitions held",
            about="Partitions held, since too much of them went to the dead letters.",
            unit="none",
            runbook="HeadroomPartitionHeld",
        ),
        number(
            promql(f"sum({of('headroom_parked_accounts')})"),
            levels=ANY_IS_BAD,
            title="Parked accounts",
            about="Accounts that take in nothing more behind an event that failed, until somebody has looked.",
            unit="none",
            runbook="HeadroomAccountsParked",
        ),
        number(
            promql(f"sum(increase({of('headroom_dead_letters_total')}[1h])) or vector(0)"),
            levels=worse_from(1, 10),
            title="Dead letters, 1 h",
            about="Events that were refused within the last hour, with their reason, and wait for somebody.",
            unit="none",
            decimals=0,
            runbook="HeadroomDeadLetters",
        ),
        number(
            promql(f"count(count by (alertname) ({_ALERTS})) or vector(0)"),
            levels=ANY_IS_BAD,
            title="Alerts firing",
            about="All of Headroom's but the watchdog, which always fires; below is which, and what to do.",
            unit="none",
        ),
        number(
            promql('sum(up{job=~"$job", instance=~"$instance"})', "up"),
            promql('sum(1 - up{job=~"$job", instance=~"$instance"})', "down"),
            title="Workers",
            about="Processes that answer, and those that do not.",
            unit="none",
            fields=(Field("down", levels=ANY_IS_BAD),),
            runbook="HeadroomWorkerDown",
        ),
    ]


def _decisions() -> Panels:
    shares = ((0.5, "half of all"), (0.95, "95 %"), (0.99, "99 %"))
    return [
        lines(
            promql(
                f"sum by (decision) (rate({of('headroom_order_decisions_total')}[$__rate_interval]))",
                "{{decision}}",
            ),
            stacked=True,
            title="Decisions",
            about="Orders approved, held, released and cancelled, in a second.",
            unit="reqps",
            runbook="HeadroomNoDecisions",
        ),
        lines(
            *(
                promql(
                    f"histogram_quantile({share}, sum by (le) (rate({_LATENCY}[$__rate_interval])))",
                    legend,
                )
                for share, legend in shares
            ),
            levels=((None, GREEN), (0.1, RED)),
            title="Time from order to decision",
            about="From the order's record in the journal to its decision acknowledged by the brokers. The"
            " dashed line is the objective.",
            unit="s",
            runbook="HeadroomDecisionsSlow",
        ),
        lines(
            promql(
                f"sum by (reason) (rate({_HELD}[$__rate_interval]))",
                "{{reason}}",
            ),
            stacked=True,
            span=8,
            title="Why orders are held",
            about="Held orders in a second, by the first reason.",
            unit="reqps",
        ),
        lines(
            promql(
                "sum by (threshold, direction) (increase("
                f"{of('headroom_limit_alerts_total')}[$__rate_interval]))",
                "{{threshold}} {{direction}}",
            ),
            bars=True,
            span=8,
            title="Limits crossed",
            about="Customers whose exposure crossed a share of their limit, upwards or downwards.",
            unit="none",
        ),
        lines(
            promql(f"sum by (currency) ({of('headroom_exposure_total')})", "{{currency}}"),
            span=8,
            title="Exposure",
            about="Exposure of all accounts, in units of each currency; the currencies are not added up.",
            unit="short",
        ),
    ]


def _what_waits() -> Panels:
    lag = of("headroom_consumer_lag_seconds")
    return [
        lines(
            promql(f"max by (agent) (label_replace({lag}, {_AGENT}))", "{{agent}}"),
            levels=((None, GREEN), (30, RED)),
            span=8,
            title="How far behind",
            about="Age of the last record taken in, while there are more, by agent.",
            unit="s",
            runbook="HeadroomLagging",
        ),
        lines(
            promql(f"sum({of('headroom_orders_held')})", "orders"),
            span=8,
            title="Orders on hold",
            about="Orders that wait for room under the limit, or for a person.",
            unit="none",
            runbook="HeadroomHeldOrdersWaiting",
        ),
        lines(
            promql(f"max({of('headroom_oldest_held_order_seconds')})", "oldest held order"),
            promql(f"max({of('headroom_business_day_age_seconds')})", "business day"),
            levels=((None, GREEN), (25 * 3600, ORANGE), (3 * 86_400, RED)),
            span=8,
            title="Oldest held order, and the business day",
            about="Age of the order placed first of those on hold, and how long ago the business day began that"
            " the partition furthest behind is on. Lines: 25 hours, after which a day is missing, and three"
            " days, after which a held order is an alert.",
            unit="s",
            runbook="HeadroomClockMissing",
        ),
    ]


def _what_is_wrong() -> Panels:
    return [
        rows(
            promql_now(f"max by (alertname, severity) ({_FIRING})"),
            fields=(
                Field(
                    "alertname",
                    "Alert",
                    link=("What to do", "${runbooks}/${__data.fields.alertname}.md"),
                ),
                Field("severity", "Severity"),
                Field("Time", hidden=True),
                Field("Value", hidden=True),
            ),
            height=8,
            title="Alerts that fire",
            about="Each leads to its page, which says what to do. The watchdog always fires: without it, alerting"
            " itself is broken.",
            unit="none",
            runbook="HeadroomWatchdog",
        ),
        number(
            promql(f"max({of('headroom_clickhouse_away')})"),
            levels=ANY_IS_BAD,
            height=8,
            title="ClickHouse away",
            about="1 while ClickHouse takes no rows. Nothing is lost: they wait in Kafka.",
            unit="none",
            runbook="HeadroomClickHouseAway",
        ),
        number(
            promql(f"sum(max by (channel) ({of('headroom_carrier_away')}))", "ways closed"),
            promql(f"sum({of('headroom_letters_waiting')})", "waiting"),
            levels=((None, GREEN), (1, ORANGE)),
            height=8,
            title="Letters",
            about="How many ways to customers cannot be used, since what takes their messages is not to be reached; and how"
            " many messages have not left yet.",
            unit="none",
            runbook="HeadroomCarrierAway",
        ),
        number(
            promql("sum(headroom_reconcile_differences)", "differences"),
            promql("time() - max(headroom_reconcile_timestamp_seconds)", "ago"),
            levels=ANY_IS_BAD,
            height=8,
            title="Against the journal",
            about="What differed from the journal when all was recomputed and compared last, and how long ago.",
            unit="none",
            fields=(Field("ago", unit="s", levels=worse_from(26 * 3600, 36 * 3600)),),
            runbook="HeadroomReconcileDifference",
        ),
        number(
            promql(f"sum(increase({_FAILED}[1h])) or vector(0)"),
            levels=worse_from(1, 5),
            height=8,
            title="Letters failed, 1 h",
            about="Messages to customers that failed, came too late, or of which nobody knows whether they left.",
            unit="none",
            decimals=0,
            runbook="HeadroomLettersFail",
        ),
    ]
