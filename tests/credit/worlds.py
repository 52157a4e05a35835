"""Worlds for property tests: a few customers, groups and documents, told by events in any order.

Every document keeps its content, a revision of an invoice its own. Facts may be told before the
document that they concern, and late: with an instant before that of what was told already.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Any, TypeAlias

from hypothesis import strategies as st

from schemas import events as ev
from schemas.events import Day, Event, Instant

CUSTOMERS = ("C-1", "C-2", "C-3")
GROUPS = ("G-1", "G-2")
CURRENCIES = ("EUR", "USD", "JPY")
FIRST_DAY: Day = 20_000
DAY: Instant = 86_400_000_000
_MINUTE: Instant = 60_000_000
_DOCUMENTS = 3
"""Of each kind a customer has so many."""

_amounts = st.integers(1, 400)
_limits = st.integers(0, 1200) | st.none()
_RATES = {
    ("EUR", "USD"): ("1.10", "1.25"),
    ("EUR", "JPY"): ("160", "125.5"),
    ("USD", "EUR"): ("0.9", "0.75"),
    ("USD", "JPY"): ("145", "110"),
}
_ROLES = (None, "clerk", "boss")

Draw: TypeAlias = Callable[..., Any]
"""Hypothesis' `draw`, or that of its `data`."""
Told: TypeAlias = Callable[["World", Draw], Event]


