"""The loopback endpoint answers `clickhouse-connect` and `curl` as a ClickHouse server does."""

from __future__ import annotations

import subprocess
import sys
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

import clickhouse_connect
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from streams.embedded.clickhouse import find_endpoint, open_engine
from streams.embedded.supervised import EmbeddedPartError

pytestmark = pytest.mark.connected

COLUMNS = (
    "n Int64, text String, amount Decimal(18, 2), at DateTime64(6, 'UTC'), tags Array(String), "
    "day Nullable(Date)"
)
NAMES = ["n", "text", "amount", "at", "tags", "day"]
ROW = [
    1,
    "it's\ta \\ täb",
    Decimal("1234.50"),
    datetime(2026, 3, 2, 9, 30, 0, 17, tzinfo=UTC),
    ["a", "b"],
    None,
]


@pytest.fixture
def port(clickhouse: Client, engine_dir: Path) -> int:
    found = find_endpoint((engine_dir / "clickhouse").absolute())
    assert found is not None
    clickhouse.command("DROP DATABASE IF EXISTS endpoint")
    clickhouse.command("CREATE DATABASE endpoint")
    clickhouse.command(
        f"CREATE TABLE endpoint.rows ({COLUMNS}) ENGINE = MergeTree ORDER BY n "
        "SETTINGS non_replicated_deduplication_window = 100"
    )
    return found


@pytest.fixture
def http(port: int) -> Iterator[Client]:
    """The ordinary client with its ordinary settings: sessions, compression, native inserts."""
    client = clickhouse_connect.get_client(host="127.0.0.1", port=port)
    yield client
    client.close()


def ask(
    port: int,
    method: str = "GET",
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    **parameters: str,
) -> tuple[int, str, dict[str, str]]:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, f"/?{urlencode(parameters)}", body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), dict(answer.getheaders())
    finally:
        connection.close()


def test_what_is_inserted_over_http_is_what_is_read_either_way(
    http: Client, clickhouse: Client
) -> None:
    http.insert("endpoint.rows", [ROW], column_names=NAMES)
    for client in (http, clickhouse):
        (row,) = client.query("SELECT * FROM endpoint.rows", tz_mode="aware").result_rows
        assert [*row] == ROW


@pytest.mark.parametrize("compress", [True, False, "lz4", "gzip"])
def test_inserts_may_come_compressed(port: int, compress: bool | str) -> None:
    client = clickhouse_connect.get_client(host="127.0.0.1", port=port, compress=compress)
    rows = [[n, *ROW[1:]] for n in range(5000)]
    client.insert("rows", rows, column_names=NAMES, database="endpoint")
    assert client.command("SELECT count(), sum(n) FROM endpoint.rows") == ["5000", "12497500"]
    client.close()


def test_arrow_goes_in_and_comes_out(http: Client) -> None:
    table = pa.table({"n": [1, 2, 3], "text": ["x", "y", "z"]})
    http.insert_arrow("endpoint.rows", table)
    found = http.query_arrow("SELECT n, text FROM endpoint.rows ORDER BY n", use_strings=True)
    assert found.to_pydict() == table.to_pydict()


def test_the_same_insert_again_under_its_token_changes_nothing(http: Client) -> None:
    for _ in range(2):
        http.insert(
            "endpoint.rows",
            [ROW],
            column_names=NAMES,
            settings={"insert_deduplication_token": "batch-1"},
        )
    assert http.command("SELECT count() FROM endpoint.rows") == 1


def test_inserts_may_come_as_values_select_or_a_format_with_data(port: int, http: Client) -> None:
    http.command("INSERT INTO endpoint.rows (n, text) VALUES (1, 'FORMAT me')")
    http.command("INSERT INTO endpoint.rows (n, text) SELECT 2, 'FORMAT CSV'")
    http.raw_insert("endpoint.rows", ["n", "text"], b"3,three\n4,four\n", fmt="CSV")
    query = "INSERT INTO endpoint.rows (n) SETTINGS max_insert_threads = 1 FORMAT TSV"
    assert ask(port, "POST", b"5\n6\n", query=query)[0] == 200
    statement = b'-- by hand\nINSERT INTO endpoint.rows (n) FORMAT JSONEachRow {"n": 7}'
    assert ask(port, "POST", statement)[0] == 200
    assert http.command("SELECT groupArray(n) FROM (SELECT n FROM endpoint.rows ORDER BY n)") == (
        "[1,2,3,4,5,6,7]"
    )


def test_parameters_are_bound_by_the_engine(http: Client) -> None:
    text = "'; DROP TABLE endpoint.rows; --"
    found = http.query("SELECT {text:String} AS t, {n:Int32} + 1", {"text": text, "n": 41})
    assert found.result_rows == [(text, 42)]


