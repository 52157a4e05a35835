-- Early warnings about customers, as they were published. A repeat is the same in content, so customer and time can
-- lead the key.

CREATE TABLE IF NOT EXISTS headroom.risk_signals_raw
(
    topic LowCardinality(String),
    `partition` UInt32,
    `offset` UInt64,
    recorded_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    event_id String,
    occurred_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    customer_id String,
    kind LowCardinality(String),
    severity LowCardinality(String),
    detail String,
    expected_on Nullable(Date),
    cause_event_id String,
    inserted_at DateTime('UTC') DEFAULT now(),
    precedence UInt64 MATERIALIZED 18446744073709551615 - `offset`
)
ENGINE = ReplacingMergeTree(precedence)
ORDER BY (customer_id, occurred_at, event_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE OR REPLACE VIEW headroom.risk_signals AS
SELECT
    topic, `partition`, `offset`, recorded_at, event_id, occurred_at, customer_id, kind, severity, detail,
    expected_on, cause_event_id
FROM headroom.risk_signals_raw FINAL;
