"""What dunning remembers of an account, and how it stands among the account's other records.

{account} NUL y              the debtor: how to reach whom, what is on its way, pauses
{account} NUL z {invoice}    what was done about an invoice so far
{account} NUL v {step}       a message: proposed, waiting, on its way, or settled
{account} NUL u {promise}    a promise or a payment plan
NUL j {day} NUL {account}    agenda: accounts to look at in the dunning run of that day
"""

from __future__ import annotations

import msgspec

from agents.core.records import Record, Stamp
from schemas.events import Day, Minor

NUL = "\0"

PROPOSED = "proposed"
"""It waits for a person."""
QUEUED = "queued"
"""It goes out as soon as a message may: approved by a person, or on the next channel."""
ISSUED = "issued"
"""It is on its way, and nobody has said yet what became of it."""
SENT = "sent"
WITHDRAWN = "withdrawn"
CLOSED = "closed"
"""Skipped, undeliverable, or impossible."""
UNDER_WAY = (PROPOSED, QUEUED, ISSUED)


class Handed(Record):
    """An invoice that somebody else collects: with which step it was handed over, how far it had
    come, and what they were told last that is open of it.
    """

    invoice_id: str
    step_id: str
    attempt: int
    level: int
    procedure: str
    channel: str
    currency: str
    open: Minor
    on: Day


class Debtor(Record):
    """Who is dunned, how to reach them, and what is under way."""

    kind: str = "b2b"
    country: str = ""
    language: str = ""
    name: str | None = None
    email: str | None = None
    phone: str | None = None
    master: Stamp = msgspec.field(default_factory=Stamp)
    """Of the master record that said so."""
    paused: bool = False
    paused_until: Day | None = None
    pause: Stamp = msgspec.field(default_factory=Stamp)
    steps_on: Day = 0
    steps: int = 0
    """Steps numbered on the day `steps_on`."""
    reminded_on: Day | None = None
    """The day of the last reminder."""
    attempted_on: Day | None = None
    """The day on which a message went on its way last, whatever became of it."""
    under_way: list[str] = []
    """Steps that are proposed, queued or issued, the first one first."""
    unreachable: bool = False
    """No channel works; until other contacts come, or somebody resumes dunning."""
    handed: list[Handed] = []
    """Invoices that were handed over."""

    def is_paused(self, today: Day) -> bool:
        return self.paused and (self.paused_until is None or today <= self.paused_until)


class Taken(Record):
    """A step that was taken for an invoice."""

    level: int
    on: Day
    channel: str
    step_id: str
    skipped_by: str = ""


class Followed(Record):
    """What was done so far about an invoice."""

    level: int = 0
    on: Day | None = None
    """The day of the last level."""
    under_way: str = ""
    """The step that takes it to the next level."""
    noticed_on: Day | None = None
    noticed_by: str = ""
    """Day and channel of the notice without costs."""
    second_chances: int = 0
    paused: bool = False
    paused_until: Day | None = None
    pause: Stamp = msgspec.field(default_factory=Stamp)
    promises: list[str] = []
    """Promises and plans that it is under."""
    debits: list[str] = []
    """Payments for it that are on their way and may still fail."""
    taken: list[Taken] = []
    failed: list[str] = []
    """Payments for it that failed lately."""

    def is_deferred(self, today: Day) -> bool:
        """Whether nothing is sent about it now, for a reason that lies in the invoice."""
        paused = self.paused and (self.paused_until is None or today <= self.paused_until)
        return paused or bool(self.promises or self.debits)


class Item(Record):
    """An invoice in a message, at its own level."""

    invoice_id: str
    level: int
    amount: Minor
    due_on: Day


class Message(Record):
    """A step on its way to the customer."""

    state: str
    level: int
    procedure: str
    template: str
    currency: str
    items: list[Item]
    channel: str
    attempt: int
    issued_on: Day
    reminded_before: Day | None = None
    """What `Debtor.reminded_on` was before this one."""
    tried: list[str] = []
    """Channels that did not work."""
    chosen_channel: str = ""
    """The one that a person chose."""
    uncertain: bool = False
    """Nobody knows whether it was sent."""


class Instalment(Record):
    """An instalment: by when, and how much."""

    on: Day
    amount: Minor


class Promise(Record):
    """A promise to pay, or a plan of several instalments: it is kept as long as what is due by it
    was paid.
    """

    invoice_ids: list[str]
    dues: list[Instalment]
    owed: Minor
    """What was open of these invoices when it was made."""
    plan: bool = False
    outcome: str = ""
    """`kept`, `partly`, `broken` or `cancelled`; empty while it runs."""
    made: Stamp = msgspec.field(default_factory=Stamp)


# ── keys ────────────────────────────────────────────────────────────────────────────────────────


def debtor_key(account_id: str) -> str:
    return account_id + "\0y"


def followed_key(account_id: str, invoice_id: str) -> str:
    return f"{account_id}\0z{invoice_id}"


def message_key(account_id: str, step_id: str) -> str:
    return f"{account_id}\0v{step_id}"


def message_range(account_id: str) -> tuple[str, str]:
    return f"{account_id}\0v", f"{account_id}\0w"


def promise_key(account_id: str, promise_id: str) -> str:
    return f"{account_id}\0u{promise_id}"


def promise_range(account_id: str) -> tuple[str, str]:
    return f"{account_id}\0u", f"{account_id}\0v"


def agenda_key(day: Day, account_id: str) -> str:
    return f"\0j{day:08d}\0{account_id}"


def agenda_until(day: Day) -> tuple[str, str]:
    """All accounts on the dunning agenda up to and including `day`."""
    return "\0j", f"\0j{day + 1:08d}"
