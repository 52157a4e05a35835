"""What the credit room remembers, and how it stands in a store.

One account is one range of keys (`agents.core.ledger`): its own record and each of its documents
under their own keys, so that an event costs the same with ten open documents and with a hundred
thousand.

    {account} NUL a                     the account: master record, totals, alerts that are up
    {account} NUL o|i|p|c {id}          order, invoice, payment, credit note
    {account} NUL d {due day} NUL {id}  index: invoices with something that is or can become overdue
    {account} NUL h {placed} NUL {id}   index: held orders, oldest first
    {account} NUL q {-placed} NUL {id}  index: orders that reserve, youngest first
    {account} NUL n {due day} NUL {id}  index: unpaid invoices by original due day (of the insured)
    {account} NUL t {day} NUL {id}      orders on which to look again on that day
    {customer} NUL s                    where the account is kept, when it is elsewhere
    {customer} NUL w {n}                events that wait for it to come back
    {group} NUL G                       the group: limit, totals of its members, alerts that are up
    {group} NUL M {customer}            index: its members
    {group} NUL H {placed} NUL {id} NUL {customer}   index: held orders of members, oldest first
    {group} NUL Q {-placed} NUL {id} NUL {customer}  index: those that reserve, youngest first
    {account} NUL y|z|v|u               what dunning keeps (`agents.dunning.records`)
    NUL day                             the business day of this partition
    NUL feed {name}                     the instant up to which an input feed is complete
    NUL r {base} {quote}                the rates of a pair of currencies, by the day they hold from
    NUL c {currency} NUL {account}      index: accounts whose figures hang on rates of the currency
    NUL C {currency} NUL {group}        index: groups, likewise
    NUL e                               how far the run of that day is
    NUL g|m {day} NUL {account}         agenda: accounts, or members of groups, for which that day
                                        changes something
    NUL x {day} NUL {account} NUL {n}   agenda: keys of the documents that the account's nth event
                                        closed, to be forgotten on that day

Values are mutable; a rule changes one and puts it again. Documents keep what was *booked* for them
in the account's totals (`booked_...`), so that a change books the difference to what really stands
there, whatever policy booked it. Many facts may come before the document that they concern; the
record then exists with `known` False and waits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from agents.core.ledger import Ledger
from agents.core.records import Record, Stamp
from agents.dunning import records as dunning
from schemas.events import Allocation, Day, Instant, Minor

NUL = "\0"
BUSINESS_DAY = NUL + "day"
DAY_RUN = NUL + "e"
AGENDA, MEMBERS_AGENDA = NUL + "g", NUL + "m"
RATES = (NUL + "r", NUL + "s")
"""The range of all rates."""
_LATEST: Instant = 2**63 - 1
_LAST = "\U0010ffff"
"""Behind every key."""
_VERSION = b"\x01"
"""First byte of every stored value. A version that reads more keeps reading this one."""


class Book(Record):
    """An account's totals in one currency, minor units."""

    receivables: Minor = 0
    delivered: Minor = 0
    orders: Minor = 0
    unapplied: Minor = 0
    overdue: Minor = 0
    held: Minor = 0
    """What held orders ask for."""

    def exposure(self) -> Minor:
        return self.receivables + self.delivered + self.orders - self.unapplied


class Pace(Record):
    """What was ordered in the current stretch of days, and in the one before."""

    since: Day | None = None
    current: Minor = 0
    before: Minor = 0
    has_before: bool = False


class Counting(Record):
    """The terms by which an account's documents were counted, and by which it watches rates."""

    net_of_vat: bool = False
    shipping_horizon_days: int | None = None
    small_balance: str = ""
    currency: str | None = None
    fx_pivot: str = ""


class DayRun(Record):
    """The run of a business day in a partition."""

    day: Day = 0
    pieces: int = 0
    """How many pieces of it are done."""
    since: Day = 0
    """The first day that it makes up for."""
    done: bool = True
    event_id: str = ""
    occurred_at: Instant = 0
    """Of the event with which the day began: what follows from the day follows from that."""
    dunned: bool = True
    """Whether anybody is dunned."""


