-- What people ask. docs/clickhouse.md defines each figure; tests hold each to a slow recomputation.

-- Exposure of each customer at the end of each day, carried forward over days without change. The figure of a day is
-- the last word (highest offset) about days up to it; something dated after the business day counts on the business day.
CREATE OR REPLACE VIEW headroom.exposure_by_day AS
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
    said_on + after AS day,
    customer_id,
    currency,
    toDecimal128(figures.2, 4) / intExp10(figures.1) AS exposure,
    toDecimal128(figures.3, 4) / intExp10(figures.1) AS open_receivables,
    toDecimal128(figures.4, 4) / intExp10(figures.1) AS delivered_not_invoiced,
    toDecimal128(figures.5, 4) / intExp10(figures.1) AS open_orders,
    toDecimal128(figures.6, 4) / intExp10(figures.1) AS unapplied_credit,
    toDecimal128(figures.7, 4) / intExp10(figures.1) AS credit_limit,
    toDecimal128(figures.8, 4) / intExp10(figures.1) AS headroom,
    toDecimal128OrNull(figures.9, 4) AS utilisation,
    toDecimal128(figures.10, 4) / intExp10(figures.1) AS overdue,
    figures.11 AS held_orders,
    figures.2 AS exposure_minor,
    figures.3 AS open_receivables_minor
FROM closing
ARRAY JOIN range(toUInt64(until - said_on)) AS after;

CREATE OR REPLACE VIEW headroom.exposure_total_by_day AS
SELECT
    day, currency,
    sum(exposure) AS exposure,
    sum(open_receivables) AS open_receivables,
    sum(delivered_not_invoiced) AS delivered_not_invoiced,
    sum(open_orders) AS open_orders,
    sum(unapplied_credit) AS unapplied_credit,
    sum(overdue) AS overdue,
    sum(held_orders) AS held_orders,
    count() AS customers
FROM headroom.exposure_by_day
GROUP BY day, currency;

-- Open receivables of each customer at the end of each day, recomputed from the documents.
CREATE OR REPLACE VIEW headroom.open_receivables_by_day AS
WITH
    assumeNotNull((SELECT date FROM headroom.business_day)) AS today,
