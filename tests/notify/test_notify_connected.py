"""From an invoice that nobody pays to the mailbox: real broker, workers and mail server."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from confluent_kafka import Message
from notify.mailroom import Mailroom
from reconcile.test_reconcile_connected import Installation
from worker.conftest import START, Broker, WorkerProcess, free_port

from agents.simulate import business_day
from agents.working_days import known_holidays
from schemas.catalogue import JOURNAL, topic_of
from schemas.dates import format_day
from schemas.events import (
    Allocation,
    CustomerUpserted,
    Day,
    DunningStep,
    DunningStepSettled,
    InvoiceIssued,
    PaymentReceived,
)
from streams.embedded.kafka import EmbeddedKafka

pytestmark = [pytest.mark.connected, pytest.mark.slow]

_EPOCH = date(1970, 1, 1)
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


def working_day() -> Day:
    """Today, or the next day on which somebody works."""
    return _that_works(datetime.now(UTC).date())


def next_day(day: Day) -> Day:
    """The next one on which somebody works."""
    return _that_works(_EPOCH + timedelta(days=day + 1))


def _that_works(day: date) -> Day:
    holidays = known_holidays("NL", day.year) | known_holidays("NL", day.year + 1)
    while day.weekday() > 4 or (day - _EPOCH).days in holidays:
        day += timedelta(days=1)
    return (day - _EPOCH).days


_ENDS = """
import os
from agents.notify.mail import _Mail
from agents.notify.partition import NotifyPartition

def ends(kind, name, *, after):
    done = getattr(kind, name)
    def method(self, *arguments):
        if after:
            done(self, *arguments)
        os._exit(9)
    setattr(kind, name, method)