class Account(Record):
    """A credit account: what counts of its master record, its totals, its alerts."""

    currency: str = ""
    known: bool = False
    master: Stamp = msgspec.field(default_factory=Stamp)
    segment: str = ""
    unlimited: bool = False
    limit: Minor | None = None
    limit_valid_until: Day | None = None
    standing: Stamp = msgspec.field(default_factory=Stamp)
    """Of the standing limit."""
    temporary_limit: Minor | None = None
    temporary_until: Day | None = None
    temporary: Stamp = msgspec.field(default_factory=Stamp)
    blocked: bool = False
    block: Stamp = msgspec.field(default_factory=Stamp)
    books: dict[str, Book] = {}
    aged_to: Day | None = None
    """Invoices due before this day are in `overdue`."""
    oldest_due: Day | None = None
    """Due day of the oldest invoice in the due index. While it is not before `aged_to` it is only a
    bound, nothing is older: finding out more can wait until something is late."""
    held_orders: int = 0
    smallest_held: Minor = 0
    """No held order asks for less than this (it may be too low, never too high)."""
    raised: list[str] = []
    """Labels of the thresholds that are up."""
    sequence: int = 0
    """Events that touched this account so far: makes ids of what goes out unique and repeatable."""
    cause_event_id: str = ""
    changed_at: Instant = 0
    closed: bool = False
    prepays: bool = False
    """Has terms of 0 days: orders wait for their money."""
    insured_limit: Minor | None = None
    written_off: int = 0
    """Invoices that were written off."""
    dunned: dict[int, int] = {}
    """Open invoices by the dunning level that they have reached."""
    foreign: bool = False
    """Has books in other currencies than its own."""
    shown: Minor = 0
    """The exposure as it was last shown: a new rate moves it between two events."""
    ranked: bool = False
    """Orders that reserve are indexed by age."""
    insured_index: bool = False
    """Unpaid invoices are indexed by their original due day."""
    group_id: str = ""
    """The credit group that it belongs to."""
    absorbed: list[str] = []
    """Customers that were merged into this one."""
    days_late: list[int] = []
    """How late its last invoices were paid, the latest last."""
    pace: Pace = msgspec.field(default_factory=Pace)
    breach_told_on: Day | None = None
    """The last day on which headroom was expected to run out, after that was told."""
    look_on: Day = 0
    """The next day on which to look whether headroom will run out."""
    limit_decided_at: Instant = -(2**63)
    """When a standing limit was last decided on; a master record only repeats what it is."""
    counting: Counting = msgspec.field(default_factory=Counting)
    parked: int = 0
    """1 and the number of events that came since one of them failed; 0: the account goes on."""
    dun_on: Day = 0
    """The day on which the dunning run looks at it next; 0: none is known."""
    dunning_blocks: int = 0
    """Open invoices at a level that holds orders."""
    messages: int = 0
    """Dunning steps under way."""
    promises: int = 0
    """Promises and payment plans that run."""
    handed: int = 0
    """Invoices that were handed over."""
    account_manager: str = ""
    """Who of ours looks after the customer; empty: nobody was named."""
    held_from: str = ""
    """No held order stands before this in the index (it may be too early, never too late)."""

    def has_temporary_limit(self, day: Day) -> bool:
        """A temporary limit counts through its last day, unless a standing limit was decided on
        after it.
        """
        return (
            self.temporary_until is not None
            and day <= self.temporary_until
            and self.temporary.at >= self.limit_decided_at
        )


class Group(Record):
    """A credit group: its limit, and what its members owe together."""

    currency: str = ""
    known: bool = False
    master: Stamp = msgspec.field(default_factory=Stamp)
    limit: Minor | None = None
    books: dict[str, Book] = {}
    foreign: bool = False
    members: int = 0
    held_orders: int = 0
    raised: list[str] = []
    sequence: int = 0
    cause_event_id: str = ""
    changed_at: Instant = 0
    shown: Minor = 0
    ranked: bool = False
    """Orders of members that reserve are indexed by age."""
    joined: bool = False
    """A member has come, and the event that it came with is next: that looks at held orders."""
    held_from: str = ""
    """No held order of a member stands before this in the index, as with an account."""


class Seat(Record):
    """Where the account of a customer is kept when it is not with the customer: with a group, or
    with the customer that it was merged into.
    """

    group_id: str = ""
    merged_into: str = ""
    master: Stamp = msgspec.field(default_factory=Stamp)
    """Of the master record that said so."""
    recalled: bool = False
    """The account is on its way back; events wait for it."""
    waiting: int = 0
    """Events that have come to wait so far."""
    currency: str = ""
    cause_event_id: str = ""
    changed_at: Instant = 0
    """Of the merger: what is said last of a customer who is none any more."""
    absorbed: list[str] = []
    """Customers that were merged into this one, who is a member of the group."""


