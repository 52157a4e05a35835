"""Customers by the beginning of their id or of their name, in pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from agents.core.ledger import Ledger
from agents.gateway.customer_names import CustomerNames, Found
from agents.gateway.shown import customer_ids


class Match(NamedTuple):
    """A customer that was found, and by what: the words of the name, or None: by the id."""

    customer_id: str
    words: str | None


def matches(
    ledgers: Sequence[Ledger], names: CustomerNames, text: str | None, after: Match | None
) -> Iterator[Match]:
    """Those whose id begins with a text, by their id; then the others whose name does, by that.

    Args:
        ledgers: of all partitions.
        names: of customers.
        text: what is looked for; None: everybody, by their id.
        after: the one behind which to begin.
    """
    begins = text or ""
    if after is None or after.words is None:
        last = None if after is None else after.customer_id
        for customer_id in customer_ids(ledgers, begins, last):
            yield Match(customer_id, None)
    if text is None:
        return
    found = None if after is None or after.words is None else Found(after.words, after.customer_id)
    for words, customer_id in names.starting(text, found):
        if not customer_id.startswith(begins):
            yield Match(customer_id, words)
