-- Invoices and payments: the events that concern them, and each document as it stands.
--
-- Dates: an invoice counts from `issued_on`, a payment from `value_on`; what has no date of its own (credit note,
-- cancellation, later allocation, clearing, reversal) counts from the UTC day on which it occurred. Nothing here looks
-- at the order of arrival, but for two documents that claim the same id: as in the credit agent, the first counts.

CREATE TABLE IF NOT EXISTS headroom.invoice_events_raw
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
    invoice_id String,
    credit_note_id String,
    dispute_id String,
    order_id String,
    amount_minor Nullable(Int64),
    currency LowCardinality(String),
    exponent UInt8,
    issued_on Nullable(Date),
    due_on Nullable(Date),
    final_for_order Bool,
    revision Int64,
    reason String,
    outcome LowCardinality(String),
    inserted_at DateTime('UTC') DEFAULT now(),
    precedence UInt64 MATERIALIZED 18446744073709551615 - `offset`
)
ENGINE = ReplacingMergeTree(precedence)
ORDER BY (credit_account_id, invoice_id, type, event_id, credit_note_id, dispute_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS headroom.payment_events_raw
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
    payment_id String,
    invoice_id String,
    amount_minor Nullable(Int64),
    currency LowCardinality(String),
    exponent UInt8,
    value_on Nullable(Date),
    cleared Bool,
    allocation_invoice_ids Array(String),
    allocation_amounts_minor Array(Int64),
    reason String,
    inserted_at DateTime('UTC') DEFAULT now(),
    precedence UInt64 MATERIALIZED 18446744073709551615 - `offset`
)
ENGINE = ReplacingMergeTree(precedence)
ORDER BY (credit_account_id, payment_id, type, event_id)
SETTINGS non_replicated_deduplication_window = 10000;

-- A payment: what came, from when it counts (`cleared_on`, NULL: not yet) and until when (`reversed_on`, NULL: still),
-- and the parts meant for invoices: those of the receipt, then later ones in their order while there is money left.
CREATE OR REPLACE VIEW headroom.payments AS
WITH documents AS
(
    SELECT
        credit_account_id,
        payment_id,
        argMinIf(
            tuple(topic, `partition`, `offset`, recorded_at, event_id, occurred_at, customer_id,
                  assumeNotNull(amount_minor), currency, exponent, assumeNotNull(value_on), cleared,
                  allocation_invoice_ids, allocation_amounts_minor),
            `offset`, type = 'PaymentReceived'
        ) AS received,
        minIf(toDate(occurred_at), type = 'PaymentCleared') AS cleared_day,
        countIf(type = 'PaymentCleared') > 0 AS cleared_later,
        minIf(toDate(occurred_at), type = 'PaymentReversed') AS reversed_day,
        countIf(type = 'PaymentReversed') > 0 AS is_reversed,
        arraySort(
            part -> part.1,
            groupArrayIf((`offset`, invoice_id, assumeNotNull(amount_minor), toDate(occurred_at)), type = 'PaymentAllocated')
        ) AS later_parts
    FROM headroom.payment_events_raw FINAL
    GROUP BY credit_account_id, payment_id
    HAVING countIf(type = 'PaymentReceived') > 0
),
counted AS
(
    SELECT
        *,
        multiIf(received.12, received.11, cleared_later, greatest(cleared_day, received.11), NULL) AS cleared_on,
        if(is_reversed, reversed_day, NULL) AS reversed_on,
        arrayMap((invoice, minor) -> (invoice, minor, received.11), received.13, received.14) AS first_parts,
        arrayFold(
            (kept, part) -> if(
                part.3 <= kept.1,
                (kept.1 - part.3, arrayPushBack(kept.2, (part.2, part.3, part.4))),
                kept
            ),
            later_parts,
            (toInt64(received.8 - arraySum(received.14)), CAST([], 'Array(Tuple(String, Int64, Date))'))
        ).2 AS kept_parts,
        arrayConcat(first_parts, kept_parts) AS parts
    FROM documents
)
SELECT
    received.1 AS topic, received.2 AS `partition`, received.3 AS `offset`, received.4 AS recorded_at,
    received.5 AS event_id, received.6 AS occurred_at, credit_account_id, received.7 AS customer_id, payment_id,
    toDecimal128(received.8, 4) / intExp10(received.10) AS amount,
    received.9 AS currency,
    received.11 AS value_on,
    cleared_on,
    reversed_on,
    CAST(
        arrayMap(part -> (part.1, toDecimal128(part.2, 4) / intExp10(received.10), part.2, part.3), parts),
        'Array(Tuple(invoice_id String, amount Decimal(38, 4), amount_minor Int64, allocated_on Date))'
    ) AS allocations,
    arraySum(part -> part.2, parts) AS allocated_minor,
    received.8 AS amount_minor,
    received.10 AS exponent
