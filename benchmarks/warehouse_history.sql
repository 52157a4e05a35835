-- Three years of a wholesaler, made inside ClickHouse: rows of the raw tables, from numbers.
--
-- What is measured on them is time, so they are as many, as long and as unevenly spread as those of the sink, and
-- consistent as far as documents go: what is paid is paid for an invoice that is there, on a day after it. The
-- published figures (exposures, decisions, alerts) are plausible, not computed. Every value is a hash of the order's
-- number: the same numbers make the same rows.

-- == orders ==
-- An order with all that becomes of it; `fate` in thousandths.
SELECT
    number AS n,
    least(toUInt32(floor({customers} * pow(cityHash64(n, 1) % 1000003 / 1000003, 3))), {customers} - 1) AS c,
    concat('C-', leftPad(toString(c), 6, '0')) AS customer,
    c % 7 AS part,
    cityHash64(c, 2) % 100 AS kin,
    multiIf(kin < 70, 'EUR', kin < 90, 'USD', 'JPY') AS money,
    if(kin < 90, 2, 0) AS digits,
    toInt64((40 + 9000 * pow(cityHash64(n, 3) % 1000003 / 1000003, 4)) * if(digits = 2, 100, 150)) AS minor,
    toDateTime64('{first_day} 00:00:00', 6, 'UTC') + toIntervalSecond(intDiv(n * {seconds}, {orders})) AS placed_at,
    toDate(placed_at) AS placed_on,
    placed_at + toIntervalHour(24 + cityHash64(n, 4) % 120) AS delivered_at,
    delivered_at + toIntervalHour(4 + cityHash64(n, 5) % 48) AS issued_at,
    toDate(issued_at) AS issued,
    issued + multiIf(c % 5 = 0, 14, c % 5 < 4, 30, 60) AS due,
    due - 6 + cityHash64(c, 6) % 16 + cityHash64(n, 7) % 9 + if(cityHash64(n, 8) % 40 = 0, 60, 0) AS paying,
    cityHash64(n, 9) % 100 = 0 AS never_pays,
    toDateTime64(paying, 6, 'UTC') + toIntervalSecond(28800 + cityHash64(n, 10) % 36000) AS paid_at,
    cityHash64(n, 11) % 1000 AS fate,
    cityHash64(n, 12) % 100 < 8 AS is_held,
    concat('O-', toString(n)) AS order_name,
    concat('I-', toString(n)) AS invoice_name,
    lower(hex(sipHash128(n, 13))) AS id,
    toInt64(2000000 * pow(cityHash64(n, 14) % 1000003 / 1000003, 2)) AS owing,
    toInt64(2000000) AS allowed,
    toDateTime64('{end}', 6, 'UTC') AS over
FROM numbers({start}, {count})
WHERE number % {sample} = 0

-- == journal ==
INSERT INTO headroom.journal_raw
    (topic, `partition`, `offset`, recorded_at, inserted_at, credit_account_id, type, event_id, occurred_at, customer_id, origin, payload)
SELECT
    'credit.journal.v1', part, n * 16 + place + {shift}, toDateTime64(at, 3), toDateTime(at), customer, what,
    concat(id, '-', toString(place)), at, customer,
    concat('credit.', feed, '.v1@6f1d:', toString(n % 7), ':', toString(n)),
    concat('{{"event_id":"', id, '-', toString(place), '","occurred_at":', toString(toUnixTimestamp64Micro(at)),
           ',"customer_id":"', customer, '"', said, '}}')
FROM
(
    SELECT *, entry.1 AS place, entry.2 AS what, entry.3 AS at, entry.4 AS feed, entry.5 AS said
    FROM ({orders})
    ARRAY JOIN
    [
        (1, 'OrderPlaced', placed_at, 'orders', concat(',"order_id":"', order_name, '","amount":', toString(minor), ',"currency":"', money, '"')),
        (2, 'OrderDelivered', delivered_at, 'orders', concat(',"order_id":"', order_name, '"')),
        (3, 'InvoiceIssued', issued_at, 'invoices',
         concat(',"invoice_id":"', invoice_name, '","amount":', toString(minor), ',"currency":"', money, '","issued_on":',
                toString(toInt32(issued)), ',"due_on":', toString(toInt32(due)), ',"order_id":"', order_name, '"')),
        (4, if(never_pays, '', 'PaymentReceived'), paid_at, 'payments',
         concat(',"payment_id":"P-', toString(n), '","amount":', toString(minor), ',"currency":"', money, '","value_on":',
                toString(toInt32(paying)), ',"allocations":[{{"invoice_id":"', invoice_name, '","amount":', toString(minor), '}}]')),
        (5, if(is_held AND cityHash64(n, 15) % 3 = 0, 'OrderReleased', ''), placed_at + toIntervalHour(3), 'controls',
         concat(',"order_id":"', order_name, '","by":"clerk-', toString(n % 25), '","reason":"known"'))
    ] AS entry
)
WHERE what != '' AND at < over

