"""`headroom explain`: why an order was decided as it was, and what would release it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from agents.cli.paper import plain_console
from agents.cli.progress import Stages
from agents.core.policy import PolicyBook
from agents.credit.explanation import Explanation, Fact, Input, Ruling, Witness
from agents.credit.obstacles import Obstacle
from agents.credit.phrases import in_english
from agents.journal import from_file
from agents.journal.order_search import Published, published, replay_journal
from agents.rule_files import load_rules
from schemas.dates import format_day, format_instant
from schemas.json_lines import to_line
from schemas.money import format_amount
from streams.embedded.parts import with_broker
from streams.errors import ConfigurationError, HeadroomError
from streams.kafka_client import client_config
from streams.registry import open_codec
from streams.settings import load_settings

_OfEach = list[tuple[Explanation, dict[str, Published] | None]]


class NotAsDecidedError(HeadroomError):
    """What the journal gives is not what was published; both have been printed."""


class UnknownOrderError(HeadroomError):
    """The journal has no decision on the order."""


def explain(
    order_id: Annotated[str, typer.Argument(help="The order, by the id it was placed with.")],
    customer: Annotated[
        str | None, typer.Option(help="Its customer, when several use the order's id.")
    ] = None,
    journal: Annotated[
        Path | None, typer.Option(help="A file of events (JSON lines) instead of Kafka's journal.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(help="Policy file; default: that of the settings.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For a program to read.")] = False,
) -> None:
    """Tell every decision on an order, all that counted in it, and what would release it now.

    Recomputed from the journal and held against the decisions that were published: exit status 1
    when they differ, or when the journal knows no such order.
    """
    settings = load_settings()
    policies = load_rules(settings, policy)
    found = (
        _from_file(journal, policies, order_id)
        if journal is not None
        else _from_kafka(policies, order_id)
    )
    if customer is not None:
        found = [one for one in found if one[0].customer_id == customer]
    if not found:
        whose = "" if customer is None else f" of customer {customer}"
        raise UnknownOrderError(f"the journal has no decision on order {order_id}{whose}")
    if as_json:
        typer.echo(json.dumps([_json(one, known) for one, known in found], indent=1))
    else:
        console = plain_console()
        for one, known in found:
            _print(console, one, known)
    different = [fault for one, known in found for fault in _differences(one, known)]
    if different:
        raise NotAsDecidedError("; ".join(different))


def _from_file(path: Path, policies: PolicyBook, order_id: str) -> _OfEach:
    witness = Witness(order_id, policies, follow=True)
    try:
        witness.replay(from_file.entries(path, lambda text: typer.echo(text, err=True)))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from error
    return [(one, None) for one in witness.explanations()]


def _from_kafka(policies: PolicyBook, order_id: str) -> _OfEach:
    settings = with_broker(load_settings())
    config = client_config(settings)
    codec = open_codec(settings)
    witness = Witness(order_id, policies, follow=False)
    with Stages() as stages:
        replay_journal(config, codec, witness, order_id, stages.track)
    return [
        (one, published(config, codec, one.customer_id, one.order_id))
        for one in witness.explanations()
    ]


def _differences(one: Explanation, known: dict[str, Published] | None) -> list[str]:
    """Decisions that were published otherwise than the journal gives them."""
    if known is None:
        return []
    recomputed = {ruling.decision.event_id: ruling.decision for ruling in one.rulings}
    name = f"order {one.order_id}, decision"
    return [
        f"{name} {ruling.decision.decision_number} was published with other content"
        for ruling in one.rulings
        if (told := known.get(ruling.decision.event_id)) and told.decision != ruling.decision
    ] + [
        f"{name} {told.decision.decision_number} at {told.partition}/{told.offset} is not what the "
        f"journal gives under this policy"
        for event_id, told in known.items()
        if event_id not in recomputed
    ]


# ── for a person ────────────────────────────────────────────────────────────────────────────────


def _print(console: Console, one: Explanation, known: dict[str, Published] | None) -> None:
    last = one.rulings[-1].decision
    console.print(f"Order {one.order_id} of customer {one.customer_id}: {last.decision}")
    for ruling in one.rulings:
        _print_ruling(console, ruling, known)
    if one.held_now:
        console.print(f"\nWhat holds it now ({format_day(one.looked_on)}), and what lifts that:")
        for obstacle in one.held_now:
            console.print(f"  {obstacle.reason}: {in_english(obstacle.finding)}.")
            console.print(f"    -> {in_english(obstacle.remedy)}")


def _print_ruling(console: Console, ruling: Ruling, known: dict[str, Published] | None) -> None:
    decision = ruling.decision
    own = decision.account_currency
    by = "" if decision.by is None else f" by {decision.by}: {decision.why}"
    console.print(
        f"\n{decision.decision_number}. {format_instant(decision.occurred_at)} "
        f"{decision.decision}{by}"
    )
    console.print(f"   cause: {_told(ruling.cause)}")
    for obstacle in ruling.obstacles:
        console.print(f"   {obstacle.reason}: {in_english(obstacle.finding)}")
    limit = decision.credit_limit
    console.print(
        f"   amount {_amount(decision.amount, decision.currency)}, exposure "
        f"{_amount(decision.exposure_before, own)} before and "
        f"{_amount(decision.exposure_after, own)} after, "
        + ("no limit" if limit is None else f"limit {_amount(limit, own)}")
        + f", policy {decision.policy_version}"
    )
    if decision.group_id is not None and decision.group_exposure is not None:
        group = decision.group_currency
        of = "none" if decision.group_limit is None else _amount(decision.group_limit, group)
        console.print(
            f"   group {decision.group_id}: exposure {_amount(decision.group_exposure, group)}, "
            f"limit {of}"
        )
    for rate in decision.fx_rates:
        console.print(
            f"   rate {rate.base}/{rate.quote} {rate.rate} of {format_day(rate.valid_on)}"
            + ("" if rate.source is None else f" ({rate.source})")
        )
    if known is not None:
        told = known.get(decision.event_id)
        console.print(
            "   published: "
            + ("not in the topic any more" if told is None else f"{told.partition}/{told.offset}")
        )
    for fact in ruling.account_facts:
        console.print(f"   account: {_told(fact)}")
    console.print(_table(ruling.inputs))


def _table(inputs: list[Input]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("what counted", "id", "due", "amount", "events in the journal"):
        table.add_column(heading, justify="right" if heading == "amount" else "left")
    for one in inputs:
        table.add_row(
            one.what.replace("_", " "),
            one.id,
            "" if one.due_on is None else format_day(one.due_on),
            _amount(one.amount, one.currency),
            ", ".join(f"{fact.type} {fact.partition}/{fact.offset}" for fact in one.facts),
        )
    return table


def _told(fact: Fact) -> str:
    return f"{fact.type} {fact.event_id}, journal {fact.partition}/{fact.offset}"


def _amount(minor: int, currency: str | None) -> str:
    return f"{format_amount(minor, currency)} {currency}"


# ── for a program ───────────────────────────────────────────────────────────────────────────────


def _json(one: Explanation, known: dict[str, Published] | None) -> dict[str, Any]:
    """As the explanation says it; amounts, days and instants as in events' JSON lines."""
    return {
        "order_id": one.order_id,
        "customer_id": one.customer_id,
        "rulings": [_json_of_ruling(ruling, known) for ruling in one.rulings],
        "held_now": [_json_of_obstacle(each) for each in one.held_now],
        "looked_on": format_day(one.looked_on),
    }


