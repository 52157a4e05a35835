"""Credit: how much is at risk, with whom, and what the limits do."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.frame import CUSTOMER, ORDER, currencies, customers, framed
from deploy.grafana.panels import (
    ANY_IS_BAD,
    Field,
    Levels,
    Panels,
    bars,
    lines,
    number,
    rows,
    worse_from,
)
from deploy.grafana.queries import sql, sql_over_time

_OF_LIMIT: Levels = worse_from(0.8, 1)
_NOW = "FROM headroom.concentration WHERE currency = ${currency:singlequote}"
_CHOSEN = "$__conditionalAll(customer_id IN (${customer:singlequote}), $customer)"
_CUSTOMER = Field("customer_id", "Customer", link=CUSTOMER)
_FIGURES = (
    _CUSTOMER,
    Field("exposure", "Exposure"),
    Field("credit_limit", "Limit"),
    Field("utilisation", "Of the limit", unit="percentunit", levels=_OF_LIMIT),
    Field("overdue", "Overdue"),
    Field("oldest_overdue_days", "Oldest", unit="d"),
)


def board() -> Dashboard:
    return framed(
        "credit",
        "Exposure against limits, who is near them, what is held and released, and who owes most."
        " Amounts are in units of one currency.",
        [
            ("Now", _now()),
            ("Exposure", _exposure()),
            ("Who is near the limit", _near()),
            ("Holds and releases", _holds()),
        ],
        variables=[currencies(), customers()],
        since="now-90d",
        refresh="5m",
    )


def _now() -> Panels:
    return [
        number(
            sql(f"SELECT sum(exposure) AS exposure {_NOW}"),
            title="Exposure ($currency)",
            about="What customers owe, what was delivered and not invoiced, and open orders, less money on account.",
            unit="short",
        ),
        number(
            sql(f"SELECT sumIf(exposure, credit_limit > 0) / sum(credit_limit) AS used {_NOW}"),
            levels=_OF_LIMIT,
            title="Of all limits",
            about="Exposure of customers who have a limit, as a share of these limits.",
            unit="percentunit",
        ),
        number(
            sql(f"SELECT countIf(utilisation >= 0.8 AND utilisation <= 1) AS customers {_NOW}"),
            levels=worse_from(1, 1_000_000),
            title="Customers from 80 %",
            about="Customers who use 80 % of their limit or more, and are not over it. Who they are is below.",
            unit="none",
        ),
        number(
            sql(f"SELECT countIf(utilisation > 1) AS customers {_NOW}"),
            levels=ANY_IS_BAD,
            title="Over the limit",
            about="Customers who owe more than their limit.",
            unit="none",
        ),
        number(
            sql("SELECT count() AS orders FROM headroom.order_holds WHERE ended_at IS NULL"),
            levels=worse_from(1, 1_000_000),
            title="Orders on hold",
            about="Orders that wait for room under a limit, or for a person, in all currencies.",
            unit="none",
            runbook="HeadroomHeldOrdersWaiting",
        ),
        number(
            sql(
                """
                SELECT sum(amount) AS amount
                FROM
                (
                    SELECT argMax(amount, decision_number) AS amount
                    FROM headroom.order_decisions
                    WHERE currency = ${currency:singlequote}
                    GROUP BY customer_id, order_id
                    HAVING argMax(decision, decision_number) = 'held'
                )
                """
            ),
            title="On hold ($currency)",
            about="Worth of the orders on hold.",
            unit="short",
        ),
        number(
            sql(
                """
                SELECT sum(orders_held) / sum(orders) AS share
                FROM headroom.hold_rate
                WHERE $__dateFilter(day)
                """
            ),
            title="Held at first",
            about="Of the orders first decided in the time shown, the share that was held.",
            unit="percentunit",
            decimals=1,
        ),
        number(
            sql(f"SELECT sum(overdue) AS overdue {_NOW}"),
            title="Overdue ($currency)",
            about="Open receivables past their due day.",
            unit="short",
        ),
    ]


def _exposure() -> Panels:
    return [
        lines(
            sql_over_time(
                f"""
                SELECT
                    toDateTime(day, 'UTC') AS time,
                    sum(open_receivables) AS receivables,
                    sum(delivered_not_invoiced) AS delivered,
                    sum(open_orders) AS orders,
                    -sum(unapplied_credit) AS `on account`
                FROM headroom.exposure_by_day
                WHERE currency = ${{currency:singlequote}} AND $__dateFilter(day) AND {_CHOSEN}
                GROUP BY day
                ORDER BY day
                """
            ),
            stacked=True,
            title="Exposure by what it is made of ($currency)",
            about="At the end of each day: open receivables, delivered and not invoiced, open orders, and money"
            " on account, which lowers it.",
            unit="short",
        ),
        lines(
            sql_over_time(
                f"""
                SELECT toDateTime(day, 'UTC') AS time, sum(exposure) AS exposure, sum(credit_limit) AS limits
                FROM headroom.exposure_by_day
                WHERE currency = ${{currency:singlequote}} AND $__dateFilter(day) AND {_CHOSEN}
                GROUP BY day
                ORDER BY day
                """
            ),
            title="Exposure and limits ($currency)",
            about="At the end of each day, of all customers or of those chosen above.",
            unit="short",
        ),
        lines(
            sql_over_time(_by("segment", "no segment")),
            stacked=True,
            title="Exposure by segment ($currency)",
            about="At the end of each day, by the segment that customers were in on it.",
            unit="short",
        ),
        lines(
            sql_over_time(_by("group", "no group")),
            stacked=True,
            title="Exposure by group ($currency)",
            about="At the end of each day, of the credit groups, by the one that customers were in on it.",
            unit="short",
        ),
        rows(
            sql(
                f"""
                SELECT place, customer_id, exposure, credit_limit, utilisation, overdue, oldest_overdue_days, share,
                    share_so_far
                {_NOW}
                ORDER BY place
                LIMIT 20
                """
            ),
            fields=(
                Field("place", "#", unit="none"),
                *_FIGURES,
                Field("share", "Share of all", unit="percentunit"),
                Field("share_so_far", "With all above", unit="percentunit"),
            ),
            span=16,
            title="Who owes most ($currency)",
            about="The largest exposures, and how much of all they are. A customer leads to the console.",
            unit="short",
        ),
        bars(
            sql(
                """
                SELECT
                    if(utilisation_from >= 1, 'over', concat(toString(toUInt8(utilisation_from * 100)), ' %')) AS used,
                    customers
                FROM headroom.utilisation_distribution
                WHERE currency = ${currency:singlequote}
                ORDER BY utilisation_from
                """
            ),
            by="used",
            height=9,
            title="How much of their limits customers use",
            about="Customers by tenths of their limit, from so much on.",
            unit="none",
        ),
    ]


def _by(what: str, none: str) -> str:
    column = {"segment": "segment", "group": "group_id"}[what]
    return f"""
        SELECT toDateTime(day, 'UTC') AS time, if({column} = '', '{none}', {column}) AS of, sum(exposure) AS Value
        FROM headroom.exposure_by_{what}_day
        WHERE currency = ${{currency:singlequote}} AND $__dateFilter(day)
        GROUP BY day, of
        ORDER BY day, of
        """


def _near() -> Panels:
    return [
        rows(
            sql(
                f"""
                SELECT customer_id, utilisation, exposure, credit_limit, overdue, oldest_overdue_days
                {_NOW} AND utilisation >= 0.8
                ORDER BY utilisation DESC
                LIMIT 50
                """
            ),
            fields=_FIGURES,
            title="From 80 % of the limit ($currency)",
            about="Customers whose next order may be held, those furthest first.",
            unit="short",
        ),
        lines(
            sql_over_time(
                """
                SELECT toDateTime(toDate(occurred_at), 'UTC') AS time, concat('from ', threshold) AS crossed, count() AS Value
                FROM headroom.limit_alerts
                WHERE currency = ${currency:singlequote} AND direction = 'raised' AND $__timeFilter(occurred_at)
                GROUP BY time, crossed
                ORDER BY time, crossed
                """
            ),
            stacked=True,
            bars=True,
            height=9,
            title="Limits reached",
            about="Customers whose exposure rose past a share of their limit, by day.",
            unit="none",
        ),
        bars(
            sql(
                """
                SELECT
                    multiIf(
                        NOT alerted, 'not at all', first_days_before < 1, 'the same day', first_days_before < 7, '1 to 6 days',
                        first_days_before < 30, '7 to 29 days', '30 days or more'
                    ) AS ahead,
                    count() AS holds
                FROM headroom.alerts_before_hold
                WHERE $__timeFilter(held_at)
                GROUP BY ahead
                ORDER BY min(if(alerted, first_days_before, -1))
                """
            ),
            by="ahead",
            span=12,
            height=9,
            title="How long before a hold it was known",
            about="Holds for the credit limit in the time shown, by how long before them the first alert was raised that"
            " still stood.",
            unit="none",
        ),
        rows(
            sql(
                """
                SELECT customer_id, expected_on, severity, detail, occurred_at
                FROM headroom.risk_signals
                WHERE kind = 'forecast_breach' AND $__timeFilter(occurred_at)
                ORDER BY occurred_at DESC
                LIMIT 50
                """
            ),
            fields=(
                _CUSTOMER,
                Field("expected_on", "Expected on", unit="dateTimeAsIso"),
                Field("severity", "Severity"),
                Field("detail", "Why"),
                Field("occurred_at", "Told", unit="dateTimeAsIso"),
            ),
            title="Early warnings",
            about="Customers who are expected to run out of headroom, the latest warnings first.",
            unit="none",
        ),
    ]


def _holds() -> Panels:
    return [
        lines(
            sql_over_time(
                """
                SELECT toDateTime(toDate(occurred_at), 'UTC') AS time, decision, count() AS Value
                FROM headroom.order_decisions
                WHERE currency = ${currency:singlequote} AND $__timeFilter(occurred_at)
                GROUP BY time, decision
                ORDER BY time, decision
                """
            ),
            stacked=True,
            bars=True,
            title="Decisions by day",
            about="Orders in the currency, by what was decided.",
            unit="none",
        ),
        bars(
            sql(
                """
                SELECT reason, count() AS orders
                FROM headroom.order_decisions
                ARRAY JOIN reasons AS reason
                WHERE decision = 'held' AND currency = ${currency:singlequote} AND $__timeFilter(occurred_at)
                GROUP BY reason
                ORDER BY orders DESC
                """
            ),
            by="reason",
            sideways=True,
            span=6,
            title="Why orders are held",
            about="Holds in the time shown, by reason; one may have several.",
            unit="none",
        ),
        bars(
            sql(
                """
                SELECT
                    multiIf(
                        ended IS NULL, 'waits', ended = 'released' AND released_by IS NULL, 'by itself',
                        ended = 'released', 'by a person', assumeNotNull(ended)
                    ) AS how,
                    count() AS orders
                FROM headroom.order_holds
                WHERE $__timeFilter(held_at)
                GROUP BY how
                ORDER BY orders DESC
                """
            ),
            by="how",
            span=6,
            title="How holds ended",
            about="Orders held in the time shown: released by itself, since there was room, or by a person, or"
            " still waiting.",
            unit="none",
        ),
        rows(
            sql(
                """
                SELECT customer_id, order_id, arrayStringConcat(reasons, ', ') AS why, held_at,
                    dateDiff('second', held_at, toDateTime(headroom.business_day.date, 'UTC') + INTERVAL 1 DAY) AS waits
                FROM headroom.order_holds, headroom.business_day
                WHERE ended_at IS NULL
                ORDER BY held_at
                LIMIT 100
                """
            ),
            fields=(
                _CUSTOMER,
                Field("order_id", "Order", link=ORDER),
                Field("why", "Why"),
                Field("held_at", "Since", unit="dateTimeAsIso"),
                Field("waits", "Waits", unit="s", levels=worse_from(86_400, 3 * 86_400)),
            ),
            title="Orders on hold, oldest first",
            about="Each leads to the console, where it can be released within one's authority. Counted to the end of"
            " the business day.",
            unit="none",
            runbook="HeadroomHeldOrdersWaiting",
        ),
        rows(
            sql(
                """
                SELECT customer_id, order_id, ended_at, coalesce(released_by, 'by itself') AS released, seconds_held
                FROM headroom.order_holds
                WHERE ended = 'released' AND $__timeFilter(ended_at)
                ORDER BY ended_at DESC
                LIMIT 100
                """
            ),
            fields=(
                _CUSTOMER,
                Field("order_id", "Order", link=ORDER),
                Field("ended_at", "Released", unit="dateTimeAsIso"),
                Field("released", "By"),
                Field("seconds_held", "Was held", unit="s"),
            ),
            title="Releases, latest first",
            about="Orders that went on in the time shown, who released them, and how long they were held.",
            unit="none",
        ),
    ]