class Cancel(Record):
    """A cancelled part of an order."""

    at: Instant
    sequence: int
    amount: Minor


class Override(Record):
    """A person's release, against the rules."""

    by: str
    why: str
    role: str | None
    confirmed_by: str | None
    until: Day
    """The last day on which it holds good."""
    total: Minor = 0
    """The order's total that was released."""


class Order(Record):
    known: bool = False
    currency: str = ""
    placed_amount: Minor = 0
    placed_at: Instant = 0
    deliver_on: Day | None = None
    total: Minor = 0
    total_at: Instant = 0
    total_sequence: int = 0
    delivered: Minor = 0
    delivered_all: bool = False
    cancels: list[Cancel] = []
    cancelled_all: bool = False
    invoiced: dict[str, Minor] = {}
    """What invoices took over from it, by their currency."""
    final_invoices: int = 0
    status: str = ""
    """What the last decision said; empty before the first."""
    decision_number: int = 0
    manual_hold_by: str | None = None
    manual_at: Instant = 0
    override: Override | None = None
    booked_open: Minor = 0
    booked_delivered: Minor = 0
    seen: list[str] = []
    """Ids of events that added a part: a part has no id of its own to tell a repeat by."""
    closed_on: Day | None = None
    net_amount: Minor | None = None
    manual_hold_why: str = ""
    booked_held: Minor = 0
    manual_hold_until: Day | None = None
    """The last day of the hold that a person put on it; None: until a person releases it."""

    def is_held_by_person(self, today: Day) -> bool:
        return self.manual_hold_by is not None and (
            self.manual_hold_until is None or today <= self.manual_hold_until
        )

    @property
    def uncovered(self) -> bool:
        """Some of it is out or invoiced, and so exposure already, before the order passes: it
        passes when all of the exposure fits, however little is left to reserve.
        """
        return self.delivered_all or self.delivered > 0 or any(self.invoiced.values())


class InvoicedPart(Record):
    """The part of an invoice that is for one order; `moved` is what it took over from there."""

    order_id: str
    amount: Minor
    moved: Minor = 0


class Dispute(Record):
    """A contested part; after `upheld` or `partly`, `credited` awaits its credit note."""

    amount: Minor | None = None
    outcome: str = ""
    credited: Minor | None = None
    known: bool = False
    resolved: Stamp = msgspec.field(default_factory=Stamp)


class Applied(Record):
    """Cleared money and credit notes in one currency set against an invoice, whether it can take
    them or not.
    """

    amount: Minor = 0
    credited: Minor = 0
    """The part of it that came from credit notes."""
    booked_excess: Minor = 0
    """What of it the invoice cannot take."""


class Invoice(Record):
    known: bool = False
    currency: str = ""
    amount: Minor = 0
    issued_on: Day = 0
    due_on: Day = 0
    parts: list[InvoicedPart] = []
    final_for_order: bool = False
    revision: int = 0
    applied: dict[str, Applied] = {}
    """By currency."""
    cancelled: bool = False
    written_off: bool = False
    disputes: dict[str, Dispute] = {}
    booked_open: Minor = 0
    booked_due: Minor = 0
    """What of it stands in the due index: open and not contested."""
    closed_on: Day | None = None
    net_amount: Minor | None = None
    original_due_on: Day = 0
    """The earliest due day that it ever had: insurers count from that, whatever was deferred."""
    dunning_level: int = 0
    booked_level: int = 0
    paid_late: int | None = None
    """How many days after its due day it was paid, while it is."""
    dunning_blocks: bool = False
    """It is at a dunning level that holds orders while it is open."""
    booked_blocks: bool = False


class Share(Record):
    """A part of a payment meant for one invoice; `applied` when it is set against it now."""

    invoice_id: str
    amount: Minor
    applied: bool = False


class Payment(Record):
    known: bool = False
    currency: str = ""
    amount: Minor = 0
    value_on: Day = 0
    received_cleared: bool = True
    received_allocations: list[Allocation] = []
    cleared: bool = False
    reversed: bool = False
    shares: list[Share] = []
    booked_unapplied: Minor = 0
    seen: list[str] = []
    closed_on: Day | None = None


