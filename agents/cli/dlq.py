"""`headroom dlq`: what was refused, and accounts that stand still; look, retry, discard."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from agents.cli.paper import plain_console
from agents.cli.progress import Stages
from agents.cli.say import now, say, send
from agents.dlq import letters, parked
from agents.dlq.letters import Letter
from agents.dlq.parked import Parked
from schemas.dates import MalformedDateError, format_instant
from schemas.events import Event
from schemas.json_lines import to_payload
from schemas.money import UnknownCurrencyError
from streams.codec import Codec
from streams.embedded.parts import with_broker
from streams.errors import ConfigurationError
from streams.fast_lane.outlet import Outgoing
from streams.kafka_client import client_config
from streams.registry import open_codec
from streams.settings import Settings, load_settings

app = typer.Typer(
    help="Look at dead letters and parked accounts; retry or discard them.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
_SHOWN_BYTES = 2_000

_Ids = Annotated[
    list[str] | None, typer.Argument(help="Dead letters, by their ids in `headroom dlq list`.")
]
_RefusedFor = Annotated[
    str | None, typer.Option(metavar="REASON", help="All open dead letters with this reason.")
]
_Customer = Annotated[str | None, typer.Option(help="A parked account, by its customer.")]
_By = Annotated[str, typer.Option(help="Who does it; it is kept.")]
_Reason = Annotated[str, typer.Option(help="Why; it is kept.")]
_AsJson = Annotated[bool, typer.Option("--json", help="For a program to read.")]


@app.command("list")
def list_(
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that were retried or discarded.")
    ] = False,
    refused_for: _RefusedFor = None,
    as_json: _AsJson = False,
) -> None:
    """List parked accounts, and the dead letters that nobody has settled yet."""
    desk = _Desk()
    standing = desk.parked() if refused_for is None else []
    found = [
        letter
        for letter in desk.letters()
        if (everything or letter.is_open) and refused_for in {None, letter.reason}
    ]
    if as_json:
        told = {
            "parked": [_json_of_account(one, brief=True) for one in standing],
            "letters": [_json_of_letter(one, desk.codec, brief=True) for one in found],
        }
        typer.echo(json.dumps(told, indent=1))
        return
    console = plain_console()
    if standing:
        _print_accounts(console, standing)
    if found:
        _print_letters(console, found, desk.codec)
    if not standing and not found:
        typer.echo("No account is parked, and no dead letter is open.", err=True)


@app.command()
def show(
    letter_id: Annotated[str | None, typer.Argument(help="A dead letter, by its id.")] = None,
    customer: _Customer = None,
    as_json: _AsJson = False,
) -> None:
    """Show a dead letter, or what waits with a parked account, in full."""
    _one_of(letter_id, customer)
    desk = _Desk()
    if customer is not None:
        account = parked.find(desk.parked(), customer)
        typer.echo(_as_text(_json_of_account(account), as_json=as_json))
        return
    for letter in desk.letters():
        if letter.id == letter_id:
            typer.echo(_as_text(_json_of_letter(letter, desk.codec), as_json=as_json))
            return
    raise letters.NoSuchLetterError(f"there is no dead letter {letter_id}")


@app.command()
def retry(
    by: _By,
    reason: _Reason,
    letter_ids: _Ids = None,
    refused_for: _RefusedFor = None,
    customer: _Customer = None,
) -> None:
    """Send dead letters to their input topics again, oldest first; or have a parked account apply
    what waits with it, in its order.

    What fails again is a new dead letter, or goes on waiting. Doing it twice changes nothing.
    """
    _one_of(letter_ids, refused_for, customer)
    desk = _Desk()
    if customer is not None:
        account = parked.find(desk.parked(), customer)
        desk.say(parked.retried(account.account_id, by, reason, now()), account.account_id)
        typer.echo(f"{account.account_id}: {len(account.waiting)} events are applied again")
        return
    chosen = desk.choose(letter_ids, refused_for)
    again = [letters.sent_again(letter, desk.codec, now()) for letter in chosen]
    desk.send(again)
    desk.send(letters.settled(letter, "retried", by, reason) for letter in chosen)
    for letter, outgoing in zip(chosen, again, strict=True):
        typer.echo(f"{letter.id}: sent to {outgoing.topic} again")


@app.command()
def discard(
    by: _By,
    reason: _Reason,
    letter_ids: _Ids = None,
    refused_for: _RefusedFor = None,
    customer: _Customer = None,
    event: Annotated[
        str | None, typer.Option(help="With --customer: the event that waits, by its id.")
    ] = None,
) -> None:
    """Settle dead letters without sending them again; or take one event away from those that wait
    with a parked account. It stays in the dead letters, with who and why.
    """
    _one_of(letter_ids, refused_for, customer)
    if (event is None) != (customer is None):
        raise ConfigurationError("--customer and --event go together")
    desk = _Desk()
    if customer is not None and event is not None:
        account = parked.find(desk.parked(), customer)
        said = parked.discarded(account, event, by, reason, now())
        desk.say(said, account.account_id)
        typer.echo(f"{account.account_id}: event {event} is discarded")
        return
    chosen = desk.choose(letter_ids, refused_for)
    desk.send(letters.settled(letter, "discarded", by, reason) for letter in chosen)
    for letter in chosen:
        typer.echo(f"{letter.id}: discarded")


class _Desk:
    """The brokers, the codec and the settings of one command."""

    def __init__(self) -> None:
        self._settings: Settings = with_broker(load_settings())
        self._config = client_config(self._settings)
        self.codec = open_codec(self._settings)

    def letters(self) -> list[Letter]:
        with Stages() as stages:
            return letters.read_letters(self._config, stages.track)

    def parked(self) -> list[Parked]:
        with Stages() as stages:
            return parked.read_parked(self._config, self._settings.app_id, stages.track)

    def choose(self, ids: list[str] | None, refused_for: str | None) -> list[Letter]:
        """The open letters that are meant, oldest first."""
        found = self.letters()
        if refused_for is not None:
            ids = [one.id for one in found if one.is_open and one.reason == refused_for]
        return letters.find(found, ids or ())

    def say(self, event: Event, customer_id: str) -> None:
        say(self._settings, self.codec, "dlq", event, customer_id)

    def send(self, records: Iterable[Outgoing]) -> None:
        send(self._settings, records)


def _when(milliseconds: int) -> str:
    """A sender's clock may say anything."""
    try:
        return format_instant(milliseconds * 1000)
    except MalformedDateError:
        return f"{milliseconds} ms"


