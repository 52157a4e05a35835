"""ClickHouse: its tables as this release has them, what it knows of repeats, its cluster, its disks
and its clock.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from agents.doctor.clock import compared
from agents.doctor.disk import room
from agents.doctor.findings import Finding
from agents.sink.cluster import LOCAL
from agents.sink.migrations import Migration, Standing, applied_in, load_migrations, standings
from agents.sink.tables import DATABASE
from streams.clickhouse import open_clickhouse
from streams.embedded.clickhouse import find_endpoint
from streams.embedded.parts import clickhouse_directory
from streams.settings import Settings

CHECK = "clickhouse"
DO = "see HEADROOM_CLICKHOUSE_DSN, its user and password, and whether the server runs"
_TRIED = (26, 9)
"""The engine with which this release is tested."""
_CREATES = re.compile(
    rf"CREATE TABLE IF NOT EXISTS {DATABASE}\.(\w+).*"
    r"\bnon_replicated_deduplication_window = (\d+)",
    re.DOTALL,
)
_SETS = re.compile(
    rf"ALTER TABLE {DATABASE}\.(\w+) MODIFY SETTING"
    r" non_replicated_deduplication_window = (\d+)"
)
_NOT_ALLOWED = 497


def clickhouse_findings(settings: Settings) -> Iterator[Finding]:
    """All that is to be said of the server that the settings name, or of the embedded engine."""
    directory = clickhouse_directory(settings)
    if settings.clickhouse_dsn is None and find_endpoint(directory) is None:
        text = f"embedded engine, in {directory.absolute()}, no process has it open"
        yield Finding(CHECK, "ok", text)
        return
    client = open_clickhouse(settings)
    try:
        where = "embedded engine" if settings.clickhouse_dsn is None else "server"
        yield version_finding(where, str(client.server_version))
        yield from server_findings(client, settings.clickhouse_cluster)
    finally:
        client.close()


def server_findings(client: Client, cluster: str | None) -> Iterator[Finding]:
    """What one server says, that of a cluster or a single one."""
    yield _clock(client)
    known = load_migrations()
    applied = applied_in(client)
    yield from table_findings(standings(known, applied))
    if applied:
        yield from window_findings(wanted_windows(known), _windows(client, cluster), cluster)
    if cluster is not None:
        yield from _cluster(client, cluster)
    yield from disk_findings(client)


def version_finding(where: str, version: str) -> Finding:
    """Whether it is at least the version with which this release is tested."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    text = f"{where}, version {version}"
    if numbers < _TRIED:
        tried = ".".join(map(str, _TRIED))
        return Finding(
            CHECK, "warning", f"{text}; this release is tested with {tried}", "bring it up to date"
        )
    return Finding(CHECK, "ok", text)


def table_findings(found: Iterable[Standing]) -> Iterator[Finding]:
    """Migrations that are missing, changed since, or of a later release."""
    cures = {
        "missing": "`headroom clickhouse migrate`, with a user who may change tables",
        "changed": "undo the change of the file; a change is a new file",
        "unknown": "run the release that made the tables, or a later one",
    }
    names: dict[str, list[str]] = {state: [] for state in ("applied", *cures)}
    for one in found:
        names[one.state].append(one.name)
    for state, cure in cures.items():
        if names[state]:
            yield Finding("clickhouse tables", "wrong", f"{state}: {', '.join(names[state])}", cure)
    if not any(names[state] for state in cures):
        text = f"all {len(names['applied'])} migrations are applied"
        yield Finding("clickhouse tables", "ok", text)


def wanted_windows(migrations: Iterable[Migration]) -> dict[str, int]:
    """Of each table, how many inserts it is to know again by their token."""
    wanted = {}
    for migration in migrations:
        for statement in migration.statements:
            if said := _CREATES.match(statement) or _SETS.match(statement):
                wanted[said[1]] = int(said[2])
    return wanted


