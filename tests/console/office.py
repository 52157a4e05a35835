"""The console on the rules in memory, on a real port: what people do there is applied at once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import uvicorn
from starlette.applications import Starlette

from agents.console.access import Sessions
from agents.console.app import Console, console_routes
from agents.console.desk import Sources
from agents.console.history import DayFigures, HistoryUnreachableError
from agents.console.hub import Hub
from agents.console.index import Change, Index
from agents.console.kept import Kept, Refused
from agents.console.outcomes import Witnesses
from agents.core.ledger import MemoryLedger
from agents.core.policy import PolicyBook
from agents.core.refusal import Refusal
from agents.credit import state
from agents.credit.explanation import Explanation, Witness
from agents.gateway.callers import ROLES, Caller, Callers, hash_of
from agents.gateway.sign_in import SignIn
from agents.journal.entries import DIRECT, Entry
from agents.live_copy import Place
from agents.policy_file import load_policy
from agents.simulate import Simulation, business_day
from schemas import events as ev
from schemas.dates import MICROSECONDS_PER_DAY
from schemas.events import CreditLimitAlert, Day, Event, OrderDecision
from streams.embedded.ports import LOOPBACK, free_ports

SECRET = "s3cr3t" * 6
DAY: Day = 20_000
NOON = MICROSECONDS_PER_DAY // 2


class WatchedLedger(MemoryLedger):
    """Notes which keys are written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: set[bytes] = set()

    def put(self, key: str, value: Any) -> None:
        super().put(key, value)
        self.written.add(key.encode())

    def delete(self, key: str) -> None:
        super().delete(key)
        self.written.add(key.encode())


class Office:
    """An installation in memory: rules, index, what is kept, and the console's pages.

    Args:
        home: a directory for its tables.
        policies: what decides.
        roles: of the people who have a key, by name; None: nobody has to sign in.
    """

    def __init__(
        self,
        home: Path,
        policies: PolicyBook | None = None,
        roles: dict[str, str] | None = None,
        *,
        year: Callable[[str, str], list[DayFigures]] | None = None,
    ) -> None:
        self.policies = policies or load_policy(None)
        self.ledger = WatchedLedger()
        self.journal: list[Event] = []
        self.written: list[Event] = []
        """What came from the pages."""
        self.decisions: dict[tuple[str, str], OrderDecision] = {}
        self.refusals: dict[str, Refused] = {}
        self.holds_back = False
        """What people do is not decided yet."""
        self._undecided: list[Event] = []
        self._simulation = Simulation(self.policies, self.ledger)
        self._lock = threading.RLock()
        self.told: list[Change] = []
        self.hub: Hub | None = None
        self.kept = Kept(home / "kept.sqlite")
        self.index = Index(home / "lists.sqlite", self.policies, self.latest_on, self._told)
        self._year = year or _no_year
        self.keys = {name: f"hr_{name}" for name in roles or {}}
        self.entries = {
            hash_of(self.keys[name]): Caller(name, (role,), 10_000.0)
            for name, role in (roles or {}).items()
        }
        self.callers = Callers(None if roles is None else self.entries)
        self.sessions = Sessions((SECRET,), 10)
        self.sources = Sources(
            place_of=self.place_of,
            latest_on=self.latest_on,
            index=self.index,
            kept=self.kept,
            policies=self.policies,
            partitions=1,
        )
        self.is_open = roles is None
        self.sign_in: SignIn | None = None
        self.today = DAY
        self.feed(business_day(DAY))
        self.index._whole.add(0)
        self.index._dirty[0] = set()

    # ── what the pages are given ────────────────────────────────────────────────────────────────

    def place_of(self, customer_id: str) -> Place:
        account_id = customer_id
        seat: state.Seat | None = self.ledger.get(state.seat_key(customer_id))
        if seat is not None and seat.merged_into:
            account_id = seat.merged_into
        return Place(self.ledger, account_id)

    def latest_on(self, order_id: str, customer_id: str) -> list[OrderDecision]:
        found = self.decisions.get((customer_id, order_id))
        return [] if found is None else [found]

    async def write(self, event: Event) -> None:
        self.written.append(event)
        if self.holds_back:
            self._undecided.append(event)
        else:
            self.feed(event)

    def decide(self) -> None:
        """What was held back is decided now."""
        self.holds_back = False
        while self._undecided:
            self.feed(self._undecided.pop(0))

    def explain(self, customer_id: str, order_id: str) -> list[Explanation]:
        witness = Witness(order_id, self.policies, follow=True)
        witness.replay(
            Entry(0, at, 0, getattr(one, "customer_id", ""), one, DIRECT)
            for at, one in enumerate(self.journal)
        )
        return [one for one in witness.explanations() if one.customer_id == customer_id]

    def console(self) -> Console:
        self.hub = Hub()
        return Console(
            callers=self.callers,
            is_open=self.is_open,
            sessions=self.sessions,
            sources=self.sources,
            witnesses=Witnesses(self.place_of, self.latest_on, self.refusals.get, self.kept),
            write=self.write,
            hub=self.hub,
            year=self._year,
            explain=self.explain,
            zone=ZoneInfo("Europe/Amsterdam"),
            sign_in=self.sign_in,
        )

    # ── what happens ────────────────────────────────────────────────────────────────────────────

    def feed(self, *events: Event) -> list[Event | Refusal]:
        """Things happen, and all who follow hear of them."""
        effects: list[Event | Refusal] = []
        with self._lock:
            for event in events:
                self.journal.append(event)
                followed = list(self._simulation.feed(event))
                effects += followed
                self._note(event, followed)
            written, self.ledger.written = self.ledger.written, set()
            self.index.changed(0, written)
            if 0 in self.index._whole:
                self.index.catch_up(lambda _: self.ledger)
        return effects

    def _note(self, event: Event, followed: Iterable[Event | Refusal]) -> None:
        if self.kept.note(event) and self.hub is not None:
            self.hub.noted()
        acts = []
        for effect in followed:
            match effect:
                case OrderDecision():
                    self.decisions[effect.customer_id, effect.order_id] = effect
                    self.index.heard([effect])
                    acts.append(effect.cause_event_id)
                case CreditLimitAlert():
                    self.kept.note(effect)
                    if self.hub is not None:
                        self.hub.alerted()
                case Refusal():
                    self.refusals[event.event_id] = Refused(effect.reason, effect.detail)
                    acts.append(event.event_id)
        if self.hub is not None:
            self.hub.settled(acts)

    def _told(self, change: Change) -> None:
        self.told.append(change)
        if self.hub is not None:
            self.hub.changed(change)

    def say(self, kind: Any, customer_id: str, **fields: Any) -> list[Event | Refusal]:
        """One event about a customer."""
        at = self.today * MICROSECONDS_PER_DAY + NOON + len(self.journal)
        stamp = {"event_id": f"e-{len(self.journal)}", "occurred_at": at}
        return self.feed(kind(**{**stamp, "customer_id": customer_id, **fields}))

    def customer(self, customer_id: str, limit: int | None, **fields: Any) -> None:
        fields = {"currency": "EUR", **fields}
        self.say(ev.CustomerUpserted, customer_id, credit_limit=limit, **fields)

    def order(self, customer_id: str, order_id: str, amount: int, **fields: Any) -> None:
        fields = {"currency": "EUR", **fields}
        self.say(ev.OrderPlaced, customer_id, order_id=order_id, amount=amount, **fields)

    def invoice(self, customer_id: str, invoice_id: str, amount: int, due_in: int) -> None:
        self.say(
            ev.InvoiceIssued, customer_id, invoice_id=invoice_id, amount=amount, currency="EUR",
            issued_on=self.today + min(due_in, 0), due_on=self.today + due_in,
        )  # fmt: skip

    def pay(self, customer_id: str, payment_id: str, amount: int, invoice_id: str) -> None:
        self.say(
            ev.PaymentReceived, customer_id, payment_id=payment_id, amount=amount, currency="EUR",
            value_on=self.today,
            allocations=[ev.Allocation(invoice_id=invoice_id, amount=amount)],
        )  # fmt: skip

    def wait(self, days: int) -> None:
        """Days begin, one after the other."""
        for _ in range(days):
            self.today += 1
            self.feed(business_day(self.today))

    def close(self) -> None:
        self.index.close()
        self.kept.close()


