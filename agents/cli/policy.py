"""`headroom policy`: what a policy file says, and what changes from one file to another."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from agents.cli.paper import plain_console
from agents.core.policy import ALWAYS, Policy, PolicyBook, PolicyVersion
from agents.core.policy_changes import (
    Span,
    Value,
    changes,
    compare,
    reused_names,
    settings,
)
from agents.core.policy_text import PolicyError
from agents.policy_file import example_names, example_text, load_policy, shipped_text
from schemas.dates import format_day
from streams.errors import ConfigurationError, HeadroomError

app = typer.Typer(
    help="Check a policy file; tell what changes from one to another.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
_AS_JSON = Annotated[bool, typer.Option("--json", help="For a program to read.")]

_SHIPPED = "default"


class FaultsError(HeadroomError):
    """The policy file has faults; they have been printed."""


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="Policy file (TOML).")], as_json: _AS_JSON = False
) -> None:
    """Tell every fault of a policy file, with its place; or what is in force under it.

    Exit status 1 when it has faults, 2 when it cannot be read.
    """
    try:
        book = load_policy(file)
    except PolicyError as error:
        if not error.faults:
            raise
        if as_json:
            _print_json({"faults": msgspec.to_builtins(error.faults), "warnings": []})
        else:
            for fault in error.faults:
                typer.echo(fault)
        count = len(error.faults)
        raise FaultsError(f"{file}: {count} fault{'s' if count > 1 else ''}") from error
    shipped = load_policy(None)
    warnings = _warnings(shipped, book, "in the policy that ships")
    if as_json:
        versions = [_in_force(shipped, version) for version in book.versions]
        _print_json({"faults": [], "warnings": warnings, "versions": versions})
        return
    _tell(warnings)
    console = plain_console()
    for version in book.versions:
        _print_in_force(console, shipped, version)
    console.print(f"* differs from the policy that ships ({shipped.versions[0].version})")
    typer.echo(f"{file}: no faults", err=True)


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(help="Policy file (TOML) to start from.")],
    new: Annotated[Path, typer.Argument(help="Policy file (TOML) to compare with it.")],
    as_json: _AS_JSON = False,
) -> None:
    """Tell what changes from OLD to NEW: setting by setting, for whom, and on which days.

    Exit status 0 whether or not they differ, 2 when one of them cannot be used.
    """
    before, after = load_policy(old), load_policy(new)
    warnings = _warnings(before, after, f"in {old}")
    spans = compare(before, after)
    if as_json:
        _print_json({"warnings": warnings, "spans": [_dated(span) for span in spans]})
        return
    _tell(warnings)
    console = plain_console()
    for span in spans:
        _print_changes(console, span)


@app.command()
def example(
    name: Annotated[
        str | None, typer.Argument(help="Which one; none: tell which there are.")
    ] = None,
) -> None:
    """Print a policy file to start from: a worked example, or `default`, the policy that ships."""
    names = [_SHIPPED, *example_names()]
    if name is None:
        for one in names:
            typer.echo(one)
    elif name not in names:
        raise ConfigurationError(f"no example {name!r}; there are {', '.join(names)}")
    else:
        typer.echo(shipped_text() if name == _SHIPPED else example_text(name), nl=False)


def _warnings(old: PolicyBook, new: PolicyBook, where: str) -> list[str]:
    return [
        f"version {name!r} stands for other terms than {where}; decisions record the name, so "
        "changed terms need a new one"
        for name in reused_names(old, new)
    ]


def _tell(warnings: list[str]) -> None:
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)


# ── for a program ───────────────────────────────────────────────────────────────────────────────


def _print_json(told: dict[str, object]) -> None:
    typer.echo(json.dumps(told, indent=1))


def _in_force(shipped: PolicyBook, version: PolicyVersion) -> dict[str, object]:
    shipped_terms = shipped.at(version.valid_from)
    return {
        "version": version.version,
        "valid_from": None if version.valid_from == ALWAYS else format_day(version.valid_from),
        "segments": [
            {
                "segment": segment,
                "settings": settings(terms),
                "differs": [
                    change.setting for change in changes(shipped_terms.of(segment or ""), terms)
                ],
            }
            for segment, terms in [(None, version.base), *version.segments.items()]
        ],
    }


def _dated(span: Span) -> dict[str, object]:
    told: dict[str, object] = msgspec.to_builtins(span)
    for end, day in (("valid_from", span.valid_from), ("valid_until", span.valid_until)):
        told[end] = None if day is None else format_day(day)
    return told


# ── for a person ────────────────────────────────────────────────────────────────────────────────


def _print_in_force(console: Console, shipped: PolicyBook, version: PolicyVersion) -> None:
    """All segments side by side, or one after the other where they do not fit."""
    since = "the beginning" if version.valid_from == ALWAYS else format_day(version.valid_from)
    console.print(f"{version.version}, from {since}", style="italic")
    others = "other customers" if version.segments else "all customers"
    columns = {others: version.base, **version.segments}
    values = settings(shipped.at(version.valid_from).base)
    table = _table_in_force(columns, values)
    if _fits(console, table):
        console.print(table)
        return
    for name, terms in columns.items():
        console.print(_table_in_force({name: terms}, values))


def _table_in_force(columns: dict[str, Policy], shipped: dict[str, Value]) -> Table:
    """One row a setting, one column a segment."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("setting", no_wrap=True)
    for name in columns:
        table.add_column(f"  {name}", overflow="fold")
    in_force = [settings(terms) for terms in columns.values()]
    for setting, shipped_value in shipped.items():
        table.add_row(setting, *(_cell(values[setting], shipped_value) for values in in_force))
    return table


