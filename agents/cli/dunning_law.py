"""`headroom dunning claim|timetable|procedures`: what the law lets a creditor ask of somebody who
pays late, and by which procedure it is asked.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from agents.cli.claims import print_claim
from agents.dunning.claim import LateInvoice, SentNotice, claim
from agents.dunning.claim_shown import json_of
from agents.dunning.law import Kind, LawMissingError
from agents.dunning.procedure import Procedure, Step
from agents.dunning.timetable import timetable
from agents.law_files import load_laws
from agents.procedure_files import load_procedures
from agents.working_days import holidays_of
from schemas.dates import MalformedDateError, date_of, format_day, parse_day
from schemas.events import Day
from schemas.money import MalformedAmountError, UnknownCurrencyError, parse_amount
from streams.errors import ConfigurationError
from streams.settings import load_settings

_AS_DAY = "a day, YYYY-MM-DD"
_INVOICE = re.compile(r"(?P<amount>[^@]+)@(?P<due>[^@]+)")


def claim_(
    invoices: Annotated[
        list[str],
        typer.Argument(help="What is open of each, and its due day: 1250.00@2026-01-31."),
    ],
    country: Annotated[str, typer.Option(help="Of the debtor, two letters.")],
    on: Annotated[str, typer.Option(metavar="DAY", help=f"Day of the letter: {_AS_DAY}.")],
    kind: Annotated[Kind, typer.Option(help="In business, or a consumer.")] = "b2b",
    currency: Annotated[str, typer.Option(help="Of the invoices, ISO 4217.")] = "EUR",
    notice: Annotated[
        str | None,
        typer.Option(metavar="DAY", help=f"When the notice without costs was sent: {_AS_DAY}."),
    ] = None,
    by: Annotated[str, typer.Option(help="How that notice was sent: email or letter.")] = "letter",
    as_json: Annotated[bool, typer.Option("--json", help="For a program to read.")] = False,
) -> None:
    """Tell interest and costs that one letter may ask, sum by sum, with the law behind each.

    The laws' tables are those that ship; HEADROOM_LAWS_DIR names a directory with others. A day for
    which no table gives the rate is an error.
    """
    laws = load_laws(load_settings().laws_dir)
    owed = [_invoice(text, currency) for text in invoices]
    day = _day("--on", on)
    sent = None if notice is None else SentNotice(_day("--notice", notice), by)
    since = day if sent is None else sent.sent_on
    try:
        found = claim(
            laws.of(country, kind), currency, owed, day, sent,
            holidays_of(country, date_of(since).year),
        )  # fmt: skip
    except LawMissingError as error:
        raise ConfigurationError(str(error)) from error
    if as_json:
        typer.echo(json.dumps(json_of(found), indent=1))
    else:
        print_claim(found)


def _invoice(text: str, currency: str) -> LateInvoice:
    match = _INVOICE.fullmatch(text)
    if match is None:
        raise ConfigurationError(f"{text!r}: write amount@due day, as in 1250.00@2026-01-31")
    try:
        amount = parse_amount(match["amount"], currency)
    except (MalformedAmountError, UnknownCurrencyError) as error:
        raise ConfigurationError(f"{text!r}: {error}") from error
    if amount <= 0:
        raise ConfigurationError(f"{text!r}: the amount must be above zero")
    return LateInvoice(amount, _day(repr(text), match["due"]))


def _day(what: str, text: str) -> Day:
    try:
        return parse_day(text)
    except MalformedDateError as error:
        raise ConfigurationError(f"{what}: {error}") from error


def timetable_(
    due: Annotated[str, typer.Argument(metavar="DUE", help=f"Of the invoice: {_AS_DAY}.")],
    country: Annotated[str, typer.Option(help="Of the debtor, two letters.")],
    kind: Annotated[Kind, typer.Option(help="In business, or a consumer.")] = "b2b",
    segment: Annotated[str, typer.Option(help="Of the customer.")] = "",
    directory: Annotated[
        Path | None,
        typer.Option("--procedures", help="Directory of procedures; else the examples that ship."),
    ] = None,
) -> None:
    """Tell on which days the steps follow, for an invoice that nobody pays."""
    due_on = _day("DUE", due)
    one = load_procedures(directory).of(kind, segment, country, due_on)
    if one is None:
        raise ConfigurationError(f"no procedure for {kind} in {country}")
    year = date_of(due_on).year
    holidays = frozenset().union(*(holidays_of(country, year + n) for n in (-1, 1, 3)))
    typer.echo(f"{one.name}, due {due}")
    for step, day in timetable(one, due_on, holidays):
        typer.echo(f"  {step.level}  {format_day(day)}  {_told(step)}")


def procedures(
    directory: Annotated[
        Path | None, typer.Argument(help="With procedures (*.toml); else the examples that ship.")
    ] = None,
) -> None:
    """Check procedures and show them: whose each is, and its steps.

    Exit status 2 when one cannot be used; every fault is told with its place.
    """
    for one in load_procedures(directory).procedures:
        typer.echo(f"{one.name}: {_whose(one)}, at least {one.min_days_between} days between")
        for step in one.steps:
            typer.echo(f"  {step.level}  {_told(step)}")


def _whose(one: Procedure) -> str:
    parts: list[str] = [one.kind]
    if one.segments:
        parts.append("segment " + ", ".join(sorted(one.segments)))
    if one.countries:
        parts.append("in " + ", ".join(sorted(one.countries)))
    return " ".join(parts)


def _told(step: Step) -> str:
    after = "after the step before" if step.from_sent else "after the due date"
    when = f"{step.days} days {after}" if step.days >= 0 else f"{-step.days} days before it is due"
    parts = [f"{when}: {step.template} by {', else '.join(step.channels)}"]
    parts += [
        text
        for text, holds in (
            (f"from {step.minimum} on", step.minimum != "0"),
            ("the legal notice", step.notice),
            ("asks for interest", step.interest),
            ("asks for costs", step.costs),
            ("blocks orders", step.blocks_orders),
            ("a person approves", step.proposed),
        )
        if holds
    ]
    return ", ".join(parts)
