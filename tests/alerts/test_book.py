"""`headroom alerts list` tells what became of each alert, and the file of routes is checked."""

from __future__ import annotations

from pathlib import Path

import pytest
from alerts.told import AT, HOUR, alert, decision, limit_alert, notice, recipient
from typer.testing import CliRunner

from agents.alerts.book import AlertBook
from agents.alerts.notice import Answered, Notice, Over, Said, Snoozed
from agents.cli import alerts as command
from agents.notify.outbox import Known
from streams.errors import ConfigurationError

_ANN, _ERP = recipient("ann"), recipient("erp", "webhook")


def book(*said: Said, position: int = 0, **known: Known) -> AlertBook:
    made = AlertBook()
    made.read(enumerate(said), known, position)
    return made


def test_what_became_of_each_notice_is_told() -> None:
    both = [notice(_ANN), notice(_ERP), notice(recipient("head"), level=1, not_before=AT + HOUR)]
    made = AlertBook()
    known = {both[0].key: Known(0, 0, result="sent", at=AT + 1), both[1].key: Known(1, 0, "m")}
    made.read(enumerate([*both, both[0]]), known, 0)
    (one,) = made.alerts()
    assert [(told.recipient, told.state, told.at) for told in one.told] == [
        ("erp", "leaving", AT),
        ("ann", "sent", AT + 1),
        ("head", "waiting", AT + HOUR),
    ]
    assert one.is_open
    (old,) = book(notice(_ANN), position=1).alerts()
    assert old.told[0].state == ""


@pytest.mark.parametrize(
    ("act", "is_open"),
    [
        (Answered("d-O-9-held", "ann", AT + 1), False),
        (Answered("another", "ann", AT + 1), True),
        (Over("order O-9 of C-1", AT + 1), False),
        (Over("order O-9 of C-1", AT - 1), True),
        (Snoozed("C-1", "", "ann", AT, AT + HOUR), True),
    ],
)
def test_an_alert_is_open_until_somebody_sees_to_it_or_it_ends(act: Said, is_open: bool) -> None:
    (one,) = book(act, notice(_ANN)).alerts()
    assert one.is_open is is_open
    assert one.snoozed_until == (AT + HOUR if isinstance(act, Snoozed) else 0)


def test_what_only_informs_is_nothing_to_see_to() -> None:
    said: list[Notice] = [
        notice(_ANN, alert(decision(status="released"))),
        notice(_ANN, alert(limit_alert(direction="cleared"))),
    ]
    assert not any(one.is_open for one in book(*said).alerts())


def test_a_file_is_checked_and_told(tmp_path: Path) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(
        """recipients.ann.email = "ann@firm.example"
        recipients.ben.email = "ben@firm.example"
        [[routes]]
        name = "all"
        to = "ann"
        urgent = true
        escalate = [{after_minutes = 30, to = ["ann"]}]
        """
    )
    done = CliRunner().invoke(command.app, ["check", str(file)])
    assert done.exit_code == 0
    assert done.stdout == ("2 recipients: 2 by email\nall: ann (urgent)\n  after 30 minutes: ann\n")
    assert done.stderr == "ben is named by no route; only as an account manager\n"
    file.write_text("recipients = 1")
    refused = CliRunner().invoke(command.app, ["check", str(file)])
    assert isinstance(refused.exception, ConfigurationError)
    assert "routes: there are none" in str(refused.exception)


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["snooze", "--by", "ann", "--for", "4h"], "name an alert, or a --customer"),
        (["snooze", "a", "--by", "ann"], "say --until when, or --for how long"),
        (["snooze", "a", "--by", "ann", "--for", "4 hours"], "--for: as 30m, 4h or 2d"),
        (["snooze", "a", "--by", "ann", "--until", "noon"], "--until: "),
    ],
)
def test_who_snoozes_says_what_and_until_when(words: list[str], fault: str) -> None:
    refused = CliRunner().invoke(command.app, words)
    assert isinstance(refused.exception, ConfigurationError)
    assert fault in str(refused.exception)
