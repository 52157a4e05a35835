"""The tables and views of ClickHouse, brought to what this release needs.

The statements stand in `deploy/clickhouse/NNNN_name.sql`, or inside the installed package. They are
applied in order, once, forward only; number, name and checksum of each are kept in
`headroom.schema_migrations`. A file that changed after it was applied is refused: a change is a new
file. What can lose or rewrite rows is refused too, unless somebody said that it may
(`agents.sink.risks`). Every statement can be run again, so a run that broke off half-way, or two
workers that start at once, do no harm.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal, NamedTuple

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error

from agents.sink.cluster import first_statements, rendered
from agents.sink.risks import Risk, risks_of
from agents.sink.tables import DATABASE
from streams.errors import ConfigurationError

_FILE_NAME = re.compile(r"([0-9]{4})_[a-z0-9_]+\.sql")
_LEDGER = f"{DATABASE}.schema_migrations"
_NOT_ALLOWED = 497

State = Literal["applied", "missing", "changed", "unknown"]
"""`changed`: the file is another one than was applied. `unknown`: this release has no such file."""


class RiskyMigrationError(ConfigurationError):
    """What is missing can lose or rewrite rows, and nobody said that it may."""


@dataclass(frozen=True)
class Migration:
    """One file: its number, its name, the checksum of its text, its statements in order."""

    number: int
    name: str
    checksum: str
    statements: tuple[str, ...]


@dataclass(frozen=True)
class Standing:
    """How a migration stands to the database; `applied_at` is None while it is missing."""

    number: int
    name: str
    state: State
    applied_at: datetime | None


class Applied(NamedTuple):
    """What the ledger says of a migration."""

    name: str
    checksum: str
    applied_at: datetime


def migrate(
    client: Client,
    migrations: list[Migration] | None = None,
    *,
    cluster: str | None = None,
    accept_risk: bool = False,
) -> list[str]:
    """Apply what is missing; the names of the files that were applied, in order.

    With nothing missing, nothing is written: the user needs no right to change tables then.

    Raises:
        ConfigurationError: an applied file has changed, the database is ahead of this release, its
            tables are of a cluster and ours are not, or the user may not change tables.
        RiskyMigrationError: a statement can lose or rewrite rows, and `accept_risk` is not given;
            nothing was applied.
    """
    wanted = load_migrations() if migrations is None else migrations
    missing = missing_in(client, wanted, cluster=cluster)
    if not missing:
        return []
    if not accept_risk:
        _refuse(risks_in(client, missing))
    try:
        for statement in first_statements(cluster):
            client.command(statement)
        for migration in missing:
            _apply(client, migration, cluster)
    except Error as error:
        if error.code != _NOT_ALLOWED:
            raise
        names = ", ".join(migration.name for migration in missing)
        raise ConfigurationError(
            f"ClickHouse lacks {names}, and its user may not change tables: run `headroom"
            " clickhouse migrate` with the DSN of a user who may"
        ) from error
    return [migration.name for migration in missing]


def missing_in(
    client: Client, wanted: list[Migration], *, cluster: str | None = None
) -> list[Migration]:
    """The migrations that are to be applied, in order.

    Raises:
        ConfigurationError: the database is not one that this release can go on from.
    """
    applied = applied_in(client)
    _check_kind(client, cluster)
    for one in standings(wanted, applied):
        if one.state == "unknown":
            raise ConfigurationError(
                f"ClickHouse has {one.name}, which this release does not know:"
                " it is older than the tables"
            )
        if one.state == "changed":
            raise ConfigurationError(
                f"{one.name} changed after it was applied (as {applied[one.number].name}):"
                " undo that, and put the change into a new file"
            )
    return [migration for migration in wanted if migration.number not in applied]


def risks_in(client: Client, migrations: list[Migration]) -> list[Risk]:
    """What in these migrations can lose or rewrite what stands in the tables now."""
    return [
        risk
        for migration in migrations
        for risk in risks_of(client, migration.name, migration.statements)
    ]


def standings(wanted: list[Migration], applied: dict[int, Applied]) -> list[Standing]:
    """How each migration stands to the database, those of the release and those of the ledger."""
    known = {migration.number: migration for migration in wanted}
    found = []
    for number in sorted(known.keys() | applied.keys()):
        file, there = known.get(number), applied.get(number)
        state: State = "applied"
        if there is None:
            state = "missing"
        elif file is None:
            state = "unknown"
        elif file.checksum != there.checksum:
            state = "changed"
        name = file.name if file is not None else applied[number].name
        found.append(Standing(number, name, state, None if there is None else there.applied_at))
    return found


def applied_in(client: Client) -> dict[int, Applied]:
    """What the database says was applied, by number; nothing where there is no ledger."""
    if not _ledger_engine(client):
        return {}
    rows = client.query(
        f"SELECT number, name, checksum, toUnixTimestamp(applied_at) FROM {_LEDGER} FINAL"  # noqa: S608  no input in it
    ).result_rows
    return {
        number: Applied(name, checksum, datetime.fromtimestamp(at, UTC))
        for number, name, checksum, at in rows
    }


def load_migrations(directory: Traversable | None = None) -> list[Migration]:
    """The migrations of this release, by number.

    Raises:
        ConfigurationError: a file's name is none of a migration, or numbers are missing or doubled.
    """
    found = []
    for file in (directory or _directory()).iterdir():
        if not file.name.endswith(".sql"):
            continue
        named = _FILE_NAME.fullmatch(file.name)
        if named is None:
            raise ConfigurationError(f"{file.name}: a migration is called NNNN_name.sql")
        text = file.read_text(encoding="utf-8").replace("\r\n", "\n")
        checksum = sha256(text.encode()).hexdigest()
        found.append(Migration(int(named[1]), file.name, checksum, statements_of(text)))
    found.sort(key=lambda migration: migration.number)
    for place, migration in enumerate(found, start=1):
        if migration.number != place:
            raise ConfigurationError(
                f"{migration.name}: expected migration number {place:04d} here"
            )
    if not found:
        raise ConfigurationError(
            "no migration of ClickHouse was found: the installation is incomplete"
        )
    return found


def statements_of(text: str) -> tuple[str, ...]:
    """The statements of a file, without comments.

    A semicolon at a line's end ends a statement; a line that starts with `--` is a comment.
    """
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    parts = re.split(r";[ \t]*(?:\n|$)", "\n".join(lines))
    return tuple(part.strip() for part in parts if part.strip())


def _apply(client: Client, migration: Migration, cluster: str | None) -> None:
    for statement in migration.statements:
        for here in rendered(statement, cluster):
            client.command(here)
    client.insert(
        _LEDGER,
        [[migration.number, migration.name, migration.checksum]],
        column_names=["number", "name", "checksum"],
    )


def _refuse(risks: list[Risk]) -> None:
    if risks:
        raise RiskyMigrationError(
            f"ClickHouse's rows are at risk: {'; '.join(map(str, risks))}. Nothing was changed."
            " Look at it with `headroom clickhouse migrate --dry-run`; when it is meant, and there"
            " is a backup or the topics still hold all of it: `headroom clickhouse migrate"
            " --accept-risk`"
        )


def _check_kind(client: Client, cluster: str | None) -> None:
    engine = _ledger_engine(client)
    if engine and engine.startswith("Replicated") != (cluster is not None):
        kind = "one server" if cluster is not None else "a cluster"
        raise ConfigurationError(
            f"the tables in ClickHouse are those of {kind}, and HEADROOM_CLICKHOUSE_CLUSTER says"
            " otherwise; they are not turned into each other: fill an empty ClickHouse instead"
        )


def _ledger_engine(client: Client) -> str:
    """The engine of the ledger, "" where there is none."""
    return str(
        client.command(
            "SELECT any(engine) FROM system.tables"
            " WHERE database = {d:String} AND name = 'schema_migrations'",
            {"d": DATABASE},
        )
    )


def _directory() -> Traversable:
    installed = files("agents.sink") / "clickhouse"
    if installed.is_dir():
        return installed
    return Path(__file__).resolve().parents[2] / "deploy" / "clickhouse"
