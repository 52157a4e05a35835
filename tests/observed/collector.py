"""A collector of traces: takes what workers export, as OTLP over HTTP."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from streams.embedded.ports import LOOPBACK


class Seen(NamedTuple):
    """A span as it came. Ids in hexadecimal; `parent` is empty where the trace begins."""

    name: str
    trace_id: str
    span_id: str
    parent: str
    start: int
    end: int
    error: bool
    about: dict[str, str | int]
    service: dict[str, str]
    state: str


class Collector:
    """Serves on a free port until it is closed; `spans` is what it took."""

    def __init__(self) -> None:
        self.spans: list[Seen] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.path == "/v1/traces"
                assert self.headers["Content-Type"] == "application/x-protobuf"
                collector.spans += _spans_in(body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_said: object) -> None:
                """Not on the tests' stderr."""

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self.url = f"http://{LOOPBACK}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def of(self, trace_id: str) -> list[Seen]:
        """The spans of a trace, by when they began."""
        return sorted((one for one in list(self.spans) if one.trace_id == trace_id), key=_start)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _start(span: Seen) -> int:
    return span.start


def _spans_in(body: bytes) -> list[Seen]:
    request = ExportTraceServiceRequest.FromString(body)
    return [
        Seen(
            span.name,
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            span.status.code == span.status.STATUS_CODE_ERROR,
            {one.key: one.value.int_value or one.value.string_value for one in span.attributes},
            {one.key: one.value.string_value for one in resource.resource.attributes},
            span.trace_state,
        )
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
