"""ClickHouse's HTTP interface over the engine in this process, on the loopback interface.

What it serves, as a ClickHouse server does:

* the statement in the body, in the parameter `query`, or, where there are both, that and then the
  body as its data; a multipart form with `query` and parameters in it;
* `database`, `default_format` or the header `X-ClickHouse-Format`, bound parameters `param_<name>`,
  and any other parameter as a setting of this one statement;
* data to insert in any format, plain or with `Content-Encoding` gzip, deflate or lz4;
* a GET cannot write; errors come with their code in `X-ClickHouse-Exception-Code`.

What it does not: sessions (each request is by itself), compression of answers,
`client_protocol_version` (clients see that from the answer and do without), and users: whoever
reaches loopback is trusted.
"""

from __future__ import annotations

import gzip
import json
import re
import tempfile
import uuid
import zlib
from collections.abc import Callable
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import chdb

from streams.embedded.ports import LOOPBACK

_LARGEST_BODY_BYTES = 1 << 30
_SHUTDOWN_LOOK_SECONDS = 0.1

# Parameters about the transport, or for what this endpoint does not have: no engine settings.
_NOT_SETTINGS = frozenset(
    {
        "query", "database", "default_format", "user", "password", "quota_key", "role", "query_id",
        "session_id", "session_check", "session_timeout", "close_session", "compress", "decompress",
        "enable_http_compression", "http_zlib_compression_level", "buffer_size",
        "wait_end_of_query", "send_progress_in_http_headers", "http_headers_progress_interval_ms",
        "client_protocol_version", "cancel_http_readonly_queries_on_client_close",
        "http_write_exception_in_output_format",
    }
)  # fmt: skip

_COMMENTS = re.compile(rb"^(?:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/)+", re.DOTALL)
_INSERT_WITH_DATA = re.compile(
    rb"(?P<into>INSERT\s+INTO\s+(?:(?!\bSELECT\b|\bVALUES\b).)*?)"
    rb"(?P<settings>\s+SETTINGS\s+(?:(?!\bFORMAT\b).)*?)?"
    rb"\s+FORMAT\s+(?P<format>\w+)[ \t]*;?(?:\r?\n|\s|$)",
    re.IGNORECASE | re.DOTALL,
)
_HAS_RESULT = re.compile(
    rb"(SELECT|WITH|SHOW|DESCRIBE|DESC|EXISTS|EXPLAIN|CHECK)\b|\(", re.IGNORECASE
)
_FORMAT_AT_END = re.compile(rb"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_ERROR_CODE = re.compile(r"Code: (\d+)\.")
_CONTENT_TYPES = {
    "JSON": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TabSeparatedWithNames": "text/tab-separated-values; charset=UTF-8",
    "Native": "application/octet-stream",
}
_UNKNOWN_TABLE_CODES = frozenset({"60", "81"})


def serve(data: Path, port: int = 0) -> ThreadingHTTPServer:
    """Answer on `port` of the loopback interface, or on a free one, from a background thread.

    `data` is the engine's directory, which this process has open or opens by this.
    """
    server = _Server((LOOPBACK, port), _Handler, data)
    looks = {"poll_interval": _SHUTDOWN_LOOK_SECONDS}
    Thread(target=server.serve_forever, kwargs=looks, name="clickhouse-http", daemon=True).start()
    return server


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: Any, data: Path) -> None:
        super().__init__(address, handler)
        self.data = data
        # Held as long as the server runs, so that the engine does not close between two requests.
        self._connection = chdb.connect(str(data))
        self.timezone = self._connection.query("SELECT timezone()", "TSV").bytes().decode().strip()

    def server_close(self) -> None:
        super().server_close()
        self._connection.close()


