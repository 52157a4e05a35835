"""`up`, `down`, `topics`, `doctor` and `sql` against the real parts."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from schemas.catalogue import TOPICS
from streams.embedded.claim import holder
from streams.embedded.kafka import running_kafka

pytestmark = [pytest.mark.connected, pytest.mark.usefixtures("clean_environment")]

HEADROOM = [sys.executable, "-m", "agents.cli.main"]


def headroom(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HEADROOM, *arguments], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def embedded_dir(
    tmp_path: Path, cache_dir: Path, clean_environment: pytest.MonkeyPatch
) -> Iterator[Path]:
    clean_environment.setenv("HEADROOM_EMBEDDED_DIR", str(tmp_path))
    clean_environment.setenv("HEADROOM_CACHE_DIR", str(cache_dir))
    yield tmp_path
    assert holder(tmp_path / "kafka" / "kafka.lock") is None


@pytest.fixture
def up(embedded_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """`headroom up`, ready."""
    assert embedded_dir.is_dir()
    with subprocess.Popen(
        [*HEADROOM, "up"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first.startswith("Kafka "), process.stderr and process.stderr.read()
        yield process
        process.terminate()


def test_up_is_found_by_the_other_verbs_and_stopped_by_down(
    up: subprocess.Popen[str], embedded_dir: Path
) -> None:
    bootstrap = running_kafka(embedded_dir / "kafka")
    assert bootstrap is not None

    same = headroom("topics", "diff")
    assert (same.returncode, same.stdout) == (0, "")

    examined = headroom("doctor", "--json")
    document = json.loads(examined.stdout)
    checks = {check["check"]: check for check in document["checks"]}
    assert examined.returncode == 0, examined.stdout
    assert checks["kafka"] == {
        "check": "kafka", "verdict": "ok", "text": f"1 broker at {bootstrap}", "do": "",
    }  # fmt: skip
    assert (document["version"], document["ok"]) == (1, True)
    assert checks["topics"]["verdict"] == "ok"
    assert {line["name"] for line in document["settings"]} >= {"HEADROOM_WEB_PORT"}

    again = headroom("up")
    assert again.returncode == 1
    assert f"process {up.pid}" in again.stderr

    assert headroom("down").returncode == 0
    assert up.wait(30) == 0
    assert running_kafka(embedded_dir / "kafka") is None


def test_ctrl_c_stops_up_and_all_it_started(up: subprocess.Popen[str], embedded_dir: Path) -> None:
    up.send_signal(signal.SIGINT)
    assert up.wait(30) == 0
    assert holder(embedded_dir / "kafka" / "kafka.lock") is None


def test_topics_apply_creates_and_diff_tells_with_status_1_what_differs(
    kafka: str, embedded_dir: Path, clean_environment: pytest.MonkeyPatch
) -> None:
    assert embedded_dir.is_dir()
    clean_environment.setenv("HEADROOM_KAFKA_BOOTSTRAP", kafka)
    clean_environment.setenv("HEADROOM_REPLICATION_FACTOR", "1")
    clean_environment.setenv("HEADROOM_MIN_INSYNC_REPLICAS", "1")
    assert headroom("topics", "apply").returncode == 0
    clean_environment.setenv("HEADROOM_PARTITIONS", "5")
    told = headroom("topics", "diff", "--json")
    assert told.returncode == 1
    different = json.loads(told.stdout)
    assert {entry["topic"] for entry in different} == set(TOPICS)
    assert {(entry["what"], entry["wanted"]) for entry in different} == {("partitions", "5")}
    examined = headroom("doctor")
    assert examined.returncode == 1
    assert "partitions is 4, should be 5" in examined.stdout
    assert "one lost broker can lose records" in examined.stdout


def test_doctor_names_what_does_not_answer(
    embedded_dir: Path, clean_environment: pytest.MonkeyPatch
) -> None:
    assert embedded_dir.is_dir()
    clean_environment.setenv("HEADROOM_KAFKA_BOOTSTRAP", "127.0.0.1:9")
    clean_environment.setenv("HEADROOM_CLICKHOUSE_DSN", "http://me:geheim@127.0.0.1:9")
    clean_environment.setenv("HEADROOM_SCHEMA_REGISTRY_URL", "http://127.0.0.1:9")
    done = headroom("doctor")
    assert done.returncode == 1
    assert done.stderr.strip() == "headroom: something is wrong: kafka, registry, clickhouse"
    assert "geheim" not in done.stdout + done.stderr


def test_sql_reads_what_another_process_holds_and_writes_nothing(
    clickhouse: Client, engine_dir: Path, clean_environment: pytest.MonkeyPatch
) -> None:
    clean_environment.setenv("HEADROOM_EMBEDDED_DIR", str(engine_dir))
    clickhouse.command("CREATE DATABASE IF NOT EXISTS cli")
    clickhouse.command("CREATE OR REPLACE TABLE cli.t (n Int64) ENGINE = Memory")
    clickhouse.insert("cli.t", [[40], [2]], column_names=["n"])
    assert headroom("sql", "SELECT sum(n) AS n FROM cli.t;").stdout == "n\n42\n"
    assert headroom("sql", "--json", "SELECT max(n) AS n FROM cli.t").stdout == '{"n":40}\n'
    refused = headroom("sql", "INSERT INTO cli.t SELECT 1")
    assert refused.returncode == 1
    assert clickhouse.command("SELECT count() FROM cli.t") == 2
    unknown = headroom("sql", "SELECT * FROM cli.nowhere")
    assert unknown.returncode == 1
    assert unknown.stderr.startswith("headroom: ")
    assert "Traceback" not in unknown.stderr
