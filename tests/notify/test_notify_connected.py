"""From an invoice that nobody pays to the mailbox: real broker, workers and mail server."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from notify.firm import ENDS, Firm, next_day, settled, working_day
from worker.conftest import START

from schemas.dates import format_day
from schemas.events import (
    Allocation,
    DunningStep,
    DunningStepSettled,
    PaymentReceived,
)
from streams.embedded.kafka import EmbeddedKafka

pytestmark = [pytest.mark.connected, pytest.mark.slow]

_PROCEDURE = """
kind = "b2b"
min_days_between = 1

[[steps]]
days = 1
channels = ["email", "sms"]
template = "friendly_reminder"

[[steps]]
days = 2
channels = ["email"]
template = "second_reminder"
proposed = true
"""
_CUSTOMERS = 40
_WHERE = {
    "before it is written that a letter is about to leave": (
        'ends(NotifyPartition, "_leave", after=False)'
    ),
    "after that, before the dot": 'ends(_Mail, "finish", after=False)',
    "after the dot, before its outcome is written": 'ends(_Mail, "finish", after=True)',
    "after its outcome is written": 'ends(NotifyPartition, "_report", after=True)',
}


@pytest.fixture
def firm(tmp_path: Path, cache_dir: Path, request: pytest.FixtureRequest) -> Iterator[Firm]:
    """With the guarantee that the test asks for, else the usual one."""
    guarantee = getattr(request, "param", "effectively_once")
    with EmbeddedKafka(tmp_path / "kafka", cache=cache_dir) as kafka:
        one = Firm(
            tmp_path,
            kafka.bootstrap_servers,
            _PROCEDURE,
            _CUSTOMERS,
            HEADROOM_GUARANTEE=guarantee,
        )
        yield one
        one.close()


def listed(firm: Firm, customers: int) -> dict[str, Any]:
    """The worklist by customer. It tells what is committed, which is behind what was said."""
    deadline = time.monotonic() + 20
    while True:
        tasks = {one["customer_id"]: one for one in json.loads(firm.dunning("list", "--json"))}
        if len(tasks) == customers:
            return tasks
        assert time.monotonic() < deadline, tasks.keys()


@pytest.mark.parametrize("firm", ["effectively_once", "exactly_once"], indirect=True)
def test_who_does_not_pay_gets_one_mail_and_it_is_known_to_be_sent(firm: Firm) -> None:
    today = working_day()
    firm.mailroom.at_recipient = lambda address: (
        "550 unknown" if address == "c-7@customers.example" else None
    )
    firm.desk.start()
    post = firm.post()
    post.start(only="notify")
    firm.desk.wait_until_ready()
    firm.owe(today)
    post.wait_until_ready()
    firm.begin(today)
    firm.told(settled("sent", _CUSTOMERS - 1))
    outcomes = firm.outcomes()
    assert outcomes.pop("C-7") == ["bounced", "undeliverable"], outcomes
    assert set(map(tuple, outcomes.values())) == {("sent",)}
    assert firm.mailroom.received() == Counter(
        f"{customer}@customers.example".lower() for customer in outcomes
    )
    mail = firm.mailroom.box[0]
    assert mail["Subject"].startswith("Herinnering: I-C-")
    assert 'headroom_letters_total{channel="email",result="sent"} 39.0' in post.get("/metrics")[1]
    explained = firm.dunning("explain", f"C-1/{format_day(today)}/1")
    assert explained.splitlines()[0].endswith("friendly_reminder about I-C-1")
    assert "121.00" in explained
    firm.begin(next_day(today))
    firm.told(lambda said: len([e for e in said if isinstance(e, DunningStep) and e.proposed]) > 38)
    tasks = listed(firm, _CUSTOMERS)
    assert {one["task"] for one in tasks.values()} == {"approve", "find a contact"}
    assert tasks["C-7"]["task"] == "find a contact"
    who = ("--by", "ann", "--reason", "as agreed")
    firm.dunning("approve", tasks["C-1"]["step_id"], *who)
    firm.dunning("skip", tasks["C-2"]["step_id"], *who)
    firm.told(settled("skipped", 1))
    firm.begin(next_day(next_day(today)))
    firm.told(settled("sent", _CUSTOMERS))
    assert firm.mailroom.received()["c-1@customers.example"] == 2
    assert firm.mailroom.box[-1]["Subject"] == "Tweede herinnering: I-C-1"
    assert len(firm.mailroom.box) == _CUSTOMERS
    (firm.directory / "came-back.mbox").write_text(_came_back(firm, "C-3"))
    for _ in range(2):  # the second time changes nothing
        shown = firm.dunning("bounces", str(firm.directory / "came-back.mbox"))
        assert shown == f"C-3/{format_day(today)}/1: c-3@customers.example: 550 5.1.1 gone\n"
    firm.told(settled("bounced", 2))
    assert firm.outcomes()["C-3"][-2:] == ["bounced", "undeliverable"]
    firm.dunning("pause", "C-4", *who, "--until", format_day(today + 30))
    firm.told(settled("withdrawn", 1))
    firm.dunning("resume", "C-4", *who)
    assert firm.run("reconcile") == f"0 differences in {_CUSTOMERS} accounts\n"
    post.terminate()
    firm.desk.terminate()
    assert (post.wait(30), firm.desk.wait(30)) == (0, 0), post.log
    assert "Traceback" not in post.log


def _came_back(firm: Firm, customer: str) -> str:
    """A mailbox with the report that a customer's mail came back, and a mail that is none."""
    to = f"{customer}@customers.example".lower()
    mail = next(one for one in firm.mailroom.box if one["To"] == to)
    return f"""\
From MAILER-DAEMON Mon Nov 30 09:00:00 2026
Content-Type: multipart/report; report-type=delivery-status; boundary="B"

--B
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; {to}
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 gone

--B
Content-Type: text/rfc822-headers

Message-ID: {mail["Message-ID"]}

--B--

From ann Mon Nov 30 09:00:00 2026
Subject: lunch?

Are you coming?
"""