-- == invoice events ==
INSERT INTO headroom.invoice_events_raw
    (topic, `partition`, `offset`, recorded_at, inserted_at, credit_account_id, type, event_id, occurred_at, customer_id, invoice_id,
     credit_note_id, dispute_id, order_id, amount_minor, currency, exponent, issued_on, due_on, reason, outcome)
SELECT
    'credit.journal.v1', part, n * 16 + place + {shift}, toDateTime64(at, 3), toDateTime(at), customer, what,
    concat(id, '-', toString(place)), at, customer, if(what = 'CreditNoteIssued', invoice_name, invoice_name),
    if(what = 'CreditNoteIssued', concat('N-', toString(n)), ''),
    if(what IN ('InvoiceDisputed', 'DisputeResolved'), concat('D-', toString(n)), ''),
    if(what = 'InvoiceIssued', order_name, ''),
    multiIf(what = 'InvoiceIssued', minor, what = 'CreditNoteIssued', intDiv(minor, 5), NULL),
    if(what IN ('InvoiceIssued', 'CreditNoteIssued'), money, ''), digits,
    if(what = 'InvoiceIssued', issued, NULL), if(what = 'InvoiceIssued', due, NULL),
    if(what = 'InvoiceDisputed', ['damaged', 'price', 'not ordered', 'quality'][n % 4 + 1], ''),
    if(what = 'DisputeResolved', ['upheld', 'partly', 'rejected'][n % 3 + 1], '')
FROM
(
    SELECT *, entry.1 AS place, entry.2 AS what, entry.3 AS at
    FROM ({orders})
    ARRAY JOIN
    [
        (3, 'InvoiceIssued', issued_at),
        (6, if(fate < 15, 'CreditNoteIssued', ''), issued_at + toIntervalDay(5)),
        (7, if(fate >= 15 AND fate < 30, 'InvoiceDisputed', ''), issued_at + toIntervalDay(9)),
        (8, if(fate >= 15 AND fate < 27, 'DisputeResolved', ''), issued_at + toIntervalDay(12 + n % 40)),
        (9, multiIf(fate = 30, 'InvoiceCancelled', never_pays AND n % 2 = 0, 'InvoiceWrittenOff', ''), issued_at + toIntervalDay(if(fate = 30, 3, 300)))
    ] AS entry
)
WHERE what != '' AND at < over

-- == payment events ==
INSERT INTO headroom.payment_events_raw
    (topic, `partition`, `offset`, recorded_at, inserted_at, credit_account_id, type, event_id, occurred_at, customer_id, payment_id,
     amount_minor, currency, exponent, value_on, cleared, allocation_invoice_ids, allocation_amounts_minor, reason)
SELECT
    'credit.journal.v1', part, n * 16 + place + {shift}, toDateTime64(at, 3), toDateTime(at), customer, what,
    concat(id, '-', toString(place)), at, customer, concat('P-', toString(n)),
    if(place = 4, minor, NULL), if(place = 4, money, ''), digits, if(place = 4, paying, NULL), place = 4,
    if(place = 4, [invoice_name], []), if(place = 4, [minor], []), if(place = 4, '', 'charge-back')
FROM
(
    SELECT *, entry.1 AS place, entry.2 AS what, entry.3 AS at
    FROM ({orders})
    ARRAY JOIN
    [
        (4, if(never_pays, '', 'PaymentReceived'), paid_at),
        (10, if(NOT never_pays AND fate >= 995, 'PaymentReversed', ''), paid_at + toIntervalDay(6))
    ] AS entry
)
WHERE what != '' AND at < over

-- == decisions ==
INSERT INTO headroom.order_decisions_raw
    (topic, `partition`, `offset`, recorded_at, inserted_at, event_id, occurred_at, customer_id, order_id, decision, decision_number, reasons,
     amount_minor, currency, exponent, exposure_before_minor, exposure_after_minor, credit_limit_minor, headroom_minor,
     account_currency, account_exponent, utilisation, cause_event_id, policy_version, `by`)