changes AS
(
    SELECT customer_id, currency, exponent, change.1 AS changed_on, sum(change.2) AS minor, sum(change.3) AS documents
    FROM headroom.receivable_spans
    ARRAY JOIN [(open_from, open_minor, 1), (open_until, -open_minor, -1)] AS change
    WHERE changed_on <= today
    GROUP BY customer_id, currency, exponent, changed_on
),
levels AS
(
    SELECT
        customer_id, currency, exponent, changed_on,
        sum(minor) OVER (PARTITION BY customer_id, currency ORDER BY changed_on) AS open_minor,
        sum(documents) OVER (PARTITION BY customer_id, currency ORDER BY changed_on) AS open_invoices,
        leadInFrame(changed_on, 1, today + 1) OVER
            (PARTITION BY customer_id, currency ORDER BY changed_on ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS until
    FROM changes
)
SELECT
    changed_on + after AS day,
    customer_id,
    currency,
    toDecimal128(open_minor, 4) / intExp10(exponent) AS open_receivables,
    open_invoices,
    open_minor AS open_receivables_minor
FROM levels
ARRAY JOIN range(toUInt64(until - changed_on)) AS after;

-- The same over all customers, without going through each customer's days.
CREATE OR REPLACE VIEW headroom.open_receivables_total_by_day AS
WITH
    assumeNotNull((SELECT date FROM headroom.business_day)) AS today,
changes AS
(
    SELECT currency, exponent, change.1 AS changed_on, sum(change.2) AS minor, sum(change.3) AS documents
    FROM headroom.receivable_spans
    ARRAY JOIN [(open_from, open_minor, 1), (open_until, -open_minor, -1)] AS change
    WHERE changed_on <= today
    GROUP BY currency, exponent, changed_on
),
levels AS
(
    SELECT
        currency, exponent, changed_on,
        sum(minor) OVER (PARTITION BY currency ORDER BY changed_on) AS open_minor,
        sum(documents) OVER (PARTITION BY currency ORDER BY changed_on) AS open_invoices,
        leadInFrame(changed_on, 1, today + 1) OVER
            (PARTITION BY currency ORDER BY changed_on ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS until
    FROM changes
)
SELECT
    changed_on + after AS day,
    currency,
    toDecimal128(open_minor, 4) / intExp10(exponent) AS open_receivables,
    open_invoices,
    open_minor AS open_receivables_minor,
    exponent
FROM levels
ARRAY JOIN range(toUInt64(until - changed_on)) AS after;

-- How old the open receivables are, by customer: days past the due day. Any day: SELECT * FROM headroom.ageing_on(day = '2013-06-30').
CREATE OR REPLACE VIEW headroom.ageing_on AS
SELECT
    {day:Date} AS as_of,
    customer_id,
    currency,
    toDecimal128(sumIf(open_minor, as_of - due_on <= 0), 4) / intExp10(exponent) AS current,
    toDecimal128(sumIf(open_minor, as_of - due_on BETWEEN 1 AND 30), 4) / intExp10(exponent) AS days_1_30,
    toDecimal128(sumIf(open_minor, as_of - due_on BETWEEN 31 AND 60), 4) / intExp10(exponent) AS days_31_60,
    toDecimal128(sumIf(open_minor, as_of - due_on BETWEEN 61 AND 90), 4) / intExp10(exponent) AS days_61_90,
    toDecimal128(sumIf(open_minor, as_of - due_on > 90), 4) / intExp10(exponent) AS days_over_90,
    toDecimal128(sum(open_minor), 4) / intExp10(exponent) AS total,
    count() AS open_invoices
FROM headroom.receivable_spans
WHERE open_from <= {day:Date} AND {day:Date} < open_until
GROUP BY customer_id, currency, exponent;

CREATE OR REPLACE VIEW headroom.ageing AS
WITH assumeNotNull((SELECT date FROM headroom.business_day)) AS as_of
SELECT
    as_of,
    customer_id,
    currency,
    toDecimal128(sumIf(open_minor, as_of - due_on <= 0), 4) / intExp10(exponent) AS current,
    toDecimal128(sumIf(open_minor, as_of - due_on BETWEEN 1 AND 30), 4) / intExp10(exponent) AS days_1_30,
    toDecimal128(sumIf(open_minor, as_of - due_on BETWEEN 31 AND 60), 4) / intExp10(exponent) AS days_31_60,
    toDecimal128(sumIf(open_minor, as_of - due_on BETWEEN 61 AND 90), 4) / intExp10(exponent) AS days_61_90,
    toDecimal128(sumIf(open_minor, as_of - due_on > 90), 4) / intExp10(exponent) AS days_over_90,
    toDecimal128(sum(open_minor), 4) / intExp10(exponent) AS total,
    count() AS open_invoices
FROM headroom.receivable_spans
WHERE open_from <= as_of AND as_of < open_until
GROUP BY customer_id, currency, exponent;

-- Days sales outstanding, simple: open receivables over the sales of the last 90 days (fewer in the first 90), times
-- those days. Sales: invoices issued, less credit notes for them and invoices cancelled, each on its day.
CREATE OR REPLACE VIEW headroom.dso AS
WITH
    assumeNotNull((SELECT date FROM headroom.business_day)) AS today,
sold AS
(
    SELECT currency, any(exponent) AS exponent, day, sum(amount_minor) AS minor
    FROM
    (
        SELECT currency, exponent, day, amount_minor FROM headroom.receivable_movements WHERE kind IN ('issued', 'credited')
        UNION ALL
        SELECT document.10, document.11, greatest(closed_on, document.12), -document.9
        FROM headroom.invoice_histories
        WHERE is_cancelled
    )
    GROUP BY currency, day
),
calendar AS
(
    SELECT currency, exponent, first_day + after AS day, after + 1 AS days_since
    FROM
    (
        SELECT currency, any(exponent) AS exponent, min(day) AS first_day
        FROM sold
        WHERE day <= today
        GROUP BY currency
    )
    ARRAY JOIN range(toUInt64(today - first_day + 1)) AS after
),
figures AS
(
    SELECT
        calendar.currency AS currency,
        calendar.exponent AS exponent,
        calendar.day AS day,
        least(90, days_since) AS days_of_sales,
        open.open_receivables_minor AS open_minor,
        sum(sold.minor) OVER
            (PARTITION BY calendar.currency ORDER BY calendar.day ROWS BETWEEN 89 PRECEDING AND CURRENT ROW) AS sales_minor
    FROM calendar
    LEFT JOIN sold ON sold.currency = calendar.currency AND sold.day = calendar.day
    LEFT JOIN headroom.open_receivables_total_by_day AS open ON open.currency = calendar.currency AND open.day = calendar.day
)
SELECT
    day,
    currency,
    toDecimal128(open_minor, 4) / intExp10(exponent) AS open_receivables,
    toDecimal128(sales_minor, 4) / intExp10(exponent) AS sales,
    days_of_sales,
    if(sales_minor > 0, round(open_minor / sales_minor * days_of_sales, 2), NULL) AS dso
FROM figures;

-- Orders by the day of their first decision, and how many of them were held at first.
CREATE OR REPLACE VIEW headroom.hold_rate AS
SELECT
    toDate(occurred_at) AS day,
    countIf(decision_number = 1) AS orders,
    countIf(decision_number = 1 AND decision = 'held') AS orders_held,
    countIf(decision = 'released') AS releases,
    if(orders > 0, round(orders_held / orders, 4), NULL) AS hold_rate
FROM headroom.order_decisions_raw FINAL
GROUP BY day;