class CreditNote(Record):
    currency: str = ""
    amount: Minor = 0
    invoice_id: str | None = None
    booked_unapplied: Minor = 0
    closed_on: Day | None = None


class Due(Record):
    """An entry of the due index."""

    amount: Minor
    currency: str


class Rate(Record):
    """What one unit of a base currency costs from a day on."""

    valid_on: Day
    rate: str
    source: str | None
    at: Instant
    event_id: str


# ── keys ────────────────────────────────────────────────────────────────────────────────────────


def account_key(account_id: str) -> str:
    return account_id + "\0a"


def document_key(account_id: str, kind: str, document_id: str) -> str:
    return f"{account_id}\0{kind}{document_id}"


def order_key(account_id: str, order_id: str) -> str:
    return f"{account_id}\0o{order_id}"


def invoice_key(account_id: str, invoice_id: str) -> str:
    return f"{account_id}\0i{invoice_id}"


def followed_key_of(invoice_key: str) -> str:
    """Where it stands what dunning did about an invoice."""
    account_id, _, own_key = invoice_key.partition(NUL)
    return dunning.followed_key(account_id, own_key[1:])


def payment_key(account_id: str, payment_id: str) -> str:
    return f"{account_id}\0p{payment_id}"


def credit_note_key(account_id: str, credit_note_id: str) -> str:
    return f"{account_id}\0c{credit_note_id}"


def due_key(account_id: str, due_on: Day, invoice_id: str) -> str:
    return f"{account_id}\0d{due_on:08d}\0{invoice_id}"


def due_range(account_id: str, since: Day | None, before: Day | None) -> tuple[str, str]:
    """The due index of an account for due days in [since, before); None is open-ended."""
    start = f"{account_id}\0d" if since is None else f"{account_id}\0d{since:08d}"
    end = f"{account_id}\0e" if before is None else f"{account_id}\0d{before:08d}"
    return start, end


def held_key(account_id: str, placed_at: Instant, order_id: str) -> str:
    return f"{account_id}\0h{held_place(placed_at, order_id)}"


def held_range(account_id: str, first: str = "") -> tuple[str, str]:
    """Those from a place on. A store takes time to pass keys that were deleted: who knows where the
    first one stands begins there.
    """
    return f"{account_id}\0h{first}", f"{account_id}\0i"


def held_place(placed_at: Instant, order_id: str, customer_id: str | None = None) -> str:
    """Where an order stands in the index of held orders: of its account, or, with the customer,
    of a group.
    """
    place = f"{placed_at:020d}\0{order_id}"
    return place if customer_id is None else f"{place}\0{customer_id}"


HELD = "\0h"
"""Before what the index of a partition's held orders has: the one placed first comes first."""


def partition_held_key(placed_at: Instant, account_id: str, order_id: str) -> str:
    return f"{HELD}{placed_at:020d}\0{account_id}\0{order_id}"


def held_in_partition(held_key: str) -> str:
    """The key in the partition's index for one in an account's."""
    account_id, placed, order_id = held_key.split(NUL, 2)
    return f"{HELD}{placed[1:]}\0{account_id}\0{order_id}"


def partition_held_range() -> tuple[str, str]:
    return HELD, "\0i"


def held_order(partition_held_key: str) -> tuple[Instant, str, str]:
    """When an order of the partition's index was placed, its account and its id."""
    _, placed, account_id, order_id = partition_held_key.split(NUL, 3)
    return int(placed[1:]), account_id, order_id


def rank_key(account_id: str, placed_at: Instant, order_id: str) -> str:
    return f"{account_id}\0q{_LATEST - placed_at:020d}\0{order_id}"


def rank_range(account_id: str, since: Instant) -> tuple[str, str]:
    """Orders that reserve and were placed at an instant or after it, youngest first."""
    return f"{account_id}\0q", f"{account_id}\0q{_LATEST - since:020d}\1"


def order_range(account_id: str) -> tuple[str, str]:
    return f"{account_id}\0o", f"{account_id}\0p"


def invoice_range(account_id: str) -> tuple[str, str]:
    return f"{account_id}\0i", f"{account_id}\0j"


def insured_key(account_id: str, original_due_on: Day, invoice_id: str) -> str:
    return f"{account_id}\0n{original_due_on:08d}\0{invoice_id}"


def insured_range(account_id: str) -> tuple[str, str]:
    return f"{account_id}\0n", f"{account_id}\0o"


