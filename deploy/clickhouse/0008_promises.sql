-- Promises to pay and payment plans: what was promised, whether it was kept, and what of the open receivables they
-- stand for. What became of one is told by the risk signal that names it.

ALTER TABLE headroom.risk_signals_raw ADD COLUMN IF NOT EXISTS promise_id String AFTER expected_on;

CREATE OR REPLACE VIEW headroom.risk_signals AS
SELECT
    topic, `partition`, `offset`, recorded_at, event_id, occurred_at, customer_id, kind, severity, detail,
    expected_on, promise_id, cause_event_id
FROM headroom.risk_signals_raw FINAL;

CREATE TABLE IF NOT EXISTS headroom.promise_events_raw
(
    topic LowCardinality(String),
    `partition` UInt32,
    `offset` UInt64,
    recorded_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    credit_account_id String,
    type LowCardinality(String),
    event_id String,
    occurred_at DateTime64(6, 'UTC'),
    customer_id String,
    promise_id String,
    invoice_ids Array(String),
    instalment_days Array(Int64),
    instalment_amounts_minor Array(Int64),
    inserted_at DateTime('UTC') DEFAULT now(),
    precedence UInt64 MATERIALIZED 18446744073709551615 - `offset`
)
ENGINE = ReplacingMergeTree(precedence)
ORDER BY (credit_account_id, promise_id, type, event_id)
SETTINGS non_replicated_deduplication_window = 10000;

-- `ended_on` is the day from which it stands for nothing any more, NULL while it runs. Amounts are in the currency of
-- its first invoice.
CREATE OR REPLACE VIEW headroom.promises AS
WITH documents AS
(
    SELECT
        credit_account_id,
        promise_id,
        argMinIf(
            tuple(topic, `partition`, `offset`, recorded_at, event_id, occurred_at, customer_id, type, invoice_ids,
                  instalment_days, instalment_amounts_minor),
            `offset`, type != 'PaymentPlanCancelled'
        ) AS said,
        toDate(said.6) AS made_on,
        minIf(toDate(occurred_at), type = 'PaymentPlanCancelled') AS cancelled_day,
        countIf(type = 'PaymentPlanCancelled') > 0 AS is_cancelled
    FROM headroom.promise_events_raw FINAL
    GROUP BY credit_account_id, promise_id
    HAVING countIf(type != 'PaymentPlanCancelled') > 0
),
outcomes AS
(
    SELECT customer_id, promise_id, argMin(kind, `offset`) AS kind, toDate(argMin(occurred_at, `offset`)) AS told_on
    FROM headroom.risk_signals_raw FINAL
    WHERE promise_id != ''
    GROUP BY customer_id, promise_id
),
money AS
(
    SELECT credit_account_id, invoice_id, argMin(currency, `offset`) AS currency, argMin(exponent, `offset`) AS digits
    FROM headroom.invoice_events_raw FINAL
    WHERE type = 'InvoiceIssued'
    GROUP BY credit_account_id, invoice_id
)
SELECT
    said.1 AS topic, said.2 AS `partition`, said.3 AS `offset`, said.4 AS recorded_at, said.5 AS event_id,
    said.6 AS occurred_at, documents.credit_account_id AS credit_account_id, said.7 AS customer_id,
    documents.promise_id AS promise_id,
    if(said.8 = 'PaymentPlanAgreed', 'plan', 'promise') AS kind,
    documents.made_on AS made_on,
    said.9 AS invoice_ids,
    CAST(
        arrayMap((day, minor) -> (toDate(least(day, 65534)), toDecimal128(minor, 4) / intExp10(exponent)), said.10, said.11),
        'Array(Tuple(due_on Date, amount Decimal(38, 4)))'
    ) AS instalments,
    toDecimal128(arraySum(said.11), 4) / intExp10(exponent) AS amount,
    money.currency AS currency,
    multiIf(
        outcomes.kind = 'promise_kept', 'kept', outcomes.kind = 'promise_partly_kept', 'partly',
        outcomes.kind = 'promise_broken', 'broken', is_cancelled, 'cancelled', 'running'
    ) AS status,
    multiIf(
        outcomes.promise_id != '', toNullable(outcomes.told_on), is_cancelled, greatest(cancelled_day, made_on), NULL
    ) AS ended_on,
    arraySum(said.11) AS amount_minor,
    if(money.currency = '', 2, money.digits) AS exponent
FROM documents
LEFT JOIN outcomes ON outcomes.customer_id = said.7 AND outcomes.promise_id = documents.promise_id
LEFT JOIN money ON money.credit_account_id = documents.credit_account_id AND money.invoice_id = said.9[1];

-- As before, with `promised`: what of the total stands under a promise or a plan that runs on that day.
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
    count() AS open_invoices,
    toDecimal128(
        sumIf(
            open_minor,
            (credit_account_id, invoice_id) IN
            (
                SELECT credit_account_id, arrayJoin(invoice_ids)
                FROM headroom.promises
                WHERE made_on <= {day:Date} AND (ended_on IS NULL OR {day:Date} < ended_on)
            )
        ),
        4
    ) / intExp10(exponent) AS promised
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
    count() AS open_invoices,
    toDecimal128(
        sumIf(
            open_minor,
            (credit_account_id, invoice_id) IN
            (
                SELECT credit_account_id, arrayJoin(invoice_ids)
                FROM headroom.promises
                WHERE made_on <= (SELECT date FROM headroom.business_day)
                    AND (ended_on IS NULL OR (SELECT date FROM headroom.business_day) < ended_on)
            )
        ),
        4
    ) / intExp10(exponent) AS promised
FROM headroom.receivable_spans
WHERE open_from <= as_of AND as_of < open_until
GROUP BY customer_id, currency, exponent;
