-- The journal, the days, the dead letters and the policies.
--
-- How every table of this folder hides repeats. A record can come twice: the sink reads a range again after a crash
-- (same topic, partition and offset), or the record was published again (same event_id, other offset, same
-- content). Both make rows that are equal in the sorting key, and ReplacingMergeTree keeps one row per key: the one
-- of the smallest offset, since `precedence` falls as `offset` rises. First copies stand in the order in which things
-- happened; later ones do not. Background merges drop repeats when they come to it, FINAL hides them until then, so
-- people read the views, not the `_raw` tables. Within the window, an insert with a known `insert_deduplication_token`
-- is dropped as a whole.
--
-- No table has a partition key: a batch that replays years of history would be cut into one part per month, and a
-- wrong date must not be able to block an insert.
--
-- Every statement can be run again.

CREATE TABLE IF NOT EXISTS headroom.journal_raw
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
    origin String CODEC(ZSTD(1)),
    payload String CODEC(ZSTD(1)),
    inserted_at DateTime('UTC') DEFAULT now(),
    precedence UInt64 MATERIALIZED 18446744073709551615 - `offset`
)
ENGINE = ReplacingMergeTree(precedence)
-- The content is part of the key: a sender that uses an event_id twice for different things loses none of them.
-- An event for everyone (a rate, a day) stands in each partition of the journal without account: it counts once.
ORDER BY (credit_account_id, type, event_id, cityHash64(payload))
SETTINGS non_replicated_deduplication_window = 10000;

CREATE OR REPLACE VIEW headroom.journal AS
SELECT topic, `partition`, `offset`, recorded_at, credit_account_id, type, event_id, occurred_at, customer_id, origin, payload
FROM headroom.journal_raw FINAL;

CREATE TABLE IF NOT EXISTS headroom.business_days_raw
(
    topic LowCardinality(String),
    `partition` UInt32,
    `offset` UInt64,
    recorded_at DateTime64(3, 'UTC'),
    event_id String,
    date Date,
    inserted_at DateTime('UTC') DEFAULT now(),
    precedence UInt64 MATERIALIZED 18446744073709551615 - `offset`
)
ENGINE = ReplacingMergeTree(precedence)
ORDER BY (date, event_id)
SETTINGS non_replicated_deduplication_window = 10000;

-- The day it is in the journal: the last one that began or, where nobody writes days, the last one on which something happened.
CREATE OR REPLACE VIEW headroom.business_day AS
SELECT if(
    (SELECT count() FROM headroom.business_days_raw) > 0,
    (SELECT max(date) FROM headroom.business_days_raw),
    (SELECT max(toDate(occurred_at)) FROM headroom.journal_raw)
) AS date;

CREATE TABLE IF NOT EXISTS headroom.dead_letters_raw
(
    topic LowCardinality(String),
    `partition` UInt32,
    `offset` UInt64,
    recorded_at DateTime64(3, 'UTC'),
    reason LowCardinality(String),
    class LowCardinality(String),
    detail String CODEC(ZSTD(1)),
    original_topic LowCardinality(String),
    original_partition Int64,
    original_offset Int64,
    original_timestamp Nullable(DateTime64(3, 'UTC')),
    key String,
    value String CODEC(ZSTD(1)),
    inserted_at DateTime('UTC') DEFAULT now(),
    precedence UInt64 MATERIALIZED 18446744073709551615 - `offset`
)
ENGINE = ReplacingMergeTree(precedence)
ORDER BY (original_topic, original_partition, original_offset, reason, detail)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE OR REPLACE VIEW headroom.dead_letters AS
SELECT
    topic, `partition`, `offset`, recorded_at, reason, class, detail,
    original_topic, original_partition, original_offset, original_timestamp, key, value
FROM headroom.dead_letters_raw FINAL;

-- What of the policy the figures need. The sink writes a row when it starts; the last one counts.
CREATE TABLE IF NOT EXISTS headroom.policies_raw
(
    version String,
    small_balance Decimal(38, 4),
    recorded_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(recorded_at)
ORDER BY version;

CREATE OR REPLACE VIEW headroom.policy AS
SELECT argMax(version, recorded_at) AS version, argMax(small_balance, recorded_at) AS small_balance
FROM headroom.policies_raw;