def timer_key(account_id: str, day: Day, order_id: str) -> str:
    return f"{account_id}\0t{day:08d}\0{order_id}"


def timers_until(account_id: str, day: Day) -> tuple[str, str]:
    """The orders of an account to look at again, up to and including `day`."""
    return f"{account_id}\0t", f"{account_id}\0t{day + 1:08d}"


def seat_key(customer_id: str) -> str:
    return customer_id + "\0s"


def waiting_key(customer_id: str, number: int) -> str:
    return f"{customer_id}\0w{number:012d}"


def waiting_range(customer_id: str) -> tuple[str, str]:
    return f"{customer_id}\0w", f"{customer_id}\0x"


def kept_key(account_id: str, number: int) -> str:
    """An event that waits with a parked account."""
    return f"{account_id}\0k{number:012d}"


def kept_range(account_id: str) -> tuple[str, str]:
    return f"{account_id}\0k", f"{account_id}\0l"


def parked_key(account_id: str) -> str:
    """An account of the partition that is parked: which event failed, and how."""
    return f"\0p{account_id}"


def parked_range() -> tuple[str, str]:
    return "\0p", "\0q"


def group_key(group_id: str) -> str:
    return group_id + "\0G"


def member_key(group_id: str, customer_id: str) -> str:
    return f"{group_id}\0M{customer_id}"


def member_range(group_id: str) -> tuple[str, str]:
    return f"{group_id}\0M", f"{group_id}\0N"


def group_held_key(group_id: str, placed_at: Instant, customer_id: str, order_id: str) -> str:
    return f"{group_id}\0H{held_place(placed_at, order_id, customer_id)}"


def group_held_range(group_id: str, first: str = "") -> tuple[str, str]:
    """Those from a place on, as of an account."""
    return f"{group_id}\0H{first}", f"{group_id}\0I"


def group_rank_key(group_id: str, placed_at: Instant, customer_id: str, order_id: str) -> str:
    return f"{group_id}\0Q{_LATEST - placed_at:020d}\0{order_id}\0{customer_id}"


def group_rank_range(group_id: str, since: Instant) -> tuple[str, str]:
    """Orders of members that reserve and were placed at an instant or after it, youngest first."""
    return f"{group_id}\0Q", f"{group_id}\0Q{_LATEST - since:020d}\1"


def order_and_customer(group_index_key: str) -> tuple[str, str]:
    """The order and its customer in a key of one of a group's indexes."""
    _, order_id, customer_id = group_index_key.rsplit(NUL, 2)
    return order_id, customer_id


def account_range(account_id: str) -> tuple[str, str]:
    """All that stands under an account's, or a group's, id."""
    return account_id + NUL, account_id + "\1"


def moves_with_account(key: str) -> bool:
    """Whether an entry under an account's key goes where the account goes."""
    return key.partition(NUL)[2][0] in _OF_ACCOUNT


def feed_key(feed: str) -> str:
    return f"\0feed{feed}"


def rates_key(base: str, quote: str) -> str:
    return f"\0r{base}{quote}"


def valued_key(currency: str, account_id: str) -> str:
    return f"\0c{currency}\0{account_id}"


def valued_group_key(currency: str, group_id: str) -> str:
    return f"\0C{currency}\0{group_id}"


def valued_group_range(currency: str) -> tuple[str, str]:
    return f"\0C{currency}\0", f"\0C{currency}\1"


def valued_range(currency: str) -> tuple[str, str]:
    return f"\0c{currency}\0", f"\0c{currency}\1"


def agenda_key(day: Day, account_id: str, *, member: bool = False) -> str:
    return f"{MEMBERS_AGENDA if member else AGENDA}{day:08d}\0{account_id}"


def agenda_until(day: Day) -> tuple[str, str]:
    """All accounts on the agenda up to and including `day`, but for members of groups."""
    return AGENDA, f"{AGENDA}{day + 1:08d}"


def members_agenda_until(day: Day) -> tuple[str, str]:
    """The members of groups on theirs."""
    return MEMBERS_AGENDA, f"{MEMBERS_AGENDA}{day + 1:08d}"


def forget_key(day: Day, account_id: str, sequence: int) -> str:
    return f"\0x{day:08d}\0{account_id}\0{sequence}"


def forgotten_later(forget_key: str, day: Day) -> str:
    """The same entry of the agenda on another day."""
    return f"{NUL}x{day:08d}{forget_key[10:]}"


