-- Dunning steps as they were published, and what became of them. A repeat is the same in content, so customer and time
-- can lead the key. One row of `dunning_steps` is one attempt at a step; its invoices are parallel arrays.

CREATE TABLE IF NOT EXISTS headroom.dunning_steps_raw
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
    level Int64,
    procedure LowCardinality(String),
    channel LowCardinality(String),
    template LowCardinality(String),
    language LowCardinality(String),
    proposed Bool,
    principal_minor Int64,
    interest_minor Int64,
    costs_minor Int64,
    currency LowCardinality(String),
    exponent UInt8,
    legal_basis LowCardinality(String),
    pay_by Date,
    invoice_ids Array(String),
    invoice_levels Array(Int64),
    invoice_amounts_minor Array(Int64),
    inserted_at DateTime('UTC') DEFAULT now(),
    precedence UInt64 MATERIALIZED 18446744073709551615 - `offset`
)
ENGINE = ReplacingMergeTree(precedence)
ORDER BY (customer_id, occurred_at, event_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS headroom.dunning_outcomes_raw
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
    level Int64,
    outcome LowCardinality(String),
    channel LowCardinality(String),
    outcome_on Date,
    detail Nullable(String),
    `by` Nullable(String),
    inserted_at DateTime('UTC') DEFAULT now(),
    precedence UInt64 MATERIALIZED 18446744073709551615 - `offset`
)
ENGINE = ReplacingMergeTree(precedence)
ORDER BY (customer_id, occurred_at, event_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE OR REPLACE VIEW headroom.dunning_outcomes AS
SELECT
    topic, `partition`, `offset`, recorded_at, event_id, occurred_at, customer_id, step_id, attempt, level, outcome,
    channel, outcome_on, detail, `by`
FROM headroom.dunning_outcomes_raw FINAL;

-- `outcome` is the last word about the attempt, NULL while there is none.
CREATE OR REPLACE VIEW headroom.dunning_steps AS
SELECT
    steps.topic AS topic, steps.`partition` AS `partition`, steps.`offset` AS `offset`,
    steps.recorded_at AS recorded_at, steps.event_id AS event_id, steps.occurred_at AS occurred_at,
    steps.customer_id AS customer_id, steps.step_id AS step_id, steps.attempt AS attempt, steps.level AS level,
    steps.procedure AS procedure, steps.channel AS channel, steps.template AS template, steps.language AS language,
    steps.proposed AS proposed,
    toDecimal128(steps.principal_minor, 4) / intExp10(steps.exponent) AS principal,
    toDecimal128(steps.interest_minor, 4) / intExp10(steps.exponent) AS interest,
    toDecimal128(steps.costs_minor, 4) / intExp10(steps.exponent) AS costs,
    steps.currency AS currency, steps.legal_basis AS legal_basis, steps.pay_by AS pay_by,
    arrayMap(
        (invoice_id, level, minor) -> CAST(
            (invoice_id, level, toDecimal128(minor, 4) / intExp10(steps.exponent)),
            'Tuple(invoice_id String, level Int64, open Decimal(38, 4))'
        ),
        steps.invoice_ids, steps.invoice_levels, steps.invoice_amounts_minor
    ) AS invoices,
    outcomes.outcome AS outcome, outcomes.outcome_on AS outcome_on,
    steps.principal_minor AS principal_minor, steps.interest_minor AS interest_minor, steps.costs_minor AS costs_minor
FROM
(
    SELECT * FROM headroom.dunning_steps_raw FINAL
) AS steps
LEFT JOIN
(
    SELECT
        customer_id, step_id, attempt,
        toNullable(argMax(outcome, `offset`)) AS outcome, toNullable(argMax(outcome_on, `offset`)) AS outcome_on
    FROM headroom.dunning_outcomes_raw FINAL
    GROUP BY customer_id, step_id, attempt
) AS outcomes
ON outcomes.customer_id = steps.customer_id AND outcomes.step_id = steps.step_id AND outcomes.attempt = steps.attempt
SETTINGS join_use_nulls = 1;
