-- Exposure by group and segment, the figures of a month's end, what preceded a hold, who is overdue most, disputes and
-- promises by month. docs/clickhouse.md defines each figure; tests hold each to a slow recomputation.

-- What a customer's master record says of group and segment: one row per record. The figures need no more of it, and
-- reading it from the journal's payload would read the journal as a whole.
CREATE TABLE IF NOT EXISTS headroom.customer_records_raw
(
    topic LowCardinality(String),
    `partition` UInt32,
    `offset` UInt64,
    recorded_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    credit_account_id String,
    event_id String,
    occurred_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    customer_id String,
    group_id String,
    segment LowCardinality(String),
    inserted_at DateTime('UTC') DEFAULT now(),
    precedence UInt64 MATERIALIZED 18446744073709551615 - `offset`
)
ENGINE = ReplacingMergeTree(precedence)
ORDER BY (customer_id, occurred_at, event_id)
SETTINGS non_replicated_deduplication_window = 10000;

-- What was written before this table was there. Run again, it makes rows that are hidden as repeats.
INSERT INTO headroom.customer_records_raw
    (topic, `partition`, `offset`, recorded_at, credit_account_id, event_id, occurred_at, customer_id, group_id, segment)
SELECT
    topic, `partition`, `offset`, recorded_at, credit_account_id, event_id, occurred_at, customer_id,
    JSONExtractString(payload, 'group_id'), JSONExtractString(payload, 'segment')
FROM headroom.journal_raw
WHERE type = 'CustomerUpserted' AND credit_account_id = customer_id;

-- In which group and segment a customer was, from when (inclusive) until when (exclusive): by the record that arose
-- last, as in the credit agent. Empty: none. Something dated after the business day counts on the business day.
CREATE OR REPLACE VIEW headroom.customer_spans AS
WITH
    assumeNotNull((SELECT date FROM headroom.business_day)) AS today,
