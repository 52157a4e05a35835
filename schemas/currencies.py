"""Which currency an amount is in, where the event that has the amount does not say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from schemas.events import Event

# Which event says what currency a document has, and in which order other events' ids are asked for
# one: an allocation is in the currency of its payment.
_DEFINED_BY = {
    "OrderPlaced": "order_id",
    "InvoiceIssued": "invoice_id",
    "PaymentReceived": "payment_id",
    "CustomerUpserted": "customer_id",
}
CUSTOMER = "customer_id"
DOCUMENTS = ("order_id", "payment_id", "invoice_id", "invoice_ids")


class Currencies:
    """Which currency the documents and customers have that were seen so far."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str, str], str] = {}

    def learn(self, event: Event) -> None:
        """Remember the currency of what the event introduces; the latest word counts."""
        named = _defined(event)
        if named is not None:
            self._seen[named[0]] = named[1]

    def expect(self, event: Event) -> None:
        """Remember it unless something is known already: for looking ahead."""
        named = _defined(event)
        if named is not None:
            self._seen.setdefault(*named)

    def of(self, event: Event) -> str | None:
        """The currency of an event's amounts where it has none of its own; None: never seen."""
        return self._first(lambda name: getattr(event, name, None))

    def of_payload(self, payload: Mapping[str, Any]) -> str | None:
        """The same for an event that is still a JSON object."""
        return self._first(payload.get)

    def of_subject(self, field: str, get: Callable[[str], Any]) -> str | None:
        """The currency of what one field of an event names."""
        named = get(field)
        for subject in named if isinstance(named, list) else (named,):
            key = (field.removesuffix("s"), str(get(CUSTOMER)), str(subject))
            if key in self._seen:
                return self._seen[key]
        return None

    def _first(self, get: Callable[[str], Any]) -> str | None:
        for field in (*DOCUMENTS, CUSTOMER):
            found = self.of_subject(field, get)
            if found is not None:
                return found
        return None


def _defined(event: Event) -> tuple[tuple[str, str, str], str] | None:
    field = _DEFINED_BY.get(type(event).__name__)
    if field is None:
        return None
    subject, customer, currency = (
        str(getattr(event, name)) for name in (field, CUSTOMER, "currency")
    )
    return (field, customer, subject), currency
