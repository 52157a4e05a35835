"""The catalogue of topics and event types, typed; `catalogue.toml` is the only source.

From it come the topics and their settings, the subjects in a registry, and `docs/topics.md`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib.resources import files
from typing import Annotated, Literal, TypeAlias

import msgspec

from schemas import events, fields, records
from schemas.events import Event

Direction: TypeAlias = Literal["in", "journal", "out", "dead-letters", "internal"]
Cleanup: TypeAlias = Literal["delete", "compact"]
Compatibility: TypeAlias = Literal["BACKWARD_TRANSITIVE", "FULL_TRANSITIVE", "NONE"]
Retention: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^(long|[1-9][0-9]* days)$")]

FOREVER = -1
_MILLISECONDS_PER_DAY = 86_400_000


class Topic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One topic: who writes it, by what key, how long its records stay."""

    name: str
    key: str
    direction: Direction
    owner: str
    retention: Retention
    cleanup: Cleanup
    compatibility: Compatibility
    description: str
    max_message_bytes: int | None = None

    @property
    def retention_ms(self) -> int:
        """Milliseconds that a record stays; -1: for ever."""
        if self.retention == "long":
            return FOREVER
        return int(self.retention.removesuffix(" days")) * _MILLISECONDS_PER_DAY

    @property
    def configs(self) -> dict[str, str]:
        """The topic's settings as the broker names them."""
        configs = {"cleanup.policy": self.cleanup, "retention.ms": str(self.retention_ms)}
        if self.max_message_bytes is not None:
            configs["max.message.bytes"] = str(self.max_message_bytes)
        return configs


class EventRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One type of event: its topic, and the field that is its key there ("": no key).

    Inputs are accepted on every input topic; `topic` is where they belong.
    """

    topic: str
    key: str


class _Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    topic: list[Topic]
    event: dict[str, EventRow]


_CATALOGUE = msgspec.convert(
    tomllib.loads(files("schemas").joinpath("catalogue.toml").read_text("utf-8")), _Catalogue
)

TOPICS: dict[str, Topic] = {topic.name: topic for topic in _CATALOGUE.topic}
EVENTS: dict[str, EventRow] = _CATALOGUE.event

INPUT_TOPICS: tuple[str, ...] = tuple(
    name for name, topic in TOPICS.items() if topic.direction == "in"
)
OUTPUT_TOPICS: tuple[str, ...] = tuple(
    name for name, topic in TOPICS.items() if topic.direction == "out"
)
JOURNAL = "credit.journal.v1"
DEAD_LETTERS = "credit.dead-letters.v1"
CREDIT_CHANGELOG = "headroom-credit-changelog"
NOTIFY_CHANGELOG = "headroom-notify-changelog"
ALERT_NOTICES = "headroom-alert-notices"
ALERTS_CHANGELOG = "headroom-alerts-changelog"
_APP_ID = "headroom"


def internal_topic(name: str, app_id: str) -> str:
    """A topic as it is called in the installation `app_id`, whose own are the internal ones."""
    if TOPICS[name].direction == "internal":
        return app_id + name.removeprefix(_APP_ID)
    return name


def credit_changelog(app_id: str) -> str:
    """The topic that holds the credit agent's state."""
    return internal_topic(CREDIT_CHANGELOG, app_id)


def topic_of(type_name: str) -> str:
    """The topic that an event belongs on."""
    return EVENTS[type_name].topic


def key_of(event: Event) -> str:
    """The key of an event on its own topic; empty when it has none."""
    field = EVENTS[type(event).__name__].key
    return str(getattr(event, field)) if field else ""


def types_in(topic: str) -> Iterator[str]:
    """The event types whose values stand in a topic, and so the subjects that it has.

    The journal holds every event that comes in.
    """
    if TOPICS[topic].direction == "journal":
        yield from (kind.__name__ for kind in events.INCOMING)
    else:
        yield from (name for name, row in EVENTS.items() if row.topic == topic)


def subject(topic: str, type_name: str) -> str:
    """The name under which a registry keeps the schema (TopicRecordNameStrategy)."""
    return f"{topic}-{records.full_name(type_name)}"


def documentation() -> str:
    """`docs/topics.md`: the topics, and every event with its fields."""
    return "\n".join((*_topics_page(), *_events_page())) + "\n"


def _topics_page() -> Iterator[str]:
    yield "# Topics and events"
    yield ""
    yield "Made from `schemas/catalogue.toml` and `schemas/avro/` by `headroom schemas docs`."
    yield ""
    yield "Values are Avro in the Confluent wire format: 0x00, four bytes of schema id, the record."
    yield "The subject of a schema is `<topic>-headroom.<Type>` (TopicRecordNameStrategy)."
    yield "On the topics that come in producers may use any key or none, and any partition."
    yield "Retention `long` is for ever (`retention.ms=-1`)."
    yield ""
    yield "## Topics"
    yield ""
    yield "| topic | direction | key | written by | retention | cleanup | compatibility | holds |"
    yield "|---|---|---|---|---|---|---|---|"
    for topic in TOPICS.values():
        yield (
            f"| `{topic.name}` | {topic.direction} | {topic.key} | {topic.owner}"
            f" | {topic.retention} | {topic.cleanup} | {topic.compatibility}"
            f" | {topic.description} |"
        )


def _events_page() -> Iterator[str]:
    for topic in TOPICS:
        here = {name: row for name, row in EVENTS.items() if row.topic == topic}
        if here:
            yield ""
            yield f"## Events on `{topic}`"
        for name, row in here.items():
            schema = records.current(name)
            yield ""
            yield f"### {name}"
            yield ""
            yield schema["doc"]
            yield f"Key: {f'`{row.key}`' if row.key else 'none'}."
            yield ""
            yield "| field | type | meaning |"
            yield "|---|---|---|"
            documented = {field["name"]: field["doc"] for field in schema["fields"]}
            for field in fields.fields_of(events.BY_NAME[name]):
                yield f"| `{field.name}` | {_type_text(field)} | {documented[field.name]} |"


_WORDS: dict[fields.Kind, str] = {
    "text": "string",
    "integer": "int",
    "boolean": "boolean",
    "minor": "long",
    "day": "int (date)",
    "instant": "long (timestamp-micros)",
}


def _type_text(field: fields.Field) -> str:
    """How the documentation names a type, in Avro's words."""
    if field.record is None:
        text = _WORDS[field.kind]
    else:
        inner = (f"{each.name}: {_type_text(each)}" for each in fields.fields_of(field.record))
        text = "{" + ", ".join(inner) + "}"
    if field.is_list:
        text = f"list of {text}"
    if field.nullable:
        text = f"{text} or null"
    return f"{text}, optional" if field.has_default else text