def _json_of_ruling(ruling: Ruling, known: dict[str, Published] | None) -> dict[str, Any]:
    told = None if known is None else known.get(ruling.decision.event_id)
    return {
        "decision": json.loads(to_line(ruling.decision)),
        "published": None if told is None else {"partition": told.partition, "offset": told.offset},
        "cause": _json_of_fact(ruling.cause),
        "account_facts": [_json_of_fact(fact) for fact in ruling.account_facts],
        "inputs": [
            msgspec.to_builtins(one)
            | {
                "amount": format_amount(one.amount, one.currency),
                "due_on": None if one.due_on is None else format_day(one.due_on),
                "facts": [_json_of_fact(fact) for fact in one.facts],
            }
            for one in ruling.inputs
        ],
        "obstacles": [_json_of_obstacle(one) for one in ruling.obstacles],
    }


def _json_of_fact(fact: Fact) -> dict[str, Any]:
    said: dict[str, Any] = msgspec.to_builtins(fact)
    return said | {"occurred_at": format_instant(fact.occurred_at)}


def _json_of_obstacle(obstacle: Obstacle) -> dict[str, Any]:
    missing = obstacle.missing
    return {
        "reason": obstacle.reason,
        "finding": in_english(obstacle.finding),
        "remedy": in_english(obstacle.remedy),
        "missing": None if missing is None else format_amount(missing, obstacle.currency),
        "currency": obstacle.currency,
    }
