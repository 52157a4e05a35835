"""Events of every type with a word of its own in every field that can hold what is nobody's
business, and who looks for these words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from schemas import events
from schemas.events import INCOMING, JOURNAL_ONLY, Day, Event
from schemas.fields import Field, fields_of

AMOUNT = 76_543_21
"""Minor units, of everything: it is to be found in no line, however it is written."""
_CURRENCIES = {"currency": "EUR", "base": "EUR", "quote": "USD"}
_WORDS = {
    "outcome": "rejected", "channel": "email", "result": "failed", "decision": "skip",
    "rate": "1.10", "kind": "b2b", "country": "NL",
}  # fmt: skip
"""What has to be one of a few words for the event to be taken."""


class Canaries:
    """Words that are nowhere else, each with where it was put."""

    def __init__(self) -> None:
        self.put: dict[str, str] = {
            str(AMOUNT): "an amount", "76543.21": "an amount", "76,543.21": "an amount",
            "76.543,21": "an amount",
        }  # fmt: skip

    def word(self, where: str) -> str:
        word = f"canary{len(self.put):04}q"
        self.put[word] = where
        return word

    def events(self, customer_id: str, today: Day) -> Iterator[Event]:
        """One of every type that comes in, which is taken."""
        for kind in INCOMING:
            if kind not in JOURNAL_ONLY:
                yield self._event(kind, f"ok-{kind.__name__}", customer_id, today, broken="")

    def broken(self, customer_id: str, today: Day) -> Iterator[Event]:
        """Events that a rule refuses, each for the word in another field."""
        for kind in INCOMING:
            if kind in JOURNAL_ONLY:
                continue
            for field in fields_of(kind):
                if field.name in {*_CURRENCIES, *_WORDS} - {"country"} and field.record is None:
                    event_id = f"bad-{kind.__name__}-{field.name}"
                    yield self._event(kind, event_id, customer_id, today, broken=field.name)

    def _event(
        self, kind: type[Event], event_id: str, customer_id: str, today: Day, *, broken: str
    ) -> Event:
        said: dict[str, Any] = {
            field.name: self._value(kind.__name__, field, today, broken)
            for field in fields_of(kind)
        }
        said |= {"event_id": event_id, "occurred_at": today * 86_400_000_000}
        if "customer_id" in said:
            said["customer_id"] = customer_id
        if kind is events.FeedAdvanced:
            said["feed"] = "a-feed"
        # Each by itself is taken; together they would name the order twice, or a parent twice.
        for name in ("orders", "group_id", "closed", "blocked"):
            if name in said and kind is not events.CreditGroupUpserted:
                said.pop(name)
        return kind(**said)

    def _value(self, kind: str, field: Field, today: Day, broken: str) -> Any:
        name = field.name
        if name == broken:
            return self.word(f"{kind}.{name}, which is refused")
        if field.record is not None:
            return [
                field.record(**{
                    inner.name: self._value(kind, inner, today, "")
                    for inner in fields_of(field.record)
                })
            ]  # fmt: skip
        if field.is_list:
            return [f"id-{kind}-{name}"]
        if field.kind == "minor":
            return AMOUNT
        if field.kind == "day":
            return today
        if field.kind == "instant":
            return today * 86_400_000_000
        if field.kind == "integer":
            return 1
        if field.kind == "boolean":
            return False
        if name.endswith("_id"):
            return f"id-{kind}-{name}"
        if name in _CURRENCIES:
            return _CURRENCIES[name]
        if name in _WORDS:
            return _WORDS[name]
        return self.word(f"{kind}.{name}")


def leaks(log: str, canaries: Mapping[str, str]) -> list[str]:
    """The lines that hold one of the words, each with where the word was put."""
    return [
        f"{where} in: {line}"
        for line in log.splitlines()
        for word, where in canaries.items()
        if word in line.lower()
    ]


def cut(raw: bytes) -> Iterator[bytes]:
    """The same event as bytes that are none: its end is missing, or text is not UTF-8."""
    yield raw[:-1]
    yield raw.replace(b"canary", b"c\xffnary")
