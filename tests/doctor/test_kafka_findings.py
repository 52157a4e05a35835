"""What is said of brokers and topics, and what to do."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewTopic, PartitionMetadata, TopicMetadata

from agents.doctor import kafka
from agents.doctor.kafka import (
    difference_findings,
    kafka_findings,
    replica_findings,
    replication_finding,
)
from schemas.catalogue import JOURNAL, TOPICS
from streams.settings import Settings
from streams.topics import Difference, TopicSpec


def topic(*partitions: tuple[int, list[int], list[int]]) -> TopicMetadata:
    """A topic as brokers tell of it: leader, replicas and replicas in sync of each partition."""
    told = TopicMetadata()
    for number, (leader, replicas, in_sync) in enumerate(partitions):
        part = PartitionMetadata()
        part.id, part.leader, part.replicas, part.isrs = number, leader, replicas, in_sync
        told.partitions[number] = part
    return told


def test_each_kind_of_difference_comes_with_its_cure() -> None:
    found = list(
        difference_findings(
            [
                Difference("a", "topic", "there", None),
                Difference("b", "partitions", "5", "4"),
                Difference("b", "retention.ms", "-1", "604800000"),
                Difference("c", "cleanup.policy", "compact", "delete"),
                Difference("c", "replication", "3", "1"),
                Difference("d", "retention.ms", "1000", "604800000"),
            ]
        )
    )
    said = {one.text: one.do for one in found}
    assert {one.verdict for one in found} == {"wrong"}
    assert said["a: missing"] == "`headroom topics apply` creates them"
    assert said["b: partitions is 4, should be 5"].startswith("set HEADROOM_PARTITIONS to what")
    assert said["c: cleanup.policy is delete, should be compact"].endswith(
        "--entity-name c --add-config cleanup.policy=compact"
    )
    assert "kafka-reassign-partitions" in said["c: replication is 1, should be 3"]
    both = (
        "b: retention.ms is 604800000, should be -1; d: retention.ms is 604800000, should be 1000"
    )
    assert said[both].endswith(
        "--entity-name b --add-config retention.ms=-1, and so for the others"
    )


def test_only_the_first_of_many_are_named() -> None:
    many = [Difference(f"t{number}", "topic", "there", None) for number in range(8)]
    (one,) = difference_findings(many)
    assert one.text.endswith("t4: missing; and 3 more")


def test_no_difference_is_said_too() -> None:
    assert [one.verdict for one in difference_findings([])] == ["ok"]


def test_partitions_without_leader_without_enough_in_sync_and_with_one_behind() -> None:
    topics = {
        "well": topic((1, [1, 2, 3], [3, 2, 1])),
        "ill": topic(
            (-1, [1, 2, 3], []),
            (1, [1, 2, 3], [1]),
            (1, [1, 2, 3], [1, 2]),
        ),
    }
    found = [(one.verdict, one.text) for one in replica_findings(topics, 2)]
    assert found == [
        ("wrong", "without a leader: ill/0"),
        ("wrong", "fewer than 2 in sync, nothing can be written: ill/1"),
        ("warning", "not all in sync: ill/2"),
    ]
    assert [one.verdict for one in replica_findings({"well": topics["well"]}, 2)] == ["ok"]
    assert list(replica_findings({}, 2)) == []


@pytest.mark.parametrize(
    ("replicas", "insync", "brokers", "verdict", "text"),
    [
        (3, 2, 3, "ok", ""),
        (3, 2, 2, "wrong", "but 2 brokers"),
        (1, 1, 3, "warning", "one lost broker can lose records"),
        (3, 3, 3, "warning", "one lost broker stops all writing"),
        (3, 1, 3, "warning", "a record may be on one broker"),
    ],
)
def test_replication_that_does_not_survive_a_broker(
    replicas: int, insync: int, brokers: int, verdict: str, text: str
) -> None:
    settings = Settings(
        kafka_bootstrap="a:1", replication_factor=replicas, min_insync_replicas=insync
    )
    found = replication_finding(settings, brokers)
    assert found.verdict == verdict
    assert text in found.text
    assert bool(found.do) == (verdict != "ok")


@pytest.mark.connected
def test_a_topic_with_too_few_partitions_and_too_short_a_retention_on_a_real_broker(
    kafka: str, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"doctor-{uuid.uuid4()}"
    admin = AdminClient({"bootstrap.servers": kafka})
    config = {"retention.ms": "86400000", "cleanup.policy": "delete"}
    for made in admin.create_topics([NewTopic(name, 1, 1, config=config)]).values():
        made.result()
    settings = make_settings(kafka_bootstrap=kafka, replication_factor=1, min_insync_replicas=1)
    monkeypatch.setattr(
        "agents.doctor.kafka.catalogue_topics",
        lambda _: [
            TopicSpec(name, 4, 1, TOPICS[JOURNAL].configs),
            TopicSpec(f"{name}-not-there", 4, 1, {}),
        ],
    )
    found = list(kafka_findings(settings))
    texts = {one.text: one for one in found}
    assert [one.verdict for one in found if one.check == "kafka"] == ["ok"]
    assert texts[f"{name}: partitions is 1, should be 4"].verdict == "wrong"
    assert texts[f"{name}: retention.ms is 86400000, should be -1"].verdict == "wrong"
    assert texts[f"{name}-not-there: missing"].verdict == "wrong"
    assert texts["all are in sync"].verdict == "ok"
    assert [one.verdict for one in found if one.check == "replication"] == ["warning"]


def test_no_embedded_broker_is_no_fault(make_settings: Callable[..., Any]) -> None:
    (found,) = kafka.kafka_findings(make_settings(kafka_bootstrap=None))
    assert (found.verdict, found.do) == ("warning", "`headroom up` starts it")