SELECT
    'credit.order-decisions.v1', part, n * 16 + place + {shift}, toDateTime64(at, 3), toDateTime(at),
    lower(hex(sipHash128(n, place))), at, customer, order_name, what, place,
    if(what = 'held', [['credit_limit_exceeded'], ['overdue'], ['credit_limit_exceeded', 'overdue']][n % 3 + 1], []),
    minor, money, digits, owing, owing + if(what = 'held', 0, minor), allowed, allowed - owing, money, digits,
    toString(round(owing / allowed, 4)), concat(id, '-1'), '2026-01', if(what = 'released' AND n % 3 = 0, concat('clerk-', toString(n % 25)), NULL)
FROM
(
    SELECT *, entry.1 AS place, entry.2 AS what, entry.3 AS at
    FROM ({orders})
    ARRAY JOIN
    [
        (1, if(is_held, 'held', 'approved'), placed_at),
        (2, if(is_held, 'released', ''), placed_at + toIntervalMinute(30 + cityHash64(n, 16) % 9000))
    ] AS entry
)
WHERE what != '' AND at < over

-- == alerts ==
INSERT INTO headroom.limit_alerts_raw
    (topic, `partition`, `offset`, recorded_at, inserted_at, event_id, occurred_at, customer_id, threshold, direction, exposure_minor,
     credit_limit_minor, currency, exponent, utilisation, cause_event_id)
SELECT
    'credit.limit-alerts.v1', part, n * 16 + place + {shift}, toDateTime64(at, 3), toDateTime(at),
    lower(hex(sipHash128(n, place))), at, customer, ['0.80', '0.90', '1.00'][n % 3 + 1], if(place = 3, 'raised', 'cleared'),
    owing, allowed, money, digits, toString(round(owing / allowed, 4)), concat(id, '-1')
FROM
(
    SELECT *, entry.1 AS place, entry.2 AS at
    FROM ({orders})
    ARRAY JOIN [(3, placed_at), (4, placed_at + toIntervalDay(9))] AS entry
    WHERE cityHash64(n, 17) % 40 = 0
)
WHERE at < over

-- == exposures ==
INSERT INTO headroom.exposures_raw
    (topic, `partition`, `offset`, recorded_at, inserted_at, event_id, occurred_at, customer_id, currency, exponent, exposure_minor,
     open_receivables_minor, delivered_not_invoiced_minor, open_orders_minor, unapplied_credit_minor, credit_limit_minor,
     headroom_minor, utilisation, overdue_minor, oldest_overdue_days, held_orders, cause_event_id)
SELECT
    'credit.exposures.v1', part, n * 16 + place + {shift}, toDateTime64(at, 3), toDateTime(at),
    lower(hex(sipHash128(n, place))), at, customer, money, digits, owing + minor, owing, intDiv(minor, 4), minor - intDiv(minor, 4), 0,
    if(c % 50 = 0, NULL, allowed), if(c % 50 = 0, NULL, allowed - owing - minor),
    if(c % 50 = 0, NULL, toString(round((owing + minor) / allowed, 4))), intDiv(owing, 10), n % 45, is_held, concat(id, '-', toString(place))
FROM
(
    SELECT *, entry.1 AS place, entry.2 AS at
    FROM ({orders})
    ARRAY JOIN [(5, placed_at), (6, issued_at), (7, if(never_pays, over, paid_at))] AS entry
)
WHERE at < over

-- == signals ==
INSERT INTO headroom.risk_signals_raw
    (topic, `partition`, `offset`, recorded_at, inserted_at, event_id, occurred_at, customer_id, kind, severity, detail, expected_on, promise_id, cause_event_id)
SELECT
    'credit.risk-signals.v1', part, n * 16 + place + {shift}, toDateTime64(at, 3), toDateTime(at),
    lower(hex(sipHash128(n, place))), at, customer, what, 'warning', 'as the forecast has it', if(place = 8, toDate(at) + 12, NULL),
    if(place = 8, '', concat('R-', toString(n))), concat(id, '-1')
FROM
(
    SELECT *, entry.1 AS place, entry.2 AS what, entry.3 AS at
    FROM ({orders})
    ARRAY JOIN
    [
        (8, if(cityHash64(n, 18) % 100 = 0, 'forecast_breach', ''), placed_at),
        (9, if(cityHash64(n, 19) % 100 = 0, ['promise_kept', 'promise_kept', 'promise_partly_kept', 'promise_broken'][n % 4 + 1], ''),
         toDateTime64(due + 20, 6, 'UTC'))
    ] AS entry
)
WHERE what != '' AND at < over

