"""`headroom dunning preview` as a person runs it, on a file of events."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli.test_cli import headroom

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("clean_environment")]

_EVENTS = (
    {
        "type": "CustomerUpserted",
        "event_id": "a",
        "occurred_at": "2026-02-01T00:00:00Z",
        "customer_id": "C-1",
        "currency": "EUR",
        "credit_limit": "9000.00",
        "country": "NL",
        "language": "en",
        "name": "Bakkerij",
        "email": "ap@bakker.example",
    },
    {
        "type": "InvoiceIssued",
        "event_id": "b",
        "occurred_at": "2026-03-02T00:00:00Z",
        "customer_id": "C-1",
        "invoice_id": "I-1",
        "amount": "1000.00",
        "currency": "EUR",
        "issued_on": "2026-03-02",
        "due_on": "2026-03-16",
    },
)


@pytest.fixture
def journal(tmp_path: Path) -> str:
    path = tmp_path / "events.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in _EVENTS))
    return str(path)


def preview(day: str, journal: str, *more: str) -> tuple[str, str]:
    done = headroom(
        "dunning", "preview", "--date", day, "--journal", journal,
        "--procedures", "agents/dunning/procedures", *more,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_the_letters_of_a_day_are_printed(journal: str) -> None:
    letters, summary = preview("2026-03-23", journal)
    assert "C-1/2026-03-23/1  level 2, friendly_reminder by email to ap@bakker.example" in letters
    assert "Reminder: I-1\n\nDear Bakkerij," in letters
    assert "To pay: €1,000.00" in letters
    assert summary == "2026-03-23: 1 by email\n"


def test_a_program_reads_the_same(journal: str) -> None:
    letters, _ = preview("2026-03-23", journal, "--json")
    (step,) = [json.loads(line) for line in letters.splitlines()]
    assert (step["step_id"], step["principal"]) == ("C-1/2026-03-23/1", "1000.00")
    assert step["subject"] == "Reminder: I-1"


def test_a_day_without_letters_says_so(journal: str) -> None:
    assert preview("2026-03-24", journal) == ("", "2026-03-24: nothing goes out\n")
    assert preview("2026-03-23", journal, "--customer", "C-2")[0] == ""


@pytest.mark.parametrize(
    ("day", "told"),
    [
        ("2026-02-28", "headroom: --date: 2026-03-02 has begun already"),
        ("soon", "headroom: --date: 'soon'"),
    ],
)
def test_a_day_that_cannot_be_previewed_is_refused(day: str, told: str, journal: str) -> None:
    done = headroom(
        "dunning", "preview", "--date", day, "--journal", journal,
        "--procedures", "agents/dunning/procedures",
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith(told), done.stderr


def test_without_procedures_nobody_is_dunned(journal: str) -> None:
    done = headroom("dunning", "preview", "--date", "2026-03-23", "--journal", journal)
    assert done.returncode == 2
    assert "name --procedures or HEADROOM_PROCEDURES_DIR" in done.stderr