FROM counted;

-- What moved what is owed on an invoice: each line a day and an amount.
--   issued   the invoice's amount from `issued_on`; a higher revision brings the difference on the day of its event
--   credited a credit note against the invoice
--   paid     a payment's part from the day it counts; `unpaid` takes it back when the payment is reversed
CREATE OR REPLACE VIEW headroom.receivable_movements AS
WITH revisions AS
(
    SELECT
        credit_account_id, invoice_id, revision,
        argMin(tuple(assumeNotNull(amount_minor), currency, assumeNotNull(issued_on), toDate(occurred_at), exponent), `offset`) AS document
    FROM headroom.invoice_events_raw FINAL
    WHERE type = 'InvoiceIssued'
    GROUP BY credit_account_id, invoice_id, revision
),
credit_notes AS
(
    SELECT credit_account_id, credit_note_id,
        argMin(tuple(invoice_id, assumeNotNull(amount_minor), currency, toDate(occurred_at), exponent), `offset`) AS document
    FROM headroom.invoice_events_raw FINAL
    WHERE type = 'CreditNoteIssued'
    GROUP BY credit_account_id, credit_note_id
),
parts AS
(
    SELECT
        credit_account_id, payment_id, currency, exponent, reversed_on, part.invoice_id AS invoice_id, part.amount_minor AS amount_minor,
        greatest(assumeNotNull(cleared_on), part.allocated_on) AS paid_on
    FROM headroom.payments
    ARRAY JOIN allocations AS part
    WHERE cleared_on IS NOT NULL
)
SELECT
    credit_account_id, invoice_id, 'issued' AS kind, '' AS document_id, currency, exponent, day,
    amount - lagInFrame(amount, 1, toInt64(0)) OVER
        (PARTITION BY credit_account_id, invoice_id, currency ORDER BY revision ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
        AS amount_minor
FROM
(
    SELECT
        *,
        min(day) OVER later AS replaced_on,
        count() OVER later > 0 AS is_replaced
    FROM
    (
        SELECT
            credit_account_id, invoice_id, revision, document.1 AS amount, document.2 AS currency,
            document.5 AS exponent,
            if(row_number() OVER (PARTITION BY credit_account_id, invoice_id, currency ORDER BY revision) = 1,
               document.3, greatest(document.3, document.4)) AS day
        FROM revisions
    )
    WINDOW later AS
        (PARTITION BY credit_account_id, invoice_id, currency ORDER BY revision ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING)
)
-- A revision that came after a higher one never counted.
WHERE NOT is_replaced OR day < replaced_on
UNION ALL
SELECT credit_account_id, document.1, 'credited', credit_note_id, document.3, document.5, document.4, -document.2
FROM credit_notes
WHERE document.1 != ''
UNION ALL
SELECT credit_account_id, invoice_id, 'paid', payment_id, currency, exponent, paid_on, -amount_minor
FROM parts
UNION ALL
SELECT credit_account_id, invoice_id, 'unpaid', payment_id, currency, exponent, greatest(paid_on, assumeNotNull(reversed_on)), amount_minor
FROM parts
WHERE reversed_on IS NOT NULL;

-- Each invoice with all that moved it, by day. The building block of `invoices` and `receivable_spans`.
-- `billed` and `settled` are running sums at the end of `days[i]`; `owed` is what is open then, as the credit agent has
-- it: nothing beyond what was settled, and a part-settled rest of at most the policy's small balance is rounding.
CREATE OR REPLACE VIEW headroom.invoice_histories AS
WITH documents AS
(
    SELECT
        credit_account_id,
        invoice_id,
        argMaxIf(
            tuple(topic, `partition`, `offset`, recorded_at, event_id, occurred_at, customer_id, order_id,
                  assumeNotNull(amount_minor), currency, exponent, assumeNotNull(issued_on), assumeNotNull(due_on), revision),
            (revision, precedence), type = 'InvoiceIssued'
        ) AS document,
        countIf(type = 'InvoiceCancelled') > 0 AS is_cancelled,
        countIf(type = 'InvoiceWrittenOff') > 0 AS is_written_off,
        minIf(toDate(occurred_at), type IN ('InvoiceCancelled', 'InvoiceWrittenOff')) AS closed_day,
        groupUniqArrayIf(dispute_id, type = 'DisputeResolved') AS resolved,
        arrayExists(dispute -> NOT has(resolved, dispute), groupUniqArrayIf(dispute_id, type = 'InvoiceDisputed')) AS disputed
    FROM headroom.invoice_events_raw FINAL
    GROUP BY credit_account_id, invoice_id
    HAVING countIf(type = 'InvoiceIssued') > 0
),
moved AS
(
    SELECT
        credit_account_id, invoice_id, currency,
        arraySort(move -> move.1, groupArray((day, if(kind = 'issued', amount_minor, 0), if(kind = 'issued', 0, -amount_minor)))) AS moves
    FROM headroom.receivable_movements
    GROUP BY credit_account_id, invoice_id, currency
)
SELECT
    documents.credit_account_id AS credit_account_id,
    documents.invoice_id AS invoice_id,
    documents.document AS document,
    documents.is_cancelled AS is_cancelled,
    documents.is_written_off AS is_written_off,
    if(is_cancelled OR is_written_off, documents.closed_day, toDate('2149-06-06')) AS closed_on,
    documents.disputed AS disputed,
    arrayMap(move -> move.1, moves) AS days,
    arrayPushBack(arrayPopFront(days), toDate('2149-06-06')) AS until_days,
    arrayCumSum(arrayMap(move -> move.2, moves)) AS billed,
    arrayCumSum(arrayMap(move -> move.3, moves)) AS settled,
    toInt64(floor(assumeNotNull((SELECT small_balance FROM headroom.policy)) * intExp10(document.11))) AS small_balance_minor,
    arrayMap((b, s) -> if(b <= s OR (s > 0 AND b - s <= small_balance_minor), 0, b - s), billed, settled) AS owed
FROM documents
INNER JOIN moved
    ON documents.credit_account_id = moved.credit_account_id
    AND documents.invoice_id = moved.invoice_id
    AND documents.document.10 = moved.currency;

-- What was open, from when (inclusive) until when (exclusive). What is open on a day is a filter on this view.
CREATE OR REPLACE VIEW headroom.receivable_spans AS
SELECT
    credit_account_id,
    document.7 AS customer_id,
    invoice_id,
    document.10 AS currency,
    document.11 AS exponent,
    document.12 AS issued_on,
    document.13 AS due_on,
    span.1 AS open_from,
    least(span.2, closed_on) AS open_until,
    span.3 AS open_minor
FROM headroom.invoice_histories
ARRAY JOIN arrayZip(days, until_days, owed) AS span
WHERE open_minor > 0 AND open_from < open_until;

-- An invoice as it stands on the business day.
CREATE OR REPLACE VIEW headroom.invoices AS
WITH
    assumeNotNull((SELECT date FROM headroom.business_day)) AS today,
    arrayLastIndex(day -> day <= today, days) AS last_move,
    arrayLastIndex((day, minor) -> day <= today AND minor > 0, days, owed) AS last_open
SELECT
    document.1 AS topic, document.2 AS `partition`, document.3 AS `offset`, document.4 AS recorded_at,
    document.5 AS event_id, document.6 AS occurred_at, credit_account_id, document.7 AS customer_id, invoice_id,
    document.8 AS order_id,
    toDecimal128(amount_minor, 4) / intExp10(exponent) AS amount,
    toDecimal128(open_minor, 4) / intExp10(exponent) AS open_amount,
    document.10 AS currency,
    document.12 AS issued_on,
    document.13 AS due_on,
    document.14 AS revision,
    multiIf(is_cancelled AND closed_on <= today, 'cancelled',
            is_written_off AND closed_on <= today, 'written_off',
            open_minor > 0 OR last_move = 0, 'open', 'settled') AS status,
    -- The day since which nothing has been open: the end of the last span in which something was.
    if(status = 'open', NULL,
       least(closed_on, if(last_open = 0, document.12, until_days[last_open]))) AS settled_on,
    if(open_minor > 0, toInt64(greatest(today - document.13, 0)), 0) AS days_overdue,
    disputed,
    document.9 AS amount_minor,
    if(last_move = 0 OR closed_on <= today, 0, owed[last_move]) AS open_minor,
    document.11 AS exponent
FROM headroom.invoice_histories;