class _Refusal(Exception):  # noqa: N818  an answer, not a fault
    """A request that cannot be served; `status` and the text go to the client."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class _Insert(NamedTuple):
    """An INSERT whose data came with the request; texts as they stood there."""

    into: bytes  # INSERT INTO table (columns)
    settings: bytes  # SETTINGS …, or nothing
    format: bytes
    data: bytes


class _Statement(NamedTuple):
    """One request, taken apart."""

    text: bytes
    insert: _Insert | None
    database: str | None
    default_format: str
    settings: dict[str, str]
    parameters: dict[str, str]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "headroom-clickhouse"
    sys_version = ""
    # One segment per answer: two small ones would wait for each other's acknowledgement, 40 ms.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        parameters = dict(parse_qsl(url.query, keep_blank_values=True))
        body = self._body()
        if url.path in {"/ping", "/replicas_status"} or not (parameters.get("query") or body):
            self._answer(HTTPStatus.OK, b"Ok.\n", {"Content-Type": "text/plain; charset=UTF-8"})
        else:
            self._run(parameters, body, read_only=True)

    def do_POST(self) -> None:
        parameters = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        try:
            body = self._body()
        except _Refusal as refusal:
            self._refuse(refusal.status, str(refusal))
        else:
            self._run(parameters, body, read_only=False)

    def _run(self, parameters: dict[str, str], body: bytes, *, read_only: bool) -> None:
        try:
            self._refuse_browsers()
            form = self._form(body)
            if form is not None:
                parameters, body = parameters | form, b""
            body = self._decompressed(body)
            asked_format = self.headers.get("X-ClickHouse-Format")
            statement = _take_apart(parameters, body, asked_format)
            result, elapsed_rows = _execute(self.server.data, statement, read_only=read_only)
        except _Refusal as refusal:
            self._refuse(refusal.status, str(refusal))
            return
        except Exception as error:  # noqa: BLE001  the engine's own errors have no narrower class
            self._refuse(*_engine_error(str(error)))
            return
        self._answer(
            HTTPStatus.OK,
            result,
            {
                **_result_headers(statement, self.server.timezone),
                "X-ClickHouse-Query-Id": parameters.get("query_id") or str(uuid.uuid4()),
                "X-ClickHouse-Summary": json.dumps(elapsed_rows),
            },
        )

    # ── reading ──

    def _refuse_browsers(self) -> None:
        """A web page that somebody has open must not get at the tables through their browser."""
        host = urlsplit(f"//{self.headers.get('Host', LOOPBACK)}").hostname
        if self.headers.get("Origin") or host not in {LOOPBACK, "localhost"}:
            raise _Refusal(HTTPStatus.FORBIDDEN, "only for programs of this machine")

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self._chunks()
        length = int(self.headers.get("Content-Length") or 0)
        if length > _LARGEST_BODY_BYTES:
            self.close_connection = True
            raise _Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{length} bytes are too many")
        return self.rfile.read(length)

    def _chunks(self) -> bytes:
        chunks, total = [], 0
        while size := int(self.rfile.readline(64).split(b";")[0], 16):
            total += size
            if total > _LARGEST_BODY_BYTES:
                self.close_connection = True
                raise _Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too many bytes")
            chunks.append(self.rfile.read(size))
            self.rfile.readline(64)
        while self.rfile.readline(1024).strip():
            pass  # trailers say nothing here
        return b"".join(chunks)

    def _form(self, body: bytes) -> dict[str, str] | None:
        kind = self.headers.get("Content-Type", "")
        if not kind.lower().startswith("multipart/form-data"):
            return None
        head = f"Content-Type: {kind}\r\n\r\n".encode()
        message = BytesParser(EmailMessage, policy=HTTP).parsebytes(head + body)
        fields = {}
        for part in message.iter_parts():
            if part.get_filename():
                raise _Refusal(HTTPStatus.NOT_IMPLEMENTED, "external tables are not supported here")
            name = part.get_param("name", header="content-disposition")
            content = part.get_payload(decode=True)
            fields[str(name)] = bytes(content).decode()
        return fields

    def _decompressed(self, body: bytes) -> bytes:
        encoding = self.headers.get("Content-Encoding", "identity").lower()
        if encoding in {"", "identity"} or not body:
            return body
        if encoding not in _DECOMPRESS:
            raise _Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Content-Encoding {encoding}")
        return _DECOMPRESS[encoding](body)

    # ── answering ──

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        found = _ERROR_CODE.search(text)
        headers = {"Content-Type": "text/plain; charset=UTF-8"}
        if found:
            headers["X-ClickHouse-Exception-Code"] = found[1]
        self._answer(status, text.encode() + b"\n", headers)

    def _answer(self, status: HTTPStatus, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: a line per request would drown what the worker has to say."""


