"""`headroom check`: place an order and hear its decision."""

from __future__ import annotations

import time
from typing import Annotated
from uuid import uuid4

import typer

from agents.cli.say import now, tell
from schemas.catalogue import topic_of
from schemas.dates import MalformedDateError, parse_day
from schemas.events import OrderDecision, OrderPlaced
from schemas.json_lines import to_line
from schemas.money import (
    MalformedAmountError,
    UnknownCurrencyError,
    format_amount,
    parse_amount,
)
from streams.codec import Codec
from streams.embedded.parts import with_broker
from streams.errors import ConfigurationError, HeadroomError, InvalidMessage
from streams.follow import Follower
from streams.kafka_client import client_config
from streams.record import Record
from streams.registry import open_codec
from streams.settings import load_settings

_DECISIONS = topic_of("OrderDecision")
_LISTEN_SECONDS = 0.2


class NoDecisionError(HeadroomError):
    """No decision came in time. It may still follow on its topic."""


def check(
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="By its id.")],
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="As in 1250.00.")],
    currency: Annotated[str, typer.Argument(metavar="CURRENCY", help="ISO 4217, as in EUR.")],
    order: Annotated[
        str | None, typer.Option(metavar="ORDER", help="Its id; else one is made.")
    ] = None,
    deliver_on: Annotated[str | None, typer.Option(metavar="DAY", help="YYYY-MM-DD.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to wait.")] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="For a program to read.")] = False,
) -> None:
    """Place an order, as an order system does, and tell what is decided.

    The order counts until it is cancelled. Exit status 1 when no decision comes in time; it may
    still follow on credit.order-decisions.v1.
    """
    placed = _order(customer, amount, currency, order, deliver_on)
    settings = with_broker(load_settings())
    codec = open_codec(settings)
    follower = Follower(client_config(settings), [_DECISIONS])
    try:
        tell(settings, "check", placed, customer)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for record in follower.read(_LISTEN_SECONDS):
                decision = _decision(record, codec, placed)
                if decision is not None:
                    typer.echo(to_line(decision) if as_json else _told(decision))
                    return
    finally:
        follower.close()
    raise NoDecisionError(
        f"no decision on order {placed.order_id} within {seconds:g} s; it may still follow on"
        f" {_DECISIONS}"
    )


def _order(
    customer: str, amount: str, currency: str, order: str | None, deliver_on: str | None
) -> OrderPlaced:
    try:
        minor = parse_amount(amount, currency)
    except (MalformedAmountError, UnknownCurrencyError) as error:
        raise ConfigurationError(f"AMOUNT or CURRENCY: {error}") from error
    try:
        day = None if deliver_on is None else parse_day(deliver_on)
    except MalformedDateError as error:
        raise ConfigurationError(f"--deliver-on: {error}") from error
    return OrderPlaced(
        event_id=f"check-{uuid4()}",
        occurred_at=now(),
        customer_id=customer,
        order_id=order or f"check-{uuid4()}",
        amount=minor,
        currency=currency,
        deliver_on=day,
    )


def _decision(record: Record, codec: Codec, placed: OrderPlaced) -> OrderDecision | None:
    try:
        event = codec.decode(record.value)
    except InvalidMessage:
        return None  # of a newer release, and not ours to judge
    if not isinstance(event, OrderDecision):
        return None
    is_ours = (event.customer_id, event.order_id) == (placed.customer_id, placed.order_id)
    return event if is_ours else None


def _told(decision: OrderDecision) -> str:
    currency = decision.account_currency

    def money(minor: int | None) -> str:
        return "none" if minor is None else f"{format_amount(minor, currency)} {currency}"

    lines = [f"{decision.order_id}: {decision.decision}"]
    lines += [f"  because  {reason}" for reason in decision.reasons]
    before, after = money(decision.exposure_before), money(decision.exposure_after)
    lines += [
        f"  exposure {before} before, {after} after",
        f"  limit    {money(decision.credit_limit)}, headroom {money(decision.headroom)}",
    ]
    if decision.decision == "held":
        lines.append(f"  what would release it: headroom explain {decision.order_id}")
    return "\n".join(lines)