class World:
    """What has been told so far; each method tells one thing more."""

    def __init__(
        self, currencies: tuple[str, ...] = CURRENCIES, *, under_survivor: bool = True
    ) -> None:
        self.told: list[Event] = []
        self.now: Instant = FIRST_DAY * DAY
        self.today: Day = FIRST_DAY
        self.merged: dict[str, str] = {}
        self.currencies = currencies
        self._under_survivor = under_survivor
        self._documents: dict[tuple[str, ...], dict[str, Any]] = {}
        self._masters: dict[str, dict[str, Any]] = {}

    def tell(self, kind: type[Event], *, late: int = 0, **fields: Any) -> Event:
        """An event that happens now, or happened some minutes ago."""
        self.now += _MINUTE
        event = kind(
            event_id=f"e-{len(self.told)}", occurred_at=self.now - late * _MINUTE, **fields
        )
        self.told.append(event)
        return event

    def survivor(self, customer_id: str) -> str:
        """Who has the customer's account now."""
        while customer_id in self.merged:
            customer_id = self.merged[customer_id]
        return customer_id

    # ── days, rates, feeds ────────────────────────────────────────────────────────────────────────

    def business_day(self, draw: Draw) -> Event:
        return self.day_after(draw(st.sampled_from((1, 1, 2, 6, 31))))

    def day_after(self, days: int) -> Event:
        self.today += days
        self.now = max(self.now, self.today * DAY)
        event = ev.BusinessDayStarted(
            event_id=f"day-{self.today}", occurred_at=self.today * DAY, date=self.today
        )
        self.told.append(event)
        return event

    def fx_rate(self, draw: Draw) -> Event:
        base, quote = draw(st.sampled_from(sorted(_RATES)))
        return self.tell(
            ev.FxRatePublished,
            base=base,
            quote=quote,
            rate=draw(st.sampled_from(_RATES[base, quote])),
            valid_on=self.today + draw(st.sampled_from((0, 0, -2, -9, 1, 3))),
        )

    def feed(self, draw: Draw) -> Event:
        return self.tell(
            ev.FeedAdvanced,
            feed=draw(st.sampled_from(("payments", "invoices"))),
            complete_until=self.now - draw(st.integers(0, 90)) * _MINUTE,
        )

    # ── customers and groups ──────────────────────────────────────────────────────────────────────

    def customer(self, draw: Draw) -> Event:
        """A master record."""
        customer_id = self._unmerged(draw)
        master = {
            "currency": draw(self._currency()),
            "credit_limit": draw(_limits),
            "group_id": draw(st.sampled_from((None, *GROUPS))),
            "segment": draw(st.sampled_from((None, None, "key"))),
            "unlimited": draw(st.sampled_from((None, None, None, True))),
            "blocked": draw(st.sampled_from((None, None, None, False, True))),
            "closed": draw(st.sampled_from((None, None, None, True))),
            "payment_terms_days": draw(st.sampled_from((None, 30, 30, 0))),
            "limit_valid_until": draw(st.none() | self._days(-1, 10)),
            "insured_limit": draw(st.none() | st.integers(0, 600)),
        }
        self._masters[customer_id] = master
        return self.tell(ev.CustomerUpserted, late=draw(_LATE), customer_id=customer_id, **master)

    def member(self, draw: Draw) -> Event:
        """The master record as it was, but for the group."""
        customer_id = self._unmerged(draw)
        master = self._masters.setdefault(
            customer_id, {"currency": draw(self._currency()), "credit_limit": 1000}
        )
        master["group_id"] = draw(st.sampled_from((*GROUPS, None)))
        return self.tell(ev.CustomerUpserted, late=draw(_LATE), customer_id=customer_id, **master)

    def limit(self, draw: Draw) -> Event:
        return self.tell(
            ev.CreditLimitChanged,
            late=draw(_LATE),
            customer_id=self._unmerged(draw),
            credit_limit=draw(_limits),
            valid_until=draw(st.none() | self._days(-1, 10)),
        )

    def block(self, draw: Draw) -> Event:
        return self.tell(
            draw(st.sampled_from((ev.CustomerUnblocked, ev.CustomerBlocked))),
            late=draw(_LATE),
            customer_id=self._unmerged(draw),
            reason="r",
            by="ann",
        )

    def group(self, draw: Draw) -> Event:
        return self.tell(
            ev.CreditGroupUpserted,
            late=draw(_LATE),
            group_id=draw(st.sampled_from(GROUPS)),
            currency=draw(self._currency()),
            credit_limit=draw(_limits),
        )

    def merger(self, draw: Draw) -> Event:
        return self._merger(*draw(st.permutations(CUSTOMERS))[:2])

    def sensible_merger(self, draw: Draw) -> Event | None:
        """One that says nothing against those before it, if there is any left."""
        possible = [
            (merged, survivor)
            for merged, survivor in permutations(CUSTOMERS, 2)
            if merged not in self.merged and self.survivor(survivor) != merged
        ]
        return self._merger(*draw(st.sampled_from(possible))) if possible else None

    def _merger(self, merged: str, survivor: str) -> Event:
        if merged not in self.merged and self.survivor(survivor) != merged:
            self.merged[merged] = survivor
        return self.tell(
            ev.CustomersMerged,
            customer_id=survivor,
            merged_customer_id=merged,
            by="ann",
            reason="r",
        )

    # ── orders ────────────────────────────────────────────────────────────────────────────────────

    def order(self, draw: Draw) -> Event:
        about, order_id = self._about(draw, "O")
        content = self._content(
            ("order", order_id),
            lambda: {
                "amount": (amount := draw(_amounts)),
                "currency": draw(self._currency()),
                "deliver_on": draw(st.none() | self._days(0, 15)),
                "net_amount": draw(st.sampled_from((None, -(-amount * 5 // 6)))),
            },
        )
        return self.tell(ev.OrderPlaced, **about, order_id=order_id, **content)

    def order_total(self, draw: Draw) -> Event:
        about, order_id = self._about(draw, "O")
        return self.tell(
            ev.OrderChanged, late=draw(_LATE), **about, order_id=order_id, amount=draw(_amounts)
        )

    def delivery(self, draw: Draw) -> Event:
        about, order_id = self._about(draw, "O")
        part = draw(st.none() | _amounts)
        return self.tell(ev.OrderDelivered, **about, order_id=order_id, amount=part)

    def order_cancel(self, draw: Draw) -> Event:
        about, order_id = self._about(draw, "O")
        part = draw(_amounts | st.none())
        return self.tell(
            ev.OrderCancelled, late=draw(_LATE), **about, order_id=order_id, amount=part
        )

    def hold(self, draw: Draw) -> Event:
        about, order_id = self._about(draw, "O")
        return self.tell(
            ev.OrderHeld,
            late=draw(_LATE),
            **about,
            order_id=order_id,
            by="ann",
            reason="r",
            valid_until=draw(st.none() | self._days(-1, 9)),
        )

    def release(self, draw: Draw) -> Event:
        about, order_id = self._about(draw, "O")
        return self.tell(
            ev.OrderReleased,
            late=draw(_LATE),
            **about,
            order_id=order_id,
            by="bob",
            reason="r",
            role=draw(st.sampled_from(_ROLES)),
            confirmed_by=draw(st.sampled_from((None, "bob", "eve"))),
            valid_until=draw(st.none() | self._days(-1, 9)),
        )

    # ── invoices and credit notes ─────────────────────────────────────────────────────────────────

    def invoice(self, draw: Draw) -> Event:
        about, invoice_id = self._about(draw, "I")
        revision = draw(st.sampled_from((None, None, None, 1, 2)))
        content = self._content(
            ("invoice", invoice_id, str(revision)), lambda: self._invoice(draw, invoice_id)
        )
        return self.tell(
            ev.InvoiceIssued, **about, invoice_id=invoice_id, revision=revision, **content
        )

    def _invoice(self, draw: Draw, invoice_id: str) -> dict[str, Any]:
        amount = draw(_amounts)
        orders = draw(st.lists(st.sampled_from(_ids("O", invoice_id)), max_size=2, unique=True))
        named: dict[str, Any] = {}
        if len(orders) == 1:
            named = {"order_id": orders[0]}
        elif orders and amount > 1:
            first = draw(st.integers(1, amount - 1))
            parts = zip(orders, (first, draw(st.integers(1, amount - first))), strict=True)
            named = {"orders": [ev.InvoicedOrder(order_id=one, amount=part) for one, part in parts]}
        due_on = self.today + draw(st.integers(0, 7) | st.integers(-40, 60))
        return named | {
            "amount": amount,
            "currency": draw(self._currency()),
            "issued_on": due_on - 30,
            "due_on": due_on,
            "final_for_order": draw(st.sampled_from((None, None, True))),
            "net_amount": draw(st.sampled_from((None, -(-amount * 5 // 6)))),
        }

    def invoice_end(self, draw: Draw) -> Event:
        about, invoice_id = self._about(draw, "I")
        kind = draw(st.sampled_from((ev.InvoiceCancelled, ev.InvoiceWrittenOff)))
        return self.tell(kind, **about, invoice_id=invoice_id)

    def dispute(self, draw: Draw) -> Event:
        about, invoice_id = self._about(draw, "I")
        dispute_id = draw(st.sampled_from(("D-1", "D-2")))
        content = self._content(
            ("dispute", invoice_id, dispute_id), lambda: {"amount": draw(st.none() | _amounts)}
        )
        return self.tell(
            ev.InvoiceDisputed,
            **about,
            invoice_id=invoice_id,
            dispute_id=dispute_id,
            reason="r",
            **content,
        )

    def dispute_end(self, draw: Draw) -> Event:
        about, invoice_id = self._about(draw, "I")
        return self.tell(
            ev.DisputeResolved,
            late=draw(_LATE),
            **about,
            invoice_id=invoice_id,
            dispute_id=draw(st.sampled_from(("D-1", "D-2"))),
            outcome=draw(st.sampled_from(("rejected", "partly", "upheld"))),
            credited_amount=draw(st.none() | _amounts),
        )

    def credit_note(self, draw: Draw) -> Event:
        about, note_id = self._about(draw, "N")
        content = self._content(
            ("note", note_id),
            lambda: {
                "amount": draw(_amounts),
                "currency": draw(self._currency()),
                "invoice_id": draw(st.sampled_from((None, *_ids("I", note_id)))),
            },
        )
        return self.tell(ev.CreditNoteIssued, **about, credit_note_id=note_id, **content)

    def dunning(self, draw: Draw) -> Event:
        about, invoice_id = self._about(draw, "I")
        dunned = ev.DunnedInvoice(
            invoice_id=invoice_id, open_amount=1, due_on=self.today, days_overdue=1
        )
        return self.tell(
            ev.DunningStep,
            **about,
            step_id="s",
            level=draw(st.integers(1, 3)),
            procedure="p",
            channel="email",
            template="t",
            language="en",
            invoices=[dunned],
            principal=1,
            interest=0,
            costs=0,
            currency="EUR",
            legal_basis="",
            pay_by=self.today + 7,
        )

    # ── payments ──────────────────────────────────────────────────────────────────────────────────

    def payment(self, draw: Draw) -> Event:
        about, payment_id = self._about(draw, "P")
        content = self._content(("payment", payment_id), lambda: self._payment(draw, payment_id))
        return self.tell(ev.PaymentReceived, **about, payment_id=payment_id, **content)

    def _payment(self, draw: Draw, payment_id: str) -> dict[str, Any]:
        amount = left = draw(_amounts)
        allocations = []
        invoices = st.sampled_from((*_ids("I", payment_id), "I-strange-" + payment_id))
        for invoice_id in draw(st.lists(invoices, max_size=2, unique=True)):
            part = draw(st.integers(0, left))
            if part:
                allocations.append(ev.Allocation(invoice_id=invoice_id, amount=part))
                left -= part
        return {
            "amount": amount,
            "currency": draw(self._currency()),
            "value_on": self.today,
            "allocations": allocations,
            "cleared": draw(st.sampled_from((None, True, False))),
        }

    def payment_end(self, draw: Draw) -> Event:
        about, payment_id = self._about(draw, "P")
        if draw(st.booleans()):
            return self.tell(ev.PaymentReversed, **about, payment_id=payment_id, reason="r")
        return self.tell(ev.PaymentCleared, **about, payment_id=payment_id)

    def allocation(self, draw: Draw) -> Event:
        about, payment_id = self._about(draw, "P")
        return self.tell(
            ev.PaymentAllocated,
            **about,
            payment_id=payment_id,
            invoice_id=draw(st.sampled_from(_ids("I", payment_id))),
            amount=draw(_amounts),
        )

    # ── inside ────────────────────────────────────────────────────────────────────────────────────

    def _currency(self) -> st.SearchStrategy[str]:
        return st.sampled_from((self.currencies[0], *self.currencies))

    def _days(self, first: int, last: int) -> st.SearchStrategy[Day]:
        return st.integers(self.today + first, self.today + last)

    def _unmerged(self, draw: Draw) -> str:
        found: str = draw(st.sampled_from(CUSTOMERS))
        return found

    def _about(self, draw: Draw, kind: str) -> tuple[dict[str, Any], str]:
        """Whose document is meant, and which; after a merger it is told under either id."""
        customer_id = draw(st.sampled_from(CUSTOMERS))
        document_id = f"{kind}-{customer_id[-1]}{draw(st.integers(1, _DOCUMENTS))}"
        if self._under_survivor and customer_id in self.merged and draw(st.booleans()):
            customer_id = self.survivor(customer_id)
        return {"customer_id": customer_id}, document_id

    def _content(self, key: tuple[str, ...], made: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The content of a document: the same whenever it is told again."""
        if key not in self._documents:
            self._documents[key] = made()
        return self._documents[key]


_LATE = st.sampled_from((0, 0, 0, 1, 2, 5))
"""By how many minutes a fact is told late."""


def _ids(kind: str, document_id: str) -> tuple[str, ...]:
    """The documents of a kind that the customer has whose document this is."""
    owner = document_id.rpartition("-")[2][0]
    return tuple(f"{kind}-{owner}{number}" for number in range(1, _DOCUMENTS + 1))
