-- What managers of credit and collections ask. docs/clickhouse.md defines each figure; tests hold each to a slow
-- recomputation. Nothing is stored: all of it is views on what is there.

-- How late a customer pays: days from the due day to the day on which nothing was open any more, over the invoices
-- settled in the last 365 days. The quartiles are values that occurred.
CREATE OR REPLACE VIEW headroom.customer_lateness AS
WITH assumeNotNull((SELECT date FROM headroom.business_day)) AS today
SELECT
    credit_account_id,
    count() AS settled_invoices,
    quantileExact(0.25)(toInt64(assumeNotNull(settled_on)) - toInt64(due_on)) AS days_late_early,
    quantileExact(0.5)(toInt64(assumeNotNull(settled_on)) - toInt64(due_on)) AS days_late_median,
    quantileExact(0.75)(toInt64(assumeNotNull(settled_on)) - toInt64(due_on)) AS days_late_late
FROM headroom.invoices
WHERE status = 'settled' AND settled_on > today - 365 AND settled_on <= today
GROUP BY credit_account_id;

-- When each open invoice is expected to be paid. By a promise or a plan that runs: on its last day. Else on the due day
-- and the customer's own quartiles of lateness (of all customers', for one with fewer than three settled invoices), not
-- before tomorrow. Left out: what is contested, and what is more than 90 days late and not promised.
CREATE OR REPLACE VIEW headroom.cash_forecast_invoices AS
WITH
    assumeNotNull((SELECT date FROM headroom.business_day)) AS today,
    (SELECT quantilesExact(0.25, 0.5, 0.75)(days_late_median) FROM headroom.customer_lateness WHERE settled_invoices >= 3) AS of_all,
promised AS
(
    SELECT credit_account_id, invoice_id, max(last_day) AS promised_on
    FROM
    (
        SELECT credit_account_id, arrayJoin(invoice_ids) AS invoice_id, arrayMax(arrayMap(one -> one.due_on, instalments)) AS last_day
        FROM headroom.promises
        WHERE status = 'running'
    )
    GROUP BY credit_account_id, invoice_id
)
SELECT
    open.customer_id AS customer_id,
    open.invoice_id AS invoice_id,
    open.currency AS currency,
    open.due_on AS due_on,
    promised.invoice_id != '' AS is_promised,
    lateness.settled_invoices >= 3 AS is_known,
    greatest(if(is_promised, promised.promised_on, toDate(toInt64(open.due_on) + if(is_known, lateness.days_late_median, of_all[2]))), today + 1) AS expected_on,
    greatest(if(is_promised, promised.promised_on, toDate(toInt64(open.due_on) + if(is_known, lateness.days_late_early, of_all[1]))), today + 1) AS early_on,
    greatest(if(is_promised, promised.promised_on, toDate(toInt64(open.due_on) + if(is_known, lateness.days_late_late, of_all[3]))), today + 1) AS late_on,
    open.open_amount AS open_amount,
    open.open_minor AS open_minor,
    open.exponent AS exponent
FROM headroom.invoices AS open
LEFT JOIN headroom.customer_lateness AS lateness ON lateness.credit_account_id = open.credit_account_id
LEFT JOIN promised ON promised.credit_account_id = open.credit_account_id AND promised.invoice_id = open.invoice_id
WHERE open.open_minor > 0 AND NOT open.disputed AND (is_promised OR open.days_overdue <= 90);

-- What is expected to come in, by the week in which it is; `if_early` and `if_late` if everybody paid at their early or
-- their late quartile.
CREATE OR REPLACE VIEW headroom.cash_forecast AS
SELECT
    toMonday(day) AS week,
    currency,
    toDecimal128(sumIf(open_minor, course = 'expected'), 4) / intExp10(exponent) AS expected,
    toDecimal128(sumIf(open_minor, course = 'early'), 4) / intExp10(exponent) AS if_early,
    toDecimal128(sumIf(open_minor, course = 'late'), 4) / intExp10(exponent) AS if_late,
    countIf(course = 'expected') AS invoices
FROM headroom.cash_forecast_invoices
ARRAY JOIN [expected_on, early_on, late_on] AS day, ['expected', 'early', 'late'] AS course
GROUP BY week, currency, exponent;

-- What people did: acts in the journal that name who did them, by day.
CREATE OR REPLACE VIEW headroom.collector_productivity AS
SELECT
    toDate(occurred_at) AS day,
    if(type = 'DunningStepReported',
       extract(JSONExtractString(payload, 'detail'), '^by ([^:]+)'), JSONExtractString(payload, 'by')) AS collector,
    countIf(type = 'OrderReleased') AS orders_released,
    countIf(type = 'OrderHeld') AS orders_held,
    countIf(type = 'DunningStepDecided') AS steps_decided,
    countIf(type = 'DunningStepReported') AS steps_reported,
    countIf(type IN ('DunningPaused', 'DunningResumed')) AS pauses,
    countIf(type IN ('CustomerBlocked', 'CustomerUnblocked', 'CreditReviewed')) AS customers_reviewed,
    count() AS acts,
    uniqExact(customer_id) AS customers
FROM headroom.journal
WHERE type IN ('OrderReleased', 'OrderHeld', 'DunningStepDecided', 'DunningStepReported', 'DunningPaused', 'DunningResumed',
               'CustomerBlocked', 'CustomerUnblocked', 'CreditReviewed')
    AND collector != ''
