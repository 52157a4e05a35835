"""Topics as they should be, compared with the broker's and created where they are missing.

A topic that is there and differs is reported and left as it is: more partitions would send a key's
records to another partition than before, another cleanup policy would throw records away.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType, TopicMetadata

from schemas.catalogue import TOPICS, internal_topic
from streams.errors import HeadroomError
from streams.settings import Settings

_REQUEST_SECONDS = 30.0
_LOOK_AGAIN_SECONDS = 0.05


class TopicError(HeadroomError):
    """The broker refused to describe or create a topic; the message says which and why."""


@dataclass(frozen=True)
class TopicSpec:
    """One topic as it should be. `config` holds Kafka's own names, e.g. `cleanup.policy`."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Difference:
    """What is not as it should be: `what` is `topic` for one that is missing, else its property."""

    topic: str
    what: str
    wanted: str
    found: str | None

    def __str__(self) -> str:
        if self.found is None and self.what == "topic":
            return f"{self.topic}: missing"
        return f"{self.topic}: {self.what} is {self.found}, should be {self.wanted}"


def catalogue_topics(settings: Settings) -> list[TopicSpec]:
    """Every topic of the catalogue, called, replicated and divided as the settings say."""
    return [
        TopicSpec(
            internal_topic(topic.name, settings.app_id),
            settings.partitions,
            settings.replication_factor,
            topic.configs | {"min.insync.replicas": str(settings.min_insync_replicas)},
        )
        for topic in TOPICS.values()
    ]


def diff(admin: AdminClient, specs: Iterable[TopicSpec]) -> list[Difference]:
    """How the broker's topics differ from the specs, in the specs' order.

    Raises:
        TopicError: the broker does not answer.
    """
    specs = list(specs)
    there = _listed(admin)
    configs = _configs(admin, [spec.name for spec in specs if spec.name in there])
    differences = []
    for spec in specs:
        if spec.name not in there:
            differences.append(Difference(spec.name, "topic", "there", None))
            continue
        partitions = there[spec.name].partitions
        replication = min((len(entry.replicas) for entry in partitions.values()), default=0)
        found = {
            "partitions": str(len(partitions)),
            "replication": str(replication),
            **{name: configs[spec.name].get(name, "") for name in spec.config},
        }
        wanted = {
            "partitions": str(spec.partitions),
            "replication": str(spec.replication),
            **spec.config,
        }
        differences += [
            Difference(spec.name, what, value, found[what])
            for what, value in wanted.items()
            if _normal(found[what]) != _normal(value)
        ]
    return differences


def apply(admin: AdminClient, specs: Iterable[TopicSpec]) -> list[str]:
    """Create the topics that are missing; the names of those that were. Others stay as they are.

    Returns once the broker lists what it has made: it accepts a topic a moment before it knows it.

    Raises:
        TopicError: the broker refuses; topics that it accepted before that stay.
    """
    specs = list(specs)
    missing = {entry.topic for entry in diff(admin, specs) if entry.what == "topic"}
    new = [
        NewTopic(
            spec.name,
            num_partitions=spec.partitions,
            replication_factor=spec.replication,
            config=dict(spec.config),
        )
        for spec in specs
        if spec.name in missing
    ]
    if not new:
        return []
    created, refused = [], []
    answers = admin.create_topics(new, operation_timeout=_REQUEST_SECONDS)
    for name, future in answers.items():
        try:
            future.result()
            created.append(name)
        except KafkaException as error:
            # Two workers may start at once; who comes second finds it made.
            if not _already_there(error):
                refused.append(f"{name}: {_reason(error)}")
    if refused:
        raise TopicError(f"topics cannot be created: {'; '.join(refused)}")
    _wait_until_listed(admin, {spec.name for spec in specs})
    return created


def _wait_until_listed(admin: AdminClient, names: set[str]) -> None:
    deadline = time.monotonic() + _REQUEST_SECONDS
    while unlisted := names - _listed(admin).keys():
        if time.monotonic() > deadline:
            raise TopicError(f"made, but not listed by the broker: {', '.join(sorted(unlisted))}")
        time.sleep(_LOOK_AGAIN_SECONDS)


def _listed(admin: AdminClient) -> dict[str, TopicMetadata]:
    try:
        return admin.list_topics(timeout=_REQUEST_SECONDS).topics
    except KafkaException as error:
        raise TopicError(f"topics cannot be listed: {_reason(error)}") from error


def _configs(admin: AdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    configs = {}
    for resource, future in admin.describe_configs(resources).items():
        try:
            entries = future.result(_REQUEST_SECONDS)
        except KafkaException as error:
            raise TopicError(f"{resource.name} cannot be described: {_reason(error)}") from error
        configs[resource.name] = {name: str(entry.value) for name, entry in entries.items()}
    return configs


def _reason(error: KafkaException) -> str:
    cause = error.args[0]
    return cause.str() if isinstance(cause, KafkaError) else str(cause)


def _already_there(error: KafkaException) -> bool:
    cause = error.args[0]
    return isinstance(cause, KafkaError) and cause.code() == KafkaError.TOPIC_ALREADY_EXISTS


def _normal(value: str) -> str:
    """Kafka gives lists in any order: `compact,delete` and `delete,compact` are one policy."""
    return ",".join(sorted(part.strip() for part in value.split(",")))
