"""What another policy would have decided."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest
import typer
from credit.one_customer import histories
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import csv, parquet
from typer.testing import CliRunner

from agents.backtest.courses import TwoCourses
from agents.backtest.report import Report, report
from agents.cli.backtest import backtest
from agents.core.policy import PolicyBook
from agents.core.policy_text import parse_policy
from agents.simulate import Simulation, with_days
from schemas.dates import parse_day
from schemas.events import Event, OrderDecision
from schemas.json_lines import BadLine, read

_SHIPPED = (files("agents.policy") / "default.toml").read_text(encoding="utf-8")


def policy(text: str = "") -> PolicyBook:
    return parse_policy(f'version = "tried"\n{text}', _SHIPPED)


STRICT = policy("[overdue]\nmax_overdue_days = 5\n")


def compared(
    history: list[Event], current: PolicyBook, proposed: PolicyBook, since: str | None = None
) -> Report:
    courses = TwoCourses(current, proposed, None if since is None else parse_day(since))
    for event in history:
        courses.feed(event)
    return report(courses, 30)


INVOICE = "InvoiceIssued customer_id=C-1 amount"
HISTORY = f"""\
2026-01-01 CustomerUpserted customer_id=C-1 credit_limit=10000.00 segment=small
2026-01-01 CustomerUpserted customer_id=C-2 credit_limit=10000.00
2026-01-01 {INVOICE}=500.00 invoice_id=I-1 issued_on=2026-01-01 due_on=2026-01-31
2026-02-10 OrderPlaced customer_id=C-1 order_id=O-1 amount=300.00
2026-02-11 OrderPlaced customer_id=C-2 order_id=O-2 amount=900.00
2026-02-20 PaymentReceived customer_id=C-1 payment_id=P-1 amount=500.00 value_on=2026-02-20 pays=I-1
2026-02-21 {INVOICE}=300.00 invoice_id=I-2 issued_on=2026-02-21 due_on=2026-03-01 order_id=O-1
2026-06-01 CustomerBlocked customer_id=C-2 reason=end by=ann
"""


def lines() -> list[str]:
    """The history as JSON lines."""
    told = []
    for number, line in enumerate(HISTORY.splitlines()):
        day, kind, *pairs = line.split()
        fields = dict(pair.split("=") for pair in pairs)
        if "amount" in fields or "credit_limit" in fields:
            fields["currency"] = "EUR"
        said: dict[str, object] = {
            "type": kind,
            "event_id": f"e-{number}",
            "occurred_at": f"{day}T12:00:00Z",
            **fields,
        }
        if "pays" in fields:
            paid = {"invoice_id": said.pop("pays"), "amount": fields["amount"]}
            said["allocations"] = [paid]
        told.append(json.dumps(said))
    return told


def history() -> list[Event]:
    events = [event for event in read(lines()) if not isinstance(event, BadLine)]
    assert len(events) == len(HISTORY.splitlines())
    return list(with_days(events))


@given(histories(max_events=20), st.none() | st.integers(20_000, 20_007))
def test_the_same_policy_decides_the_same(events: list[Event], since: int | None) -> None:
    courses = TwoCourses(policy(), policy(), since)
    for event in events:
        courses.feed(event)
    found = report(courses, 30)
    assert found.orders == []
    assert all(one.more == one.fewer == 0 and one.current == one.proposed for one in found.alerts)


@given(histories(max_events=20))
def test_each_course_decides_as_its_policy_alone_does(events: list[Event]) -> None:
    proposed = policy('[credit]\nheld_orders_consume = true\n[alerts]\nthresholds = ["0.50"]\n')
    courses = TwoCourses(policy(), proposed, None)
    for event in events:
        courses.feed(event)
    if courses.proposed is None:
        raise AssertionError("without a day they part with the first event")
    for course, book in ((courses.current, policy()), (courses.proposed, proposed)):
        alone: dict[str, list[str]] = {}
        simulation = Simulation(book)
        for event in events:
            for effect in simulation.feed(event):
                if isinstance(effect, OrderDecision):
                    alone.setdefault(effect.order_id, []).append(effect.decision)
        assert alone == {
            order_id: [decision for decision, _ in stay.said]
            for (_, order_id), stay in course.orders.items()
        }


def test_an_order_newly_held_delays_revenue_and_its_late_invoice_was_at_risk() -> None:
    found = compared(history(), policy(), STRICT)
    (change,) = found.orders
    assert (change.order_id, change.change) == ("O-1", "newly held")
    assert (change.first_current, change.first_proposed) == ("approved", "held")
    assert (change.reasons_proposed, change.at_risk) == (["overdue"], True)
    assert (change.days_held_current, change.days_held_proposed) == (0, 10)
    other, small = found.segments
    assert (small.segment, small.orders, small.newly_held) == ("small", 1, 1)
    assert (small.exposure_not_taken, small.at_risk_not_taken) == (300_00, 300_00)
    assert (small.revenue_delayed, small.days_delayed) == (300_00, 10)
    assert (other.segment, other.orders, other.newly_held) == ("", 1, 0)


def test_the_other_way_round_it_is_exposure_taken_on() -> None:
    found = compared(history(), STRICT, policy())
    assert found.orders[0].change == "no longer held"
    small = found.segments[1]
    assert (small.exposure_taken_on, small.at_risk_taken_on) == (300_00, 300_00)
    assert (small.revenue_earlier, small.days_earlier) == (300_00, 10)
    assert (small.exposure_not_taken, small.revenue_delayed) == (0, 0)


def test_a_day_from_which_it_counts_leaves_what_was_before_as_it_was() -> None:
    assert compared(history(), policy(), STRICT, since="2026-02-11").orders == []
    assert len(compared(history(), policy(), STRICT, since="2026-02-10").orders) == 1


def test_an_order_that_waits_when_the_policies_part_is_released_sooner() -> None:
    found = compared(history(), STRICT, policy(), since="2026-02-15")
    (change,) = found.orders
    assert change.change == "held shorter"
    assert (change.days_held_current, change.days_held_proposed) == (5.5, 0)


def test_the_proposed_policys_own_later_versions_count_from_their_days() -> None:
    later = policy(
        '[[versions]]\nversion = "later"\nvalid_from = 2026-02-10\n'
        "[versions.overdue]\nmax_overdue_days = 5\n"
    )
    assert len(compared(history(), policy(), later).orders) == 1
    assert len(compared(history(), policy(), later, since="2026-01-15").orders) == 1


def test_alerts_more_and_fewer_are_told_by_threshold() -> None:
    found = compared(history(), policy(), policy('[alerts]\nthresholds = ["0.06", "1.00"]\n'))
    assert [(one.segment, one.threshold, one.more, one.fewer) for one in found.alerts] == [
        ("", "0.06", 1, 0),
        ("small", "0.06", 1, 0),
    ]


# ── the command ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def files_of_a_test(tmp_path: Path) -> Path:
    (tmp_path / "journal.jsonl").write_text("\n".join([*lines(), "no event"]), encoding="utf-8")
    (tmp_path / "strict.toml").write_text(
        'version = "strict"\n[overdue]\nmax_overdue_days = 5\n', encoding="utf-8"
    )
    return tmp_path


def run(directory: Path, *arguments: str) -> tuple[int, str, str]:
    app = typer.Typer()
    app.command()(backtest)
    said = CliRunner().invoke(
        app,
        [
            *("--policy", str(directory / "strict.toml")),
            *("--journal", str(directory / "journal.jsonl"), "--days", *arguments),
        ],
    )
    return said.exit_code, said.stdout, said.stderr


def test_the_command_says_what_changes_and_names_lines_it_cannot_use(
    files_of_a_test: Path,
) -> None:
    code, stdout, stderr = run(files_of_a_test)
    assert code == 0
    assert "1 orders are decided differently" in stdout
    assert "line 9: not JSON" in stderr


def test_as_json_amounts_are_decimal_texts(files_of_a_test: Path) -> None:
    _, stdout, _ = run(files_of_a_test, "--json")
    said = json.loads(stdout)
    assert said["orders"][0]["amount"] == "300.00"
    assert said["orders"][0]["reasons_proposed"] == ["overdue"]
    small = next(one for one in said["segments"] if one["segment"] == "small")
    assert (small["revenue_delayed"], small["days_delayed"]) == ("300.00", 10.0)


@pytest.mark.parametrize("name", ["orders.csv", "orders.parquet"])
def test_the_orders_are_written_to_a_file(files_of_a_test: Path, name: str) -> None:
    code, _, _ = run(files_of_a_test, "--out", str(files_of_a_test / name))
    assert code == 0
    reader = csv.read_csv if name.endswith("csv") else parquet.read_table
    (row,) = reader(files_of_a_test / name).to_pylist()
    assert (row["order_id"], float(row["amount"]), row["change"]) == ("O-1", 300, "newly held")
    assert row["at_risk"] is True


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("--out", "orders.txt"), "--out orders.txt"),
        (("--from", "yesterday"), "--from yesterday"),
    ],
)
def test_wrong_use_is_told_by_its_option(
    files_of_a_test: Path, arguments: tuple[str, ...], fault: str
) -> None:
    app = typer.Typer()
    app.command()(backtest)
    said = CliRunner().invoke(app, ["--policy", str(files_of_a_test / "strict.toml"), *arguments])
    assert said.exit_code != 0
    assert fault in str(said.exception)
