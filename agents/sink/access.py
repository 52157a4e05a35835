"""Who may what in ClickHouse: roles, users, limits; as statements for an administrator.

Each role has a user of its own; people and services of yours may be given the roles instead.

    owner    changes tables and views; the views read with this user's rights
    writer   what the workers need: writes and reads the base tables, changes none
    reader   reads the views, and nothing else: neither copies of a record nor tables of others
    grafana  a reader whose questions end in time and are counted

All of them can be run again, and are after each upgrade, since that brings new views and makes
some anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from agents.sink.cluster import LOCAL
from agents.sink.migrations import Migration
from agents.sink.tables import DATABASE

OWNER, WRITER, READER, GRAFANA = (
    f"{DATABASE}_{user}" for user in ("owner", "writer", "reader", "grafana")
)
OWNERS, WRITERS, READERS = (f"{user}s" for user in (OWNER, WRITER, READER))
"""The roles."""
_NO_PASSWORD = "0" * 64
"""A hash that no known password has: nobody can log in until an administrator sets one."""
_GRAFANA_LIMITS = (
    "readonly = 2",  # the data source sets how a query is answered, within these bounds
    "max_execution_time = 60 MIN 1 MAX 60",
    "max_rows_to_read = 500000000 MIN 1 MAX 500000000",
    "max_result_rows = 1000000 MIN 1 MAX 1000000",
    "max_memory_usage = 4000000000 MIN 1 MAX 4000000000",
    "max_threads = 4 MIN 1 MAX 4",
)
_GRAFANA_HOUR = ("queries = 20000", "execution_time = 3600", "read_rows = 20000000000")
_MADE = re.compile(rf"CREATE (?:OR REPLACE VIEW|TABLE IF NOT EXISTS) {DATABASE}\.(\w+)")
_DROPPED = re.compile(rf"DROP (?:VIEW|TABLE) IF EXISTS {DATABASE}\.(\w+)")


def access_statements(
    migrations: Iterable[Migration], cluster: str | None = None
) -> tuple[str, ...]:
    """The statements, for the views and tables that these migrations make, on one server or on the
    cluster of that name.
    """
    tables, views = tables_and_views(migrations)
    there = "" if cluster is None else f" ON CLUSTER '{cluster}'"
    if cluster is not None:
        tables = [name for table in tables for name in (table, table + LOCAL)]
    return (
        *(f"CREATE ROLE IF NOT EXISTS {one}{there}" for one in (OWNERS, WRITERS, READERS)),
        *(f"GRANT{there} {grant}" for grant in _grants(tables, views, cluster)),
        *_grafana_limits(there),
        *_users(there),
        *(
            f"ALTER TABLE {DATABASE}.{view}{there} MODIFY SQL SECURITY DEFINER DEFINER = {OWNER}"
            for view in views
        ),
    )


def tables_and_views(migrations: Iterable[Migration]) -> tuple[list[str], list[str]]:
    """The names of the base tables and of the views that are there after these migrations."""
    made: dict[str, bool] = {}
    for migration in migrations:
        for statement in migration.statements:
            if named := _MADE.match(statement):
                made[named[1]] = "VIEW" in named[0]
            elif named := _DROPPED.match(statement):
                made.pop(named[1], None)
    return (
        [name for name, is_view in made.items() if not is_view],
        [name for name, is_view in made.items() if is_view],
    )


def _grants(tables: list[str], views: list[str], cluster: str | None) -> Iterator[str]:
    changes = "CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP TABLE, DROP VIEW, ALTER, TRUNCATE"
    yield f"{changes}, SELECT, INSERT ON {DATABASE}.* TO {OWNERS}"
    if cluster is not None:
        yield f"CLUSTER ON *.* TO {OWNERS}"
    for table in tables:
        yield f"SELECT, INSERT ON {DATABASE}.{table} TO {WRITERS}"
    yield f"SELECT ON {DATABASE}.schema_migrations TO {WRITERS}"
    for table in ("disks", "clusters"):  # what `headroom doctor` looks at
        yield f"SELECT ON system.{table} TO {WRITERS}"
    for view in views:
        yield f"SELECT ON {DATABASE}.{view} TO {READERS}"


def _grafana_limits(there: str) -> Iterator[str]:
    yield f"CREATE SETTINGS PROFILE IF NOT EXISTS {GRAFANA}{there}"
    yield f"ALTER SETTINGS PROFILE {GRAFANA}{there} SETTINGS {', '.join(_GRAFANA_LIMITS)}"
    yield f"CREATE QUOTA IF NOT EXISTS {GRAFANA}{there}"


def _users(there: str) -> Iterator[str]:
    profile = f" SETTINGS PROFILE {GRAFANA}"
    for user, role, limits in (
        (OWNER, OWNERS, ""),
        (WRITER, WRITERS, ""),
        (READER, READERS, " SETTINGS readonly = 2"),
        (GRAFANA, READERS, profile),
    ):
        yield (
            f"CREATE USER IF NOT EXISTS {user}{there}"
            f" IDENTIFIED WITH sha256_hash BY '{_NO_PASSWORD}'{limits}"
        )
        yield f"GRANT{there} {role} TO {user}"
        yield f"ALTER USER {user}{there} DEFAULT ROLE {role}"
    yield (
        f"ALTER QUOTA {GRAFANA}{there} FOR INTERVAL 1 hour MAX {', '.join(_GRAFANA_HOUR)}"
        f" TO {GRAFANA}"
    )
