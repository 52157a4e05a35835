-- What dashboards read when there is much of it.
--
-- Most figures take whole histories: what is open of an invoice follows from every event of it and of its payments, in
-- any order of arrival, repeats among them. Nothing of that can be added up as rows come in without counting a repeat
-- twice or missing what came late, so nothing is. Instead each costly answer `x` has three parts:
--
--   x_now     the definition, computed from the rows at this moment
--   x_stored  what x_now gave at the last full hour, kept by ClickHouse itself (a refreshable materialized view: the
--             new rows are exchanged for the old ones at once)
--   x         what people read: x_now as long as there are few rows, else x_stored
--
-- The sink says which, when it starts and at the beginning of each day (`agents/sink/stored.py`): up to 300,000
-- rows a definition answers in about a second on two cores, so small installations always see the latest; larger ones
-- see the last full hour, and `x_now` is there for who can wait. It is not decided within the query: to have both ways
-- analysed takes ClickHouse up to a second, each time (measured: 1.4 s of processor time for `dso`).
-- A definition that reads others reads their `x`. They are refreshed one after the other, so the most that is needed at
-- once is what one of them needs, and none before one that it reads. docs/clickhouse.md has the figures.

-- The day it is, as before; but the journal is not gone through where somebody writes days.
CREATE OR REPLACE VIEW headroom.business_day AS
SELECT max(date) AS date
FROM
(
    SELECT date FROM headroom.business_days_raw
    UNION ALL
    SELECT toDate(occurred_at) FROM headroom.journal_raw WHERE (SELECT count() FROM headroom.business_days_raw) = 0
);

-- What became of an invoice: what was owed from each of its days on. It takes no FINAL: every part of it is the same
-- with a row twice (a first, a least, a set), which spares the merging of 50 columns' worth of rows by text keys.
CREATE OR REPLACE VIEW headroom.invoice_courses_now AS
WITH
    toInt64(floor(assumeNotNull((SELECT small_balance FROM headroom.policy)) * 10000)) AS small_balance,
