"""`headroom clickhouse`: its tables and views, from the files that ship, and who may what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from agents.sink.access import access_statements
from agents.sink.cluster import first_statements, rendered
from agents.sink.migrations import (
    Migration,
    Standing,
    applied_in,
    load_migrations,
    migrate,
    missing_in,
    risks_in,
    standings,
)
from agents.sink.risks import Risk
from agents.sink.stored import choose
from streams.clickhouse import is_there, open_clickhouse
from streams.errors import HeadroomError
from streams.settings import Settings, load_settings

app = typer.Typer(
    help="Bring ClickHouse's tables and views up to date, or show what that takes.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
_AS_JSON = Annotated[bool, typer.Option("--json", help="For a program to read.")]
_CLUSTER = Annotated[
    str | None,
    typer.Option(help="For a cluster of this name; default: HEADROOM_CLICKHOUSE_CLUSTER."),
]


class MigrationsDifferError(HeadroomError):
    """Some migrations are not applied as they are in this release; they have been printed."""


class ClickHouseRefusedError(HeadroomError):
    """ClickHouse did not run a statement; the message is its own."""


@app.command("migrations")
def show_migrations(as_json: _AS_JSON = False) -> None:
    """Print every migration: applied and when, missing, or changed since; exit status 1 when the
    database is not as this release has it.
    """
    with _client() as client:
        found = standings(load_migrations(), {} if client is None else applied_in(client))
    if as_json:
        typer.echo(json.dumps([_as_json(one) for one in found]))
    else:
        width = max(len(one.name) for one in found)
        for one in found:
            when = "" if one.applied_at is None else f"{one.applied_at:%Y-%m-%d %H:%M:%S} UTC"
            typer.echo(f"{one.name:{width}}  {one.state:7}  {when}".rstrip())
    wrong = [one.name for one in found if one.state != "applied"]
    if wrong:
        raise MigrationsDifferError(f"not applied as in this release: {', '.join(wrong)}")


@app.command("migrate")
def apply_migrations(
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print what would run, change nothing; 1 if anything."),
    ] = False,
    accept_risk: Annotated[
        bool, typer.Option("--accept-risk", help="Run also what can lose or rewrite rows.")
    ] = False,
) -> None:
    """Apply the migrations that are missing, in order.

    Refused, as a whole, when a statement can lose or rewrite rows that are there: it is named, with
    the reason, and needs --accept-risk.
    """
    settings = load_settings()
    if dry_run:
        _print_what_would_run(settings)
        return
    client = open_clickhouse(settings)
    try:
        applied = migrate(client, cluster=settings.clickhouse_cluster, accept_risk=accept_risk)
        choose(client, cluster=settings.clickhouse_cluster)
    except ClickHouseError as error:
        raise ClickHouseRefusedError(str(error).strip()) from error
    finally:
        client.close()
    for name in applied:
        typer.echo(f"{name}: applied")
    if not applied:
        typer.echo("All migrations are applied.", err=True)


@app.command("ddl")
def print_ddl(cluster: _CLUSTER = None) -> None:
    """Print all statements of this release, as they run on one server or on a cluster."""
    cluster = cluster or load_settings().clickhouse_cluster
    _print_statements(first_statements(cluster))
    for migration in load_migrations():
        _print_migration(migration, cluster)


@app.command("access")
def print_access(cluster: _CLUSTER = None) -> None:
    """Print what makes the roles and users that Headroom needs; for an administrator to run.

    Users get no password here, and without one nobody can log in as them.
    """
    cluster = cluster or load_settings().clickhouse_cluster
    _print_statements(access_statements(load_migrations(), cluster))


@contextmanager
def _client() -> Iterator[Client | None]:
    """A client to look with; None where an embedded engine has never been, so that looking makes
    none.
    """
    settings = load_settings()
    if not is_there(settings):
        yield None
        return
    client = open_clickhouse(settings)
    try:
        yield client
    except ClickHouseError as error:
        raise ClickHouseRefusedError(str(error).strip()) from error
    finally:
        client.close()


def _print_what_would_run(settings: Settings) -> None:
    cluster, known = settings.clickhouse_cluster, load_migrations()
    with _client() as client:
        missing = known if client is None else missing_in(client, known, cluster=cluster)
        risks = [] if client is None else risks_in(client, missing)
    if not missing:
        typer.echo("All migrations are applied.", err=True)
        return
    _print_statements(first_statements(cluster))
    for migration in missing:
        _print_migration(migration, cluster, risks)
    names = ", ".join(migration.name for migration in missing)
    asked = f"; {len(risks)} statements need --accept-risk" if risks else ""
    raise MigrationsDifferError(f"would be applied: {names}{asked}")


def _print_migration(
    migration: Migration, cluster: str | None, risks: list[Risk] | None = None
) -> None:
    why = {risk.statement: risk.why for risk in risks or () if risk.file == migration.name}
    typer.echo(f"-- {migration.name}\n")
    for statement in migration.statements:
        if statement in why:
            typer.echo(f"-- RISK: {why[statement]}")
        _print_statements(rendered(statement, cluster))


def _print_statements(statements: tuple[str, ...]) -> None:
    for statement in statements:
        typer.echo(f"{statement};\n")


def _as_json(one: Standing) -> dict[str, object]:
    at = one.applied_at
    return asdict(one) | {"applied_at": None if at is None else f"{at:%Y-%m-%dT%H:%M:%SZ}"}
