"""Schema ids from the lock file, and from a registry that may be away."""

from __future__ import annotations

import json
import socket
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import msgspec
import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError
from contracts.event_strategies import example

from schemas import catalogue, events, records
from schemas.events import OrderPlaced
from streams.codec import Codec
from streams.errors import ConfigurationError, InvalidMessage, TransportError
from streams.registry import LockedSchemaIds, open_schema_ids
from streams.registry_ids import RETRY_AFTER_SECONDS, UNKNOWN_FOR_SECONDS, RegistrySchemaIds


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _unknown(ids: RegistrySchemaIds | LockedSchemaIds, schema_id: int) -> InvalidMessage:
    with pytest.raises(InvalidMessage) as caught:
        ids.writer(schema_id)
    assert caught.value.reason == "unknown_schema"
    assert caught.value.schema_id == schema_id
    return caught.value


def _unexplained(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without what is said of it and of its fields."""
    fields = [{**field, "doc": ""} for field in schema["fields"]]
    return {**schema, "doc": "", "fields": fields}


def test_lock_file_gives_every_event_its_newest_id() -> None:
    ids = open_schema_ids(None)
    assert isinstance(ids, LockedSchemaIds)
    for name in events.BY_NAME:
        locked, today = ids.writer(ids.id_of(name)), records.current(name)
        assert isinstance(locked, dict)
        # What is said of an event may be said better without another id.
        assert _unexplained(locked) == _unexplained(today)
    _unknown(ids, 4_000)


def test_newer_version_of_a_record_is_the_one_that_is_written() -> None:
    first = next(row for row in records.locked() if row.record == "OrderPlaced")
    second = msgspec.structs.replace(first, id=900, version=2)
    assert LockedSchemaIds([second, first]).id_of("OrderPlaced") == 900


# ── a small registry that can be asked what it was asked ──


class FakeRegistry:
    """Speaks the few requests that we make, and breaks on command."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.schemas: dict[int, str] = {}
        self.subjects: dict[str, int] = {}
        self.levels: dict[str, str] = {}
        self.status: int | None = None
        self.body: bytes | None = None
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                """Quiet."""

            def _answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                sent = json.loads(self.rfile.read(length) or b"null")
                status, answer = registry.answer(self.command, self.path, sent)
                body = json.dumps(answer).encode() if registry.body is None else registry.body
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = _answer  # noqa: N815  the names that http.server asks for

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, method: str, path: str, sent: Any) -> tuple[int, Any]:
        path = path.partition("?")[0]
        self.requests.append(f"{method} {path}")
        if self.status is not None:
            return self.status, {"error_code": self.status, "message": "on command"}
        parts = path.strip("/").split("/")
        match method, parts:
            case "GET", ["schemas", "ids", schema_id]:
                text = self.schemas.get(int(schema_id))
                return (404, {"error_code": 40403}) if text is None else (200, {"schema": text})
            case "POST", ["subjects", subject]:
                found = self.subjects.get(subject)
                if found is None:
                    return 404, {"error_code": 40401, "message": "no such subject"}
                return 200, {"id": found, "version": 1, "subject": subject} | sent
            case "POST", ["subjects", subject, "versions"]:
                known = {text: schema_id for schema_id, text in self.schemas.items()}
                given = known.setdefault(sent["schema"], 500 + len(known))
                self.schemas[given] = sent["schema"]
                self.subjects[subject] = given
                return 200, {"id": given}
            case "PUT", ["config", subject]:
                if subject not in self.subjects:
                    return 404, {"error_code": 40401, "message": "no such subject"}
                self.levels[subject] = sent["compatibility"]
                return 200, sent
            case _:
                return 400, {"error_code": 400, "message": "not understood"}


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRegistry]:
    # It answers from a thread of this process, which a busy machine may keep waiting.
    monkeypatch.setattr("streams.registry_ids.START_TIMEOUT_SECONDS", 60)
    monkeypatch.setattr("streams.registry_ids.REQUEST_TIMEOUT_SECONDS", 60)
    fake = FakeRegistry()
    yield fake
    fake.close()


def _subjects() -> dict[str, str]:
    """Every subject that must be there, with its level."""
    return {
        catalogue.subject(topic.name, name): topic.compatibility
        for topic in catalogue.TOPICS.values()
        if topic.direction in ("in", "journal", "out")
        for name in catalogue.types_in(topic.name)
    }


def test_every_schema_is_registered_once_with_its_level(registry: FakeRegistry) -> None:
    """A second worker finds them all and changes nothing."""
    first = RegistrySchemaIds(registry.url)
    assert registry.levels == _subjects()
    assert set(registry.subjects) == set(_subjects())
    registry.requests.clear()
    second = RegistrySchemaIds(registry.url)
    assert {request.split()[0] for request in registry.requests} == {"POST"}
    assert not any(request.endswith("/versions") for request in registry.requests)
    for name in events.BY_NAME:
        assert first.id_of(name) == second.id_of(name)


def test_schema_of_another_writer_is_fetched_once(registry: FakeRegistry) -> None:
    ids = RegistrySchemaIds(registry.url)
    registry.schemas[9_000] = '{"type": "record", "name": "Other", "fields": []}'
    registry.requests.clear()
    for _ in range(3):
        assert ids.writer(9_000) == {"type": "record", "name": "Other", "fields": []}
    assert registry.requests == ["GET /schemas/ids/9000"]