payments AS
(
    SELECT
        credit_account_id,
        payment_id,
        argMinIf(
            tuple(assumeNotNull(amount_minor), currency, assumeNotNull(value_on), cleared, allocation_invoice_ids, allocation_amounts_minor),
            `offset`, type = 'PaymentReceived'
        ) AS received,
        countIf(type = 'PaymentReceived') > 0 AS is_received,
        countIf(type = 'PaymentCleared') > 0 AS cleared_later,
        minIf(toDate(occurred_at), type = 'PaymentCleared') AS cleared_day,
        countIf(type = 'PaymentReversed') > 0 AS is_reversed,
        minIf(toDate(occurred_at), type = 'PaymentReversed') AS reversed_day,
        arraySort(
            groupArrayIf((`offset`, event_id, invoice_id, assumeNotNull(amount_minor), toDate(occurred_at)), type = 'PaymentAllocated')
        ) AS told_parts
    FROM headroom.payment_events_raw
    GROUP BY credit_account_id, payment_id
),
settlements AS
(
    SELECT
        credit_account_id, part.1 AS invoice_id, currency, part.2 AS minor,
        greatest(cleared_on, part.3) AS day, is_reversed, greatest(day, reversed_day) AS reversed_on
    FROM
    (
        SELECT
            credit_account_id,
            received.2 AS currency,
            if(received.4, received.3, greatest(cleared_day, received.3)) AS cleared_on,
            is_reversed, reversed_day,
            -- A repeat of an allocation has another offset and the same id: the first counts.
            arrayFilter(
                (told, place) -> indexOf(arrayMap(one -> one.2, told_parts), told.2) = place, told_parts, arrayEnumerate(told_parts)
            ) AS later_parts,
            arrayFold(
                (kept, told) -> if(
                    told.4 <= kept.1,
                    (kept.1 - told.4, arrayPushBack(kept.2, (told.3, told.4, told.5))),
                    kept
                ),
                later_parts,
                (toInt64(received.1 - arraySum(received.6)), CAST([], 'Array(Tuple(String, Int64, Date))'))
            ).2 AS kept_parts,
            arrayConcat(arrayMap((invoice, minor) -> (invoice, minor, received.3), received.5, received.6), kept_parts) AS parts
        FROM payments
        WHERE is_received AND (received.4 OR cleared_later)
    )
    ARRAY JOIN parts AS part
),
notes AS
(
    SELECT
        credit_account_id,
        argMin(tuple(invoice_id, assumeNotNull(amount_minor), currency, toDate(occurred_at)), `offset`) AS note
    FROM headroom.invoice_events_raw
    WHERE type = 'CreditNoteIssued'
    GROUP BY credit_account_id, credit_note_id
),
told AS
(
    SELECT
        credit_account_id, invoice_id, type AS kind, currency, exponent, coalesce(amount_minor, 0) AS minor,
        toDate(occurred_at) AS day, coalesce(issued_on, toDate(0)) AS issued_on, coalesce(due_on, toDate(0)) AS due_on,
        revision, `offset`, dispute_id
    FROM headroom.invoice_events_raw
    WHERE type != 'CreditNoteIssued'
    UNION ALL
    SELECT credit_account_id, note.1, 'settled', note.3, 0, note.2, note.4, toDate(0), toDate(0), 0, 0, ''
    FROM notes
    WHERE note.1 != ''
    UNION ALL
    SELECT credit_account_id, invoice_id, 'settled', currency, 0, minor, day, toDate(0), toDate(0), 0, 0, ''
    FROM settlements
    UNION ALL
    SELECT credit_account_id, invoice_id, 'settled', currency, 0, -minor, reversed_on, toDate(0), toDate(0), 0, 0, ''
    FROM settlements
    WHERE is_reversed
),
documents AS
(
    SELECT
        credit_account_id,
        invoice_id,
        arraySort(groupArrayIf((revision, `offset`, currency, exponent, minor, issued_on, due_on, day), kind = 'InvoiceIssued')) AS issues,
        groupArrayIf((day, minor, currency), kind = 'settled') AS settling,
        countIf(kind = 'InvoiceCancelled') > 0 AS is_cancelled,
        countIf(kind = 'InvoiceWrittenOff') > 0 AS is_written_off,
        minIf(day, kind IN ('InvoiceCancelled', 'InvoiceWrittenOff')) AS closed_day,
        groupUniqArrayIf(dispute_id, kind = 'InvoiceDisputed') AS contested,
        groupUniqArrayIf(dispute_id, kind = 'DisputeResolved') AS resolved
    FROM told
    GROUP BY credit_account_id, invoice_id
),
revised AS
(
    SELECT
        *,
        -- The first word on each revision.
        arrayFilter((issue, place) -> place = 1 OR issue.1 != issues[place - 1].1, issues, arrayEnumerate(issues)) AS revisions,
        revisions[-1] AS latest,
        arrayFilter(revision -> revision.3 = latest.3, revisions) AS same,
        arrayMap((revision, place) -> if(place = 1, revision.6, greatest(revision.6, revision.8)), same, arrayEnumerate(same)) AS said_on,
        -- A revision that came after a higher one never counted.
        arrayFilter(
            place -> place = length(same) OR said_on[place] < arrayMin(arraySlice(said_on, place + 1)), arrayEnumerate(same)
        ) AS counting
    FROM documents
    WHERE notEmpty(issues)
),
counted AS
(
    SELECT
        *,
        if(is_cancelled OR is_written_off, closed_day, toDate('2149-06-06')) AS closed_on,
        arrayExists(dispute -> NOT has(resolved, dispute), contested) AS disputed,
        intDiv(small_balance * toInt64(intExp10(latest.4)), 10000) AS small_balance_minor,
        arrayMap(
            (place, before) -> (said_on[place], toInt64(same[place].5 - if(before = 0, 0, same[before].5))),
            counting, arrayPushFront(arrayPopBack(counting), 0)
        ) AS bills,
        arraySort(
            move -> move.1,
            arrayConcat(
                arrayMap(bill -> (bill.1, bill.2, toInt64(0)), bills),
                arrayMap(move -> (move.1, toInt64(0), move.2), arrayFilter(move -> move.3 = latest.3, settling))
            )
        ) AS moves,
        arrayMap(move -> move.1, moves) AS days,
        arrayPushBack(arrayPopFront(days), toDate('2149-06-06')) AS until_days,
        arrayMap(
            (billed, settled) -> if(billed <= settled OR (settled > 0 AND billed - settled <= small_balance_minor), 0, billed - settled),
            arrayCumSum(arrayMap(move -> move.2, moves)), arrayCumSum(arrayMap(move -> move.3, moves))
        ) AS owed
    FROM revised
)
SELECT
    credit_account_id, invoice_id,
    latest.3 AS currency, latest.4 AS exponent, latest.6 AS issued_on, latest.7 AS due_on, latest.5 AS amount_minor,
    is_cancelled, is_written_off, closed_on, disputed, bills, days, until_days, owed
FROM counted;

CREATE MATERIALIZED VIEW IF NOT EXISTS headroom.invoice_courses_stored
REFRESH EVERY 1 HOUR
ENGINE = MergeTree ORDER BY (credit_account_id, invoice_id) EMPTY
-- What is grouped may be more than memory has room for: the rest goes to disk.
AS SELECT * FROM headroom.invoice_courses_now
SETTINGS max_bytes_before_external_group_by = 4000000000;

CREATE OR REPLACE VIEW headroom.invoice_courses AS SELECT * FROM headroom.invoice_courses_now;

-- What was open, from when (inclusive) until when (exclusive). What is open on a day is a filter on this view.
-- Stored in the order in which it ended: what is open now, or was on a day, is a few neighbours of millions.
CREATE OR REPLACE VIEW headroom.receivable_spans_now AS
SELECT
    credit_account_id,
    credit_account_id AS customer_id,
    invoice_id, currency, exponent, issued_on, due_on, disputed,
    span.1 AS open_from,
    least(span.2, closed_on) AS open_until,
    span.3 AS open_minor
FROM headroom.invoice_courses
ARRAY JOIN arrayZip(days, until_days, owed) AS span
WHERE open_minor > 0 AND open_from < open_until;

CREATE MATERIALIZED VIEW IF NOT EXISTS headroom.receivable_spans_stored
REFRESH EVERY 1 HOUR DEPENDS ON headroom.invoice_courses_stored
ENGINE = MergeTree ORDER BY (open_until, open_from) EMPTY
AS SELECT * FROM headroom.receivable_spans_now;