def test_a_long_query_comes_as_a_form(http: Client) -> None:
    text = "ä" * 70_000
    assert http.query("SELECT {text:String}", {"text": text}).result_rows == [(text,)]


def test_settings_hold_for_one_statement(http: Client) -> None:
    query = "SELECT value FROM system.settings WHERE name = 'max_threads'"
    assert http.query(query, settings={"max_threads": 3}).result_rows == [("3",)]
    assert http.query(query).result_rows != [("3",)]


def test_a_large_answer_can_be_streamed(http: Client) -> None:
    with http.query_row_block_stream("SELECT number FROM numbers(300000)") as stream:
        assert sum(row[0] for block in stream for row in block) == 300_000 * 299_999 // 2


@pytest.mark.parametrize(
    ("query", "code"),
    [("SELECT * FROM endpoint.nowhere", 60), ("SELEKT 1", 62), ("SELECT throwIf(1)", 395)],
)
def test_errors_come_with_the_engines_code(http: Client, query: str, code: int) -> None:
    with pytest.raises(DatabaseError) as failed:
        http.query(query)
    assert failed.value.code == code


def test_the_columns_of_no_rows_can_be_asked_for(http: Client) -> None:
    assert list(http.query("SELECT * FROM endpoint.rows LIMIT 0").column_names) == NAMES


def test_ping_is_answered(http: Client, port: int) -> None:
    assert http.ping()
    assert ask(port)[:2] == (200, "Ok.\n")


def test_a_get_can_read_but_not_write(port: int, clickhouse: Client) -> None:
    status, body, headers = ask(port, query="SELECT 1 AS x", default_format="JSONEachRow")
    assert (status, body) == (200, '{"x":1}\n')
    assert headers["X-ClickHouse-Format"] == "JSONEachRow"
    status, body, headers = ask(port, query="DROP TABLE endpoint.rows")
    assert status == 500
    assert "READONLY" in body
    assert headers["X-ClickHouse-Exception-Code"] == "164"
    assert clickhouse.command("EXISTS endpoint.rows") == 1


@pytest.mark.parametrize("headers", [{"Origin": "https://example.org"}, {"Host": "example.org"}])
def test_a_web_page_cannot_reach_the_tables_through_a_browser(
    port: int, headers: dict[str, str]
) -> None:
    assert ask(port, "POST", b"SELECT 1", headers)[0] == 403
    assert ask(port, headers=headers, query="SELECT 1")[0] == 403


def test_a_body_may_be_deflated(port: int) -> None:
    body = zlib.compress(b"SELECT 1 + 1")
    assert ask(port, "POST", body, {"Content-Encoding": "deflate"})[:2] == (200, "2\n")


def test_an_unknown_compression_is_refused_with_its_name(port: int) -> None:
    status, body, _ = ask(port, "POST", b"SELECT 1", {"Content-Encoding": "br"})
    assert status == 415
    assert "br" in body


def test_only_loopback_is_listened_on(port: int) -> None:
    with pytest.raises(OSError, match="refused"):
        HTTPConnection("127.0.0.2", port, timeout=5).connect()


def test_a_process_has_one_engine_directory(clickhouse: Client, tmp_path: Path) -> None:
    assert clickhouse.ping()
    with pytest.raises(EmbeddedPartError, match="one directory per process"):
        open_engine(tmp_path / "another")


OPEN = """
import sys
from pathlib import Path
from streams.embedded.clickhouse import open_engine
directory = Path(sys.argv[1])
client = open_engine(directory)
print(type(client).__name__, client.command("SELECT sum(n) FROM handed.t"), flush=True)
sys.stdin.readline()
"""
FIRST = """
import sys, time
from pathlib import Path
from streams.embedded.clickhouse import open_engine
client = open_engine(Path(sys.argv[1]))
client.command("CREATE DATABASE handed")
client.command("CREATE TABLE handed.t (n Int64) ENGINE = MergeTree ORDER BY n")
client.insert("handed.t", [[40], [2]], column_names=["n"])
print("ready", flush=True)
time.sleep(300)
"""


def test_others_use_the_holders_endpoint_and_take_over_when_it_was_killed(tmp_path: Path) -> None:
    def start(code: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def line(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return process.stdout.readline().strip()

    with start(FIRST) as first:
        assert line(first) == "ready"
        with start(OPEN) as second:
            assert line(second) == "HttpClient 42"
            first.kill()
            second.communicate("\n", timeout=30)
    with start(OPEN) as third:
        assert line(third) == "ChdbClient 42"
        third.communicate("\n", timeout=30)
