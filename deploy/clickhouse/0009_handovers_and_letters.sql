-- What was told to those who collect claims that were handed over, and the words of every letter.

CREATE TABLE IF NOT EXISTS headroom.handover_changes_raw
(
    topic LowCardinality(String),
    `partition` UInt32,
    `offset` UInt64,
    recorded_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    event_id String,
    occurred_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    customer_id String,
    step_id String,
    channel LowCardinality(String),
    kind LowCardinality(String),
    currency LowCardinality(String),
    exponent UInt8,
    invoice_ids Array(String),
    open_before_minor Array(Int64),
    open_after_minor Array(Int64),
    changed_on Date,
    `by` Nullable(String),
    reason Nullable(String),
    cause_event_id String,
    inserted_at DateTime('UTC') DEFAULT now(),
    precedence UInt64 MATERIALIZED 18446744073709551615 - `offset`
)
ENGINE = ReplacingMergeTree(precedence)
ORDER BY (customer_id, occurred_at, event_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE OR REPLACE VIEW headroom.handover_changes AS
SELECT
    topic, `partition`, `offset`, recorded_at, event_id, occurred_at, customer_id, step_id, channel, kind, currency,
    arrayMap(
        (invoice_id, before, after) -> CAST(
            (invoice_id, toDecimal128(before, 4) / intExp10(exponent), toDecimal128(after, 4) / intExp10(exponent)),
            'Tuple(invoice_id String, open_before Decimal(38, 4), open_after Decimal(38, 4))'
        ),
        invoice_ids, open_before_minor, open_after_minor
    ) AS invoices,
    changed_on, `by`, reason, cause_event_id
FROM headroom.handover_changes_raw FINAL;

-- A letter that was tried again has the same id; what left is the last one.
CREATE TABLE IF NOT EXISTS headroom.letters_raw
(
    topic LowCardinality(String),
    `partition` UInt32,
    `offset` UInt64,
    recorded_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    event_id String,
    occurred_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    customer_id String,
    step_id String,
    attempt Int64,
    channel LowCardinality(String),
    `to` String,
    language LowCardinality(String),
    subject String CODEC(ZSTD(3)),
    text String CODEC(ZSTD(3)),
    html String CODEC(ZSTD(3)),
    inserted_at DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree(`offset`)
ORDER BY (customer_id, event_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE OR REPLACE VIEW headroom.letters AS
SELECT
    topic, `partition`, `offset`, recorded_at, event_id, occurred_at, customer_id, step_id, attempt, channel, `to`,
    language, subject, text, html
FROM headroom.letters_raw FINAL;