def _take_apart(parameters: dict[str, str], body: bytes, asked_format: str | None) -> _Statement:
    if parameters.get("decompress") == "1":
        raise _Refusal(HTTPStatus.NOT_IMPLEMENTED, "decompress=1 is not supported: send plain data")
    query = parameters.get("query", "").encode()
    whole = _COMMENTS.sub(b"", query + b"\n" + body if query and body else query or body)
    found = _INSERT_WITH_DATA.match(whole)
    return _Statement(
        text=b"" if found else whole,
        insert=found
        and _Insert(
            into=found["into"],
            settings=found["settings"] or b"",
            format=found["format"],
            data=whole[found.end() :],
        ),
        database=parameters.get("database") or None,
        default_format=parameters.get("default_format") or asked_format or "TabSeparated",
        settings={
            name: value
            for name, value in parameters.items()
            if name not in _NOT_SETTINGS and not name.startswith("param_")
        },
        parameters={
            name.removeprefix("param_"): value
            for name, value in parameters.items()
            if name.startswith("param_")
        },
    )


def _execute(data: Path, statement: _Statement, *, read_only: bool) -> tuple[bytes, dict[str, str]]:
    """Run it over a connection of its own, so that no setting or database stays behind."""
    connection = chdb.connect(str(data))
    try:
        if statement.database:
            connection.query(f"USE {_identifier(statement.database)}", "TabSeparated")
        for name, value in statement.settings.items():
            connection.query(f"SET {_identifier(name)} = {_literal(value)}", "TabSeparated")
        if read_only:
            # 2 and not 1: a reader may still say how its own statement is to be run.
            connection.query("SET readonly = 2", "TabSeparated")
        if statement.insert is None:
            result = connection.query(
                statement.text.decode("utf-8", "surrogateescape"),
                statement.default_format,
                params=statement.parameters,
            )
        else:
            result = _run_insert(connection, statement.insert)
        return result.bytes() or b"", _summary(result, wrote=statement.insert is not None)
    finally:
        connection.close()


def _run_insert(connection: Any, insert: _Insert) -> Any:
    """The engine takes data beside a statement from a file only."""
    with tempfile.NamedTemporaryFile(prefix="headroom-insert-") as file:
        file.write(insert.data)
        file.flush()
        source = f" FROM INFILE {_literal(file.name)}".encode()
        statement = insert.into + source + insert.settings + b" FORMAT " + insert.format
        return connection.query(statement.decode(), "TabSeparated")


def _identifier(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _literal(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _summary(result: Any, *, wrote: bool) -> dict[str, str]:
    counted = "written" if wrote else "read"
    return {
        f"{counted}_rows": str(result.rows_read()),
        f"{counted}_bytes": str(result.bytes_read()),
        "elapsed_ns": str(int(result.elapsed() * 1_000_000_000)),
    }


def _result_headers(statement: _Statement, timezone: str) -> dict[str, str]:
    headers = {"X-ClickHouse-Timezone": timezone}
    if statement.insert is None and _HAS_RESULT.match(statement.text):
        found = _FORMAT_AT_END.search(statement.text)
        name = found[1].decode() if found else statement.default_format
        headers["X-ClickHouse-Format"] = name
        headers["Content-Type"] = _CONTENT_TYPES.get(name, "text/plain; charset=UTF-8")
    return headers


def _engine_error(text: str) -> tuple[HTTPStatus, str]:
    """As a server: 404 for what is not there, 500 for the rest; the text from its code on."""
    start = text.find("Code: ")
    text = text[max(start, 0) :]
    found = _ERROR_CODE.search(text)
    if found and found[1] in _UNKNOWN_TABLE_CODES:
        return HTTPStatus.NOT_FOUND, text
    return HTTPStatus.INTERNAL_SERVER_ERROR, text


def _unlz4(body: bytes) -> bytes:
    import lz4.frame  # noqa: PLC0415  clickhouse-connect brings it and compresses with it

    return bytes(lz4.frame.decompress(body))


_DECOMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "lz4": _unlz4,
}
