"""Schema ids of a registry: Confluent's interface, which others speak too."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TypeAlias, TypeVar

import httpx2
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from schemas import catalogue, records
from schemas.records import AvroSchema
from streams.errors import ConfigurationError, InvalidMessage, TransportError

Clock: TypeAlias = Callable[[], float]

# Who starts waits longer: a registry that starts too takes seconds for its first schema.
START_TIMEOUT_SECONDS = 20
# A reader waits for the registry at most this long, once for each new id.
REQUEST_TIMEOUT_SECONDS = 2
RETRY_AFTER_SECONDS = 5.0
# An id that nobody knows may be registered a moment later; a flood of such ids must not become a
# flood of requests.
UNKNOWN_FOR_SECONDS = 30.0
UNKNOWN_IDS_MAX = 10_000

_NOT_FOUND = 404
_PASSING = frozenset({408, 429})
_SERVER_FAULT = 500

_AWAY = "and the schema registry does not answer"
_SAYS = "says the schema registry"

_Answer = TypeVar("_Answer")


class RegistrySchemaIds:
    """The ids of a registry, which is asked when this is made and for each id not seen before.

    When the registry is away later, all ids that were seen keep working; a new one is unknown until
    the registry is back.
    """

    def __init__(self, url: str, *, clock: Clock = time.monotonic) -> None:
        """Look up our schemas, and register those that are missing.

        Args:
            url: base URL, e.g. `http://host/apis/ccompat/v7`; several with commas between.
            clock: seconds that only grow, for how long an unknown id stays unknown.

        Raises:
            ConfigurationError: the registry refuses a schema or us.
            TransportError: it does not answer.
        """
        self._url = url
        self._clock = clock
        self._client = _client(url, START_TIMEOUT_SECONDS)
        self._ids: dict[str, int] = {}
        self._schemas: dict[int, AvroSchema] = {}
        self._unknown_until: dict[int, float] = {}
        self._away_until = -1.0
        for topic in catalogue.TOPICS.values():
            if topic.direction in ("journal", "in", "out"):
                self._register(topic)
        self._client = _client(url, REQUEST_TIMEOUT_SECONDS)

    def id_of(self, record: str) -> int:
        return self._ids[record]

    def writer(self, schema_id: int) -> AvroSchema:
        known = self._schemas.get(schema_id)
        if known is None:
            known = self._schemas[schema_id] = self._fetch(schema_id)
        return known

    def _register(self, topic: catalogue.Topic) -> None:
        for name in catalogue.types_in(topic.name):
            subject = catalogue.subject(topic.name, name)
            schema_id = self._lookup_or_register(subject, name, topic.compatibility)
            # The journal comes after the inputs; a registry gives one schema one id everywhere.
            self._ids[name] = schema_id
            self._schemas[schema_id] = records.current(name)

    def _lookup_or_register(self, subject: str, name: str, level: str) -> int:
        schema = Schema(records.current_text(name), "AVRO")
        found = self._asked(lambda: self._client.lookup_schema(subject, schema), subject)
        if found is not None:
            return found.schema_id
        # A subject that is there already is held to its level before the new version is offered;
        # one that is not gets it after its first version, before there can be a second.
        self._asked(lambda: self._client.set_compatibility(subject, level), subject)
        schema_id = self._asked(lambda: self._client.register_schema(subject, schema), subject)
        self._asked(lambda: self._client.set_compatibility(subject, level), subject)
        if schema_id is None:
            raise ConfigurationError(f"the schema registry has no place for subject {subject}")
        return schema_id

    def _asked(self, ask: Callable[[], _Answer], subject: str) -> _Answer | None:
        """The registry's answer; None when it says that there is no such thing."""
        try:
            return ask()
        except SchemaRegistryError as error:
            if error.http_status_code == _NOT_FOUND:
                return None
            if _is_passing(error):
                raise self._no_answer(error) from error
            raise ConfigurationError(
                f"the schema registry at HEADROOM_SCHEMA_REGISTRY_URL refuses {subject}:"
                f" {error.error_message} (HTTP {error.http_status_code})"
            ) from error
        except (httpx2.HTTPError, ValueError) as error:
            raise self._no_answer(error) from error

    def _no_answer(self, error: Exception) -> TransportError:
        return TransportError(
            f"the schema registry at {self._url} does not answer: {error}",
            retry_after=RETRY_AFTER_SECONDS,
        )

    def _fetch(self, schema_id: int) -> AvroSchema:
        now = self._clock()
        if now < self._away_until:
            raise _unknown(schema_id, _AWAY)
        if now < self._unknown_until.get(schema_id, now):
            raise _unknown(schema_id, _SAYS)
        try:
            schema = self._client.get_schema(schema_id)
        except SchemaRegistryError as error:
            if _is_passing(error):
                self._away_until = now + RETRY_AFTER_SECONDS
                raise _unknown(schema_id, _AWAY) from error
            self._remember_unknown(schema_id, now)
            raise _unknown(schema_id, _SAYS) from error
        except (httpx2.HTTPError, ValueError) as error:
            self._away_until = now + RETRY_AFTER_SECONDS
            raise _unknown(schema_id, _AWAY) from error
        return self._parsed(schema_id, schema, now)

    def _parsed(self, schema_id: int, schema: Schema, now: float) -> AvroSchema:
        parsed = _plain_avro(schema)
        if parsed is None:
            self._remember_unknown(schema_id, now)
            raise InvalidMessage(
                "unknown_schema",
                f"schema id {schema_id} is refused: not a plain Avro schema",
                schema_id=schema_id,
            )
        return parsed

    def _remember_unknown(self, schema_id: int, now: float) -> None:
        if len(self._unknown_until) >= UNKNOWN_IDS_MAX:
            self._unknown_until.clear()
        self._unknown_until[schema_id] = now + UNKNOWN_FOR_SECONDS


def _plain_avro(schema: Schema) -> AvroSchema | None:
    if schema.schema_type != "AVRO" or schema.references:
        return None
    try:
        parsed: AvroSchema | None = json.loads(schema.schema_str)
    except (ValueError, RecursionError):
        return None
    return parsed


def _is_passing(error: SchemaRegistryError) -> bool:
    """Whether the registry may answer otherwise in a moment."""
    return error.http_status_code in _PASSING or error.http_status_code >= _SERVER_FAULT


def _client(url: str, seconds: int) -> SchemaRegistryClient:
    return SchemaRegistryClient({"url": url, "timeout": seconds, "max.retries": 0})


def _unknown(schema_id: int, who_says: str) -> InvalidMessage:
    return InvalidMessage(
        "unknown_schema", f"schema id {schema_id} is unknown, {who_says}", schema_id=schema_id
    )
