"""SLO: how much of what was promised is left.

The objective stands in deploy/prometheus/headroom.recording.yml: 99 % of decisions within 100 ms, over 30 days.
"""

from __future__ import annotations

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from deploy.grafana.frame import framed, workers
from deploy.grafana.panels import GREEN, ORANGE, RED, Panels, lines, number, worse_below, worse_from
from deploy.grafana.queries import of, promql

_MAY_BE_SLOW = 0.01
_COUNT = of("headroom_decision_latency_seconds_count")
_BUCKETS = of("headroom_decision_latency_seconds_bucket", 'le=~"0.005|0.01|0.03|0.1|1.0|30.0"')
_IN_TIME = of("headroom_decision_latency_seconds_bucket", 'le="0.1"')
_SLOW_30D = f"(1 - sum(increase({_IN_TIME}[30d])) / sum(increase({_COUNT}[30d])))"


def board() -> Dashboard:
    return framed(
        "slo",
        "The objective: 99 % of decisions within 100 ms, over 30 days. What is left of it, and how fast it is used up.",
        [
            ("Thirty days", _thirty_days()),
            ("How fast the budget is used up", _burning()),
            ("How long decisions take", _latency()),
        ],
        variables=workers(),
        since="now-24h",
        refresh="1m",
    )


def _thirty_days() -> Panels:
    return [
        number(
            promql(f"1 - {_SLOW_30D}"),
            levels=worse_below(0.995, 0.99),
            span=6,
            decimals=3,
            title="Decided within 100 ms",
            about="Of all decisions of the last 30 days. The objective is 99 %.",
            unit="percentunit",
            runbook="HeadroomDecisionsSlowly",
        ),
        number(
            promql(f"1 - {_SLOW_30D} / {_MAY_BE_SLOW}"),
            levels=worse_below(0.5, 0),
            span=6,
            decimals=1,
            title="Error budget left",
            about="One in a hundred may be slow. How much of that is left; below 0 the objective is missed.",
            unit="percentunit",
            runbook="HeadroomDecisionsSlowly",
        ),
        number(
            promql(f"sum(increase({_COUNT}[30d]))"),
            span=6,
            title="Decisions",
            about="Decisions of the last 30 days: what the shares are shares of.",
            unit="short",
        ),
        number(
            promql(f"sum(increase({_COUNT}[30d])) - sum(increase({_IN_TIME}[30d]))"),
            span=6,
            title="Of those, slow",
            about="Decisions of the last 30 days that took longer than 100 ms.",
            unit="short",
        ),
    ]


def _burning() -> Panels:
    return [
        _burn("1h", 14.4, "HeadroomDecisionsSlow", "two days"),
        _burn("6h", 6, "HeadroomDecisionsSlow", "five days"),
        _burn("1d", 3, "HeadroomDecisionsSlowly", "ten days"),
        _burn("3d", 1, "HeadroomDecisionsSlowly", "the month"),
        lines(
            promql('headroom:decisions_slow:ratio{window=~"5m|30m|1h|2h|6h"} / 0.01', "{{window}}"),
            levels=((None, GREEN), (6, ORANGE), (14.4, RED)),
            title="Burn rate, fast",
            about="By how many times faster than allowed the budget is used up, over windows up to six hours. Above"
            " 14.4 over an hour, or 6 over six hours, somebody is woken.",
            unit="none",
            runbook="HeadroomDecisionsSlow",
        ),
        lines(
            promql('headroom:decisions_slow:ratio{window=~"6h|1d|3d"} / 0.01', "{{window}}"),
            levels=((None, GREEN), (1, ORANGE), (3, RED)),
            title="Burn rate, slow",
            about="The same over days. Above 3 over a day, or 1 over three days, the month's objective is missed at"
            " this pace.",
            unit="none",
            runbook="HeadroomDecisionsSlowly",
        ),
    ]


def _burn(window: str, limit: float, alert: str, gone_in: str) -> Builder[Panel]:
    return number(
        promql(f'headroom:decisions_slow:ratio{{window="{window}"}} / {_MAY_BE_SLOW}'),
        levels=worse_from(limit / 2, limit),
        span=6,
        decimals=1,
        title=f"Burn rate over {window}",
        about=f"1 uses the budget up in 30 days; {limit:g}, from which on there is an alert, in {gone_in}.",
        unit="none",
        runbook=alert,
    )


def _latency() -> Panels:
    return [
        lines(
            promql(
                f"sum(rate({_IN_TIME}[$__rate_interval])) / sum(rate({_COUNT}[$__rate_interval]))",
                "within 100 ms",
            ),
            levels=((None, RED), (0.99, GREEN)),
            title="Share within 100 ms",
            about="Of the decisions of each moment. The dashed line is the objective.",
            unit="percentunit",
            runbook="HeadroomDecisionsSlow",
        ),
        lines(
            promql(f"sum by (le) (rate({_BUCKETS}[$__rate_interval]))", "{{le}} s"),
            title="How long decisions take",
            about="Decisions in a second that took up to so long: the closer the lines are together, the fewer took longer.",
            unit="reqps",
        ),
    ]