def known(said: list[DunningStep | DunningStepSettled]) -> bool:
    """Of everybody it is known that it was sent, or that it is not known."""
    ends = ("sent", "uncertain")
    return (
        len(
            {e.customer_id for e in said if isinstance(e, DunningStepSettled) and e.outcome in ends}
        )
        == _CUSTOMERS
    )


def all_sent(said: list[DunningStep | DunningStepSettled]) -> bool:
    return settled("sent", _CUSTOMERS)(said)


def test_killed_wherever_it_is_the_agent_sends_nothing_twice_and_forgets_nothing(
    firm: Firm,
) -> None:
    today = working_day()
    firm.desk.start()
    firm.desk.wait_until_ready()
    firm.owe(today)
    firm.begin(today)
    for where, how in _WHERE.items():
        post = firm.post()
        post.start(program=ENDS + how + "\n" + START, only="notify")
        assert post.wait(60) == 9, where
    firm.mailroom.slow = 0.2
    for _ in range(3):
        firm.mailroom.taken.clear()
        post = firm.post()
        post.start(only="notify")
        assert firm.mailroom.taken.wait(60), post.log
        time.sleep(0.1)
        post.kill()
    firm.mailroom.slow = 0.0
    post = firm.post()
    post.start(only="notify")
    firm.told(known)
    assert known(firm.said), firm.outcomes()
    assert max(firm.mailroom.received().values()) == 1
    assert firm.find_out() >= 2
    firm.begin(next_day(today))
    firm.told(all_sent)
    assert all_sent(firm.said), firm.outcomes()
    assert firm.each_has_one()


def test_a_letter_that_is_no_longer_true_stays_while_the_mail_server_is_away(firm: Firm) -> None:
    today = working_day()
    firm.mailroom.at_recipient = lambda _address: "421 come back later"
    firm.desk.start()
    post = firm.post()
    post.start(only="notify")
    firm.desk.wait_until_ready()
    firm.owe(today)
    firm.begin(today)
    firm.told(lambda said: len(said) >= _CUSTOMERS)
    post.wait_until_ready()
    _until(lambda: 'headroom_carrier_away{channel="email"} 1.0' in post.get("/metrics")[1])
    firm.broker.send(
        PaymentReceived(
            event_id="paid",
            occurred_at=today * 86_400_000_000,
            customer_id="C-3",
            payment_id="P-1",
            amount=121_00,
            currency="EUR",
            value_on=today,
            allocations=[Allocation(invoice_id="I-C-3", amount=121_00)],
        )
    )
    firm.broker.flush()
    firm.told(settled("withdrawn", 1))
    firm.mailroom.at_recipient = lambda _address: None
    firm.told(settled("sent", _CUSTOMERS - 1))
    assert firm.outcomes()["C-3"] == ["withdrawn"]
    assert firm.mailroom.received()["c-3@customers.example"] == 0
    assert len(firm.mailroom.box) == _CUSTOMERS - 1


def test_who_was_frozen_while_another_took_over_sends_nothing_more(firm: Firm) -> None:
    today = working_day()
    firm.mailroom.slow = 0.3
    firm.desk.start()
    frozen = firm.post()
    frozen.start(only="notify")
    firm.desk.wait_until_ready()
    firm.owe(today)
    firm.begin(today)
    assert firm.mailroom.taken.wait(60)
    frozen.signal(signal.SIGSTOP)
    other = firm.post()
    other.start(only="notify")
    firm.told(known)
    assert known(firm.said), firm.outcomes()
    frozen.signal(signal.SIGCONT)
    _until(lambda: frozen.get("/readyz")[0] in (200, 503))
    time.sleep(2)  # what must not come has the time to come
    assert max(firm.mailroom.received().values()) == 1
    firm.find_out()
    firm.begin(next_day(today))
    firm.told(all_sent)
    assert all_sent(firm.said), firm.outcomes()
    assert firm.each_has_one()


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)
