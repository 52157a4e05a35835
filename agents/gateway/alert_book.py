"""The limit alerts that were published, the newest first, as long as the topic keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from rocksdict import WriteBatch

from agents.gateway.book import KEPT_SECONDS
from agents.gateway.topic_book import TopicBook
from schemas.catalogue import topic_of
from schemas.events import CreditLimitAlert, Event, Instant
from streams.codec import Codec

ALERTS = topic_of("CreditLimitAlert")
_NUL = b"\0"
_LAST: Instant = 2**63 - 1


class AlertBook(TopicBook):
    """The alerts of a topic, by when they were caused; each once, however often it came.

    Args:
        config: of the client.
        codec: decodes alerts.
        directory: of the disk.
    """

    def __init__(self, config: Mapping[str, Any], codec: Codec, directory: Path) -> None:
        super().__init__(config, ALERTS, codec, directory, KEPT_SECONDS)

    def page(
        self, size: int, after: tuple[Instant, str] | None, customer_id: str | None
    ) -> list[CreditLimitAlert]:
        """Alerts, the newest first.

        Args:
            size: at most so many.
            after: time and id of the last one of the page before.
            customer_id: of one customer; None: of all.
        """
        shelf = _shelf(customer_id)
        start = shelf if after is None else shelf + _place(*after) + _NUL
        found: list[CreditLimitAlert] = []
        items: Any = self._db.items(from_key=start)
        for key, raw in islice(items, size):
            if not key.startswith(shelf):
                break
            alert = self._decode(raw)
            assert isinstance(alert, CreditLimitAlert)  # noqa: S101  nothing else is kept
            found.append(alert)
        return found

    def _note(self, events: Iterable[tuple[Event, bytes]], batch: WriteBatch) -> None:
        for event, raw in events:
            if isinstance(event, CreditLimitAlert):
                place = _place(event.occurred_at, event.event_id)
                batch.put(_shelf(None) + place, raw)
                batch.put(_shelf(event.customer_id) + place, raw)


def _shelf(customer_id: str | None) -> bytes:
    """Before the keys of all alerts, or of a customer's."""
    return b"a" + _NUL if customer_id is None else b"c" + _NUL + customer_id.encode() + _NUL


def _place(at: Instant, event_id: str) -> bytes:
    return b"%020d" % (_LAST - at) + _NUL + event_id.encode()
