"""What is said of ClickHouse: tables, repeats, cluster, disks, clock."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from doctor import cluster_trial
from sink.engine_of_its_own import in_engine

from agents.doctor.clickhouse import (
    disk_findings,
    server_findings,
    table_findings,
    version_finding,
    wanted_windows,
    window_findings,
)
from agents.doctor.findings import Finding
from agents.sink.migrations import Migration, applied_in, load_migrations, migrate, standings
from agents.sink.tables import TABLES


def of(findings: list[Finding], check: str) -> list[Finding]:
    return [one for one in findings if one.check == check]


def test_every_table_that_the_sink_fills_is_to_know_inserts_again() -> None:
    assert wanted_windows(load_migrations()).keys() >= TABLES.keys()


def test_a_later_migration_may_ask_for_another_window() -> None:
    change = (
        "ALTER TABLE headroom.journal_raw MODIFY SETTING non_replicated_deduplication_window = 7"
    )
    later = Migration(99, "0099_more.sql", "checksum", (change,))
    assert wanted_windows([*load_migrations(), later])["journal_raw"] == 7


def test_a_table_that_knows_too_few_inserts_is_told_with_the_statement_that_mends_it() -> None:
    wanted = {"a_raw": 100, "b_raw": 100, "not_there_raw": 100}
    (one,) = window_findings(wanted, {"a_raw": 100, "b_raw": 0}, None)
    assert one.verdict == "wrong"
    assert one.text.startswith("b_raw knows 0 inserts again, should know 100")
    assert one.do == (
        "ALTER TABLE headroom.b_raw MODIFY SETTING non_replicated_deduplication_window = 100"
    )
    (of_cluster,) = window_findings(wanted, {"a_raw_local": 100, "b_raw_local": 5}, "main")
    assert of_cluster.do == (
        "ALTER TABLE headroom.b_raw_local ON CLUSTER 'main'"
        " MODIFY SETTING replicated_deduplication_window = 100"
    )
    assert [one.verdict for one in window_findings(wanted, {"a_raw": 100}, None)] == ["ok"]


def test_migrations_that_are_missing_changed_or_of_a_later_release() -> None:
    known = load_migrations()
    found = standings(known, {})
    (missing,) = table_findings(found)
    assert missing.verdict == "wrong"
    assert missing.text.startswith("missing: 0001_")
    assert missing.do.startswith("`headroom clickhouse migrate`")
    states = [replace(found[0], state="changed"), replace(found[1], state="unknown")]
    changed, unknown = table_findings(states)
    assert (changed.verdict, unknown.verdict) == ("wrong", "wrong")
    assert changed.text == f"changed: {known[0].name}"
    assert unknown.do == "run the release that made the tables, or a later one"


def test_an_older_server_than_the_release_is_tested_with_is_a_warning() -> None:
    assert version_finding("server", "26.9.2.1").verdict == "ok"
    assert version_finding("server", "27.1.1.1").verdict == "ok"
    assert version_finding("server", "25.8.3.66").verdict == "warning"


class WithoutRight:
    """A client of a user who may see no disk."""

    def query(self, _: str) -> None:
        raise DatabaseError("Code: 497. Not enough privileges", code=497)


def test_a_user_who_may_not_see_the_disks_is_told_how_to_get_the_right() -> None:
    (told,) = disk_findings(cast("Client", WithoutRight()))
    assert (told.verdict, told.do) == ("warning", "run what `headroom clickhouse access` prints")


@pytest.mark.connected
def test_a_real_engine_is_fine_until_a_table_forgets_its_inserts(clickhouse: Client) -> None:
    migrate(clickhouse)
    fine = list(server_findings(clickhouse, None))
    assert {one.check for one in fine if one.verdict != "ok"} <= {"clickhouse disk"}
    assert [one.text for one in of(fine, "clickhouse tables")] == [
        f"all {len(applied_in(clickhouse))} migrations are applied"
    ]
    assert of(fine, "clock of clickhouse")
    clickhouse.command(
        "ALTER TABLE headroom.journal_raw RESET SETTING non_replicated_deduplication_window"
    )
    (told,) = of(list(server_findings(clickhouse, None)), "clickhouse deduplication")
    assert told.verdict == "wrong"
    clickhouse.command(told.do)
    (healed,) = of(list(server_findings(clickhouse, None)), "clickhouse deduplication")
    assert healed.verdict == "ok"


@pytest.mark.connected
def test_a_ledger_with_another_checksum_is_told(clickhouse: Client) -> None:
    migrate(clickhouse)
    name = load_migrations()[0].name
    clickhouse.insert(
        "headroom.schema_migrations",
        [[1, name, "other"]],
        column_names=["number", "name", "checksum"],
    )
    try:
        (told,) = of(list(server_findings(clickhouse, None)), "clickhouse tables")
        assert (told.verdict, told.text) == ("wrong", f"changed: {name}")
    finally:
        clickhouse.command("DELETE FROM headroom.schema_migrations WHERE checksum = 'other'")


@pytest.mark.connected
def test_a_cluster_that_cannot_hold_the_tables(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """One engine: it knows a cluster `two`, but has no macros."""
    found = in_engine(tmp_path_factory.mktemp("doctor"), cluster_trial.findings)
    lacking = "the server has no macro shard and replica, by which tables find each other"
    assert ["clickhouse cluster", "wrong", lacking] in found["two"]
    assert ["clickhouse cluster", "wrong", "the server knows no cluster three"] in found["three"]
