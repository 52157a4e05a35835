"""The tables and views of ClickHouse, brought to what this release needs.

The statements stand in `deploy/clickhouse/NNNN_name.sql`, or inside the installed package. They are
applied in order, once, forward only; number, name and checksum of each are kept in
`headroom.schema_migrations`. A file that changed after it was applied is refused: a change is a new
file. Every statement can be run again, so a run that broke off half-way, or two workers that start
at once, do no harm.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from clickhouse_connect.driver.client import Client

from agents.sink.writer import DATABASE
from streams.errors import ConfigurationError

_FILE_NAME = re.compile(r"([0-9]{4})_[a-z0-9_]+\.sql")
_LEDGER = f"{DATABASE}.schema_migrations"


@dataclass(frozen=True)
class Migration:
    """One file: its number, its name, the checksum of its text, its statements in order."""

    number: int
    name: str
    checksum: str
    statements: tuple[str, ...]


def migrate(client: Client, migrations: list[Migration] | None = None) -> list[str]:
    """Apply what is missing; the names of the files that were applied, in order.

    Raises:
        ConfigurationError: an applied file has changed, or the database is ahead of this release.
    """
    wanted = load_migrations() if migrations is None else migrations
    client.command(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
    client.command(
        f"CREATE TABLE IF NOT EXISTS {_LEDGER} (number UInt32, name String, checksum String,"
        " applied_at DateTime('UTC') DEFAULT now()) ENGINE = ReplacingMergeTree ORDER BY number"
    )
    applied = _applied(client)
    _check(wanted, applied)
    missing = [migration for migration in wanted if migration.number not in applied]
    for migration in missing:
        for statement in migration.statements:
            client.command(statement)
        client.insert(
            _LEDGER,
            [[migration.number, migration.name, migration.checksum]],
            column_names=["number", "name", "checksum"],
        )
    return [migration.name for migration in missing]


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


def _directory() -> Traversable:
    installed = files("agents.sink") / "clickhouse"
    if installed.is_dir():
        return installed
    return Path(__file__).resolve().parents[2] / "deploy" / "clickhouse"


def _applied(client: Client) -> dict[int, tuple[str, str]]:
    rows = client.query(f"SELECT number, name, checksum FROM {_LEDGER} FINAL").result_rows  # noqa: S608  no input in it
    return {number: (name, checksum) for number, name, checksum in rows}


def _check(wanted: list[Migration], applied: dict[int, tuple[str, str]]) -> None:
    known = {migration.number: migration for migration in wanted}
    for number, (name, checksum) in sorted(applied.items()):
        migration = known.get(number)
        if migration is None:
            raise ConfigurationError(
                f"ClickHouse has {name}, which this release does not know:"
                " it is older than the tables"
            )
        if migration.checksum != checksum:
            raise ConfigurationError(
                f"{migration.name} changed after it was applied (as {name}):"
                " undo that, and put the change into a new file"
            )
