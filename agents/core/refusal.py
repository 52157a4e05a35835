"""A refusal: an event that is not accepted, with the reason, the field and the record it names."""

from __future__ import annotations

import msgspec

from schemas.events import Event


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """Goes to the dead letters with the original bytes.

    `reason` is a fixed word to count and filter by; `field` is the field at fault; `detail` says in
    a sentence what is wrong and names the record by its id. It holds no personal data.
    """

    reason: str
    field: str
    detail: str
    event: Event | None = None
    """The event, when it is another than the one being handled: it had waited until now."""
