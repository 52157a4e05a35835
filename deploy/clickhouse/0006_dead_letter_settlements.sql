-- What was done about dead letters: retried or discarded, by whom, why. The dead letter stands in the same topic and
-- partition, at `letter_offset`. The first settlement of a letter counts.

CREATE TABLE IF NOT EXISTS headroom.dead_letter_settlements_raw
(
    topic LowCardinality(String),
    `partition` UInt32,
    `offset` UInt64,
    recorded_at DateTime64(3, 'UTC'),
    letter_offset Int64,
    how LowCardinality(String),
    by String,
    reason String,
    inserted_at DateTime('UTC') DEFAULT now(),
    precedence UInt64 MATERIALIZED 18446744073709551615 - `offset`
)
ENGINE = ReplacingMergeTree(precedence)
ORDER BY (topic, `partition`, letter_offset)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE OR REPLACE VIEW headroom.dead_letters AS
SELECT
    topic, `partition`, `offset`, recorded_at, reason, class, detail,
    original_topic, original_partition, original_offset, original_timestamp, key, value,
    settlement.how AS settled, settlement.by AS settled_by, settlement.reason AS settled_reason,
    settlement.recorded_at AS settled_at
FROM (SELECT *, toInt64(`offset`) AS letter_offset FROM headroom.dead_letters_raw FINAL) AS letter
LEFT JOIN (SELECT * FROM headroom.dead_letter_settlements_raw FINAL) AS settlement
    USING (topic, `partition`, letter_offset);
