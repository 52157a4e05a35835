"""The portal on the rules in memory, on a real port: what customers do there is applied at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from zoneinfo import ZoneInfo

import uvicorn
from credit.journals import DAY, Journal
from handover.claims import rules
from notify.letters import CREDITOR

from agents.core.ledger import MemoryLedger
from agents.core.refusal import Refusal
from agents.dunning.rehearsal import arrived, goes_by_itself
from agents.live_copy import Place
from agents.notify.ticket import sign, ticket_of
from agents.portal.app import Portal, application
from agents.portal.providers import PaymentProvider
from agents.simulate import Simulation, business_day
from schemas.events import DunningStep, Event
from streams.embedded.ports import LOOPBACK, free_ports
from streams.errors import HeadroomError

SECRET = "s3cr3t" * 6


class BrokersAwayError(HeadroomError):
    """As the postbox says it."""


class Desk:
    """A customer with two late invoices and the letter about them, and the portal.

    Args:
        provider: with whom can be paid online.
    """

    def __init__(self, provider: PaymentProvider | None = None, **customer: str) -> None:
        self._simulation = Simulation(rules())
        self.said: list[Event] = []
        """What came from the portal."""
        self.followed: list[Event | Refusal] = []
        """What followed from it."""
        self.steps: list[DunningStep] = []
        """Letters that went out."""
        self.all_steps: list[DunningStep] = []
        self.away = False
        self.behind = 0
        """So many looks at the state find nothing yet."""
        (self.port,) = free_ports(1, [])
        self.url = f"http://{LOOPBACK}:{self.port}"
        self._write_letter({"country": "NL", "segment": "strict", "language": "en", **customer})
        self.portal = Portal(
            place_of=self._place_of,
            say=self._say,
            creditor=CREDITOR,
            secrets=(SECRET,),
            url=self.url,
            provider=provider,
            zone=ZoneInfo("Europe/Amsterdam"),
            promise_days=14,
            missing=list,
        )
        self._server = uvicorn.Server(
            uvicorn.Config(application(self.portal), LOOPBACK, self.port, log_config=None)
        )
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def _place_of(self, customer_id: str) -> Place:
        if self.behind:
            self.behind -= 1
            return Place(MemoryLedger(), customer_id)
        return Place(self._simulation.ledger, customer_id)

    def _write_letter(self, customer: dict[str, str]) -> None:
        journal = Journal()
        journal.customer(None, name="Bakkerij De Vries", email="ap@bakker.example", **customer)
        journal.invoice("I-1", 1_000_00, 0)
        journal.invoice("I-2", 500_00, 0)
        for event in [*journal, *(business_day(DAY + day) for day in range(1, 5))]:
            self.feed(event)
        self.step = self.steps[0]
        self.path = f"/p/{sign(ticket_of(self.step), SECRET)}"
        self.page = self.url + self.path

    def feed(self, event: Event) -> list[Event | Refusal]:
        """Something happens; letters arrive."""
        effects = list(self._simulation.feed(event))
        for effect in effects:
            if isinstance(effect, DunningStep):
                self.all_steps.append(effect)
            if isinstance(effect, DunningStep) and goes_by_itself(effect):
                self.steps.append(effect)
                list(self._simulation.feed(arrived(effect)))
        return effects

    def _say(self, events: Iterable[Event]) -> None:
        if self.away:
            raise BrokersAwayError("the brokers did not answer")
        for event in events:
            self.said.append(event)
            self.followed += self.feed(event)

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
