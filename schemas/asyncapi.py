"""The topics as an AsyncAPI 3 document, for those who generate code or pages from one.

It says what the catalogue and the Avro files say, seen from Headroom: it receives what comes in
and sends what goes out. Internal topics are nobody else's and are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from schemas import catalogue, golden, records
from schemas.catalogue import EVENTS, TOPICS, Topic

VERSION = "3.1.0"
_KAFKA_BINDINGS = "0.5.0"
_AVRO = "application/vnd.apache.avro;version=1.9.0"
_DEAD_LETTER = "DeadLetter"

_ABOUT = (
    "Real-time credit control on Kafka. Values are Avro in the Confluent wire format: 0x00, four"
    " bytes of schema id (big-endian), the record. Without a schema registry the ids are those of"
    " schemas/ids.lock.json. Read with isolation.level=read_committed. After a crash an event may"
    " come again, byte for byte the same: drop what has a ce_id that was seen before. Events of one"
    " customer come in their order. docs/subscribe.md says more."
)


def text(partitions: int) -> str:
    """`schemas/asyncapi.json`.

    Args:
        partitions: how many a topic gets where nobody says otherwise.
    """
    return json.dumps(document(partitions), indent=2, ensure_ascii=False) + "\n"


def document(partitions: int) -> dict[str, Any]:
    """The same as an object."""
    public = [topic for topic in TOPICS.values() if topic.direction != "internal"]
    return {
        "asyncapi": VERSION,
        "id": "urn:headroom:topics:v1",
        "info": {
            "title": "Headroom's topics",
            "version": "v1",
            "description": _ABOUT,
            "license": {
                "name": "Apache-2.0",
                "url": "https://www.apache.org/licenses/LICENSE-2.0",
            },
        },
        "defaultContentType": "application/avro",
        "servers": {
            "cluster": {
                "host": "{host}:{port}",
                "protocol": "kafka",
                "description": "The installation's brokers.",
                "variables": {
                    "host": {"default": "localhost"},
                    "port": {"default": "9092"},
                },
            }
        },
        "channels": {topic.name: _channel(topic, partitions) for topic in public},
        "operations": dict(_operations(public)),
        "components": {
            "messages": {name: _message(name) for name in EVENTS} | {_DEAD_LETTER: _dead_letter()}
        },
    }


def _channel(topic: Topic, partitions: int) -> dict[str, Any]:
    configuration: dict[str, Any] = {
        "cleanup.policy": [topic.cleanup],
        "retention.ms": topic.retention_ms,
    }
    if topic.max_message_bytes is not None:
        configuration["max.message.bytes"] = topic.max_message_bytes
    return {
        "address": topic.name,
        "title": topic.name,
        "description": f"{topic.description} Key: {topic.key}. Written by: {topic.owner}.",
        "messages": {
            name: {"$ref": f"#/components/messages/{name}"} for name in _messages_in(topic)
        },
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": partitions,
                "topicConfiguration": configuration,
                "bindingVersion": _KAFKA_BINDINGS,
            }
        },
        "x-compatibility": topic.compatibility,
    }


def _messages_in(topic: Topic) -> list[str]:
    if topic.direction == "dead-letters":
        return [_DEAD_LETTER]
    return list(catalogue.types_in(topic.name))


def _operations(public: list[Topic]) -> Iterator[tuple[str, dict[str, Any]]]:
    for topic in public:
        actions = {"in": ("receive",), "journal": ("send", "receive")}.get(
            topic.direction, ("send",)
        )
        for action in actions:
            yield f"{action}.{topic.name}", _operation(action, topic)


def _operation(action: str, topic: Topic) -> dict[str, Any]:
    where = f"#/channels/{topic.name}"
    return {
        "action": action,
        "channel": {"$ref": where},
        "messages": [{"$ref": f"{where}/messages/{name}"} for name in _messages_in(topic)],
    }


# ── messages ────────────────────────────────────────────────────────────────────────────────────


def _message(name: str) -> dict[str, Any]:
    schema = records.current(name)
    newest = golden.document(name)["examples"][-1]
    return {
        "name": records.full_name(name),
        "title": name,
        "summary": schema["doc"],
        "contentType": "application/avro",
        "headers": _headers(name),
        "payload": {"schemaFormat": _AVRO, "schema": schema},
        "bindings": {"kafka": _message_bindings(name)},
        "examples": [{"name": f"schema id {newest['schema_id']}", "payload": newest["record"]}],
        "x-schema-id": newest["schema_id"],
    }


def _message_bindings(name: str) -> dict[str, Any]:
    bindings: dict[str, Any] = {
        "schemaIdLocation": "payload",
        "schemaIdPayloadEncoding": "confluent",
        "schemaLookupStrategy": "TopicRecordNameStrategy",
        "bindingVersion": _KAFKA_BINDINGS,
    }
    row = EVENTS[name]
    if row.key:
        bindings["key"] = {"type": "string", "description": f"The `{row.key}`, as UTF-8."}
    return bindings


def _headers(name: str) -> dict[str, Any]:
    """CloudEvents 1.0, Kafka's binary mode."""
    is_ours = TOPICS[EVENTS[name].topic].direction != "in"
    attributes: dict[str, Any] = {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": {"type": "string", "description": "The record's `event_id`."},
        "ce_type": {"type": "string", "const": records.full_name(name)},
        "ce_source": {"type": "string", "description": "Who wrote it, e.g. /headroom/credit."},
        "ce_time": {"type": "string", "format": "date-time", "description": "`occurred_at`."},
        "content-type": {"type": "string", "const": "application/avro"},
    }
    schema: dict[str, Any] = {"type": "object", "properties": attributes}
    if is_ours:
        schema["required"] = list(attributes)
    else:
        schema["description"] = "Read where a producer sends them; not asked for."
    return schema


def _dead_letter() -> dict[str, Any]:
    text = {"type": "string"}
    number = {"type": "string", "pattern": "^[0-9]+$"}
    return {
        "name": "dead letter",
        "title": _DEAD_LETTER,
        "summary": "A refused record: its key, value and headers as they were, and why.",
        "contentType": "application/octet-stream",
        "headers": {
            "type": "object",
            "properties": {
                "headroom_reason": text,
                "headroom_class": {"type": "string", "enum": ["message", "rule"]},
                "headroom_detail": text,
                "headroom_original_topic": text,
                "headroom_original_partition": number,
                "headroom_original_offset": number,
                "headroom_original_timestamp": number,
                "headroom_settled": number
                | {
                    "description": "On a record that says what became of a dead letter: that"
                    " one's offset."
                },
            },
        },
        "payload": {"type": "string", "format": "binary"},
    }