def _cell(value: Value, shipped_value: Value) -> Text:
    differs = value != shipped_value
    lines = [f"{'*' if differs else ' '} {line}" for line in _lines(value)]
    return Text("\n".join(lines), style="bold" if differs else "")


def _print_changes(console: Console, span: Span) -> None:
    """A table, or where that does not fit, two lines or more a change."""
    title = f"{_days(span)}: {span.old_version} to {span.new_version}"
    rows = list(_rows(span))
    if not rows:
        console.print(f"{title}: nothing changes")
        return
    console.print(title, style="italic")
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("setting", "customers", "old", "new"):
        table.add_column(column, overflow="fold")
    for setting, customers, old, new in rows:
        table.add_row(setting, customers, "\n".join(_lines(old)), "\n".join(_lines(new)))
    if _fits(console, table):
        console.print(table)
        return
    for setting, customers, old, new in rows:
        console.print(Padding.indent(f"{setting}, {customers}:", 2))
        console.print(Padding.indent(f"{', '.join(_lines(old))} -> {', '.join(_lines(new))}", 4))


def _rows(span: Span) -> Iterator[tuple[str, str, Value, Value]]:
    """The changes, in the order of the file, each with all for whom it is the same."""
    found: dict[str, list[tuple[Value, Value, list[str]]]] = {
        setting: [] for setting in settings(load_policy(None).versions[0].base)
    }
    for segment in span.segments:
        for change in segment.changes:
            name = segment.segment or "other customers"
            same = [one for one in found[change.setting] if one[:2] == (change.old, change.new)]
            if same:
                same[0][2].append(name)
            else:
                found[change.setting].append((change.old, change.new, [name]))
    for setting, alike in found.items():
        for old, new, names in alike:
            everybody = len(names) == len(span.segments)
            yield setting, "all" if everybody else ", ".join(names), old, new


def _fits(console: Console, table: Table) -> bool:
    unbounded = console.options.update_width(10_000)
    return console.measure(table, options=unbounded).maximum <= console.width


def _lines(value: Value) -> list[str]:
    """As the policy file says it, without its quotes; a role a line."""
    match value:
        case None:
            return ["none"]
        case bool():
            return ["true" if value else "false"]
        case list():
            return [", ".join(value)]
        case dict():
            return [f"{role} {up_to}" for role, up_to in value.items()]
        case _:
            return [str(value)]


def _days(span: Span) -> str:
    first = None if span.valid_from is None else format_day(span.valid_from)
    last = None if span.valid_until is None else format_day(span.valid_until)
    if first is None:
        return "every day" if last is None else f"up to and including {last}"
    return f"from {first} on" if last is None else f"{first} to {last}"
