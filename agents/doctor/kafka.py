"""Brokers and topics: there, as the catalogue says, and replicated as they are asked to be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from confluent_kafka.admin import AdminClient, TopicMetadata

from agents.doctor.findings import Finding
from streams.embedded.kafka import running_kafka
from streams.embedded.parts import at_broker, kafka_directory
from streams.kafka_client import client_config
from streams.settings import Settings
from streams.topics import Difference, catalogue_topics, diff

CHECK = "kafka"
DO = "see HEADROOM_KAFKA_BOOTSTRAP, the login, and whether the brokers run and can be reached"
_ANSWER_SECONDS = 5.0
_SAFE_REPLICATION = 3
_NO_LEADER = -1
_NAMED = 5

_CONFIGS = "kafka-configs.sh --bootstrap-server ... --alter --entity-type topics --entity-name"
_CURES = {
    "topic": "`headroom topics apply` creates them",
    "partitions": (
        "set HEADROOM_PARTITIONS to what the topics have; adding partitions would part a customer's"
        " events from those before"
    ),
    "replication": "kafka-reassign-partitions.sh with a plan that names as many brokers",
}


def kafka_findings(settings: Settings) -> Iterator[Finding]:
    """All that is to be said of the brokers that the settings name, or of the embedded one."""
    bootstrap = settings.kafka_bootstrap or running_kafka(kafka_directory(settings))
    if bootstrap is None:
        text = "the embedded broker does not run"
        yield Finding(CHECK, "warning", text, "`headroom up` starts it")
        return
    reachable = at_broker(settings, bootstrap)
    admin = AdminClient(client_config(reachable))
    cluster = admin.list_topics(timeout=_ANSWER_SECONDS)
    count = len(cluster.brokers)
    brokers = "1 broker" if count == 1 else f"{count} brokers"
    yield Finding(CHECK, "ok", f"{brokers} at {bootstrap}")
    wanted = catalogue_topics(reachable)
    yield from difference_findings(diff(admin, wanted))
    ours = {spec.name: cluster.topics[spec.name] for spec in wanted if spec.name in cluster.topics}
    yield from replica_findings(ours, settings.min_insync_replicas)
    if settings.kafka_bootstrap:
        yield replication_finding(settings, count)


def difference_findings(different: list[Difference]) -> Iterator[Finding]:
    """How the topics differ from the catalogue, each kind of difference with its cure."""
    if not different:
        yield Finding("topics", "ok", "all are as the catalogue says")
    by_kind = sorted(different, key=lambda entry: entry.what)
    for what, entries in groupby(by_kind, key=lambda entry: entry.what):
        alike = list(entries)
        cure = _CURES.get(what)
        if cure is None:
            example = alike[0]
            cure = f"{_CONFIGS} {example.topic} --add-config {what}={example.wanted}" + (
                ", and so for the others" if len(alike) > 1 else ""
            )
        yield Finding("topics", "wrong", _few(str(entry) for entry in alike), cure)


def replica_findings(
    topics: Mapping[str, TopicMetadata], min_insync_replicas: int
) -> Iterator[Finding]:
    """Partitions that cannot be read or written now, or would not survive the next broker."""
    offline, closed, short = [], [], []
    for name, topic in topics.items():
        for number, partition in topic.partitions.items():
            place = f"{name}/{number}"
            if partition.leader == _NO_LEADER:
                offline.append(place)
            elif len(partition.isrs) < min_insync_replicas:
                closed.append(place)
            elif len(partition.isrs) < len(partition.replicas):
                short.append(place)
    cure = "start the brokers that are down, and wait until their replicas have caught up"
    if offline:
        yield Finding("replicas", "wrong", f"without a leader: {_few(offline)}", cure)
    if closed:
        text = f"fewer than {min_insync_replicas} in sync, nothing can be written: {_few(closed)}"
        yield Finding("replicas", "wrong", text, cure)
    if short:
        yield Finding("replicas", "warning", f"not all in sync: {_few(short)}", cure)
    if topics and not offline and not closed and not short:
        yield Finding("replicas", "ok", "all are in sync")


def replication_finding(settings: Settings, brokers: int) -> Finding:
    """Whether what the settings ask for survives the loss of a broker."""
    replicas, insync = settings.replication_factor, settings.min_insync_replicas
    text = f"{replicas} replicas, {insync} of them before a record counts"
    cure = "HEADROOM_REPLICATION_FACTOR=3 and HEADROOM_MIN_INSYNC_REPLICAS=2, on three brokers"
    if replicas > brokers:
        return Finding("replication", "wrong", f"{text}, but {brokers} brokers", cure)
    if replicas < _SAFE_REPLICATION:
        return Finding("replication", "warning", f"{text}: one lost broker can lose records", cure)
    if insync >= replicas:
        return Finding("replication", "warning", f"{text}: one lost broker stops all writing", cure)
    if insync == 1:
        return Finding("replication", "warning", f"{text}: a record may be on one broker", cure)
    return Finding("replication", "ok", text)


def _few(texts: Iterable[str]) -> str:
    """The first of them, and how many more there are."""
    given = list(texts)
    more = f"; and {len(given) - _NAMED} more" if len(given) > _NAMED else ""
    return "; ".join(given[:_NAMED]) + more
