"""The history that `headroom bench warehouse` makes, what it asks, and other layouts."""

from __future__ import annotations

import pytest
from clickhouse_connect.driver.client import Client

from benchmarks.layouts import TRIALS, tried
from benchmarks.warehouse_history import fill, named_statements

pytestmark = pytest.mark.connected

ROWS = 4_000


def test_every_question_has_an_answer_on_a_history_told_with_repeats(tables: Client) -> None:
    told: list[int] = []
    fill(tables, ROWS, told.append)
    assert told == [ROWS]
    ((rows, once),) = tables.query(
        "SELECT count(), uniqExact(event_id) FROM headroom.journal_raw"
    ).result_rows
    assert ROWS * 0.95 < once < rows < ROWS * 1.05
    for name, question in named_statements("warehouse_questions.sql").items():
        found = tables.query(question).result_rows
        # Groups and customers are few here: not everything that is asked for is there.
        assert found or "group" in name or "customer" in name, name
    ((opened, twice),) = tables.query(
        "SELECT sum(open_amount), count() - uniqExact(invoice_id) FROM headroom.invoices"
    ).result_rows
    ((total,),) = tables.query("SELECT sum(total) FROM headroom.ageing").result_rows
    assert twice == 0
    assert opened == total > 0


def test_every_layout_takes_the_rows_and_is_gone_again(tables: Client) -> None:
    fill(tables, 400, lambda _rows: None)
    told: list[str] = []
    found = list(tried(tables, told.append))
    assert [(one.table, one.layout) for one in found] == [
        (trial.table, layout.name) for trial in TRIALS for layout in trial.layouts
    ]
    assert all(one.megabytes > 0 for one in found)
    assert all(one.seconds.keys() == dict(trial.questions).keys() for trial in TRIALS
               for one in found if one.table == trial.table)  # fmt: skip
    assert tables.query("EXISTS TABLE headroom.trial").result_rows == [(0,)]
