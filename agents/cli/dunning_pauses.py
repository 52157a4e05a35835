"""`headroom dunning pause|resume`: a person stops dunning for a while, and has it go on."""

from __future__ import annotations

from typing import Annotated
from uuid import uuid4

import typer

from agents.cli.say import now, tell
from schemas.dates import MalformedDateError, format_day, parse_day
from schemas.events import Day, DunningPaused, DunningResumed
from streams.embedded.parts import with_broker
from streams.errors import ConfigurationError
from streams.settings import load_settings

_Customer = Annotated[str, typer.Argument(metavar="CUSTOMER", help="By its id.")]
_By = Annotated[str, typer.Option(help="Who does it; it is kept.")]
_Reason = Annotated[str, typer.Option(help="Why; it is kept.")]
_Invoice = Annotated[str | None, typer.Option(help="Only for this invoice.")]


def pause(
    customer: _Customer,
    by: _By,
    reason: _Reason,
    invoice: _Invoice = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="DAY", help="The last day of it; without it until it is resumed."),
    ] = None,
) -> None:
    """Send nothing more to a customer, or about an invoice. What is on its way is withdrawn."""
    day = None if until is None else _day(until)
    tell(
        with_broker(load_settings()),
        "dunning",
        DunningPaused(
            event_id=f"dunning-{uuid4()}",
            occurred_at=now(),
            customer_id=customer,
            invoice_id=invoice,
            reason=reason,
            by=by,
            until=day,
        ),
        customer,
    )
    what = customer if invoice is None else f"{customer}, invoice {invoice}"
    typer.echo(f"{what}: paused" + ("" if day is None else f" through {format_day(day)}"))


def resume(customer: _Customer, by: _By, reason: _Reason, invoice: _Invoice = None) -> None:
    """Have dunning go on where it was."""
    tell(
        with_broker(load_settings()),
        "dunning",
        DunningResumed(
            event_id=f"dunning-{uuid4()}",
            occurred_at=now(),
            customer_id=customer,
            invoice_id=invoice,
            reason=reason,
            by=by,
        ),
        customer,
    )
    typer.echo(f"{customer if invoice is None else f'{customer}, invoice {invoice}'}: resumed")


def _day(text: str) -> Day:
    try:
        return parse_day(text)
    except MalformedDateError as error:
        raise ConfigurationError(f"--until: {error}") from error
