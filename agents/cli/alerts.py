"""`headroom alerts`: who is told of what, and what people did about it."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import typer
from rich import box
from rich.table import Table

from agents.alerts import notice as notices
from agents.alerts.book import AlertBook, OpenAlert, ToldOf
from agents.alerts.routes import Routes
from agents.alerts.routes_file import load_routes
from agents.cli.paper import plain_console
from agents.cli.progress import Stages
from agents.cli.say import now, tell
from agents.notify.agent import read_known
from schemas.catalogue import ALERT_NOTICES, ALERTS_CHANGELOG, internal_topic
from schemas.dates import MalformedDateError, format_instant, parse_instant
from schemas.events import AlertAcknowledged, AlertSnoozed, Instant
from streams.embedded.parts import with_broker
from streams.errors import ConfigurationError, HeadroomError
from streams.kafka_client import client_config
from streams.log_reader import open_readers
from streams.settings import Settings, load_settings

app = typer.Typer(
    help="Who is told of limit alerts, holds, releases and risk signals, and what became of it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
_SPAN = re.compile(r"([1-9][0-9]{0,4})(m|h|d)", re.ASCII)
_MINUTES = {"m": 1, "h": 60, "d": 1440}
_MINUTE = 60_000_000
_DAY = 86_400_000_000

_Alert = Annotated[
    str, typer.Argument(metavar="ALERT", help="By its id in `headroom alerts list`.")
]
_By = Annotated[str, typer.Option(help="Who does it; it is kept.")]
_Reason = Annotated[str | None, typer.Option(help="Why; it is kept.")]
_AsJson = Annotated[bool, typer.Option("--json", help="For a program to read.")]


class UnknownAlertError(HeadroomError):
    """Nobody was told of such an alert."""


@app.command()
def check(
    file: Annotated[
        Path | None, typer.Argument(help="The file of routes; else that of HEADROOM_ALERT_ROUTES.")
    ] = None,
) -> None:
    """Check a file of routes, and say what it says."""
    path = file or load_settings().alert_routes
    if path is None:
        raise ConfigurationError("name a file, or set HEADROOM_ALERT_ROUTES")
    routes = load_routes(path)
    _show(routes)


@app.command("list")
def list_(
    everything: Annotated[
        bool, typer.Option("--all", help="Also what nobody has to see to any more.")
    ] = False,
    days: Annotated[int, typer.Option(help="How far back.", min=1, max=40)] = 7,
    as_json: _AsJson = False,
) -> None:
    """List the alerts that wait for somebody to see to them, and who was told."""
    settings = with_broker(load_settings())
    since = now() - days * _DAY
    found = [
        one
        for one in read_book(settings).alerts()
        if one.alert.at >= since and (everything or one.is_open)
    ]
    if as_json:
        typer.echo(json.dumps([_json(one) for one in found], indent=1))
        return
    if not found:
        typer.echo("Nothing waits for anybody.", err=True)
        return
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("alert", "when", "what", "customer", "told", "acknowledged"):
        table.add_column(heading, overflow="fold")
    for one in found:
        table.add_row(
            one.alert.alert_id,
            format_instant(one.alert.at),
            _what(one),
            f"{one.alert.customer_id} {one.name}".strip(),
            "\n".join(_told(told) for told in one.told),
            _answer(one),
        )
    plain_console().print(table)


@app.command()
def ack(alert_id: _Alert, by: _By, reason: _Reason = None) -> None:
    """Say that you see to an alert, so that nobody else is told of it."""
    settings = with_broker(load_settings())
    customer_id = _find(settings, alert_id).alert.customer_id
    tell(
        settings,
        "alerts",
        AlertAcknowledged(
            event_id=f"alerts-{uuid4()}",
            occurred_at=now(),
            customer_id=customer_id,
            alert_id=alert_id,
            by=by,
            reason=reason,
        ),
        customer_id,
    )
    typer.echo(f"{alert_id}: acknowledged")


@app.command()
def snooze(
    by: _By,
    alert_id: Annotated[str | None, typer.Argument(metavar="ALERT", help="By its id.")] = None,
    customer: Annotated[
        str | None, typer.Option(help="Instead of an alert: everything about the customer.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="As 2026-03-02T17:00:00Z.")] = None,
    for_: Annotated[str | None, typer.Option("--for", help="As 30m, 4h or 2d.")] = None,
    reason: _Reason = None,
) -> None:
    """Have nobody told of an alert, or of anything about a customer, for a while."""
    if (alert_id is None) == (customer is None):
        raise ConfigurationError("name an alert, or a --customer")
    at = now()
    end = _end(at, until, for_)
    settings = with_broker(load_settings())
    if customer is None:
        customer = _find(settings, alert_id or "").alert.customer_id
    tell(
        settings,
        "alerts",
        AlertSnoozed(
            event_id=f"alerts-{uuid4()}",
            occurred_at=at,
            customer_id=customer,
            by=by,
            until=end,
            alert_id=alert_id,
            reason=reason,
        ),
        customer,
    )
    typer.echo(f"{alert_id or customer}: nobody is told before {format_instant(end)}")


def _end(at: Instant, until: str | None, span: str | None) -> Instant:
    if (until is None) == (span is None):
        raise ConfigurationError("say --until when, or --for how long")
    if until is not None:
        try:
            return parse_instant(until)
        except MalformedDateError as error:
            raise ConfigurationError(f"--until: {error}") from error
    found = _SPAN.fullmatch(span or "")
    if found is None:
        raise ConfigurationError("--for: as 30m, 4h or 2d")
    return at + int(found[1]) * _MINUTES[found[2]] * _MINUTE


def read_book(settings: Settings) -> AlertBook:
    """All that was told, from the topics."""
    topic = internal_topic(ALERT_NOTICES, settings.app_id)
    changelog = internal_topic(ALERTS_CHANGELOG, settings.app_id)
    book = AlertBook()
    with Stages() as stages:
        readers = open_readers(client_config(settings), topic)
        advance = stages.track("reading alerts", sum(one.end - one.first for one in readers))
        for reader in readers:
            said = [(one.offset, notices.decode(one.value)) for one in reader.told(advance)]
            known, position = read_known(settings, changelog, reader.partition)
            book.read(said, known, position or 0)
    return book


def _find(settings: Settings, alert_id: str) -> OpenAlert:
    found = read_book(settings).find(alert_id)
    if found is None:
        raise UnknownAlertError(
            f"nobody was told of an alert {alert_id}; `headroom alerts list --all` has them"
        )
    return found


# ── for a person ────────────────────────────────────────────────────────────────────────────────


def _what(one: OpenAlert) -> str:
    said = one.alert.said
    match one.alert.kind:
        case "limit_alert":
            return f"limit at {said['threshold']} {said['direction']}"
        case "risk_signal":
            return str(said["kind"])
        case kind:
            return f"{kind} of order {said['order_id']}: {said['amount']} {said['currency']}"


def _told(told: ToldOf) -> str:
    level = f" (level {told.level})" if told.level else ""
    when = f" {format_instant(told.at)}" if told.at else ""
    return f"{told.recipient}{level}: {told.state or 'too long ago'}{when}"


def _answer(one: OpenAlert) -> str:
    if one.acknowledged_by:
        return f"{one.acknowledged_by} {format_instant(one.acknowledged_at)}"
    if one.ended:
        return "ended by itself"
    if one.snoozed_until > now():
        return f"snoozed until {format_instant(one.snoozed_until)}"
    return ""


def _show(routes: Routes) -> None:
    channels = Counter(one.channel for one in routes.recipients.values())
    told = ", ".join(f"{number} by {channel}" for channel, number in channels.items())
    typer.echo(f"{len(routes.recipients)} recipients: {told}")
    for route in routes.routes:
        typer.echo(f"{route.name}: {', '.join(route.to)}{' (urgent)' if route.urgent else ''}")
        for step in route.escalate:
            typer.echo(f"  after {step.after_minutes} minutes: {', '.join(step.to)}")
    used = {name for r in routes.routes for name in (*r.to, *r.without_manager)}
    used |= {name for r in routes.routes for step in r.escalate for name in step.to}
    for name in routes.recipients.keys() - used:
        typer.echo(f"{name} is named by no route; only as an account manager", err=True)


# ── for a program ───────────────────────────────────────────────────────────────────────────────


def _json(one: OpenAlert) -> dict[str, Any]:
    alert = one.alert
    return {
        "alert_id": alert.alert_id,
        "at": format_instant(alert.at),
        "type": alert.type,
        "customer_id": alert.customer_id,
        "name": one.name,
        "acknowledged_by": one.acknowledged_by or None,
        "snoozed_until": format_instant(one.snoozed_until) if one.snoozed_until else None,
        "ended": one.ended,
        "event": alert.said,
        "told": [
            {
                "recipient": told.recipient,
                "level": told.level,
                "state": told.state or None,
                "at": format_instant(told.at) if told.at else None,
            }
            for told in one.told
        ],
    }
