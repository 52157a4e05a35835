"""Plays every story of the Markdown files beside this one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agents.core.refusal import Refusal
from agents.policy_file import load_policy
from agents.simulate import Simulation, business_day
from schemas.dates import parse_day
from schemas.events import CreditLimitAlert, Event, OrderDecision
from schemas.json_lines import BadLine, read, to_line

_HERE = Path(__file__).parent
_WORDS = ("true", "false", "null")
_WITH_CURRENCY = (
    "CustomerUpserted",
    "OrderPlaced",
    "InvoiceIssued",
    "CreditNoteIssued",
    "PaymentReceived",
)


@dataclass(frozen=True)
class Story:
    place: str
    title: str
    lines: list[tuple[int, str]]


def stories() -> Iterator[Any]:
    for path in sorted(_HERE.glob("*.md")):
        if path.name == "README.md":
            continue
        parts = re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        number = parts[0].count("\n")
        for part in parts[1:]:
            lines = list(enumerate(part.split("\n"), start=number + 1))
            number += part.count("\n")
            assert lines[1][1].startswith("rule: "), f"{path.name}:{number}: a story names its rule"
            body = [(at, line) for at, line in lines[2:] if line.strip()]
            yield pytest.param(
                Story(path.name, lines[0][1], body), id=f"{path.stem}: {lines[0][1]}"
            )


@pytest.mark.parametrize("story", list(stories()))
def test_story(story: Story) -> None:
    simulation = Simulation(load_policy(None))
    said: list[str] = []
    today = 0
    for number, line in story.lines:
        where = f"{story.place}:{number}: {line.strip()}"
        text = line.strip()
        if text.startswith("> "):
            assert said, f"{where}: nothing (more) went out"
            assert said.pop(0) == text[2:], where
            continue
        if text.startswith("= "):
            assert not said, f"{where}: also went out: {said}"
            _compare_figures(simulation, text[2:].split(), where)
            continue
        assert not said, f"before {where}: also went out: {said}"
        if text.startswith("days to "):
            last = parse_day(text.removeprefix("days to "))
            for day in range(today or last, last + 1):
                said += [_word(effect) for effect in simulation.feed(business_day(day))]
            today = last + 1
        else:
            said = [_word(effect) for effect in simulation.feed(_event(text, number))]
    assert not said, f"at the end of {story.title!r} also went out: {said}"


def _event(text: str, number: int) -> Event:
    day, kind, *pairs = text.split()
    fields: dict[str, Any] = {
        "type": kind,
        "event_id": f"line-{number}",
        "occurred_at": f"{day}T{8 + number // 60:02d}:{number % 60:02d}:00Z",
        "customer_id": "C-1",
    }
    if kind in _WITH_CURRENCY:
        fields["currency"] = "EUR"
    for pair in pairs:
        name, _, value = pair.partition("=")
        fields[name] = json.loads(value) if value in _WORDS else value
        if name == "revision":
            fields[name] = int(value)
        if name == "allocations":
            parts = [part.split(":") for part in value.split(",")]
            fields[name] = [{"invoice_id": one, "amount": amount} for one, amount in parts]
    (event,) = read([json.dumps(fields)])
    assert not isinstance(event, BadLine), event
    return event


def _word(effect: Event | Refusal) -> str:
    if isinstance(effect, Refusal):
        return f"refused {effect.reason} {effect.field}"
    if isinstance(effect, CreditLimitAlert):
        return f"alert {effect.threshold} {effect.direction}"
    assert isinstance(effect, OrderDecision)
    words = [effect.order_id, effect.decision, *effect.reasons]
    return " ".join([*words, "by", effect.by] if effect.by else words)


def _compare_figures(simulation: Simulation, pairs: list[str], where: str) -> None:
    (published,) = simulation.figures()
    shown = json.loads(to_line(published, None))
    for name, value in zip(pairs[::2], pairs[1::2], strict=True):
        assert str(shown[name] if shown[name] is not None else "null") == value, f"{where}: {name}"