CREATE OR REPLACE VIEW headroom.receivable_spans AS SELECT * FROM headroom.receivable_spans_now;

-- By how much what is open changed on a day, over all customers: all of it, the invoices, and what is not past its due
-- day. Sums of it up to a day are what was open at its end.
CREATE OR REPLACE VIEW headroom.receivable_changes_now AS
SELECT
    currency, any(exponent) AS exponent, change.1 AS changed_on,
    sum(change.2) AS minor, sum(change.3) AS documents, sum(change.4) AS current_minor
FROM
(
    SELECT
        currency, exponent, open_from, open_until, open_minor AS owed,
        if(open_from <= due_on, owed, 0) AS not_late,
        least(open_until, due_on + 1) AS late_from
    FROM headroom.receivable_spans
)
ARRAY JOIN [(open_from, owed, 1, not_late), (open_until, -owed, -1, 0), (late_from, 0, 0, -not_late)] AS change
GROUP BY currency, changed_on;

CREATE MATERIALIZED VIEW IF NOT EXISTS headroom.receivable_changes_stored
REFRESH EVERY 1 HOUR DEPENDS ON headroom.receivable_spans_stored
ENGINE = MergeTree ORDER BY (currency, changed_on) EMPTY
AS SELECT * FROM headroom.receivable_changes_now;

CREATE OR REPLACE VIEW headroom.receivable_changes AS SELECT * FROM headroom.receivable_changes_now;

CREATE OR REPLACE VIEW headroom.open_receivables_total_by_day AS
WITH
    assumeNotNull((SELECT date FROM headroom.business_day)) AS today,