said AS
(
    SELECT
        customer_id,
        least(toDate(occurred_at), today) AS said_on,
        argMax(tuple(group_id, segment), (occurred_at, `offset`)) AS place
    FROM headroom.customer_records_raw FINAL
    GROUP BY customer_id, said_on
)
SELECT
    customer_id,
    place.1 AS group_id,
    place.2 AS segment,
    said_on AS since,
    leadInFrame(said_on, 1, today + 1) OVER
        (PARTITION BY customer_id ORDER BY said_on ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS until
FROM said;

-- A customer's figures from when (inclusive) until when (exclusive): what `exposure_by_day` shows for each day of it.
CREATE OR REPLACE VIEW headroom.exposure_spans AS
WITH
    assumeNotNull((SELECT date FROM headroom.business_day)) AS today,
said AS
(
    SELECT
        customer_id,
        currency,
        least(toDate(occurred_at), today) AS said_on,
        argMax(
            tuple(exponent, exposure_minor, open_receivables_minor, delivered_not_invoiced_minor, open_orders_minor,
                  unapplied_credit_minor, credit_limit_minor, headroom_minor, utilisation, overdue_minor, held_orders),
            `offset`
        ) AS figures,
        max(`offset`) AS at
    FROM headroom.exposures_raw FINAL
    GROUP BY customer_id, currency, said_on
),
closing AS
(
    SELECT
        customer_id, currency, said_on,
        argMax(figures, at) OVER (PARTITION BY customer_id, currency ORDER BY said_on) AS figures,
        leadInFrame(said_on, 1, today + 1) OVER
            (PARTITION BY customer_id, currency ORDER BY said_on ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS until
    FROM said
)
SELECT
    customer_id, currency, said_on AS since, until,
    figures.1 AS exponent, figures.2 AS exposure_minor, figures.3 AS open_receivables_minor,
    figures.4 AS delivered_not_invoiced_minor, figures.5 AS open_orders_minor, figures.6 AS unapplied_credit_minor,
    figures.7 AS credit_limit_minor, figures.8 AS headroom_minor, figures.9 AS utilisation,
    figures.10 AS overdue_minor, figures.11 AS held_orders
FROM closing;

-- The same, cut where the customer changed group or segment.
CREATE OR REPLACE VIEW headroom.exposure_pieces AS
WITH places AS
(
    SELECT customer_id, arraySort(groupArray((since, group_id, segment))) AS changes
    FROM headroom.customer_spans
    GROUP BY customer_id
),
cut AS
(
    SELECT
        spans.customer_id AS customer_id,
        currency, exponent, exposure_minor, open_receivables_minor, delivered_not_invoiced_minor, open_orders_minor,
        unapplied_credit_minor, overdue_minor, held_orders,
        places.changes AS changes,
        arrayPushFront(
            arrayFilter(day -> day > spans.since AND day < spans.until, arrayMap(change -> change.1, changes)), spans.since
        ) AS starts,
        arrayPushBack(arrayPopFront(starts), spans.until) AS ends
    FROM headroom.exposure_spans AS spans
    LEFT JOIN places ON places.customer_id = spans.customer_id
)
SELECT
    customer_id, currency, exponent,
    exposure_minor, open_receivables_minor, delivered_not_invoiced_minor, open_orders_minor, unapplied_credit_minor,
    overdue_minor, held_orders,
    since, until,
    changes[arrayLastIndex(change -> change.1 <= since, changes)] AS place,
    place.2 AS group_id,
    place.3 AS segment
FROM cut
ARRAY JOIN starts AS since, ends AS until;

CREATE OR REPLACE VIEW headroom.exposure_by_day AS
SELECT
    since + after AS day,
    customer_id,
    currency,
    toDecimal128(exposure_minor, 4) / intExp10(exponent) AS exposure,
    toDecimal128(open_receivables_minor, 4) / intExp10(exponent) AS open_receivables,
    toDecimal128(delivered_not_invoiced_minor, 4) / intExp10(exponent) AS delivered_not_invoiced,
    toDecimal128(open_orders_minor, 4) / intExp10(exponent) AS open_orders,
    toDecimal128(unapplied_credit_minor, 4) / intExp10(exponent) AS unapplied_credit,
    toDecimal128(credit_limit_minor, 4) / intExp10(exponent) AS credit_limit,
    toDecimal128(headroom_minor, 4) / intExp10(exponent) AS headroom,
    toDecimal128OrNull(utilisation, 4) AS utilisation,
    toDecimal128(overdue_minor, 4) / intExp10(exponent) AS overdue,
    held_orders,
    exposure_minor,
    open_receivables_minor
FROM headroom.exposure_spans
ARRAY JOIN range(toUInt64(until - since)) AS after;

-- The sum of `exposure_by_day` over customers, made of its changes: nobody's days are gone through.
CREATE OR REPLACE VIEW headroom.exposure_total_by_day AS
WITH
    assumeNotNull((SELECT date FROM headroom.business_day)) AS today,
changes AS
(
    SELECT
        currency, any(exponent) AS exponent, change.1 AS changed_on,
        sum(change.2 * exposure_minor) AS exposure_minor,
        sum(change.2 * open_receivables_minor) AS open_receivables_minor,
        sum(change.2 * delivered_not_invoiced_minor) AS delivered_not_invoiced_minor,
        sum(change.2 * open_orders_minor) AS open_orders_minor,
        sum(change.2 * unapplied_credit_minor) AS unapplied_credit_minor,
        sum(change.2 * overdue_minor) AS overdue_minor,
        sum(change.2 * held_orders) AS held_orders,
        sum(change.2) AS customers
    FROM headroom.exposure_spans
    ARRAY JOIN [(since, 1), (until, -1)] AS change
    WHERE changed_on <= today
    GROUP BY currency, changed_on
),
levels AS
(
    SELECT
        currency, exponent, changed_on,
        sum(exposure_minor) OVER course AS exposure_minor,
        sum(open_receivables_minor) OVER course AS open_receivables_minor,
        sum(delivered_not_invoiced_minor) OVER course AS delivered_not_invoiced_minor,
        sum(open_orders_minor) OVER course AS open_orders_minor,
        sum(unapplied_credit_minor) OVER course AS unapplied_credit_minor,
        sum(overdue_minor) OVER course AS overdue_minor,
        sum(held_orders) OVER course AS held_orders,
        sum(customers) OVER course AS customers,
        leadInFrame(changed_on, 1, today + 1) OVER
            (PARTITION BY currency ORDER BY changed_on ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS until
    FROM changes
    WINDOW course AS (PARTITION BY currency ORDER BY changed_on)
)
SELECT
    changed_on + after AS day,
    currency,
    toDecimal128(exposure_minor, 4) / intExp10(exponent) AS exposure,
    toDecimal128(open_receivables_minor, 4) / intExp10(exponent) AS open_receivables,
    toDecimal128(delivered_not_invoiced_minor, 4) / intExp10(exponent) AS delivered_not_invoiced,
    toDecimal128(open_orders_minor, 4) / intExp10(exponent) AS open_orders,
    toDecimal128(unapplied_credit_minor, 4) / intExp10(exponent) AS unapplied_credit,
    toDecimal128(overdue_minor, 4) / intExp10(exponent) AS overdue,
    held_orders,
    customers
FROM levels
ARRAY JOIN range(toUInt64(until - changed_on)) AS after
WHERE customers > 0;

-- By credit group: the members of the day.
CREATE OR REPLACE VIEW headroom.exposure_by_group_day AS
WITH
    assumeNotNull((SELECT date FROM headroom.business_day)) AS today,
changes AS
(
    SELECT
        group_id, currency, any(exponent) AS exponent, change.1 AS changed_on,
        sum(change.2 * exposure_minor) AS exposure_minor,
        sum(change.2 * open_receivables_minor) AS open_receivables_minor,
        sum(change.2 * delivered_not_invoiced_minor) AS delivered_not_invoiced_minor,
        sum(change.2 * open_orders_minor) AS open_orders_minor,
        sum(change.2 * unapplied_credit_minor) AS unapplied_credit_minor,
        sum(change.2 * overdue_minor) AS overdue_minor,
        sum(change.2 * held_orders) AS held_orders,
        sum(change.2) AS customers
    FROM headroom.exposure_pieces
    ARRAY JOIN [(since, 1), (until, -1)] AS change
    WHERE changed_on <= today AND group_id != ''
    GROUP BY group_id, currency, changed_on
),
levels AS
(
    SELECT
        group_id, currency, exponent, changed_on,
        sum(exposure_minor) OVER course AS exposure_minor,
        sum(open_receivables_minor) OVER course AS open_receivables_minor,
        sum(delivered_not_invoiced_minor) OVER course AS delivered_not_invoiced_minor,
        sum(open_orders_minor) OVER course AS open_orders_minor,
        sum(unapplied_credit_minor) OVER course AS unapplied_credit_minor,
        sum(overdue_minor) OVER course AS overdue_minor,
        sum(held_orders) OVER course AS held_orders,
        sum(customers) OVER course AS customers,
        leadInFrame(changed_on, 1, today + 1) OVER
            (PARTITION BY group_id, currency ORDER BY changed_on ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS until
    FROM changes
    WINDOW course AS (PARTITION BY group_id, currency ORDER BY changed_on)
)
SELECT
    changed_on + after AS day,
    group_id,
    currency,
    toDecimal128(exposure_minor, 4) / intExp10(exponent) AS exposure,
    toDecimal128(open_receivables_minor, 4) / intExp10(exponent) AS open_receivables,
    toDecimal128(delivered_not_invoiced_minor, 4) / intExp10(exponent) AS delivered_not_invoiced,
    toDecimal128(open_orders_minor, 4) / intExp10(exponent) AS open_orders,
    toDecimal128(unapplied_credit_minor, 4) / intExp10(exponent) AS unapplied_credit,
    toDecimal128(overdue_minor, 4) / intExp10(exponent) AS overdue,
    held_orders,
    customers
FROM levels
ARRAY JOIN range(toUInt64(until - changed_on)) AS after
WHERE customers > 0;

-- By segment; '' are customers without one.
CREATE OR REPLACE VIEW headroom.exposure_by_segment_day AS
WITH
    assumeNotNull((SELECT date FROM headroom.business_day)) AS today,
changes AS
(
    SELECT
        segment, currency, any(exponent) AS exponent, change.1 AS changed_on,
        sum(change.2 * exposure_minor) AS exposure_minor,
        sum(change.2 * open_receivables_minor) AS open_receivables_minor,
        sum(change.2 * delivered_not_invoiced_minor) AS delivered_not_invoiced_minor,
        sum(change.2 * open_orders_minor) AS open_orders_minor,
        sum(change.2 * unapplied_credit_minor) AS unapplied_credit_minor,
        sum(change.2 * overdue_minor) AS overdue_minor,
        sum(change.2 * held_orders) AS held_orders,
        sum(change.2) AS customers
    FROM headroom.exposure_pieces
    ARRAY JOIN [(since, 1), (until, -1)] AS change
    WHERE changed_on <= today
    GROUP BY segment, currency, changed_on
),
levels AS
(
    SELECT
        segment, currency, exponent, changed_on,
        sum(exposure_minor) OVER course AS exposure_minor,
        sum(open_receivables_minor) OVER course AS open_receivables_minor,
        sum(delivered_not_invoiced_minor) OVER course AS delivered_not_invoiced_minor,
        sum(open_orders_minor) OVER course AS open_orders_minor,
        sum(unapplied_credit_minor) OVER course AS unapplied_credit_minor,
        sum(overdue_minor) OVER course AS overdue_minor,
        sum(held_orders) OVER course AS held_orders,
        sum(customers) OVER course AS customers,
        leadInFrame(changed_on, 1, today + 1) OVER
            (PARTITION BY segment, currency ORDER BY changed_on ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS until
    FROM changes
    WINDOW course AS (PARTITION BY segment, currency ORDER BY changed_on)
)
SELECT
    changed_on + after AS day,
    segment,
    currency,
    toDecimal128(exposure_minor, 4) / intExp10(exponent) AS exposure,
    toDecimal128(open_receivables_minor, 4) / intExp10(exponent) AS open_receivables,
    toDecimal128(delivered_not_invoiced_minor, 4) / intExp10(exponent) AS delivered_not_invoiced,
    toDecimal128(open_orders_minor, 4) / intExp10(exponent) AS open_orders,
    toDecimal128(unapplied_credit_minor, 4) / intExp10(exponent) AS unapplied_credit,
    toDecimal128(overdue_minor, 4) / intExp10(exponent) AS overdue,
    held_orders,
    customers
FROM levels
ARRAY JOIN range(toUInt64(until - changed_on)) AS after
WHERE customers > 0;

-- Sales: invoices issued, less credit notes for them and invoices cancelled, each on its day.
CREATE OR REPLACE VIEW headroom.sales_by_day AS
SELECT currency, any(exponent) AS exponent, day, sum(amount_minor) AS sales_minor
FROM
(
    SELECT currency, exponent, day, amount_minor FROM headroom.receivable_movements WHERE kind IN ('issued', 'credited')
    UNION ALL
    SELECT document.10, document.11, greatest(closed_on, document.12), -document.9
    FROM headroom.invoice_histories
    WHERE is_cancelled
)
GROUP BY currency, day;

-- The figures of credit and collections at each month's end, and today for the month that runs. All of a currency's
-- history is one row of arrays until the end: three years are some 40 months and 1,100 days.
CREATE OR REPLACE VIEW headroom.collection_figures AS
WITH
    assumeNotNull((SELECT date FROM headroom.business_day)) AS today,
sold AS
(
    SELECT
        currency,
        any(exponent) AS exponent,
        groupArray(day) AS days,
        groupArray(sales_minor) AS minors,
        min(day) AS first_day
    FROM headroom.sales_by_day
    WHERE day <= today
    GROUP BY currency
),
moved AS
(
    SELECT currency, groupArray(month) AS months, groupArray(open_minor) AS opens, groupArray(current_minor) AS currents
    FROM
    (
        -- Current is what is open up to its due day.
        SELECT currency, toStartOfMonth(change.1) AS month, sum(change.2) AS open_minor, sum(change.3) AS current_minor
        FROM
        (
            SELECT
                currency, open_from, open_until, open_minor AS owed,
                if(open_from <= due_on, owed, 0) AS not_late,
                least(open_until, due_on + 1) AS late_from
            FROM headroom.receivable_spans
        )
        ARRAY JOIN [(open_from, owed, not_late), (open_until, -owed, 0), (late_from, 0, -not_late)] AS change
        WHERE change.1 <= today
        GROUP BY currency, month
    )
    GROUP BY currency
),
histories AS
(
    SELECT
        sold.currency AS currency,
        sold.exponent AS exponent,
        sold.first_day AS first_day,
        sold.days AS days,
        sold.minors AS minors,
        arrayMap(
            after -> addMonths(toStartOfMonth(sold.first_day), after), range(toUInt64(dateDiff('month', sold.first_day, today)) + 1)
        ) AS months,
        arrayMap(month -> least(toLastDayOfMonth(month), today), months) AS ends,
        arrayMap((month, end) -> toInt64(end - month + 1), months, ends) AS lengths,
        arrayMap(month -> arraySum((minor, day) -> if(toStartOfMonth(day) = month, minor, 0), minors, days), months) AS sales,
        arrayMap(end -> arraySum((minor, day) -> if(day > end - 90 AND day <= end, minor, 0), minors, days), ends) AS recent_sales,
        arrayCumSum(arrayMap(month -> arraySum((minor, one) -> if(one = month, minor, 0), moved.opens, moved.months), months)) AS opens,
        arrayCumSum(arrayMap(month -> arraySum((minor, one) -> if(one = month, minor, 0), moved.currents, moved.months), months)) AS currents
    FROM sold
    LEFT JOIN moved ON moved.currency = sold.currency
),
figures AS
(
    SELECT
        currency, exponent,
        months[place] AS month,
        ends[place] AS as_of,
        sales[place] AS sales_minor,
        recent_sales[place] AS recent_minor,
        least(90, toInt64(as_of - first_day + 1)) AS days_of_sales,
        opens[place] AS open_minor,
        currents[place] AS current_minor,
        if(place = 1, 0, opens[place - 1]) AS before_minor,
        -- Backwards from this month: after how many months the sales are as much as is open.
        arrayReverse(arraySlice(sales, 1, place)) AS back,
        arrayReverse(arraySlice(lengths, 1, place)) AS back_lengths,
        arrayCumSum(back) AS back_sums,
        arrayFirstIndex(sum -> sum >= open_minor, back_sums) AS enough
    FROM histories
    ARRAY JOIN arrayEnumerate(months) AS place
)
SELECT
    month,
    as_of,
    currency,
    toDecimal128(sales_minor, 4) / intExp10(exponent) AS sales,
    toDecimal128(open_minor, 4) / intExp10(exponent) AS open_receivables,
    toDecimal128(current_minor, 4) / intExp10(exponent) AS current_receivables,
    toDecimal128(open_minor - current_minor, 4) / intExp10(exponent) AS overdue_receivables,
    if(recent_minor > 0, round(open_minor / recent_minor * days_of_sales, 2), NULL) AS dso,
    multiIf(
        open_minor = 0, toNullable(toFloat64(0)),
        enough = 0, NULL,
        round(
            arraySum(arraySlice(back_lengths, 1, enough - 1))
            + (open_minor - if(enough = 1, 0, back_sums[enough - 1])) / back[enough] * back_lengths[enough],
            2
        )
    ) AS dso_count_back,
    if(recent_minor > 0, round(current_minor / recent_minor * days_of_sales, 2), NULL) AS best_possible_dso,
    if(recent_minor > 0, round((open_minor - current_minor) / recent_minor * days_of_sales, 2), NULL) AS average_days_delinquent,
    if(
        before_minor + sales_minor - current_minor > 0,
        round((before_minor + sales_minor - open_minor) / (before_minor + sales_minor - current_minor), 4),
        NULL
    ) AS collection_effectiveness
FROM figures;

-- Whether a hold for the credit limit was told before: by a limit alert that stood, and by an early warning.
-- Of each threshold its last word before the hold counts; what the event that held the order itself raised came with
-- it, not before.
CREATE OR REPLACE VIEW headroom.alerts_before_hold AS
WITH holds AS
(
    SELECT customer_id, order_id, decision_number, occurred_at AS held_at, toDate(occurred_at) AS held_on
    FROM headroom.order_decisions_raw FINAL
    WHERE decision = 'held' AND has(reasons, 'credit_limit_exceeded')
),
words AS
(
    SELECT customer_id, threshold, occurred_at, argMax(direction, `offset`) AS direction
    FROM headroom.limit_alerts_raw FINAL
    GROUP BY customer_id, threshold, occurred_at
),
alerted AS
(
    SELECT
        holds.customer_id AS customer_id, holds.order_id AS order_id, holds.decision_number AS decision_number,
        countIf(words.direction = 'raised') AS standing,
        argMaxIf(tuple(holds.threshold, words.occurred_at), toDecimal64OrZero(holds.threshold, 4), words.direction = 'raised') AS highest,
        minIf(words.occurred_at, words.direction = 'raised') AS first_at
    FROM
    (
        SELECT *, arrayJoin((SELECT groupUniqArray(threshold) FROM headroom.limit_alerts_raw)) AS threshold
        FROM holds
    ) AS holds
    ASOF INNER JOIN words
        ON words.customer_id = holds.customer_id AND words.threshold = holds.threshold AND words.occurred_at < holds.held_at
    GROUP BY customer_id, order_id, decision_number
),
warnings AS
(
    SELECT DISTINCT customer_id, toDate(occurred_at) AS warned_on
    FROM headroom.risk_signals_raw
    WHERE kind = 'forecast_breach'
),
warned AS
(
    SELECT holds.customer_id AS customer_id, holds.order_id AS order_id, holds.decision_number AS decision_number, warnings.warned_on AS warned_on
    FROM holds
    ASOF INNER JOIN warnings ON warnings.customer_id = holds.customer_id AND warnings.warned_on < holds.held_on
)
SELECT
    holds.customer_id AS customer_id,
    holds.order_id AS order_id,
    holds.held_at AS held_at,
    alerted.standing > 0 AS alerted,
    if(alerted, toNullable(alerted.highest.1), NULL) AS threshold,
    if(alerted, toNullable(alerted.highest.2), NULL) AS alerted_at,
    if(alerted, dateDiff('day', toDate(alerted.highest.2), holds.held_on), NULL) AS days_before,
    if(alerted, dateDiff('day', toDate(alerted.first_at), holds.held_on), NULL) AS first_days_before,
    warned.customer_id != '' AND warned.warned_on >= holds.held_on - 30 AS warned,
    if(warned, toNullable(warned.warned_on), NULL) AS warned_on,
    if(warned, toInt64(holds.held_on) - toInt64(warned.warned_on), NULL) AS warned_days_before
FROM holds
LEFT JOIN alerted
    ON alerted.customer_id = holds.customer_id AND alerted.order_id = holds.order_id AND alerted.decision_number = holds.decision_number
LEFT JOIN warned
    ON warned.customer_id = holds.customer_id AND warned.order_id = holds.order_id AND warned.decision_number = holds.decision_number;

-- Customers with something overdue today: how much, how long, and what they promised next.
CREATE OR REPLACE VIEW headroom.top_overdue AS
WITH
    assumeNotNull((SELECT date FROM headroom.business_day)) AS today,
late AS
(
    SELECT
        customer_id, currency, any(exponent) AS exponent,
        sum(open_minor) AS minor,
        toInt64(max(today - due_on)) AS oldest_days_overdue,
        count() AS invoices
    FROM headroom.receivable_spans
    WHERE open_from <= today AND today < open_until AND due_on < today
    GROUP BY customer_id, currency
),
promised AS
(
    SELECT customer_id, currency, min(due_on) AS next_on, argMin(amount, due_on) AS next_amount
    FROM
    (
        SELECT customer_id, currency, one.due_on AS due_on, sum(one.amount) AS amount
        FROM headroom.promises
        ARRAY JOIN instalments AS one
        WHERE status = 'running' AND one.due_on >= today
        GROUP BY customer_id, currency, due_on
    )
    GROUP BY customer_id, currency
)
SELECT
    late.customer_id AS customer_id,
    late.currency AS currency,
    toDecimal128(late.minor, 4) / intExp10(late.exponent) AS overdue,
    round(late.minor / sum(late.minor) OVER (PARTITION BY late.currency), 4) AS share,
    late.oldest_days_overdue AS oldest_days_overdue,
    late.invoices AS invoices,
    if(promised.customer_id = '', NULL, toNullable(promised.next_on)) AS next_promised_on,
    if(promised.customer_id = '', NULL, toNullable(promised.next_amount)) AS next_promised
FROM late
LEFT JOIN promised ON promised.customer_id = late.customer_id AND promised.currency = late.currency;

-- As before, with what is contested in major units of the invoice's currency: the amount named, else all of the invoice.
CREATE OR REPLACE VIEW headroom.disputes AS
WITH told AS
(
    SELECT
        credit_account_id, invoice_id, dispute_id,
        argMinIf(tuple(customer_id, reason, amount_minor, toDate(occurred_at)), `offset`, type = 'InvoiceDisputed') AS opened,
        countIf(type = 'DisputeResolved') > 0 AS is_resolved,
        argMaxIf(outcome, occurred_at, type = 'DisputeResolved') AS resolved_as,
        toDate(maxIf(occurred_at, type = 'DisputeResolved')) AS resolved_day
    FROM headroom.invoice_events_raw FINAL
    WHERE type IN ('InvoiceDisputed', 'DisputeResolved')
    GROUP BY credit_account_id, invoice_id, dispute_id
    HAVING countIf(type = 'InvoiceDisputed') > 0
),
billed AS
(
    SELECT credit_account_id, invoice_id, argMax(tuple(assumeNotNull(amount_minor), currency, exponent), (revision, precedence)) AS document
    FROM headroom.invoice_events_raw FINAL
    WHERE type = 'InvoiceIssued'
    GROUP BY credit_account_id, invoice_id
)
SELECT
    told.opened.1 AS customer_id, told.invoice_id AS invoice_id, told.dispute_id AS dispute_id,
    splitByChar(':', told.opened.2)[1] AS reason,
    told.opened.4 AS opened_on,
    if(told.is_resolved, told.resolved_as, NULL) AS outcome,
    if(told.is_resolved, told.resolved_day, NULL) AS resolved_on,
    if(told.is_resolved, toInt64(told.resolved_day) - toInt64(told.opened.4), NULL) AS days_to_resolve,
    told.opened.3 AS amount_minor,
    billed.document.2 AS currency,
    if(currency = '', NULL, toDecimal128(coalesce(told.opened.3, billed.document.1), 4) / intExp10(billed.document.3)) AS amount
FROM told
LEFT JOIN billed ON billed.credit_account_id = told.credit_account_id AND billed.invoice_id = told.invoice_id;

-- Disputes by month: those opened in it, and those solved in it.
CREATE OR REPLACE VIEW headroom.disputes_by_reason AS
SELECT
    toStartOfMonth(assumeNotNull(day)) AS month,
    reason,
    currency,
    countIf(what = 'opened') AS opened,
    countIf(what = 'solved') AS solved,
    if(solved = 0, NULL, toNullable(quantileExactIf(0.5)(assumeNotNull(days_to_resolve), what = 'solved'))) AS days_to_solve_median,
    if(solved = 0, NULL, toNullable(quantileExactIf(0.9)(assumeNotNull(days_to_resolve), what = 'solved'))) AS days_to_solve_p90,
    sumIf(amount, what = 'opened') AS opened_amount,
    sumIf(amount, what = 'solved') AS solved_amount
FROM headroom.disputes
ARRAY JOIN [toNullable(opened_on), resolved_on] AS day, ['opened', 'solved'] AS what
WHERE day IS NOT NULL
GROUP BY month, reason, currency;

-- Promises and plans by the month in which they were made, and what has become of them.
CREATE OR REPLACE VIEW headroom.promises_kept AS
SELECT
    toStartOfMonth(made_on) AS month,
    currency,
    count() AS made,
    countIf(status = 'kept') AS kept,
    countIf(status = 'partly') AS partly,
    countIf(status = 'broken') AS broken,
    countIf(status = 'cancelled') AS cancelled,
    countIf(status = 'running') AS running,
    if(kept + partly + broken = 0, NULL, round(kept / (kept + partly + broken), 4)) AS share_kept,
    sum(amount) AS made_amount,
    sumIf(amount, status = 'kept') AS kept_amount,
    sumIf(amount, status = 'partly') AS partly_amount,
    sumIf(amount, status = 'broken') AS broken_amount
FROM headroom.promises
GROUP BY month, currency;
