-- What exposure by group and segment is made of, who is overdue most, disputes and promises by month.
-- docs/clickhouse.md defines each figure; tests hold each to a slow recomputation.

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
