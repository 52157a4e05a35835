"""Plays every story of the Markdown files beside this one."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from agents.core.policy import PolicyBook
from agents.core.policy_text import parse_policy
from agents.core.refusal import Refusal
from agents.credit import reasons
from agents.credit.effects import Sent
from agents.dunning.book import DunningBook
from agents.dunning.rehearsal import arrived
from agents.law_files import load_laws
from agents.procedure_files import load_procedures
from agents.simulate import Simulation, business_day
from agents.working_days import known_holidays
from schemas.dates import MICROSECONDS_PER_DAY, format_day, parse_day
from schemas.events import (
    BY_NAME,
    CreditLimitAlert,
    DunningStep,
    DunningStepSettled,
    Event,
    ExposureChanged,
    GroupExposureChanged,
    HandoverChanged,
    OrderDecision,
    RiskSignal,
)
from schemas.fields import Field, fields_of
from schemas.json_lines import BadLine, read, to_line

_HERE = Path(__file__).parent
_CUSTOMER = "C-1"
_WORDS = ("true", "false", "null")
_UNSAID: dict[str, dict[str, Any]] = {
    "CustomersMerged": {"by": "ann", "reason": "one company"},
    "DunningStepReported": {"attempt": 1, "channel": "email"},
    "DunningStepDecided": {"by": "ann", "reason": "as agreed"},
    "DunningPaused": {"by": "ann", "reason": "on holiday"},
    "DunningResumed": {"by": "ann", "reason": "is back"},
    "InvoiceDisputed": {"reason": "damaged"},
    "PaymentFailed": {"reason": "insufficient funds"},
    "DunningStep": {
        "step_id": "S-1",
        "procedure": "standard",
        "channel": "email",
        "template": "reminder",
        "language": "en",
        "principal": "0.00",
        "interest": "0.00",
        "costs": "0.00",
        "legal_basis": "none",
        "pay_by": "2026-12-31",
    },
}
"""What a story need not say, because no rule looks at it."""
_UNREACHABLE = {"account_not_here", "merged_in_a_circle", "discarded"}
"""Refusals that need two partitions which disagree, or a release whose rules fail."""


@dataclass(frozen=True)
class Story:
    place: str
    title: str
    policy: tuple[str, ...]
    lines: list[tuple[int, str]]


def stories() -> Iterator[Story]:
    for path in sorted(_HERE.glob("*.md")):
        if path.name == "README.md":
            continue
        parts = re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        number = parts[0].count("\n")
        for part in parts[1:]:
            lines = list(enumerate(part.split("\n"), start=number + 1))
            number += part.count("\n")
            assert lines[1][1].startswith("rule: "), f"{path.name}:{number}: a story names its rule"
            body = [(at, line.strip()) for at, line in lines[2:] if line.strip()]
            policy = [line for _, line in takewhile(lambda one: one[1].startswith(_PREFACES), body)]
            yield Story(path.name, lines[0][1], tuple(policy), body[len(policy) :])


_DUNNING = "dunning"
_NOT_SENT = "dunning, not sent yet"
_PREFACES = ("policy ", _DUNNING)


_STORIES = list(stories())


@pytest.mark.parametrize(
    "story", [pytest.param(one, id=f"{one.place[:-3]}: {one.title}") for one in _STORIES]
)
def test_story(story: Story) -> None:
    simulation = Simulation(_policy(story.policy))
    sends = _DUNNING in story.policy
    said: list[Event | Refusal | BadLine] = []
    today = 0
    for number, line in story.lines:
        where = f"{story.place}:{number}: {line}"
        if line.startswith("> "):
            assert said, f"{where}: nothing (more) went out"
            _compare_effect(said.pop(0), line[2:].split(), where)
            continue
        also = "; ".join(map(_word, said))
        if line.startswith("= "):
            assert not said, f"{where}: also went out: {also}"
            _compare_figures(simulation, line[2:].split(), where)
            continue
        assert not said, f"before {where}: also went out: {also}"
        if line.startswith("days to "):
            last = parse_day(line.removeprefix("days to "))
            for day in range(today or last, last + 1):
                said += _sent_at_once(simulation, simulation.feed(business_day(day)), sends)
            today = last + 1
        else:
            played = _play(simulation, line, number, number - story.lines[0][0])
            said += _sent_at_once(simulation, played, sends)
    assert not said, f"at the end of {story.title!r} also went out: {'; '.join(map(_word, said))}"


def _sent_at_once(
    simulation: Simulation, effects: Iterable[Event | Refusal | BadLine], sends: bool
) -> Iterator[Event | Refusal | BadLine]:
    """What goes out, each dunning step that does followed by the report that it was sent."""
    for effect in effects:
        yield effect
        if sends and isinstance(effect, DunningStep) and not effect.proposed:
            settled, *more = simulation.feed(arrived(effect))
            assert isinstance(settled, DunningStepSettled)
            assert settled.outcome == "sent"
            yield from more


def test_every_reason_to_hold_an_order_has_a_story() -> None:
    held = [words for words in _expected() if "held" in words]
    assert {word for words in held for word in words} >= set(reasons.PRECEDENCE)


def test_every_refusal_of_the_credit_room_has_a_story() -> None:
    refused = {words[1] for words in _expected() if words[0] == "refused"}
    assert refused >= _refusals_of_the_rules() - _UNREACHABLE


def _expected() -> Iterator[list[str]]:
    for story in _STORIES:
        for _, line in story.lines:
            if line.startswith("> "):
                yield line[2:].split()


def _refusals_of_the_rules() -> set[str]:
    """The first text in each call that makes a refusal, which is its reason."""
    calls = [
        node
        for room in ("agents.credit", "agents.dunning")
        for path in Path(str(files(room))).glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and _name_of(node.func) in ("refuse", "Refusal", "Overreach", "_compare")
    ]
    texts = [[arg.value for arg in call.args if isinstance(arg, ast.Constant)] for call in calls]
    return {str(found[0]) for found in texts if found}


def _name_of(called: ast.expr) -> str | None:
    match called:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return None


# ── policies ────────────────────────────────────────────────────────────────────────────────────


@cache
def _policy(lines: tuple[str, ...]) -> PolicyBook:
    """The policy that ships, with what the story's lines say otherwise.

    `policy [from DAY] [for SEGMENT] SETTING=VALUE ...`
    """
    assert {line for line in lines if line.startswith(_DUNNING)} <= {_DUNNING, _NOT_SENT}
    versions: dict[str, list[str]] = {"": []}
    for line in lines:
        if line.startswith(_DUNNING):
            continue
        _, *words = line.split()
        since = words.pop(1) if words[0] == "from" else ""
        words = words[1:] if since else words
        segment = f"segments.{words[1]}." if words[0] == "for" else ""
        settings = words[2:] if segment else words
        head = [f'[[versions]]\nversion = "{since}"\nvalid_from = {since}']
        versions.setdefault(since, head).extend(segment + setting for setting in settings)
    shipped = (files("agents.policy") / "default.toml").read_text(encoding="utf-8")
    text = "\n".join(line for said in versions.values() for line in said)
    dunned = any(line.startswith(_DUNNING) for line in lines)
    return parse_policy(text, shipped).with_dunning(_dunning_book() if dunned else None)


@cache
def _dunning_book() -> DunningBook:
    """The procedures that ship."""
    return DunningBook(load_procedures(None), load_laws(None), known_holidays)


# ── what comes in ───────────────────────────────────────────────────────────────────────────────


def _play(
    simulation: Simulation, line: str, number: int, minute: int
) -> Iterator[Event | Refusal | BadLine]:
    event = _event(line, number, minute)
    if isinstance(event, BadLine):
        yield event
    elif isinstance(event, DunningStep):
        # It comes from another room, not through the intake that the simulation has.
        yield from simulation._apply(event, Sent())
    else:
        yield from simulation.feed(event)


def _event(line: str, number: int, minute: int) -> Event | BadLine:
    when, kind, *pairs = line.split()
    at = when if "T" in when else f"{when}T{8 + minute // 60:02d}:{minute % 60:02d}"
    record = BY_NAME.get(kind)
    known = {} if record is None else {field.name: field for field in fields_of(record)}
    fields: dict[str, Any] = {
        "type": kind,
        "event_id": f"line-{number}",
        "occurred_at": f"{at}:00Z",
        **_UNSAID.get(kind, {}),
    }
    if "customer_id" in known:
        fields["customer_id"] = _CUSTOMER
    if "currency" in known and not known["currency"].has_default:
        fields["currency"] = "EUR"
    for pair in pairs:
        name, _, value = pair.partition("=")
        name = "customer_id" if name == "customer" else name
        fields[name] = _value(known.get(name), value)
    (event,) = read([json.dumps(fields)])
    return event


def _value(field: Field | None, text: str) -> Any:
    """`I-1:100.00,I-2:50.00` is a list of records, each with its fields in their order."""
    if text in _WORDS:
        return json.loads(text)
    if field is None:
        return text
    items = text.split(",") if field.is_list else [text]
    if field.record is not None:
        inner = fields_of(field.record)
        return [
            {one.name: _value(one, part) for one, part in zip(inner, item.split(":"), strict=False)}
            for item in items
        ]
    if field.is_list:
        return items
    return int(text) if field.kind == "integer" else text


# ── what goes out ───────────────────────────────────────────────────────────────────────────────


def _compare_effect(effect: Event | Refusal | BadLine, expected: list[str], where: str) -> None:
    """The words must be those of the effect; `name=value` behind them is a field of it."""
    words = [word for word in expected if "=" not in word]
    assert _word(effect) == " ".join(words), where
    pairs = [word.partition("=") for word in expected if "=" in word]
    if pairs:
        assert isinstance(effect, Event), where
        _compare_fields(effect, [(name, value) for name, _, value in pairs], where)


def _compare_figures(simulation: Simulation, words: list[str], where: str) -> None:
    published: list[ExposureChanged] | list[GroupExposureChanged]
    if words[0] == "group":
        _, whose, *pairs = words
        published = [one for one in simulation.group_figures() if one.group_id == whose]
    else:
        whose, pairs = (words[0], words[1:]) if len(words) % 2 else (_CUSTOMER, words)
        published = [one for one in simulation.figures() if one.customer_id == whose]
    assert published, f"{where}: no figures of {whose}"
    _compare_fields(published[0], list(zip(pairs[::2], pairs[1::2], strict=True)), where)


def _compare_fields(event: Event, expected: list[tuple[str, str]], where: str) -> None:
    shown = json.loads(to_line(event))
    for name, value in expected:
        assert name in event.__struct_fields__, f"{where}: there is no {name}"
        assert _shown(shown.get(name)) == value, f"{where}: {name}"


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(":".join(map(_shown, record.values())) for record in value)
    return "null" if value is None else str(value)


def _word(effect: Event | Refusal | BadLine) -> str:
    match effect:
        case Refusal():
            return f"refused {effect.reason} {effect.field}"
        case BadLine():
            return f"unreadable {effect.field}"
        case OrderDecision():
            words = [effect.order_id, effect.decision, *effect.reasons]
            words += ["by", effect.by] if effect.by else []
        case CreditLimitAlert():
            words = ["alert", effect.threshold, effect.direction]
        case RiskSignal():
            words = [effect.kind]
            words += [] if effect.expected_on is None else [format_day(effect.expected_on)]
        case DunningStep():
            day = format_day(effect.occurred_at // MICROSECONDS_PER_DAY)
            words = [day, "proposed" if effect.proposed else "step", str(effect.level)]
            words += [effect.template, effect.channel]
            words += [
                one.invoice_id if one.level == effect.level else f"{one.invoice_id}:{one.level}"
                for one in effect.invoices
            ]
        case DunningStepSettled():
            words = [format_day(effect.on), effect.outcome, str(effect.level), effect.channel]
        case HandoverChanged():
            words = [format_day(effect.on), effect.kind, effect.channel]
            words += [one.invoice_id for one in effect.invoices]
        case _:
            raise AssertionError(f"{type(effect).__name__} went out")
    return " ".join([*_whose(effect), *words])


def _whose(
    effect: OrderDecision
    | CreditLimitAlert
    | RiskSignal
    | DunningStep
    | DunningStepSettled
    | HandoverChanged,
) -> list[str]:
    if isinstance(effect, CreditLimitAlert) and effect.group_id is not None:
        return ["group", effect.group_id]
    return [] if effect.customer_id == _CUSTOMER else [effect.customer_id]
