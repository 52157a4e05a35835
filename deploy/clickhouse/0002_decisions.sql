-- What the credit agent published: order decisions, limit alerts, exposures.
--
-- Money stands as Int64 minor units (`..._minor`, exact, what sums should use in programs) and, in the views, as a
-- Decimal in major units. `exponent` is the currency's own number of digits (JPY 0, EUR 2, KWD 3), written by the sink.
-- A repeat of an outgoing event is the same in content, so customer and time can lead the key.

CREATE TABLE IF NOT EXISTS headroom.order_decisions_raw
(
    topic LowCardinality(String),
    `partition` UInt32,
    `offset` UInt64,
    recorded_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    event_id String,
    occurred_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    customer_id String,
    order_id String,
    decision LowCardinality(String),
    decision_number Int64,
    reasons Array(LowCardinality(String)),
    amount_minor Int64,
    currency LowCardinality(String),
    exponent UInt8,
    exposure_before_minor Int64,
    exposure_after_minor Int64,
    credit_limit_minor Nullable(Int64),
    headroom_minor Nullable(Int64),
    account_currency LowCardinality(String),
    account_exponent UInt8,
    utilisation Nullable(String),
    cause_event_id String,
    policy_version LowCardinality(String),
    `by` Nullable(String),
    fx_rate Nullable(String),
    inserted_at DateTime('UTC') DEFAULT now(),
    precedence UInt64 MATERIALIZED 18446744073709551615 - `offset`
)
ENGINE = ReplacingMergeTree(precedence)
ORDER BY (customer_id, occurred_at, event_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE OR REPLACE VIEW headroom.order_decisions AS
SELECT
    topic, `partition`, `offset`, recorded_at, event_id, occurred_at, customer_id, order_id,
    decision, decision_number, reasons,
    toDecimal128(amount_minor, 4) / intExp10(exponent) AS amount,
    currency,
    toDecimal128(exposure_before_minor, 4) / intExp10(account_exponent) AS exposure_before,
    toDecimal128(exposure_after_minor, 4) / intExp10(account_exponent) AS exposure_after,
    toDecimal128(credit_limit_minor, 4) / intExp10(account_exponent) AS credit_limit,
    toDecimal128(headroom_minor, 4) / intExp10(account_exponent) AS headroom,
    account_currency,
    toDecimal128OrNull(utilisation, 4) AS utilisation,
    cause_event_id, policy_version, `by`,
    toDecimal128OrNull(fx_rate, 12) AS fx_rate,
    amount_minor, exposure_before_minor, exposure_after_minor, credit_limit_minor, headroom_minor
FROM headroom.order_decisions_raw FINAL;

CREATE TABLE IF NOT EXISTS headroom.limit_alerts_raw
(
    topic LowCardinality(String),
    `partition` UInt32,
    `offset` UInt64,
    recorded_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    event_id String,
    occurred_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    customer_id String,
    threshold LowCardinality(String),
    direction LowCardinality(String),
    exposure_minor Int64,
    credit_limit_minor Nullable(Int64),
    currency LowCardinality(String),
    exponent UInt8,
    utilisation Nullable(String),
    cause_event_id String,
    inserted_at DateTime('UTC') DEFAULT now(),
    precedence UInt64 MATERIALIZED 18446744073709551615 - `offset`
)
ENGINE = ReplacingMergeTree(precedence)
ORDER BY (customer_id, occurred_at, event_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE OR REPLACE VIEW headroom.limit_alerts AS
SELECT
    topic, `partition`, `offset`, recorded_at, event_id, occurred_at, customer_id, threshold, direction,
    toDecimal128(exposure_minor, 4) / intExp10(exponent) AS exposure,
    toDecimal128(credit_limit_minor, 4) / intExp10(exponent) AS credit_limit,
    currency,
    toDecimal128OrNull(utilisation, 4) AS utilisation,
    cause_event_id, exposure_minor, credit_limit_minor
FROM headroom.limit_alerts_raw FINAL;

CREATE TABLE IF NOT EXISTS headroom.exposures_raw
(
    topic LowCardinality(String),
    `partition` UInt32,
    `offset` UInt64,
    recorded_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    event_id String,
    occurred_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    customer_id String,
    currency LowCardinality(String),
    exponent UInt8,
    exposure_minor Int64,
    open_receivables_minor Int64,
    delivered_not_invoiced_minor Int64,
    open_orders_minor Int64,
    unapplied_credit_minor Int64,
    credit_limit_minor Nullable(Int64),
    headroom_minor Nullable(Int64),
    utilisation Nullable(String),
    overdue_minor Int64,
    oldest_overdue_days Int64,
    held_orders Int64,
    cause_event_id String,
    inserted_at DateTime('UTC') DEFAULT now(),
    precedence UInt64 MATERIALIZED 18446744073709551615 - `offset`
)
ENGINE = ReplacingMergeTree(precedence)
ORDER BY (customer_id, occurred_at, event_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE OR REPLACE VIEW headroom.exposures AS
SELECT
    topic, `partition`, `offset`, recorded_at, event_id, occurred_at, customer_id, currency,
    toDecimal128(exposure_minor, 4) / intExp10(exponent) AS exposure,
    toDecimal128(open_receivables_minor, 4) / intExp10(exponent) AS open_receivables,
    toDecimal128(delivered_not_invoiced_minor, 4) / intExp10(exponent) AS delivered_not_invoiced,
    toDecimal128(open_orders_minor, 4) / intExp10(exponent) AS open_orders,
    toDecimal128(unapplied_credit_minor, 4) / intExp10(exponent) AS unapplied_credit,
    toDecimal128(credit_limit_minor, 4) / intExp10(exponent) AS credit_limit,
    toDecimal128(headroom_minor, 4) / intExp10(exponent) AS headroom,
    toDecimal128OrNull(utilisation, 4) AS utilisation,
    toDecimal128(overdue_minor, 4) / intExp10(exponent) AS overdue,
    oldest_overdue_days, held_orders, cause_event_id, exponent,
    exposure_minor, open_receivables_minor, delivered_not_invoiced_minor, open_orders_minor,
    unapplied_credit_minor, credit_limit_minor, headroom_minor, overdue_minor
FROM headroom.exposures_raw FINAL;
