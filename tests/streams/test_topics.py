"""Topics are created where they are missing, compared where they are there, and never changed."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from schemas.catalogue import TOPICS
from streams.settings import Settings
from streams.topics import Difference, TopicError, TopicSpec, apply, catalogue_topics, diff


@pytest.fixture
def admin(kafka: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": kafka})


@pytest.fixture
def spec() -> TopicSpec:
    return TopicSpec(f"t-{uuid.uuid4()}", 2, 1, {"cleanup.policy": "delete"})


def changed(spec: TopicSpec, partitions: int = 2, **config: str) -> TopicSpec:
    named = {name.replace("_", "."): value for name, value in config.items()}
    return TopicSpec(spec.name, partitions, 1, {**spec.config, **named})


@pytest.mark.usefixtures("clean_environment")
def test_every_topic_of_the_catalogue_is_wanted_as_the_settings_say() -> None:
    specs = catalogue_topics(Settings(kafka_bootstrap="a:1", partitions=12))
    assert [spec.name for spec in specs] == list(TOPICS)
    assert {(spec.partitions, spec.replication) for spec in specs} == {(12, 3)}
    assert {spec.config["min.insync.replicas"] for spec in specs} == {"2"}


@pytest.mark.usefixtures("clean_environment")
def test_internal_topics_are_called_by_the_installation_that_has_them() -> None:
    names = {spec.name for spec in catalogue_topics(Settings(kafka_bootstrap="a:1", app_id="mine"))}
    assert names ^ set(TOPICS) == {
        f"{owner}-{what}"
        for owner in ("headroom", "mine")
        for what in ("credit-changelog", "notify-changelog", "alert-notices", "alerts-changelog")
    }


@pytest.mark.connected
def test_a_missing_topic_is_told_then_created_then_right(
    admin: AdminClient, spec: TopicSpec
) -> None:
    assert diff(admin, [spec]) == [Difference(spec.name, "topic", "there", None)]
    assert apply(admin, [spec]) == [spec.name]
    assert diff(admin, [spec]) == []
    assert apply(admin, [spec]) == []


@pytest.mark.connected
def test_what_differs_is_told_and_left_as_it_is(admin: AdminClient, spec: TopicSpec) -> None:
    apply(admin, [spec])
    wanted = changed(spec, partitions=5, cleanup_policy="compact", retention_ms="86400000")
    told = diff(admin, [wanted])
    assert [(entry.what, entry.wanted, entry.found) for entry in told] == [
        ("partitions", "5", "2"),
        ("cleanup.policy", "compact", "delete"),
        ("retention.ms", "86400000", "604800000"),
    ]
    assert str(told[0]) == f"{spec.name}: partitions is 2, should be 5"
    assert apply(admin, [wanted]) == []
    assert diff(admin, [wanted]) == told
    assert diff(admin, [spec]) == []


@pytest.mark.connected
def test_the_order_within_a_cleanup_policy_does_not_count(
    admin: AdminClient, spec: TopicSpec
) -> None:
    apply(admin, [changed(spec, cleanup_policy="compact,delete")])
    assert diff(admin, [changed(spec, cleanup_policy="delete, compact")]) == []


class SlowToTell(AdminClient):
    """A broker that accepts a topic a while before it lists it."""

    hidden = 0

    def create_topics(self, *args: Any, **settings: Any) -> Any:
        self.hidden = 3
        return super().create_topics(*args, **settings)

    def list_topics(self, *args: Any, **settings: Any) -> Any:
        listed = super().list_topics(*args, **settings)
        if self.hidden:
            self.hidden -= 1
            listed.topics = {}
        return listed


@pytest.mark.connected
def test_what_was_made_is_there_for_whoever_asks_next(kafka: str, spec: TopicSpec) -> None:
    admin = SlowToTell({"bootstrap.servers": kafka})
    assert apply(admin, [spec]) == [spec.name]
    assert diff(admin, [spec]) == []


@pytest.mark.connected
def test_a_topic_that_the_broker_refuses_is_named(admin: AdminClient, spec: TopicSpec) -> None:
    wanted = changed(spec, cleanup_policy="burn")
    with pytest.raises(TopicError, match=spec.name):
        apply(admin, [wanted])


def test_no_broker_is_a_clear_error(monkeypatch: pytest.MonkeyPatch, spec: TopicSpec) -> None:
    monkeypatch.setattr("streams.topics._REQUEST_SECONDS", 0.5)
    nobody = AdminClient({"bootstrap.servers": "127.0.0.1:9", "log_level": 0})
    with pytest.raises(TopicError, match="cannot be listed"):
        diff(nobody, [spec])
