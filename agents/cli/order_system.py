"""`headroom order-system`: plays one, for those who build or try the other side."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from agents.order_system.orders import Summary
from agents.order_system.plan import Plan
from agents.order_system.run import Business, play
from schemas.money import MalformedAmountError, UnknownCurrencyError, parse_amount
from streams.embedded.parts import with_broker
from streams.errors import ConfigurationError, HeadroomError
from streams.registry import open_codec
from streams.settings import load_settings


class UnansweredError(HeadroomError):
    """Some orders got no decision."""


def order_system(
    orders: Annotated[int, typer.Option(min=1, help="How many are placed.")] = 100,
    rate: Annotated[float, typer.Option(min=0.01, max=1000, help="Orders a second.")] = 5.0,
    customers: Annotated[int, typer.Option(min=1, max=10_000, help="Who place them.")] = 5,
    amount: Annotated[str, typer.Option(help="Of an order, on average.")] = "400.00",
    limit: Annotated[str, typer.Option(help="Credit limit of each customer.")] = "5000.00",
    currency: Annotated[str, typer.Option(help="ISO 4217.")] = "EUR",
    paid_after: Annotated[
        float, typer.Option(min=0, help="Seconds after which a shipped order is paid.")
    ] = 8.0,
    patience: Annotated[
        float, typer.Option(min=0.1, help="Seconds after which one that waits is given up.")
    ] = 30.0,
    gateway: Annotated[
        str | None, typer.Option(metavar="URL", help="Ask it over HTTP, instead of the topics.")
    ] = None,
    key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Holds an API key for the gateway.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same customers and amounts.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="The summary for a program.")] = False,
) -> None:
    """Play an order system: place orders, ship what is approved or released, wait for what is held,
    give up what waits too long. What is shipped is invoiced and paid after a while.

    Its customers are its own, new ones each time. What happens is told on stderr, line by line; the
    summary goes to stdout. Ctrl-C ends it early. Exit status 1 when an order got no decision.
    """
    try:
        money = parse_amount(amount, currency), parse_amount(limit, currency)
    except (MalformedAmountError, UnknownCurrencyError) as error:
        raise ConfigurationError(f"--amount, --limit or --currency: {error}") from error
    asked = None if gateway is None else (gateway, _key(key_file))
    plan = Plan(f"sim-{int(time.time()):x}", seed, orders, customers, rate, amount=money[0])
    business = Business(currency, money[1], patience, paid_after)
    settings = with_broker(load_settings())
    done = play(settings, open_codec(settings), plan, business, asked, _say)
    typer.echo(msgspec.json.encode(asdict(done)).decode() if as_json else _told(done))
    if done.unanswered:
        raise UnansweredError(f"{done.unanswered} of {done.orders} orders got no decision")


def _key(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--key-file: {file}: {error}") from error


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _told(done: Summary) -> str:
    def short(value: float | None) -> str:
        return "-" if value is None else f"{value * 1000:,.1f} ms"

    p50, p99 = short(done.latency_p50_seconds), short(done.latency_p99_seconds)
    lines = (
        f"orders      {done.orders}",
        f"approved    {done.approved}",
        f"held        {done.held}: {done.released} released, {done.given_up} given up",
        f"unanswered  {done.unanswered}",
        f"latency     p50 {p50}, p99 {p99}, from asking to the decision",
        f"on hold     p50 {short(done.on_hold_p50_seconds)}, of those released",
    )
    return "\n".join(lines)
