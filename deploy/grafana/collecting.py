"""Collections: what comes in, what is late, and what is done about it."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.frame import CUSTOMER, currencies, framed
from deploy.grafana.panels import Field, Panels, bars, lines, number, rows, worse_from
from deploy.grafana.queries import sql, sql_over_time

_CUSTOMER = Field("customer_id", "Customer", link=CUSTOMER)
_AGEING = "FROM headroom.ageing WHERE currency = ${currency:singlequote}"
_DAYS = (
    ("current", "not due"),
    ("days_1_30", "1-30"),
    ("days_31_60", "31-60"),
    ("days_61_90", "61-90"),
    ("days_over_90", "over 90"),
)


def board() -> Dashboard:
    return framed(
        "collections",
        "Ageing, days sales outstanding, dunning, promises, disputes, and the money that is expected."
        " Amounts are in units of one currency.",
        [
            ("Now", _now()),
            ("Receivables", _receivables()),
            ("Dunning", _dunning()),
            ("Promises and disputes", _promises()),
            ("Work", _work()),
        ],
        variables=[currencies()],
        since="now-90d",
        refresh="5m",
    )


def _now() -> Panels:
    return [
        number(
            sql(
                """
                SELECT dso, best_possible_dso AS `at best` FROM headroom.collection_figures
                WHERE currency = ${currency:singlequote}
                ORDER BY as_of DESC LIMIT 1
                """
            ),
            decimals=1,
            title="DSO, and at best",
            about="Days sales outstanding: open receivables by the sales of the last 90 days, times 90; and what it would"
            " be if nobody were late.",
            unit="d",
        ),
        number(
            sql(f"SELECT sum(total) AS open {_AGEING}"),
            title="Open ($currency)",
            about="Open receivables today.",
            unit="short",
        ),
        number(
            sql(f"SELECT 1 - sum(current) / sum(total) AS late {_AGEING}"),
            levels=worse_from(0.2, 0.4),
            title="Of that overdue",
            about="Share of the open receivables that is past its due day.",
            unit="percentunit",
        ),
        number(
            sql(f"SELECT sum(days_over_90) AS old {_AGEING}"),
            title="Over 90 days ($currency)",
            about="What is more than 90 days late.",
            unit="short",
        ),
        number(
            sql(f"SELECT sum(promised) AS promised {_AGEING}"),
            title="Promised ($currency)",
            about="What of the open receivables stands under a promise or a plan that runs.",
            unit="short",
        ),
        number(
            sql("SELECT count() AS disputes FROM headroom.disputes WHERE resolved_on IS NULL"),
            title="Open disputes",
            about="Contested invoices that nobody has solved yet.",
            unit="none",
        ),
        number(
            sql(
                """
                SELECT sum(expected) AS expected
                FROM headroom.cash_forecast, headroom.business_day
                WHERE currency = ${currency:singlequote} AND week <= headroom.business_day.date + 28
                """
            ),
            title="Expected in 4 weeks",
            about="What is expected to be paid within four weeks, by promises and by how late each customer usually pays.",
            unit="short",
        ),
        number(
            sql(
                """
                SELECT count() AS steps FROM headroom.dunning_steps
                WHERE outcome IS NULL AND proposed
                """
            ),
            levels=worse_from(1, 50),
            title="Wait for a person",
            about="Dunning steps that are proposed, and that somebody has to approve or to skip.",
            unit="none",
        ),
    ]


def _receivables() -> Panels:
    return [
        bars(
            sql(
                f"""
                SELECT bucket.1 AS days, bucket.2 AS open
                FROM
                (
                    SELECT arrayJoin([
                        {", ".join(f"('{label}', sum({column}))" for column, label in _DAYS)}
                    ]) AS bucket
                    {_AGEING}
                )
                """
            ),
            by="days",
            title="Ageing today ($currency)",
            about="Open receivables by days past their due day.",
            unit="short",
        ),
        lines(
            sql_over_time(
                """
                SELECT toDateTime(day, 'UTC') AS time, dso
                FROM headroom.dso
                WHERE currency = ${currency:singlequote} AND $__dateFilter(day)
                ORDER BY day
                """
            ),
            span=8,
            title="Days sales outstanding",
            about="Open receivables by the sales of the last 90 days, times 90, at the end of each day.",
            unit="d",
        ),
        lines(
            sql_over_time(
                """
                SELECT toDateTime(day, 'UTC') AS time, open_receivables AS open
                FROM headroom.open_receivables_total_by_day
                WHERE currency = ${currency:singlequote} AND $__dateFilter(day)
                ORDER BY day
                """
            ),
            span=8,
            title="Open receivables ($currency)",
            about="At the end of each day, recomputed from invoices and payments.",
            unit="short",
        ),
        lines(
            sql_over_time(
                """
                SELECT toDateTime(as_of, 'UTC') AS time, dso_count_back AS `counted back`, dso AS simple,
                    best_possible_dso AS `at best`, average_days_delinquent AS `days late`
                FROM headroom.collection_figures
                WHERE currency = ${currency:singlequote} AND $__dateFilter(as_of)
                ORDER BY as_of
                """
            ),
            span=12,
            title="DSO at the end of each month",
            about="Counted back through the months' sales, which a good month does not make look better; simple; at best,"
            " if nobody were late; and the days that lateness adds.",
            unit="d",
        ),
        lines(
            sql_over_time(
                """
                SELECT toDateTime(as_of, 'UTC') AS time, collection_effectiveness AS collected
                FROM headroom.collection_figures
                WHERE currency = ${currency:singlequote} AND $__dateFilter(as_of)
                ORDER BY as_of
                """
            ),
            span=12,
            title="Collection effectiveness",
            about="Of what could be collected in a month, the share that was.",
            unit="percentunit",
        ),
        bars(
            sql(
                """
                SELECT toString(week) AS week, expected, if_early AS `if early`, if_late AS `if late`
                FROM headroom.cash_forecast
                WHERE currency = ${currency:singlequote}
                ORDER BY week
                LIMIT 12
                """
            ),
            by="week",
            span=12,
            height=9,
            title="Money expected, by week ($currency)",
            about="What is expected to be paid in the week that begins on that day, and what it would be if everybody"
            " paid at their early or their late quartile.",
            unit="short",
        ),
        rows(
            sql(
                """
                SELECT customer_id, overdue, share, oldest_days_overdue, invoices, next_promised_on, next_promised
                FROM headroom.top_overdue
                WHERE currency = ${currency:singlequote}
                ORDER BY overdue DESC
                LIMIT 20
                """
            ),
            fields=(
                _CUSTOMER,
                Field("overdue", "Overdue"),
                Field("share", "Share of all", unit="percentunit"),
                Field("oldest_days_overdue", "Oldest", unit="d", levels=worse_from(30, 90)),
                Field("invoices", "Invoices", unit="none"),
                Field("next_promised_on", "Promised for", unit="dateTimeAsIso"),
                Field("next_promised", "Promised"),
            ),
            title="Who is late ($currency)",
            about="Customers with the most overdue money, and what they promised next. A customer leads to the console.",
            unit="short",
        ),
    ]


def _dunning() -> Panels:
    return [
        bars(
            sql(
                """
                SELECT concat(procedure, ' ', toString(level)) AS step, sum(invoices) AS reminded,
                    sum(paid_within_7_days) AS `paid within 7 days`
                FROM headroom.dunning_effectiveness
                GROUP BY procedure, level
                ORDER BY procedure, level
                """
            ),
            by="step",
            title="The dunning funnel",
            about="Invoices that were reminded of, by procedure and level, and how many were paid within seven days of it.",
            unit="none",
        ),
        lines(
            sql_over_time(
                """
                SELECT toDateTime(toDate(occurred_at), 'UTC') AS time, outcome, count() AS Value
                FROM headroom.dunning_outcomes
                WHERE $__timeFilter(occurred_at)
                GROUP BY time, outcome
                ORDER BY time, outcome
                """
            ),
            stacked=True,
            bars=True,
            span=8,
            title="What became of steps",
            about="Messages and calls by day: sent, bounced, failed, withdrawn since the money came, skipped by a person.",
            unit="none",
        ),
        bars(
            sql(
                """
                SELECT channel, sum(invoices) AS reminded, sum(paid_within_7_days) AS `paid within 7 days`
                FROM headroom.dunning_effectiveness
                GROUP BY channel
                ORDER BY reminded DESC
                """
            ),
            by="channel",
            title="Which way works",
            about="Invoices that were reminded of, by channel, and how many were paid within seven days of it.",
            unit="none",
        ),
    ]


def _promises() -> Panels:
    return [
        bars(
            sql(
                """
                SELECT formatDateTime(month, '%Y-%m') AS made_in, kept, partly, broken, cancelled, running
                FROM headroom.promises_kept
                WHERE currency = ${currency:singlequote} AND $__dateFilter(month)
                ORDER BY month
                """
            ),
            by="made_in",
            span=6,
            stacked=True,
            title="What became of promises",
            about="Promises to pay and payment plans, by the month in which they were made.",
            unit="none",
        ),
        rows(
            sql(
                """
                SELECT customer_id, kind, amount, arrayMax(arrayMap(one -> one.due_on, instalments)) AS last_day
                FROM headroom.promises
                WHERE status = 'running' AND currency = ${currency:singlequote}
                ORDER BY last_day
                LIMIT 50
                """
            ),
            fields=(
                _CUSTOMER,
                Field("kind", "What"),
                Field("amount", "Amount"),
                Field("last_day", "Last day", unit="dateTimeAsIso"),
            ),
            span=6,
            height=8,
            title="Promises that run ($currency)",
            about="The next to end first.",
            unit="short",
        ),
        bars(
            sql(
                """
                SELECT reason, sum(disputes_by_reason.opened) AS opened, sum(disputes_by_reason.solved) AS solved
                FROM headroom.disputes_by_reason
                WHERE currency = ${currency:singlequote} AND $__dateFilter(month)
                GROUP BY reason
                ORDER BY opened DESC
                LIMIT 10
                """
            ),
            by="reason",
            span=6,
            sideways=True,
            title="Disputes by reason",
            about="Invoices that were contested, and disputes that were solved, in the months shown.",
            unit="none",
        ),
        lines(
            sql_over_time(
                """
                SELECT toDateTime(month, 'UTC') AS time, reason, days_to_solve_median AS Value
                FROM headroom.disputes_by_reason
                WHERE currency = ${currency:singlequote} AND $__dateFilter(month) AND days_to_solve_median IS NOT NULL
                ORDER BY month, reason
                """
            ),
            span=6,
            title="Days to solve a dispute",
            about="The median of the disputes solved in the month, by reason.",
            unit="d",
        ),
    ]


def _work() -> Panels:
    return [
        rows(
            sql(
                """
                SELECT collector, sum(acts) AS acts, sum(orders_released) AS released, sum(steps_decided) AS decided,
                    sum(steps_reported) AS reported, sum(pauses) AS pauses
                FROM headroom.collector_productivity
                WHERE $__dateFilter(day)
                GROUP BY collector
                ORDER BY acts DESC
                """
            ),
            fields=(
                Field("collector", "Who"),
                Field("acts", "All"),
                Field("released", "Orders released"),
                Field("decided", "Steps decided"),
                Field("reported", "Steps reported"),
                Field("pauses", "Pauses"),
            ),
            title="Who did what",
            about="What people did in the time shown.",
            unit="none",
        ),
        rows(
            sql(
                """
                SELECT customer_id, occurred_at, procedure, level, channel, principal, step_id
                FROM headroom.dunning_steps
                WHERE outcome IS NULL AND proposed
                ORDER BY occurred_at
                LIMIT 100
                """
            ),
            fields=(
                _CUSTOMER,
                Field("occurred_at", "Since", unit="dateTimeAsIso"),
                Field("procedure", "Procedure"),
                Field("level", "Level"),
                Field("channel", "Way"),
                Field("principal", "Amount", unit="short"),
                Field("step_id", "Step"),
            ),
            title="Steps that wait for a person",
            about="To be approved or skipped, in the console or with `headroom dunning`.",
            unit="none",
        ),
    ]
