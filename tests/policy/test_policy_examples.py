"""The worked examples: each loads, and decides what is told of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from policy.policy_texts import policy

from agents.core.policy_changes import reused_names
from agents.core.refusal import Refusal
from agents.credit.effects import Sent
from agents.gateway.callers import ROLES, Action
from agents.policy_file import example_names, example_text
from agents.simulate import Simulation, business_day
from schemas.dates import parse_day
from schemas.events import Day, Event, OrderDecision
from schemas.json_lines import BadLine, read, to_line

_WITH_CURRENCY = ("CustomerUpserted", "OrderPlaced", "InvoiceIssued", "PaymentReceived")


@pytest.mark.parametrize("example", example_names())
def test_who_has_a_key_of_the_gateway_has_an_authority(example: str) -> None:
    releasing = {role for role in ROLES if Action.RELEASE_ORDERS in ROLES[role]}
    for version in policy(example_text(example)).versions:
        for terms in (version.base, *version.segments.values()):
            assert releasing & terms.authority.keys()


class World:
    """A simulation under an example, from a day on; what it answers comes as short words."""

    def __init__(self, example: str, today: str) -> None:
        self._simulation = Simulation(policy(example_text(example)))
        self._today: Day = parse_day(today) - 1
        self._events = 0
        self.versions: list[str] = []
        self.until(today)

    def until(self, day: str) -> list[str]:
        """Begin every day up to this one."""
        said: list[str] = []
        for today in range(self._today + 1, parse_day(day) + 1):
            said += self._words(self._simulation.feed(business_day(today)))
        self._today = parse_day(day)
        return said

    def customer(self, customer_id: str, limit: str | None, **fields: Any) -> None:
        assert self.tell(customer_id, "CustomerUpserted", credit_limit=limit, **fields) == []

    def order(self, customer_id: str, order_id: str, amount: str, **fields: Any) -> list[str]:
        return self.tell(customer_id, "OrderPlaced", order_id=order_id, amount=amount, **fields)

    def invoice(self, customer_id: str, invoice_id: str, amount: str, due_on: str) -> None:
        said = self.tell(
            customer_id,
            "InvoiceIssued",
            invoice_id=invoice_id,
            amount=amount,
            issued_on="2026-01-01",
            due_on=due_on,
        )
        assert said == []

    def release(self, customer_id: str, order_id: str, by: str, **fields: Any) -> list[str]:
        return self.tell(
            customer_id, "OrderReleased", order_id=order_id, by=by, reason="looked at", **fields
        )

    def remind(self, customer_id: str, invoice_id: str, level: int) -> None:
        dunned = {
            "invoice_id": invoice_id,
            "open_amount": "12.00",
            "due_on": "2026-03-01",
            "days_overdue": 1,
        }
        step = self._event(
            customer_id,
            "DunningStep",
            step_id=f"{invoice_id}-{level}",
            level=level,
            procedure="standard",
            channel="email",
            template="reminder",
            language="en",
            invoices=[dunned],
            principal="12.00",
            interest="0.00",
            costs="0.00",
            currency="EUR",
            legal_basis="contract",
            pay_by="2026-03-31",
        )
        # It comes from another room, not through the intake that the simulation has.
        assert self._words(self._simulation._apply(step, Sent())) == []

    def tell(self, customer_id: str | None, kind: str, **fields: Any) -> list[str]:
        return self._words(self._simulation.feed(self._event(customer_id, kind, **fields)))

    def _event(self, customer_id: str | None, kind: str, **fields: Any) -> Event:
        """An event of today at noon and some seconds."""
        self._events += 1
        minute, second = divmod(self._events, 60)
        day = business_day(self._today).event_id.removeprefix("day-")
        said = {
            "type": kind,
            "event_id": f"e-{self._events}",
            "occurred_at": f"{day}T12:{minute:02d}:{second:02d}Z",
        }
        if customer_id is not None:
            said["customer_id"] = customer_id
        currency = {"currency": "EUR"} if kind in _WITH_CURRENCY else {}
        (event,) = read([json.dumps(said | currency | fields)])
        assert not isinstance(event, BadLine), event
        return event

    def figures(self, customer_id: str) -> dict[str, Any]:
        for published in self._simulation.figures():
            if published.customer_id == customer_id:
                shown: dict[str, Any] = json.loads(to_line(published, None))
                return shown
        raise KeyError(customer_id)

    def _words(self, effects: Iterable[Event | Refusal]) -> list[str]:
        """Decisions and refusals; alerts and warnings are no decisions."""
        said: list[str] = []
        for effect in effects:
            if isinstance(effect, Refusal):
                said.append(f"refused {effect.reason}")
            elif isinstance(effect, OrderDecision):
                said.append(" ".join([effect.order_id, effect.decision, *effect.reasons]))
                self.versions.append(effect.policy_version)
        return said


@pytest.mark.parametrize("name", example_names())
def test_an_example_loads_and_its_versions_have_names_of_their_own(name: str) -> None:
    book = policy(example_text(name))
    assert book.versions[0].segments
    assert reused_names(policy(""), book) == []
    for other in example_names():
        assert other == name or reused_names(policy(example_text(other)), book) == []


# ── the wholesaler ──────────────────────────────────────────────────────────────────────────────


def test_the_wholesaler_caps_a_limit_by_the_insurance_and_less_so_from_2027() -> None:
    world = World("wholesaler", "2026-12-30")
    world.customer("INSTALLER", "100000", insured_limit="20000")
    world.customer("UNINSURED", "100000")
    assert world.order("INSTALLER", "O-1", "22000.01") == ["O-1 held credit_limit_exceeded"]
    assert world.order("INSTALLER", "O-2", "22000") == ["O-2 approved"]
    assert world.order("UNINSURED", "O-3", "100000") == ["O-3 approved"]
    assert world.figures("INSTALLER")["credit_limit"] == "22000.00"
    world.until("2027-01-01")
    assert world.figures("INSTALLER")["credit_limit"] == "21000.00"
    # What was approved under the old terms is checked again when it is delivered.
    assert world.tell("INSTALLER", "OrderDelivered", order_id="O-2") == [
        "O-2 held credit_limit_exceeded"
    ]
    assert world.versions == ["wholesale-2026"] * 3 + ["wholesale-2027"]


def test_the_wholesaler_reserves_for_a_project_four_weeks_before_delivery() -> None:
    world = World("wholesaler", "2026-03-02")
    world.customer("INSTALLER", "10000")
    assert world.order("INSTALLER", "O-1", "9000", deliver_on="2026-05-04") == ["O-1 approved"]
    assert world.order("INSTALLER", "O-2", "9000") == ["O-2 approved"]
    assert world.figures("INSTALLER")["open_orders"] == "9000.00"
    world.tell("INSTALLER", "OrderCancelled", order_id="O-2")
    world.until("2026-04-05")
    assert world.figures("INSTALLER")["open_orders"] == "0.00"
    world.until("2026-04-06")
    assert world.figures("INSTALLER")["open_orders"] == "9000.00"


def test_the_wholesaler_is_patient_with_key_accounts_and_blind_to_forgotten_freight() -> None:
    world = World("wholesaler", "2026-06-15")
    for customer, segment, late in (
        ("SHOP", None, "800"),
        ("FREIGHT", None, "100"),
        ("KEY", "key_account", "800"),
        ("KEY-LATE", "key_account", "5000"),
    ):
        world.customer(customer, "50000", segment=segment)
        world.invoice(customer, f"I-{customer}", late, due_on="2026-05-31")
    assert world.order("SHOP", "O-1", "10") == ["O-1 held overdue"]
    assert world.order("FREIGHT", "O-2", "10") == ["O-2 approved"]
    assert world.order("KEY", "O-3", "10") == ["O-3 approved"]
    assert world.order("KEY-LATE", "O-4", "10") == ["O-4 approved"]
    world.until("2026-07-01")
    assert world.order("KEY", "O-5", "10") == ["O-5 approved"]
    assert world.order("KEY-LATE", "O-6", "10") == ["O-6 held overdue"]


def test_the_wholesaler_lets_each_role_release_so_much_and_asks_two_above_50000() -> None:
    world = World("wholesaler", "2026-03-02")
    world.customer("INSTALLER", "0")
    world.customer("COUNTER", "0", segment="small")
    world.order("INSTALLER", "O-1", "20000")
    world.order("INSTALLER", "O-2", "60000")
    world.order("COUNTER", "O-3", "30000")

    def release(customer: str, order: str, role: str, **fields: str) -> list[str]:
        return world.release(customer, order, by="ann", role=role, **fields)

    assert release("INSTALLER", "O-1", "trainee") == ["refused authority_missing"]
    assert release("INSTALLER", "O-1", "controller") == ["refused authority_exceeded"]
    assert release("INSTALLER", "O-1", "manager") == ["O-1 released"]
    assert release("INSTALLER", "O-2", "manager") == ["refused second_person_missing"]
    assert release("INSTALLER", "O-2", "manager", confirmed_by="bob") == ["O-2 released"]
    assert release("COUNTER", "O-3", "manager") == ["refused authority_exceeded"]
    assert release("COUNTER", "O-3", "finance_director") == ["O-3 released"]


@pytest.mark.parametrize(
    ("due_on", "last_day", "day_after"),
    [("2026-03-01", "2026-04-30", "2026-05-01"), ("2026-12-01", "2027-01-15", "2027-01-16")],
)
def test_the_wholesaler_stops_when_the_insurer_does(
    due_on: str, last_day: str, day_after: str
) -> None:
    world = World("wholesaler", last_day)
    world.customer("INSTALLER", "10000", insured_limit="10000")
    world.invoice("INSTALLER", "I-1", "200", due_on=due_on)
    assert world.order("INSTALLER", "O-1", "10") == ["O-1 approved"]
    world.until(day_after)
    assert world.order("INSTALLER", "O-2", "10") == ["O-2 held insurance_cover_stopped"]


def test_the_wholesaler_gives_counter_customers_a_limit_and_nobody_else_one() -> None:
    world = World("wholesaler", "2026-03-02")
    world.customer("COUNTER", None, segment="small")
    world.customer("INSTALLER", None)
    assert world.order("COUNTER", "O-1", "2500") == ["O-1 approved"]
    assert world.order("INSTALLER", "O-2", "10") == ["O-2 held limit_missing"]


# ── the subscription business ───────────────────────────────────────────────────────────────────


def test_the_subscription_business_has_new_customers_prepay() -> None:
    world = World("subscription", "2026-03-02")
    world.customer("ANN", None, segment="new")
    assert world.order("ANN", "O-1", "30") == ["O-1 held prepayment_required"]
    assert world.tell(
        "ANN", "PaymentReceived", payment_id="P-1", amount="30", value_on="2026-03-02"
    ) == ["O-1 released"]
    # After three months the master record no longer calls her new.
    world.customer("ANN", None)
    assert world.order("ANN", "O-2", "120") == ["O-2 approved"]
    assert world.order("ANN", "O-3", "0.01") == ["O-3 held credit_limit_exceeded"]


def test_the_subscription_business_counts_companies_without_vat() -> None:
    world = World("subscription", "2026-03-02")
    world.customer("COMPANY", None, segment="business")
    world.customer("ANN", None)
    assert world.order("COMPANY", "O-1", "1815", net_amount="1500") == ["O-1 approved"]
    assert world.order("ANN", "O-2", "145.20", net_amount="120") == [
        "O-2 held credit_limit_exceeded"
    ]


def test_the_subscription_business_has_those_prepay_who_cost_it_an_invoice() -> None:
    world = World("subscription", "2026-03-02")
    world.customer("ANN", None)
    world.invoice("ANN", "I-1", "12", due_on="2026-03-01")
    assert world.order("ANN", "O-1", "12") == ["O-1 approved"]
    world.tell("ANN", "InvoiceWrittenOff", invoice_id="I-1")
    assert world.order("ANN", "O-2", "12") == ["O-2 held prepayment_required"]


def test_the_subscription_business_waits_for_the_second_try_of_a_direct_debit() -> None:
    world = World("subscription", "2026-03-06")
    world.customer("ANN", None)
    world.invoice("ANN", "I-1", "12", due_on="2026-03-01")
    assert world.order("ANN", "O-1", "12") == ["O-1 approved"]
    world.until("2026-03-07")
    assert world.order("ANN", "O-2", "12") == ["O-2 held overdue"]


def test_the_subscription_business_says_when_a_late_payment_file_may_be_the_reason() -> None:
    world = World("subscription", "2026-03-02")
    world.customer("ANN", None)
    world.invoice("ANN", "I-1", "60", due_on="2026-03-20")
    world.tell(None, "FeedAdvanced", feed="payments", complete_until="2026-03-02T11:30:00Z")
    assert world.order("ANN", "O-1", "70") == ["O-1 held credit_limit_exceeded"]
    world.until("2026-03-03")
    assert world.order("ANN", "O-2", "80") == ["O-2 held credit_limit_exceeded stale_data"]


def test_the_subscription_business_stops_with_the_second_reminder() -> None:
    world = World("subscription", "2026-03-02")
    world.customer("ANN", None)
    world.customer("COMPANY", None, segment="business")
    for customer in ("ANN", "COMPANY"):
        world.invoice(customer, f"I-{customer}", "12", due_on="2026-03-01")
        world.remind(customer, f"I-{customer}", level=1)
        assert world.order(customer, "O-1", "12") == ["O-1 approved"]
        world.remind(customer, f"I-{customer}", level=2)
    assert world.order("ANN", "O-2", "12") == ["O-2 held dunning_block"]
    assert world.order("COMPANY", "O-2", "12") == ["O-2 approved"]


# ── the public-sector supplier ──────────────────────────────────────────────────────────────────


def test_the_public_sector_supplier_serves_departments_first_come_first_served() -> None:
    world = World("public_sector_supplier", "2026-03-02")
    for customer, segment in (("MINISTRY", None), ("CLINIC", "hospital")):
        world.customer(customer, "10000", segment=segment)
        assert world.order(customer, "O-1", "8000") == ["O-1 approved"]
        assert world.order(customer, "O-2", "5000") == ["O-2 held credit_limit_exceeded"]
    assert world.order("MINISTRY", "O-3", "1000") == ["O-3 held credit_limit_exceeded"]
    assert world.order("CLINIC", "O-3", "1000") == ["O-3 approved"]
    assert world.tell("MINISTRY", "OrderCancelled", order_id="O-2") == [
        "O-2 cancelled",
        "O-3 released",
    ]


def test_the_public_sector_supplier_needs_two_people_for_every_release() -> None:
    world = World("public_sector_supplier", "2026-03-02")
    world.customer("MINISTRY", "100")
    world.order("MINISTRY", "O-1", "200")

    def release(**fields: str) -> list[str]:
        return world.release("MINISTRY", "O-1", by="ann", **fields)

    assert release(confirmed_by="bob") == ["refused authority_missing"]
    assert release(role="board") == ["refused second_person_missing"]
    assert release(role="board", confirmed_by="ann") == ["refused second_person_missing"]
    assert release(role="account_manager", confirmed_by="bob") == ["O-1 released"]
    # What was signed is what is delivered, not a cent more.
    assert world.tell("MINISTRY", "OrderChanged", order_id="O-1", amount="200.01") == [
        "O-1 held credit_limit_exceeded"
    ]


def test_the_public_sector_supplier_waits_for_ministries_but_not_for_contractors() -> None:
    world = World("public_sector_supplier", "2026-06-15")
    world.customer("MINISTRY", "100000")
    world.customer("CONTRACTOR", "100000", segment="contractor")
    world.invoice("MINISTRY", "I-1", "20000", due_on="2026-04-01")
    world.invoice("CONTRACTOR", "I-2", "600", due_on="2026-05-31")
    assert world.order("MINISTRY", "O-1", "70000") == ["O-1 approved"]
    # 75 days late, and now the limit would be nearly used up.
    assert world.order("MINISTRY", "O-2", "0.01") == ["O-2 held overdue"]
    assert world.order("CONTRACTOR", "O-3", "10") == ["O-3 held overdue"]


def test_the_public_sector_supplier_is_less_patient_from_2027_on() -> None:
    world = World("public_sector_supplier", "2026-12-31")
    world.customer("MINISTRY", "100000")
    world.invoice("MINISTRY", "I-1", "20000", due_on="2026-11-20")
    assert world.order("MINISTRY", "O-1", "75000") == ["O-1 approved"]
    world.until("2027-01-01")
    assert world.order("MINISTRY", "O-2", "1000") == ["O-2 held overdue"]
    assert world.versions == ["public-sector-1", "public-sector-2"]