levels AS
(
    SELECT
        currency, exponent, changed_on,
        sum(minor) OVER (PARTITION BY currency ORDER BY changed_on) AS open_minor,
        sum(documents) OVER (PARTITION BY currency ORDER BY changed_on) AS open_invoices,
        leadInFrame(changed_on, 1, today + 1) OVER
            (PARTITION BY currency ORDER BY changed_on ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS until
    FROM headroom.receivable_changes
    WHERE changed_on <= today
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

-- Sales: invoices issued, less credit notes for invoices and invoices cancelled, each on its day.
CREATE OR REPLACE VIEW headroom.sales_by_day_now AS
WITH notes AS
(
    SELECT argMin(tuple(invoice_id, assumeNotNull(amount_minor), currency, toDate(occurred_at), exponent), `offset`) AS note
    FROM headroom.invoice_events_raw
    WHERE type = 'CreditNoteIssued'
    GROUP BY credit_account_id, credit_note_id
)
SELECT currency, any(exponent) AS exponent, day, sum(minor) AS sales_minor
FROM
(
    SELECT currency, exponent, bill.1 AS day, bill.2 AS minor FROM headroom.invoice_courses ARRAY JOIN bills AS bill
    UNION ALL
    SELECT currency, exponent, greatest(closed_on, issued_on), -amount_minor FROM headroom.invoice_courses WHERE is_cancelled
    UNION ALL
    SELECT note.3, note.5, note.4, -note.2 FROM notes WHERE note.1 != ''
)
GROUP BY currency, day;

CREATE MATERIALIZED VIEW IF NOT EXISTS headroom.sales_by_day_stored
REFRESH EVERY 1 HOUR DEPENDS ON headroom.receivable_changes_stored
ENGINE = MergeTree ORDER BY (currency, day) EMPTY
AS SELECT * FROM headroom.sales_by_day_now;

CREATE OR REPLACE VIEW headroom.sales_by_day AS SELECT * FROM headroom.sales_by_day_now;

CREATE OR REPLACE VIEW headroom.dso AS
WITH
    assumeNotNull((SELECT date FROM headroom.business_day)) AS today,
calendar AS
(
    SELECT currency, exponent, first_day + after AS day, after + 1 AS days_since
    FROM
    (
        SELECT currency, any(exponent) AS exponent, min(day) AS first_day
        FROM headroom.sales_by_day
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
        sum(sold.sales_minor) OVER
            (PARTITION BY calendar.currency ORDER BY calendar.day ROWS BETWEEN 89 PRECEDING AND CURRENT ROW) AS sales_minor
    FROM calendar
    LEFT JOIN headroom.sales_by_day AS sold ON sold.currency = calendar.currency AND sold.day = calendar.day
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

-- The invoices that nobody owes anything of any more today: since when. Not those cancelled or written off.
CREATE OR REPLACE VIEW headroom.invoice_ends AS
WITH
    assumeNotNull((SELECT date FROM headroom.business_day)) AS today,
    arrayLastIndex(day -> day <= today, days) AS last_move,
    arrayLastIndex((day, minor) -> day <= today AND minor > 0, days, owed) AS last_open
SELECT
    credit_account_id, invoice_id, due_on,
    least(closed_on, if(last_open = 0, issued_on, until_days[last_open])) AS settled_on
FROM headroom.invoice_courses
WHERE last_move > 0 AND owed[last_move] = 0 AND closed_on > today;

CREATE OR REPLACE VIEW headroom.customer_lateness_now AS
WITH assumeNotNull((SELECT date FROM headroom.business_day)) AS today
SELECT
    credit_account_id,
    count() AS settled_invoices,
    quantileExact(0.25)(toInt64(settled_on) - toInt64(due_on)) AS days_late_early,
    quantileExact(0.5)(toInt64(settled_on) - toInt64(due_on)) AS days_late_median,
    quantileExact(0.75)(toInt64(settled_on) - toInt64(due_on)) AS days_late_late
FROM headroom.invoice_ends
WHERE settled_on > today - 365 AND settled_on <= today
GROUP BY credit_account_id;

CREATE MATERIALIZED VIEW IF NOT EXISTS headroom.customer_lateness_stored
REFRESH EVERY 1 HOUR DEPENDS ON headroom.sales_by_day_stored
ENGINE = MergeTree ORDER BY credit_account_id EMPTY
AS SELECT * FROM headroom.customer_lateness_now;

CREATE OR REPLACE VIEW headroom.customer_lateness AS SELECT * FROM headroom.customer_lateness_now;

-- As before; looked up are only the invoices that somebody promised to pay.
CREATE OR REPLACE VIEW headroom.promises_now AS
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
    FROM headroom.invoice_events_raw
    WHERE type = 'InvoiceIssued'
        AND (credit_account_id, invoice_id) IN (SELECT credit_account_id, arrayElement(invoice_ids, 1) FROM headroom.promise_events_raw)
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

CREATE MATERIALIZED VIEW IF NOT EXISTS headroom.promises_stored
REFRESH EVERY 1 HOUR DEPENDS ON headroom.customer_lateness_stored
ENGINE = MergeTree ORDER BY (customer_id, promise_id) EMPTY
AS SELECT * FROM headroom.promises_now;

CREATE OR REPLACE VIEW headroom.promises AS SELECT * FROM headroom.promises_now;

-- As before, from what is open today.
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
    toDecimal128(open.open_minor, 4) / intExp10(open.exponent) AS open_amount,
    open.open_minor AS open_minor,
    open.exponent AS exponent
FROM (SELECT * FROM headroom.receivable_spans WHERE open_from <= today AND today < open_until) AS open
LEFT JOIN headroom.customer_lateness AS lateness ON lateness.credit_account_id = open.credit_account_id
LEFT JOIN promised ON promised.credit_account_id = open.credit_account_id AND promised.invoice_id = open.invoice_id
WHERE NOT open.disputed AND (is_promised OR today - open.due_on <= 90);

CREATE OR REPLACE VIEW headroom.dunning_effectiveness_now AS
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
    SELECT credit_account_id AS customer_id, invoice_id, settled_on FROM headroom.invoice_ends
) AS settled
ON settled.customer_id = sent.customer_id AND settled.invoice_id = sent.invoice_id
GROUP BY procedure, level, channel
SETTINGS join_use_nulls = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS headroom.dunning_effectiveness_stored
REFRESH EVERY 1 HOUR DEPENDS ON headroom.promises_stored
ENGINE = MergeTree ORDER BY (procedure, level, channel) EMPTY
AS SELECT * FROM headroom.dunning_effectiveness_now;

CREATE OR REPLACE VIEW headroom.dunning_effectiveness AS SELECT * FROM headroom.dunning_effectiveness_now;

-- By how much the exposure changed on a day, by group and segment of the customer. What runs on has no end here.
CREATE OR REPLACE VIEW headroom.exposure_changes_now AS
SELECT
    currency, any(exponent) AS exponent, group_id, segment, change.1 AS changed_on,
    sum(change.2 * exposure_minor) AS exposure_minor,
    sum(change.2 * open_receivables_minor) AS open_receivables_minor,
    sum(change.2 * delivered_not_invoiced_minor) AS delivered_not_invoiced_minor,
    sum(change.2 * open_orders_minor) AS open_orders_minor,
    sum(change.2 * unapplied_credit_minor) AS unapplied_credit_minor,
    sum(change.2 * overdue_minor) AS overdue_minor,
    sum(change.2 * held_orders) AS held_orders,
    sum(change.2) AS customers
FROM headroom.exposure_pieces
ARRAY JOIN [(since, 1), (until, -1)] AS change
WHERE changed_on <= (SELECT date FROM headroom.business_day)
GROUP BY currency, group_id, segment, changed_on;

CREATE MATERIALIZED VIEW IF NOT EXISTS headroom.exposure_changes_stored
REFRESH EVERY 1 HOUR DEPENDS ON headroom.dunning_effectiveness_stored
ENGINE = MergeTree ORDER BY (currency, group_id, segment, changed_on) EMPTY
-- What is grouped may be more than memory has room for: the rest goes to disk.
AS SELECT * FROM headroom.exposure_changes_now
SETTINGS max_bytes_before_external_group_by = 4000000000;

CREATE OR REPLACE VIEW headroom.exposure_changes AS SELECT * FROM headroom.exposure_changes_now;

CREATE OR REPLACE VIEW headroom.exposure_total_by_day AS
WITH
    assumeNotNull((SELECT date FROM headroom.business_day)) AS today,
changes AS
(
    SELECT
        currency, any(exponent) AS exponent, changed_on,
        sum(exposure_minor) AS exposure_minor,
        sum(open_receivables_minor) AS open_receivables_minor,
        sum(delivered_not_invoiced_minor) AS delivered_not_invoiced_minor,
        sum(open_orders_minor) AS open_orders_minor,
        sum(unapplied_credit_minor) AS unapplied_credit_minor,
        sum(overdue_minor) AS overdue_minor,
        sum(held_orders) AS held_orders,
        sum(customers) AS customers
    FROM headroom.exposure_changes
    GROUP BY currency, changed_on
),
levels AS
(
    SELECT
        currency, exponent, changed_on,
        sum(exposure_minor) OVER course AS exposure_minor,
        sum(open_receivables_minor) OVER course AS open_receivables_minor,
        sum(delivered_not_invoiced_minor) OVER course AS delivered_not_invoiced_minor,
        sum(open_orders_minor) OVER course AS open_orders_minor,
        sum(unapplied_credit_minor) OVER course AS unapplied_credit_minor,
        sum(overdue_minor) OVER course AS overdue_minor,
        sum(held_orders) OVER course AS held_orders,
        sum(customers) OVER course AS customers,
        leadInFrame(changed_on, 1, today + 1) OVER
            (PARTITION BY currency ORDER BY changed_on ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS until
    FROM changes
    WINDOW course AS (PARTITION BY currency ORDER BY changed_on)
)
SELECT
    changed_on + after AS day,
    currency,
    toDecimal128(exposure_minor, 4) / intExp10(exponent) AS exposure,
    toDecimal128(open_receivables_minor, 4) / intExp10(exponent) AS open_receivables,
    toDecimal128(delivered_not_invoiced_minor, 4) / intExp10(exponent) AS delivered_not_invoiced,
    toDecimal128(open_orders_minor, 4) / intExp10(exponent) AS open_orders,
    toDecimal128(unapplied_credit_minor, 4) / intExp10(exponent) AS unapplied_credit,
    toDecimal128(overdue_minor, 4) / intExp10(exponent) AS overdue,
    held_orders,
    customers
FROM levels
ARRAY JOIN range(toUInt64(until - changed_on)) AS after
WHERE customers > 0;

CREATE OR REPLACE VIEW headroom.exposure_by_group_day AS
WITH
    assumeNotNull((SELECT date FROM headroom.business_day)) AS today,
changes AS
(
    SELECT
        group_id, currency, any(exponent) AS exponent, changed_on,
        sum(exposure_minor) AS exposure_minor,
        sum(open_receivables_minor) AS open_receivables_minor,
        sum(delivered_not_invoiced_minor) AS delivered_not_invoiced_minor,
        sum(open_orders_minor) AS open_orders_minor,
        sum(unapplied_credit_minor) AS unapplied_credit_minor,
        sum(overdue_minor) AS overdue_minor,
        sum(held_orders) AS held_orders,
        sum(customers) AS customers
    FROM headroom.exposure_changes
    WHERE group_id != ''
    GROUP BY group_id, currency, changed_on
),
levels AS
(
    SELECT
        group_id, currency, exponent, changed_on,
        sum(exposure_minor) OVER course AS exposure_minor,
        sum(open_receivables_minor) OVER course AS open_receivables_minor,
        sum(delivered_not_invoiced_minor) OVER course AS delivered_not_invoiced_minor,
        sum(open_orders_minor) OVER course AS open_orders_minor,
        sum(unapplied_credit_minor) OVER course AS unapplied_credit_minor,
        sum(overdue_minor) OVER course AS overdue_minor,
        sum(held_orders) OVER course AS held_orders,
        sum(customers) OVER course AS customers,
        leadInFrame(changed_on, 1, today + 1) OVER
            (PARTITION BY group_id, currency ORDER BY changed_on ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS until
    FROM changes
    WINDOW course AS (PARTITION BY group_id, currency ORDER BY changed_on)
)
SELECT
    changed_on + after AS day,
    group_id,
    currency,
    toDecimal128(exposure_minor, 4) / intExp10(exponent) AS exposure,
    toDecimal128(open_receivables_minor, 4) / intExp10(exponent) AS open_receivables,
    toDecimal128(delivered_not_invoiced_minor, 4) / intExp10(exponent) AS delivered_not_invoiced,
    toDecimal128(open_orders_minor, 4) / intExp10(exponent) AS open_orders,
    toDecimal128(unapplied_credit_minor, 4) / intExp10(exponent) AS unapplied_credit,
    toDecimal128(overdue_minor, 4) / intExp10(exponent) AS overdue,
    held_orders,
    customers
FROM levels
ARRAY JOIN range(toUInt64(until - changed_on)) AS after
WHERE customers > 0;

CREATE OR REPLACE VIEW headroom.exposure_by_segment_day AS
WITH
    assumeNotNull((SELECT date FROM headroom.business_day)) AS today,
changes AS
(
    SELECT
        segment, currency, any(exponent) AS exponent, changed_on,
        sum(exposure_minor) AS exposure_minor,
        sum(open_receivables_minor) AS open_receivables_minor,
        sum(delivered_not_invoiced_minor) AS delivered_not_invoiced_minor,
        sum(open_orders_minor) AS open_orders_minor,
        sum(unapplied_credit_minor) AS unapplied_credit_minor,
        sum(overdue_minor) AS overdue_minor,
        sum(held_orders) AS held_orders,
        sum(customers) AS customers
    FROM headroom.exposure_changes
    GROUP BY segment, currency, changed_on
),
levels AS
(
    SELECT
        segment, currency, exponent, changed_on,
        sum(exposure_minor) OVER course AS exposure_minor,
        sum(open_receivables_minor) OVER course AS open_receivables_minor,
        sum(delivered_not_invoiced_minor) OVER course AS delivered_not_invoiced_minor,
        sum(open_orders_minor) OVER course AS open_orders_minor,
        sum(unapplied_credit_minor) OVER course AS unapplied_credit_minor,
        sum(overdue_minor) OVER course AS overdue_minor,
        sum(held_orders) OVER course AS held_orders,
        sum(customers) OVER course AS customers,
        leadInFrame(changed_on, 1, today + 1) OVER
            (PARTITION BY segment, currency ORDER BY changed_on ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS until
    FROM changes
    WINDOW course AS (PARTITION BY segment, currency ORDER BY changed_on)
)
SELECT
    changed_on + after AS day,
    segment,
    currency,
    toDecimal128(exposure_minor, 4) / intExp10(exponent) AS exposure,
    toDecimal128(open_receivables_minor, 4) / intExp10(exponent) AS open_receivables,
    toDecimal128(delivered_not_invoiced_minor, 4) / intExp10(exponent) AS delivered_not_invoiced,
    toDecimal128(open_orders_minor, 4) / intExp10(exponent) AS open_orders,
    toDecimal128(unapplied_credit_minor, 4) / intExp10(exponent) AS unapplied_credit,
    toDecimal128(overdue_minor, 4) / intExp10(exponent) AS overdue,
    held_orders,
    customers
FROM levels
ARRAY JOIN range(toUInt64(until - changed_on)) AS after
WHERE customers > 0;

-- Each customer's last figures.
CREATE OR REPLACE VIEW headroom.exposure_latest_now AS
SELECT
    customer_id,
    argMax(tuple(currency, exponent, exposure_minor, credit_limit_minor, utilisation, overdue_minor, oldest_overdue_days), `offset`) AS figures
FROM headroom.exposures_raw FINAL
GROUP BY customer_id;

CREATE MATERIALIZED VIEW IF NOT EXISTS headroom.exposure_latest_stored
REFRESH EVERY 1 HOUR DEPENDS ON headroom.exposure_changes_stored
ENGINE = MergeTree ORDER BY customer_id EMPTY
AS SELECT * FROM headroom.exposure_latest_now;

CREATE OR REPLACE VIEW headroom.exposure_latest AS SELECT * FROM headroom.exposure_latest_now;

CREATE OR REPLACE VIEW headroom.concentration AS
WITH largest AS
(
    SELECT
        customer_id, figures.1 AS currency, figures.2 AS exponent, figures.3 AS minor, figures.4 AS limit_minor,
        figures.5 AS utilisation, figures.6 AS overdue_minor, figures.7 AS oldest_overdue_days,
        sum(minor) OVER (PARTITION BY currency) AS all_minor,
        sum(minor) OVER (PARTITION BY currency ORDER BY minor DESC, customer_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS so_far,
        row_number() OVER (PARTITION BY currency ORDER BY minor DESC, customer_id) AS place
    FROM headroom.exposure_latest
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

CREATE OR REPLACE VIEW headroom.hold_rate_now AS
SELECT
    toDate(occurred_at) AS day,
    countIf(decision_number = 1) AS orders,
    countIf(decision_number = 1 AND decision = 'held') AS orders_held,
    countIf(decision = 'released') AS releases,
    if(orders > 0, round(orders_held / orders, 4), NULL) AS hold_rate
FROM headroom.order_decisions_raw FINAL
GROUP BY day;

CREATE MATERIALIZED VIEW IF NOT EXISTS headroom.hold_rate_stored
REFRESH EVERY 1 HOUR DEPENDS ON headroom.exposure_latest_stored
ENGINE = MergeTree ORDER BY day EMPTY
AS SELECT * FROM headroom.hold_rate_now;

CREATE OR REPLACE VIEW headroom.hold_rate AS SELECT * FROM headroom.hold_rate_now;

CREATE OR REPLACE VIEW headroom.order_holds_now AS
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

-- By when they began: dashboards ask for the last weeks.
CREATE MATERIALIZED VIEW IF NOT EXISTS headroom.order_holds_stored
REFRESH EVERY 1 HOUR DEPENDS ON headroom.hold_rate_stored
ENGINE = MergeTree ORDER BY (held_at, customer_id) EMPTY
AS SELECT * FROM headroom.order_holds_now;

CREATE OR REPLACE VIEW headroom.order_holds AS SELECT * FROM headroom.order_holds_now;

CREATE OR REPLACE VIEW headroom.alerts_before_hold_now AS
WITH holds AS
(
    SELECT customer_id, order_id, decision_number, occurred_at AS held_at, toDate(occurred_at) AS held_on
    FROM headroom.order_decisions_raw FINAL
    WHERE decision = 'held' AND has(reasons, 'credit_limit_exceeded')
),
words AS
(
    SELECT customer_id, threshold, occurred_at, argMax(direction, `offset`) AS direction
    FROM headroom.limit_alerts_raw FINAL
    GROUP BY customer_id, threshold, occurred_at
),
alerted AS
(
    SELECT
        holds.customer_id AS customer_id, holds.order_id AS order_id, holds.decision_number AS decision_number,
        countIf(words.direction = 'raised') AS standing,
        argMaxIf(tuple(holds.threshold, words.occurred_at), toDecimal64OrZero(holds.threshold, 4), words.direction = 'raised') AS highest,
        minIf(words.occurred_at, words.direction = 'raised') AS first_at
    FROM
    (
        SELECT *, arrayJoin((SELECT groupUniqArray(threshold) FROM headroom.limit_alerts_raw)) AS threshold
        FROM holds
    ) AS holds
    ASOF INNER JOIN words
        ON words.customer_id = holds.customer_id AND words.threshold = holds.threshold AND words.occurred_at < holds.held_at
    GROUP BY customer_id, order_id, decision_number
),
warnings AS
(
    SELECT DISTINCT customer_id, toDate(occurred_at) AS warned_on
    FROM headroom.risk_signals_raw
    WHERE kind = 'forecast_breach'
),
warned AS
(
    SELECT holds.customer_id AS customer_id, holds.order_id AS order_id, holds.decision_number AS decision_number, warnings.warned_on AS warned_on
    FROM holds
    ASOF INNER JOIN warnings ON warnings.customer_id = holds.customer_id AND warnings.warned_on < holds.held_on
)
SELECT
    holds.customer_id AS customer_id,
    holds.order_id AS order_id,
    holds.held_at AS held_at,
    alerted.standing > 0 AS alerted,
    if(alerted, toNullable(alerted.highest.1), NULL) AS threshold,
    if(alerted, toNullable(alerted.highest.2), NULL) AS alerted_at,
    if(alerted, dateDiff('day', toDate(alerted.highest.2), holds.held_on), NULL) AS days_before,
    if(alerted, dateDiff('day', toDate(alerted.first_at), holds.held_on), NULL) AS first_days_before,
    warned.customer_id != '' AND warned.warned_on >= holds.held_on - 30 AS warned,
    if(warned, toNullable(warned.warned_on), NULL) AS warned_on,
    if(warned, toInt64(holds.held_on) - toInt64(warned.warned_on), NULL) AS warned_days_before
FROM holds
LEFT JOIN alerted
    ON alerted.customer_id = holds.customer_id AND alerted.order_id = holds.order_id AND alerted.decision_number = holds.decision_number
LEFT JOIN warned
    ON warned.customer_id = holds.customer_id AND warned.order_id = holds.order_id AND warned.decision_number = holds.decision_number;

-- By when they began, too.
CREATE MATERIALIZED VIEW IF NOT EXISTS headroom.alerts_before_hold_stored
REFRESH EVERY 1 HOUR DEPENDS ON headroom.order_holds_stored
ENGINE = MergeTree ORDER BY (held_at, customer_id) EMPTY
AS SELECT * FROM headroom.alerts_before_hold_now;

CREATE OR REPLACE VIEW headroom.alerts_before_hold AS SELECT * FROM headroom.alerts_before_hold_now;

CREATE OR REPLACE VIEW headroom.disputes_now AS
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
),
billed AS
(
    SELECT credit_account_id, invoice_id, argMax(tuple(assumeNotNull(amount_minor), currency, exponent), (revision, precedence)) AS document
    FROM headroom.invoice_events_raw
    WHERE type = 'InvoiceIssued'
        AND (credit_account_id, invoice_id) IN
            (SELECT credit_account_id, invoice_id FROM headroom.invoice_events_raw WHERE type = 'InvoiceDisputed')
    GROUP BY credit_account_id, invoice_id
)
SELECT
    told.opened.1 AS customer_id, told.invoice_id AS invoice_id, told.dispute_id AS dispute_id,
    splitByChar(':', told.opened.2)[1] AS reason,
    told.opened.4 AS opened_on,
    if(told.is_resolved, told.resolved_as, NULL) AS outcome,
    if(told.is_resolved, told.resolved_day, NULL) AS resolved_on,
    if(told.is_resolved, toInt64(told.resolved_day) - toInt64(told.opened.4), NULL) AS days_to_resolve,
    told.opened.3 AS amount_minor,
    billed.document.2 AS currency,
    if(currency = '', NULL, toDecimal128(coalesce(told.opened.3, billed.document.1), 4) / intExp10(billed.document.3)) AS amount
FROM told
LEFT JOIN billed ON billed.credit_account_id = told.credit_account_id AND billed.invoice_id = told.invoice_id;

CREATE MATERIALIZED VIEW IF NOT EXISTS headroom.disputes_stored
REFRESH EVERY 1 HOUR DEPENDS ON headroom.alerts_before_hold_stored
ENGINE = MergeTree ORDER BY (opened_on, customer_id) EMPTY
AS SELECT * FROM headroom.disputes_now;

CREATE OR REPLACE VIEW headroom.disputes AS SELECT * FROM headroom.disputes_now;

-- What people did, as before; an act that was forwarded to where an account is kept stands in the journal twice.
CREATE OR REPLACE VIEW headroom.collector_productivity_now AS
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
    AND NOT startsWith(origin, 'credit.journal.')
    AND collector != ''
GROUP BY day, collector;

CREATE MATERIALIZED VIEW IF NOT EXISTS headroom.collector_productivity_stored
REFRESH EVERY 1 HOUR DEPENDS ON headroom.disputes_stored
ENGINE = MergeTree ORDER BY (day, collector) EMPTY
AS SELECT * FROM headroom.collector_productivity_now;

CREATE OR REPLACE VIEW headroom.collector_productivity AS SELECT * FROM headroom.collector_productivity_now;

-- The figures of credit and collections at each month's end, and today for the month that runs. All of a currency's
-- history is one row of arrays until the end: three years are some 40 months and 1,100 days.
CREATE OR REPLACE VIEW headroom.collection_figures AS
WITH
    assumeNotNull((SELECT date FROM headroom.business_day)) AS today,
sold AS
(
    SELECT
        currency,
        any(exponent) AS exponent,
        groupArray(day) AS days,
        groupArray(sales_minor) AS minors,
        min(day) AS first_day
    FROM headroom.sales_by_day
    WHERE day <= today
    GROUP BY currency
),
moved AS
(
    SELECT currency, groupArray(month) AS months, groupArray(open_minor) AS opens, groupArray(current_minor) AS currents
    FROM
    (
        SELECT currency, toStartOfMonth(changed_on) AS month, sum(minor) AS open_minor, sum(current_minor) AS current_minor
        FROM headroom.receivable_changes
        WHERE changed_on <= today
        GROUP BY currency, month
    )
    GROUP BY currency
),
histories AS
(
    SELECT
        sold.currency AS currency,
        sold.exponent AS exponent,
        sold.first_day AS first_day,
        sold.days AS days,
        sold.minors AS minors,
        arrayMap(
            after -> addMonths(toStartOfMonth(sold.first_day), after), range(toUInt64(dateDiff('month', sold.first_day, today)) + 1)
        ) AS months,
        arrayMap(month -> least(toLastDayOfMonth(month), today), months) AS ends,
        arrayMap((month, end) -> toInt64(end - month + 1), months, ends) AS lengths,
        arrayMap(month -> arraySum((minor, day) -> if(toStartOfMonth(day) = month, minor, 0), minors, days), months) AS sales,
        arrayMap(end -> arraySum((minor, day) -> if(day > end - 90 AND day <= end, minor, 0), minors, days), ends) AS recent_sales,
        arrayCumSum(arrayMap(month -> arraySum((minor, one) -> if(one = month, minor, 0), moved.opens, moved.months), months)) AS opens,
        arrayCumSum(arrayMap(month -> arraySum((minor, one) -> if(one = month, minor, 0), moved.currents, moved.months), months)) AS currents
    FROM sold
    LEFT JOIN moved ON moved.currency = sold.currency
),
figures AS
(
    SELECT
        currency, exponent,
        months[place] AS month,
        ends[place] AS as_of,
        sales[place] AS sales_minor,
        recent_sales[place] AS recent_minor,
        least(90, toInt64(as_of - first_day + 1)) AS days_of_sales,
        opens[place] AS open_minor,
        currents[place] AS current_minor,
        if(place = 1, 0, opens[place - 1]) AS before_minor,
        -- Backwards from this month: after how many months the sales are as much as is open.
        arrayReverse(arraySlice(sales, 1, place)) AS back,
        arrayReverse(arraySlice(lengths, 1, place)) AS back_lengths,
        arrayCumSum(back) AS back_sums,
        arrayFirstIndex(sum -> sum >= open_minor, back_sums) AS enough
    FROM histories
    ARRAY JOIN arrayEnumerate(months) AS place
)
SELECT
    month,
    as_of,
    currency,
    toDecimal128(sales_minor, 4) / intExp10(exponent) AS sales,
    toDecimal128(open_minor, 4) / intExp10(exponent) AS open_receivables,
    toDecimal128(current_minor, 4) / intExp10(exponent) AS current_receivables,
    toDecimal128(open_minor - current_minor, 4) / intExp10(exponent) AS overdue_receivables,
    if(recent_minor > 0, round(open_minor / recent_minor * days_of_sales, 2), NULL) AS dso,
    multiIf(
        open_minor = 0, toNullable(toFloat64(0)),
        enough = 0, NULL,
        round(
            arraySum(arraySlice(back_lengths, 1, enough - 1))
            + (open_minor - if(enough = 1, 0, back_sums[enough - 1])) / back[enough] * back_lengths[enough],
            2
        )
    ) AS dso_count_back,
    if(recent_minor > 0, round(current_minor / recent_minor * days_of_sales, 2), NULL) AS best_possible_dso,
    if(recent_minor > 0, round((open_minor - current_minor) / recent_minor * days_of_sales, 2), NULL) AS average_days_delinquent,
    if(
        before_minor + sales_minor - current_minor > 0,
        round((before_minor + sales_minor - open_minor) / (before_minor + sales_minor - current_minor), 4),
        NULL
    ) AS collection_effectiveness
FROM figures;

-- When all of them had been stored.
CREATE MATERIALIZED VIEW IF NOT EXISTS headroom.last_stored
REFRESH EVERY 1 HOUR DEPENDS ON headroom.collector_productivity_stored
ENGINE = MergeTree ORDER BY at EMPTY
AS SELECT now('UTC') AS at;