"""
_WHERE = {
    "before it is written that a letter is about to leave": (
        'ends(NotifyPartition, "_leave", after=False)'
    ),
    "after that, before the dot": 'ends(_Mail, "finish", after=False)',
    "after the dot, before its outcome is written": 'ends(_Mail, "finish", after=True)',
    "after its outcome is written": 'ends(NotifyPartition, "_report", after=True)',
}


class Firm:
    """A broker, a worker that decides, one that lets letters leave, and the mail server."""

    def __init__(self, directory: Path, bootstrap: str, guarantee: str) -> None:
        self.mailroom = Mailroom()
        self.broker = Broker(bootstrap)
        (directory / "procedures").mkdir()
        (directory / "procedures" / "reminders.toml").write_text(_PROCEDURE)
        made = Installation(bootstrap, directory)
        self.environment = made.environment | {
            "HEADROOM_CLOCK": "replayed",
            "HEADROOM_GUARANTEE": guarantee,
            "HEADROOM_PROCEDURES_DIR": str(directory / "procedures"),
            "HEADROOM_CREDITOR_NAME": "Noorderlicht",
            "HEADROOM_CREDITOR_EMAIL": "credit@noorderlicht.example",
            "HEADROOM_SMTP_URL": self.mailroom.url,
            "HEADROOM_SESSION_TIMEOUT_SECONDS": "6",
        }
        self.desk = WorkerProcess(self.environment, directory / "desk.log")
        self._directory = directory
        self.posts: list[WorkerProcess] = []
        self.customers = [f"C-{number}" for number in range(_CUSTOMERS)]
        self._read_journal = self.broker.reader(JOURNAL)
        self._read = self.broker.reader(topic_of("DunningStep"))

    def post(self) -> WorkerProcess:
        """A worker of the notify agent, not started."""
        name = f"post-{len(self.posts)}"
        own = {"HEADROOM_WEB_PORT": str(free_port()), "HEADROOM_WORKER_NAME": name}
        self.posts.append(WorkerProcess(self.environment | own, self._directory / f"{name}.log"))
        return self.posts[-1]

    def owe(self, today: Day) -> None:
        """Every customer has an invoice that was due five days ago."""
        at = (today - 40) * 86_400_000_000
        for customer in self.customers:
            self.broker.send(
                CustomerUpserted(
                    event_id=f"cu-{customer}",
                    occurred_at=at,
                    customer_id=customer,
                    currency="EUR",
                    credit_limit=1_000_00,
                    email=f"{customer}@customers.example".lower(),
                    country="NL",
                )
            )
            self.broker.send(
                InvoiceIssued(
                    event_id=f"in-{customer}",
                    occurred_at=at,
                    customer_id=customer,
                    invoice_id=f"I-{customer}",
                    amount=121_00,
                    currency="EUR",
                    issued_on=today - 35,
                    due_on=today - 5,
                )
            )
        self.broker.flush()
        self._read_journal(lambda read: len(read) >= 2 * _CUSTOMERS)

    def begin(self, day: Day) -> None:
        """A business day."""
        event = self.broker.codec.encode(business_day(day))
        for partition in range(self.broker.partitions):
            self.broker.send_raw(JOURNAL, event, partition=partition)
        self.broker.flush()

    def told(self, enough: Callable[[list[DunningStep | DunningStepSettled]], bool]) -> None:
        """Wait until what was said of steps is enough."""
        self.said: list[DunningStep | DunningStepSettled] = []

        def looked(messages: list[Message]) -> bool:
            events = {m.value(): self.broker.codec.decode(m.value()) for m in messages}
            self.said = [
                e for e in events.values() if isinstance(e, DunningStep | DunningStepSettled)
            ]
            return enough(self.said)

        self._read(looked)

    def dunning(self, *arguments: str) -> str:
        return self.run("dunning", *arguments)

    def run(self, *arguments: str) -> str:
        """A verb of `headroom` beside the workers."""
        done = subprocess.run(
            [sys.executable, "-m", "agents.cli.main", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def find_out(self) -> int:
        """A person looks into the mailboxes for what nobody knows, and says what is there; how many
        there were.
        """
        uncertain = [
            one
            for one in self.said
            if isinstance(one, DunningStepSettled) and one.outcome == "uncertain"
        ]
        for one in uncertain:
            there = self.mailroom.received()[f"{one.customer_id}@customers.example".lower()]
            result = "sent" if there else "unsent"
            assert self.dunning("report", one.step_id, result, "--by", "ann") == (
                f"{one.step_id}: {result}\n"
            )
        return len(uncertain)

    def each_has_one(self) -> bool:
        return self.mailroom.received() == Counter(
            f"{customer}@customers.example".lower() for customer in self.customers
        )

    def outcomes(self) -> dict[str, list[str]]:
        """By customer, what was said of its steps, in order."""
        found: dict[str, list[str]] = {customer: [] for customer in self.customers}
        for event in self.said:
            if isinstance(event, DunningStepSettled):
                found[event.customer_id].append(event.outcome)
        return found

    def close(self) -> None:
        for worker in [self.desk, *self.posts]:
            if worker._process is not None and worker.exit_code is None:
                worker.kill()
        self.mailroom.close()


@pytest.fixture
def firm(tmp_path: Path, cache_dir: Path, request: pytest.FixtureRequest) -> Iterator[Firm]:
    """With the guarantee that the test asks for, else the usual one."""
    guarantee = getattr(request, "param", "effectively_once")
    with EmbeddedKafka(tmp_path / "kafka", cache=cache_dir) as kafka:
        one = Firm(tmp_path, kafka.bootstrap_servers, guarantee)
        yield one
        one.close()


def settled(outcome: str, number: int) -> Callable[[list[DunningStep | DunningStepSettled]], bool]:
    return lambda said: (
        Counter(e.outcome for e in said if isinstance(e, DunningStepSettled))[outcome] >= number
    )


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
    tasks = {one["customer_id"]: one for one in json.loads(firm.dunning("list", "--json"))}
    assert {one["task"] for one in tasks.values()} == {"approve", "find a contact"}
    assert tasks["C-7"]["task"] == "find a contact"
    assert len(tasks) == _CUSTOMERS
    who = ("--by", "ann", "--reason", "as agreed")
    firm.dunning("approve", tasks["C-1"]["step_id"], *who)
    firm.dunning("skip", tasks["C-2"]["step_id"], *who)
    firm.told(settled("skipped", 1))
    firm.begin(next_day(next_day(today)))
    firm.told(settled("sent", _CUSTOMERS))
    assert firm.mailroom.received()["c-1@customers.example"] == 2
    assert firm.mailroom.box[-1]["Subject"] == "Tweede herinnering: I-C-1"
    assert len(firm.mailroom.box) == _CUSTOMERS
    assert firm.run("reconcile") == f"0 differences in {_CUSTOMERS} accounts\n"
    post.terminate()
    firm.desk.terminate()
    assert (post.wait(30), firm.desk.wait(30)) == (0, 0), post.log
    assert "Traceback" not in post.log


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
        post.start(program=_ENDS + how + "\n" + START, only="notify")
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