def forget_until(day: Day) -> tuple[str, str]:
    return "\0x", f"\0x{day + 1:08d}"


def woken_account(agenda_key: str) -> str:
    """The account in a key of the agenda."""
    return agenda_key[11:]


def due_day(due_key: str) -> Day:
    """The due day in a key of the due index."""
    at = due_key.index(NUL) + 2
    return int(due_key[at : at + 8])


def last_part(index_key: str) -> str:
    """The document's id in a key of an index."""
    return index_key.rsplit(NUL, 1)[1]


def accounts(ledger: Ledger) -> Iterator[str]:
    """Every account of the partition. Goes from one to the next without reading their documents."""
    after = "\1"  # behind what belongs to the partition
    while True:
        key = next((key for key, _ in ledger.scan(after, _LAST)), None)
        if key is None:
            return
        account_id = key.partition(NUL)[0]
        yield account_id
        after = account_id + "\1"


# ── in a store ──────────────────────────────────────────────────────────────────────────────────

_encode = msgspec.msgpack.Encoder().encode
_DECODERS: dict[str, msgspec.msgpack.Decoder[Any]] = {
    "a": msgspec.msgpack.Decoder(Account),
    "o": msgspec.msgpack.Decoder(Order),
    "i": msgspec.msgpack.Decoder(Invoice),
    "p": msgspec.msgpack.Decoder(Payment),
    "c": msgspec.msgpack.Decoder(CreditNote),
    "d": msgspec.msgpack.Decoder(Due),
    "h": msgspec.msgpack.Decoder(bool),
    "q": msgspec.msgpack.Decoder(bool),
    "n": msgspec.msgpack.Decoder(bool),
    "t": msgspec.msgpack.Decoder(bool),
    "s": msgspec.msgpack.Decoder(Seat),
    "w": msgspec.msgpack.Decoder(tuple[str, dict[str, Any], list[str]]),
    "k": msgspec.msgpack.Decoder(tuple[str, dict[str, Any], str, list[str]]),
    "G": msgspec.msgpack.Decoder(Group),
    "M": msgspec.msgpack.Decoder(bool),
    "H": msgspec.msgpack.Decoder(bool),
    "Q": msgspec.msgpack.Decoder(bool),
    "y": msgspec.msgpack.Decoder(dunning.Debtor),
    "z": msgspec.msgpack.Decoder(dunning.Followed),
    "v": msgspec.msgpack.Decoder(dunning.Message),
    "u": msgspec.msgpack.Decoder(dunning.Promise),
}
_OF_ACCOUNT = frozenset("aoipcdhqntyzvu")
_PARTITION_DECODERS: dict[str, msgspec.msgpack.Decoder[Any]] = {
    "d": msgspec.msgpack.Decoder(Day),
    "f": msgspec.msgpack.Decoder(Instant),
    "r": msgspec.msgpack.Decoder(list[Rate]),
    "c": msgspec.msgpack.Decoder(bool),
    "C": msgspec.msgpack.Decoder(bool),
    "g": msgspec.msgpack.Decoder(bool),
    "x": msgspec.msgpack.Decoder(list[str]),
    "p": msgspec.msgpack.Decoder(str),
    "j": msgspec.msgpack.Decoder(bool),
    "e": msgspec.msgpack.Decoder(DayRun),
    "m": msgspec.msgpack.Decoder(bool),
    "h": msgspec.msgpack.Decoder(bool),
}


def to_json(value: Any) -> str:
    """A value as text, for an account that moves."""
    return msgspec.json.encode(value).decode()


def from_json(own_key: str, text: str) -> Any:
    """The value that `to_json` wrote, by its key within the account."""
    return msgspec.json.decode(text, type=_DECODERS[own_key[0]].type)


def encode(_key: str, value: Any) -> bytes:
    """A value as it stands in the store and in the changelog."""
    return _VERSION + _encode(value)


def decode(key: str, raw: bytes) -> Any:
    """The value that `encode` wrote. Raises `ValueError` for an unknown version."""
    if raw[:1] != _VERSION:
        raise ValueError(
            f"state of version {raw[:1]!r} under {key!r}: this release reads {_VERSION!r}"
        )
    account_id, _, rest = key.partition(NUL)
    decoder = (_DECODERS if account_id else _PARTITION_DECODERS)[rest[0]]
    return decoder.decode(memoryview(raw)[1:])