def _one_of(*given: object) -> None:
    if sum(1 for one in given if one) != 1:
        raise ConfigurationError("name dead letters by their ids or by a reason, or a --customer")


# ── for a person ────────────────────────────────────────────────────────────────────────────────


def _print_accounts(console: Console, accounts: list[Parked]) -> None:
    table = Table(box=box.SIMPLE_HEAD, title="parked accounts", title_justify="left")
    for heading in ("customer", "events waiting", "since this failed"):
        table.add_column(heading, overflow="fold")
    for one in accounts:
        table.add_row(one.account_id, str(len(one.waiting)), one.because)
    console.print(table)


def _print_letters(console: Console, found: list[Letter], codec: Codec) -> None:
    table = Table(box=box.SIMPLE_HEAD, title="dead letters", title_justify="left")
    for heading in ("id", "when", "reason", "what", "from", "detail", "settled"):
        table.add_column(heading, overflow="fold")
    for one in found:
        event = letters.event_of(one, codec)
        done = one.settlement
        table.add_row(
            one.id,
            _when(one.record.timestamp),
            one.reason,
            "" if event is None else f"{type(event).__name__} {event.event_id}",
            f"{one.topic} {one.partition}/{one.offset}",
            one.detail,
            "" if done is None else f"{done.how} by {done.by}: {done.reason}",
        )
    console.print(table)


def _as_text(told: dict[str, Any], *, as_json: bool) -> str:
    if as_json:
        return json.dumps(told, indent=1)
    lines = []
    for name, value in told.items():
        text = json.dumps(value, indent=2) if isinstance(value, dict | list) else str(value)
        lines.append(f"{name.replace('_', ' ')}: {text}")
    return "\n".join(lines)


# ── for a program ───────────────────────────────────────────────────────────────────────────────


def _json_of_account(one: Parked, *, brief: bool = False) -> dict[str, Any]:
    told: dict[str, Any] = {"customer_id": one.account_id, "because": one.because}
    if brief:
        return told | {"waiting": len(one.waiting)}
    return told | {"waiting": [_json_of_event(event) for event in one.waiting]}


def _json_of_letter(one: Letter, codec: Codec, *, brief: bool = False) -> dict[str, Any]:
    event = letters.event_of(one, codec)
    value = one.record.value or b""
    told: dict[str, Any] = {
        "id": one.id,
        "recorded_at": _when(one.record.timestamp),
        "class": one.fault_class,
        "reason": one.reason,
        "detail": one.detail,
        "topic": one.topic,
        "partition": one.partition,
        "offset": one.offset,
        "key": (one.record.key or b"").decode("utf-8", "backslashreplace"),
        "type": None if event is None else type(event).__name__,
        "event_id": None if event is None else event.event_id,
    }
    if one.settlement is not None:
        done = one.settlement
        told["settled"] = {
            "how": done.how,
            "by": done.by,
            "reason": done.reason,
            "at": _when(done.at),
        }
    if brief:
        return told
    if event is not None:
        return told | {"event": _json_of_event(event)}
    return told | {"bytes": len(value), "value_hex": value[:_SHOWN_BYTES].hex()}


def _json_of_event(event: Event) -> dict[str, Any]:
    """As in a file of events; one that breaks a rule of money by its plain fields."""
    try:
        return to_payload(event)
    except (UnknownCurrencyError, MalformedDateError):
        return {"type": type(event).__name__, "event_id": event.event_id, "fields": repr(event)}