-- == promises ==
INSERT INTO headroom.promise_events_raw
    (topic, `partition`, `offset`, recorded_at, inserted_at, credit_account_id, type, event_id, occurred_at, customer_id, promise_id, invoice_ids,
     instalment_days, instalment_amounts_minor)
SELECT
    'credit.journal.v1', part, n * 16 + 11 + {shift}, toDateTime64(at, 3), toDateTime(at), customer, 'PromiseToPayMade',
    concat(id, '-11'), at, customer, concat('R-', toString(n)), [invoice_name], [toInt64(due + 15)], [minor]
FROM (SELECT *, toDateTime64(due + 8, 6, 'UTC') AS at FROM ({orders}) WHERE cityHash64(n, 19) % 100 = 0)
WHERE at < over

-- == dunning steps ==
INSERT INTO headroom.dunning_steps_raw
    (topic, `partition`, `offset`, recorded_at, inserted_at, event_id, occurred_at, customer_id, step_id, attempt, level, procedure, channel,
     template, language, proposed, principal_minor, interest_minor, costs_minor, currency, exponent, legal_basis, pay_by, invoice_ids,
     invoice_levels, invoice_amounts_minor)
SELECT
    'credit.dunning-steps.v1', part, n * 16 + level + {shift}, toDateTime64(at, 3), toDateTime(at),
    lower(hex(sipHash128(n, 20, level))), at, customer, concat(customer, '/', toString(toDate(at)), '/', toString(n)), 1, level,
    if(c % 4 = 0, 'public-sector', 'friendly-b2b'), if(level = 3, 'letter', 'email'), 'reminder', 'nl', false, minor, 0, 0, money, digits,
    '', toDate(at) + 7, [invoice_name], [toInt64(level)], [minor]
FROM
(
    SELECT *, entry.1 AS level, entry.2 AS at
    FROM ({orders})
    ARRAY JOIN [(1, toDateTime64(due + 7, 6, 'UTC')), (2, toDateTime64(due + 21, 6, 'UTC')), (3, toDateTime64(due + 35, 6, 'UTC'))] AS entry
    WHERE never_pays OR toDate(at) < paying
)
WHERE at < over

-- == dunning outcomes ==
INSERT INTO headroom.dunning_outcomes_raw
    (topic, `partition`, `offset`, recorded_at, inserted_at, event_id, occurred_at, customer_id, step_id, attempt, level, outcome, channel, outcome_on)
SELECT
    'credit.dunning-steps.v1', part, n * 16 + 8 + level + {shift}, toDateTime64(at, 3), toDateTime(at),
    lower(hex(sipHash128(n, 21, level))), at, customer, concat(customer, '/', toString(toDate(at)), '/', toString(n)), 1, level,
    if(n % 30 = 0, 'bounced', 'sent'), if(level = 3, 'letter', 'email'), toDate(at)
FROM
(
    SELECT *, entry.1 AS level, entry.2 AS at
    FROM ({orders})
    ARRAY JOIN [(1, toDateTime64(due + 7, 6, 'UTC')), (2, toDateTime64(due + 21, 6, 'UTC')), (3, toDateTime64(due + 35, 6, 'UTC'))] AS entry
    WHERE never_pays OR toDate(at) < paying
)
WHERE at < over

-- == customers ==
INSERT INTO headroom.customer_records_raw
    (topic, `partition`, `offset`, recorded_at, inserted_at, credit_account_id, event_id, occurred_at, customer_id, group_id, segment)
SELECT
    'credit.journal.v1', c % 7, number, toDateTime64(at, 3), toDateTime(at), customer, lower(hex(sipHash128(number, 30))), at, customer,
    if(c % 5 = 0, concat('G-', toString((c + time) % 500)), ''), ['retail', 'wholesale', 'public', 'export', ''][(c + time) % 5 + 1]
FROM
(
    SELECT
        number, intDiv(number, 3) AS c, number % 3 AS time, concat('C-', leftPad(toString(c), 6, '0')) AS customer,
        toDateTime64('{first_day} 00:00:00', 6, 'UTC') + toIntervalDay(time * (50 + c % 400)) AS at
    FROM numbers({customers} * 3)
)

-- == business days ==
INSERT INTO headroom.business_days_raw (topic, `partition`, `offset`, recorded_at, inserted_at, event_id, date)
SELECT 'credit.journal.v1', 0, number, toDateTime64(day, 3, 'UTC'), toDateTime(day, 'UTC'), concat('day-', toString(day)), day
FROM (SELECT number, toDate('{first_day}') + number AS day FROM numbers({days}))