GROUP BY day, collector;

-- Whether reminders work: invoices of steps that were sent, and how many of them were settled within seven days.
CREATE OR REPLACE VIEW headroom.dunning_effectiveness AS
WITH sent AS
(
    SELECT
        customer_id, step_id, procedure, level, channel, currency, assumeNotNull(outcome_on) AS sent_on,
        arrayJoin(invoices).1 AS invoice_id
    FROM headroom.dunning_steps
    WHERE outcome = 'sent' AND NOT proposed
)
SELECT
    sent.procedure AS procedure,
    sent.level AS level,
    sent.channel AS channel,
    uniqExact(sent.customer_id, sent.step_id) AS steps,
    count() AS invoices,
    countIf(settled.settled_on IS NOT NULL AND settled.settled_on >= sent.sent_on AND settled.settled_on <= sent.sent_on + 7) AS paid_within_7_days,
    round(paid_within_7_days / invoices, 4) AS share
FROM sent
LEFT JOIN
(
    SELECT customer_id, invoice_id, settled_on FROM headroom.invoices WHERE status = 'settled'
) AS settled
ON settled.customer_id = sent.customer_id AND settled.invoice_id = sent.invoice_id
GROUP BY procedure, level, channel
SETTINGS join_use_nulls = 1;

-- How long an order was on hold: from the decision that held it to the next one, which released or cancelled it; NULL
-- while it is. `released_by` is the person who released it, NULL if it was released by itself.
CREATE OR REPLACE VIEW headroom.order_holds AS
SELECT
    customer_id, order_id, reasons, held_at,
    if(next_number = 0, NULL, next_at) AS ended_at,
    if(next_number = 0, NULL, next_decision) AS ended,
    if(next_number = 0, NULL, next_by) AS released_by,
    if(next_number = 0, NULL, dateDiff('second', held_at, next_at)) AS seconds_held
FROM
(
    SELECT
        customer_id, order_id, decision, reasons, occurred_at AS held_at,
        leadInFrame(decision_number, 1, toInt64(0)) OVER course AS next_number,
        leadInFrame(decision, 1, '') OVER course AS next_decision,
        leadInFrame(occurred_at, 1, occurred_at) OVER course AS next_at,
        leadInFrame(`by`, 1, NULL) OVER course AS next_by
    FROM headroom.order_decisions_raw FINAL
    WINDOW course AS (PARTITION BY customer_id, order_id ORDER BY decision_number ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
)
WHERE decision = 'held';

-- The figures of each customer now, the largest exposure of a currency first: its share of all, and that of all up to it.
CREATE OR REPLACE VIEW headroom.concentration AS
WITH latest AS
(
    SELECT
        customer_id,
        argMax(tuple(currency, exponent, exposure_minor, credit_limit_minor, utilisation, overdue_minor, oldest_overdue_days), `offset`) AS figures
    FROM headroom.exposures_raw FINAL
    GROUP BY customer_id
),
largest AS
(
    SELECT
        customer_id, figures.1 AS currency, figures.2 AS exponent, figures.3 AS minor, figures.4 AS limit_minor,
        figures.5 AS utilisation, figures.6 AS overdue_minor, figures.7 AS oldest_overdue_days,
        sum(minor) OVER (PARTITION BY currency) AS all_minor,
        sum(minor) OVER (PARTITION BY currency ORDER BY minor DESC, customer_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS so_far,
        row_number() OVER (PARTITION BY currency ORDER BY minor DESC, customer_id) AS place
    FROM latest
    WHERE minor > 0
)
SELECT
    currency, place, customer_id,
    toDecimal128(minor, 4) / intExp10(exponent) AS exposure,
    toDecimal128(limit_minor, 4) / intExp10(exponent) AS credit_limit,
    toDecimal128OrNull(utilisation, 4) AS utilisation,
    toDecimal128(overdue_minor, 4) / intExp10(exponent) AS overdue,
    oldest_overdue_days,
    round(minor / all_minor, 4) AS share,
    round(so_far / all_minor, 4) AS share_so_far
FROM largest;

-- How many customers use how much of their limit now, in steps of a tenth; above 1.00 in one.
CREATE OR REPLACE VIEW headroom.utilisation_distribution AS
SELECT
    currency,
    least(toDecimal32(floor(assumeNotNull(utilisation) * 10) / 10, 1), toDecimal32(1, 1)) AS utilisation_from,
    count() AS customers,
    sum(exposure) AS exposure
FROM headroom.concentration
WHERE utilisation IS NOT NULL
GROUP BY currency, utilisation_from;

-- Disputes: by reason (the word before a colon, where there is one), open and solved, and how long it took.
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
)
SELECT
    opened.1 AS customer_id, invoice_id, dispute_id,
    splitByChar(':', opened.2)[1] AS reason,
    opened.4 AS opened_on,
    if(is_resolved, resolved_as, NULL) AS outcome,
    if(is_resolved, resolved_day, NULL) AS resolved_on,
    if(is_resolved, toInt64(resolved_day) - toInt64(opened.4), NULL) AS days_to_resolve,
    opened.3 AS amount_minor
FROM told;
