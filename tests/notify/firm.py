"""An installation that sends letters: real broker, workers and mail server."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from confluent_kafka import Message
from notify.mailroom import Mailroom
from reconcile.test_reconcile_connected import Installation
from worker.conftest import Broker, WorkerProcess, free_port

from agents.simulate import business_day
from agents.working_days import known_holidays
from schemas.catalogue import JOURNAL, topic_of
from schemas.events import (
    CustomerUpserted,
    Day,
    DunningStep,
    DunningStepSettled,
    InvoiceIssued,
)

_EPOCH = date(1970, 1, 1)


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


ENDS = """
import os
from agents.handover.carrier import _Delivery
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
"""Before a program: `ends(kind, name, after=...)` has the process die there."""


class Firm:
    """A broker, a worker that decides, one that lets letters leave, and the mail server.

    Args:
        directory: for all that is written.
        bootstrap: of the broker.
        procedure: by which is dunned.
        customers: how many there are.
        settings: more of them, by their names.
    """

    def __init__(
        self, directory: Path, bootstrap: str, procedure: str, customers: int, **settings: str
    ) -> None:
        self.mailroom = Mailroom()
        self.broker = Broker(bootstrap)
        (directory / "procedures").mkdir()
        (directory / "procedures" / "reminders.toml").write_text(procedure)
        made = Installation(bootstrap, directory)
        self.environment = made.environment | {
            "HEADROOM_CLOCK": "replayed",
            "HEADROOM_PROCEDURES_DIR": str(directory / "procedures"),
            "HEADROOM_CREDITOR_NAME": "Noorderlicht",
            "HEADROOM_CREDITOR_EMAIL": "credit@noorderlicht.example",
            "HEADROOM_SMTP_URL": self.mailroom.url,
            "HEADROOM_SESSION_TIMEOUT_SECONDS": "6",
            **settings,
        }
        self.desk = WorkerProcess(self.environment, directory / "desk.log")
        self.directory = directory
        self.posts: list[WorkerProcess] = []
        self.customers = [f"C-{number}" for number in range(customers)]
        self._read_journal = self.broker.reader(JOURNAL)
        self._read = self.broker.reader(topic_of("DunningStep"))

    def post(self) -> WorkerProcess:
        """A worker of the notify agent, not started."""
        name = f"post-{len(self.posts)}"
        own = {"HEADROOM_WEB_PORT": str(free_port()), "HEADROOM_WORKER_NAME": name}
        self.posts.append(WorkerProcess(self.environment | own, self.directory / f"{name}.log"))
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
        self._read_journal(lambda read: len(read) >= 2 * len(self.customers))

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


def settled(outcome: str, number: int) -> Callable[[list[DunningStep | DunningStepSettled]], bool]:
    return lambda said: (
        Counter(e.outcome for e in said if isinstance(e, DunningStepSettled))[outcome] >= number
    )