def window_findings(
    wanted: Mapping[str, int], found: Mapping[str, int], cluster: str | None
) -> Iterator[Finding]:
    """Tables that would take an insert twice that is tried again. `found` has no table that is not
    there.
    """
    setting = ("" if cluster is not None else "non_") + "replicated_deduplication_window"
    suffix = LOCAL if cluster is not None else ""
    there = f" ON CLUSTER '{cluster}'" if cluster is not None else ""
    short = [
        (table + suffix, count, found[table + suffix])
        for table, count in wanted.items()
        if table + suffix in found and found[table + suffix] < count
    ]
    for table, count, has in short:
        yield Finding(
            "clickhouse deduplication",
            "wrong",
            f"{table} knows {has} inserts again, should know {count}: one that is tried again may"
            " count twice until a merge",
            f"ALTER TABLE {DATABASE}.{table}{there} MODIFY SETTING {setting} = {count}",
        )
    if not short:
        text = f"{len(wanted)} tables know an insert that is tried again"
        yield Finding("clickhouse deduplication", "ok", text)


def _windows(client: Client, cluster: str | None) -> dict[str, int]:
    """Of each table, how many inserts it does know; the server's default where it does not say."""
    setting = ("" if cluster is not None else "non_") + "replicated_deduplication_window"
    tables = client.query(
        "SELECT name, engine_full FROM system.tables"
        " WHERE database = {d:String} AND engine LIKE '%MergeTree'",
        {"d": DATABASE},
    ).result_rows
    default = client.command(
        "SELECT toInt64(value) FROM system.merge_tree_settings WHERE name = {s:String}",
        {"s": setting},
    )
    found = {}
    for name, engine in tables:
        said = re.search(rf"\b{setting} = (\d+)", engine)
        found[name] = int(said[1]) if said else int(str(default))
    return found


def _cluster(client: Client, cluster: str) -> Iterator[Finding]:
    check = "clickhouse cluster"
    name = cluster
    asked = client.query("SELECT macro, substitution FROM system.macros")
    macros = {str(macro): str(meaning) for macro, meaning in asked.result_rows}
    for macro, meaning in macros.items():
        name = name.replace(f"{{{macro}}}", meaning)
    hosts = client.query(
        "SELECT shard_num, internal_replication FROM system.clusters WHERE cluster = {c:String}",
        {"c": name},
    ).result_rows
    wrong = False
    if not hosts:
        wrong = True
        text = f"the server knows no cluster {name}"
        yield Finding(check, "wrong", text, "put it into `remote_servers`, or name another one")
    if any(not replicates for _, replicates in hosts):
        wrong = True
        text = "rows are sent to every replica, though these replicate by themselves"
        do = f"<internal_replication>true</internal_replication> for each shard of {name}"
        yield Finding(check, "wrong", text, do)
    lacking = [macro for macro in ("shard", "replica") if macro not in macros]
    if lacking:
        wrong = True
        text = f"the server has no macro {' and '.join(lacking)}, by which tables find each other"
        yield Finding(check, "wrong", text, "give each server its `macros`")
    if not wrong:
        shards = len({number for number, _ in hosts})
        yield Finding(check, "ok", f"{name}: {shards} shards, {len(hosts)} servers")


def disk_findings(client: Client) -> Iterator[Finding]:
    """How much is free on each of the server's own disks."""
    check = "clickhouse disk"
    try:
        disks = client.query(
            "SELECT name, path, free_space, total_space FROM system.disks WHERE NOT is_remote"
        ).result_rows
    except DatabaseError as error:
        if error.code != _NOT_ALLOWED:
            raise
        text = "its user may not see how much is free"
        yield Finding(check, "warning", text, "run what `headroom clickhouse access` prints")
        return
    for name, path, free, total in disks:
        yield room(check, f"{name} ({path})", free, total)


def _clock(client: Client) -> Finding:
    before = time.time()
    said = client.command("SELECT toUnixTimestamp64Milli(now64(3))")
    after = time.time()
    return compared(
        "clickhouse", int(str(said)) / 1000, (before + after) / 2, precision=(after - before) / 2
    )