def _no_year(_customer_id: str, _currency: str) -> list[DayFigures]:
    raise HistoryUnreachableError("none here")


class Served:
    """Pages on a port of this machine: those of one office after the other."""

    def __init__(self, office: Office | None = None) -> None:
        (self.port,) = free_ports(1, [])
        self.url = f"http://{LOOPBACK}:{self.port}"
        self._loop: asyncio.AbstractEventLoop | None = None
        self._console: Console | None = None
        routes = console_routes(self._shown)
        app = Starlette(routes=routes, lifespan=self._lifespan)
        self._server = uvicorn.Server(
            uvicorn.Config(app, LOOPBACK, self.port, log_config=None, timeout_graceful_shutdown=1)
        )
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        if office is not None:
            self.show(office)

    def show(self, office: Office) -> None:
        """The pages are this office's from now on."""

        async def open_it() -> Console:
            return office.console()

        assert self._loop is not None
        self._console = asyncio.run_coroutine_threadsafe(open_it(), self._loop).result(10)

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)

    def _shown(self) -> Console:
        assert self._console is not None
        return self._console

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        yield


def busy_office(home: Path, roles: dict[str, str] | None = None, **more: Any) -> Office:
    """A small firm with some of everything."""
    office = Office(home, roles=roles, **more)
    office.customer(
        "C-100", 10_000_00, name="Bakkerij De Vries", account_manager="anna", country="NL",
        email="ap@devries.example", segment="retail",
    )  # fmt: skip
    office.customer("C-200", 50_000_00, name="Müller & Söhne GmbH", account_manager="ben")
    office.customer("C-300", 5_000_00, name="Épicerie du Parc", account_manager="anna")
    office.customer("C-400", None, name="Northwind Traders")
    office.invoice("C-100", "I-1001", 4_000_00, 20)
    office.invoice("C-100", "I-1002", 2_500_00, -10)
    office.invoice("C-100", "I-1003", 900_00, -45)
    office.invoice("C-200", "I-2001", 41_000_00, 14)
    office.invoice("C-300", "I-3001", 1_200_00, -100)
    office.wait(2)
    office.order("C-100", "O-1", 1_500_00)
    office.order("C-100", "O-2", 3_200_00)
    office.order("C-200", "O-3", 12_750_00)
    office.order("C-200", "O-4", 60_000_00)
    office.order("C-300", "O-5", 980_50)
    office.order("C-400", "O-6", 300_00)
    return office


Role = str
EVERY_ROLE = {f"a-{role}": role for role in ROLES}