def test_id_that_nobody_knows_is_asked_for_again_after_a_while_only(
    registry: FakeRegistry,
) -> None:
    clock = Clock()
    ids = RegistrySchemaIds(registry.url, clock=clock)
    registry.requests.clear()
    for _ in range(3):
        _unknown(ids, 9_000)
    assert len(registry.requests) == 1
    registry.schemas[9_000] = '"string"'
    clock.now += UNKNOWN_FOR_SECONDS
    assert ids.writer(9_000) == "string"


def test_known_ids_work_while_the_registry_is_away(registry: FakeRegistry) -> None:
    """And a flood of new ids does not become a flood of requests."""
    clock = Clock()
    ids = RegistrySchemaIds(registry.url, clock=clock)
    codec = Codec(ids)
    raw = codec.encode(example(OrderPlaced))
    registry.schemas[9_000] = '"string"'
    registry.status = 503
    registry.requests.clear()
    assert codec.decode(raw) == example(OrderPlaced)
    for schema_id in range(9_000, 9_050):
        assert "does not answer" in _unknown(ids, schema_id).detail
    assert len(registry.requests) == 1
    registry.status = None
    clock.now += RETRY_AFTER_SECONDS
    assert ids.writer(9_000) == "string"


def test_known_ids_work_when_nothing_listens_any_more(registry: FakeRegistry) -> None:
    ids = RegistrySchemaIds(registry.url)
    registry._server.server_close()
    codec = Codec(ids)
    assert codec.decode(codec.encode(example(OrderPlaced))) == example(OrderPlaced)


@pytest.mark.parametrize(
    "text", ["not JSON", "[" * 100_000, '{"type": "record", "name": 5}', '"string"', "5", "null"]
)
def test_whatever_the_registry_says_the_codec_refuses(registry: FakeRegistry, text: str) -> None:
    codec = Codec(RegistrySchemaIds(registry.url))
    registry.schemas[9_000] = text
    for _ in range(2):
        with pytest.raises(InvalidMessage) as caught:
            codec.decode(b"\0" + (9_000).to_bytes(4, "big") + b"abc")
        assert caught.value.reason in ("unknown_schema", "unknown_type")


def test_registry_that_is_not_there_is_told_as_passing() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(TransportError, match="does not answer") as caught:
            RegistrySchemaIds(url)
    assert caught.value.retry_after == RETRY_AFTER_SECONDS


@pytest.mark.parametrize("status", [429, 500, 503])
def test_registry_that_is_busy_is_told_as_passing(registry: FakeRegistry, status: int) -> None:
    registry.status = status
    with pytest.raises(TransportError):
        RegistrySchemaIds(registry.url)


@pytest.mark.parametrize("status", [401, 403, 409, 422])
def test_registry_that_refuses_us_names_the_setting(registry: FakeRegistry, status: int) -> None:
    registry.status = status
    with pytest.raises(ConfigurationError, match="HEADROOM_SCHEMA_REGISTRY_URL"):
        RegistrySchemaIds(registry.url)


def test_what_is_no_registry_at_all_is_told(registry: FakeRegistry) -> None:
    registry.body = b"<html>Welcome</html>"
    with pytest.raises((TransportError, ConfigurationError)):
        RegistrySchemaIds(registry.url)


# ── a real one ──


@pytest.mark.connected
def test_real_registry_holds_our_schemas_at_their_levels(apicurio: str) -> None:
    ids = RegistrySchemaIds(apicurio)
    client = SchemaRegistryClient({"url": apicurio})
    expected = _subjects()
    assert set(expected) <= set(client.get_subjects())
    for subject, level in expected.items():
        assert client.get_compatibility(subject) == level
    again = RegistrySchemaIds(apicurio)
    assert [ids.id_of(name) for name in events.BY_NAME] == [
        again.id_of(name) for name in events.BY_NAME
    ]
    assert len({ids.id_of(name) for name in events.BY_NAME}) == len(events.BY_NAME)


@pytest.mark.connected
def test_real_registry_carries_an_event_from_one_process_to_another(apicurio: str) -> None:
    """A producer with a newer schema registers it; a reader that never saw it asks for it."""
    reader = Codec(RegistrySchemaIds(apicurio))
    order = example(OrderPlaced)
    assert Codec(RegistrySchemaIds(apicurio)).decode(reader.encode(order)) == order
    newer = records.current("OrderPlaced")
    field = {"name": f"x_{uuid.uuid4().hex}", "type": ["null", "string"], "default": None}
    newer["fields"].append(field)
    client = SchemaRegistryClient({"url": apicurio})
    subject = catalogue.subject("credit.orders.v1", "OrderPlaced")
    schema_id = client.register_schema(subject, Schema(json.dumps(newer), "AVRO"))
    raw = b"\0" + schema_id.to_bytes(4, "big") + reader.encode(order)[5:] + b"\2\6red"
    assert reader.decode(raw) == order
    with pytest.raises(InvalidMessage) as caught:
        reader.decode(b"\0\x7f\xff\xff\xff")
    assert caught.value.reason == "unknown_schema"


@pytest.mark.connected
def test_real_registry_refuses_what_would_break_readers(apicurio: str) -> None:
    """The levels that we set are the ones that hold others to them."""
    RegistrySchemaIds(apicurio)
    client = SchemaRegistryClient({"url": apicurio})
    for topic, name in (
        ("credit.orders.v1", "OrderPlaced"),
        ("credit.exposures.v1", "ExposureChanged"),
    ):
        broken = records.current(name)
        broken["fields"].append({"name": "must", "type": "string"})
        with pytest.raises(SchemaRegistryError):
            client.register_schema(
                catalogue.subject(topic, name), Schema(json.dumps(broken), "AVRO")
            )
