"""Which documents an event names, by the letters under which an account keeps them."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.events import Event

KIND_OF_FIELD = {
    "order_id": "o",
    "invoice_id": "i",
    "payment_id": "p",
    "credit_note_id": "c",
}
"""Fields that name a document, and what kind it is (`agents.credit.state`)."""
FIELD_OF_LIST = {"allocations": "invoice_id", "orders": "order_id", "invoices": "invoice_id"}
"""Fields with a list of parts, and the field of a part that names a document."""


def named_documents(event: Event) -> Iterator[str]:
    """Kind and id of each document that the event names, as one text."""
    for field, kind in KIND_OF_FIELD.items():
        named = getattr(event, field, None)
        if named is not None:
            yield kind + named
    for field, named_by in FIELD_OF_LIST.items():
        for part in getattr(event, field, None) or ():
            yield KIND_OF_FIELD[named_by] + getattr(part, named_by)
