-- What dashboards ask of ClickHouse: each view with a range of time, by currency, or for one customer.

-- == exposure_total_by_day ==
SELECT day, exposure, open_receivables, open_orders, overdue FROM headroom.exposure_total_by_day
WHERE currency = 'EUR' AND day > (SELECT date FROM headroom.business_day) - 90 ORDER BY day

-- == exposure_by_day, a customer ==
SELECT day, exposure, credit_limit, overdue FROM headroom.exposure_by_day
WHERE customer_id = 'C-000020' AND day > (SELECT date FROM headroom.business_day) - 365 ORDER BY day

-- == exposure_by_group_day ==
SELECT day, exposure, overdue, customers FROM headroom.exposure_by_group_day
WHERE group_id = 'G-20' AND currency = 'EUR' AND day > (SELECT date FROM headroom.business_day) - 90 ORDER BY day

-- == exposure_by_segment_day ==
SELECT day, segment, exposure, overdue FROM headroom.exposure_by_segment_day
WHERE currency = 'EUR' AND day > (SELECT date FROM headroom.business_day) - 90 ORDER BY day, segment

-- == open_receivables_total_by_day ==
SELECT day, open_receivables, open_invoices FROM headroom.open_receivables_total_by_day
WHERE currency = 'EUR' AND day > (SELECT date FROM headroom.business_day) - 90 ORDER BY day

-- == open_receivables_by_day, a customer ==
SELECT day, open_receivables, open_invoices FROM headroom.open_receivables_by_day
WHERE customer_id = 'C-000020' AND day > (SELECT date FROM headroom.business_day) - 90 ORDER BY day

-- == utilisation_distribution ==
SELECT utilisation_from, customers, exposure FROM headroom.utilisation_distribution
WHERE currency = 'EUR' ORDER BY utilisation_from

-- == concentration ==
SELECT place, customer_id, exposure, share, share_so_far FROM headroom.concentration
WHERE currency = 'EUR' ORDER BY place LIMIT 20

-- == ageing ==
SELECT
    currency, sum(current), sum(days_1_30), sum(days_31_60), sum(days_61_90), sum(days_over_90), sum(promised)
FROM headroom.ageing GROUP BY currency

-- == ageing, a customer ==
SELECT * FROM headroom.ageing WHERE customer_id = 'C-000020'

-- == ageing_on, a day long ago ==
SELECT currency, sum(current), sum(days_1_30), sum(days_31_60), sum(days_61_90), sum(days_over_90)
FROM headroom.ageing_on(day = '2024-01-31') GROUP BY currency

-- == top_overdue ==
SELECT customer_id, overdue, share, oldest_days_overdue, next_promised_on FROM headroom.top_overdue
WHERE currency = 'EUR' ORDER BY overdue DESC LIMIT 20

-- == dso ==
SELECT day, dso FROM headroom.dso WHERE currency = 'EUR' AND day > (SELECT date FROM headroom.business_day) - 90 ORDER BY day

-- == collection_figures ==
SELECT * FROM headroom.collection_figures WHERE currency = 'EUR' ORDER BY month

-- == cash_forecast ==
SELECT week, expected, if_early, if_late FROM headroom.cash_forecast WHERE currency = 'EUR' ORDER BY week

-- == hold_rate ==
SELECT day, orders, orders_held, hold_rate FROM headroom.hold_rate WHERE day > (SELECT date FROM headroom.business_day) - 90 ORDER BY day

-- == order_holds ==
SELECT toStartOfWeek(held_at) AS week, count(), median(seconds_held), countIf(released_by IS NOT NULL)
FROM headroom.order_holds WHERE held_at >= (SELECT date FROM headroom.business_day) - 90 GROUP BY week ORDER BY week

-- == alerts_before_hold ==
SELECT toStartOfMonth(held_at) AS month, count(), avg(alerted), avg(warned), median(days_before)
FROM headroom.alerts_before_hold WHERE held_at >= (SELECT date FROM headroom.business_day) - 90 GROUP BY month ORDER BY month

-- == disputes_by_reason ==
SELECT month, reason, opened, solved, days_to_solve_median FROM headroom.disputes_by_reason
WHERE currency = 'EUR' AND month > (SELECT date FROM headroom.business_day) - 365 ORDER BY month, reason

-- == promises_kept ==
SELECT month, made, kept, partly, broken, share_kept FROM headroom.promises_kept
WHERE currency = 'EUR' AND month > (SELECT date FROM headroom.business_day) - 365 ORDER BY month

-- == dunning_effectiveness ==
SELECT procedure, level, channel, invoices, paid_within_7_days, share FROM headroom.dunning_effectiveness

-- == collector_productivity ==
SELECT collector, sum(orders_released), sum(acts), sum(customers) FROM headroom.collector_productivity
WHERE day > (SELECT date FROM headroom.business_day) - 30 GROUP BY collector ORDER BY collector
