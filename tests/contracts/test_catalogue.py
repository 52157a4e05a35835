"""The catalogue holds the contract's topics and every event once, and the docs follow it."""

from __future__ import annotations

from pathlib import Path

import pytest
from contracts.event_strategies import example

from schemas import catalogue, events
from schemas.catalogue import EVENTS, INPUT_TOPICS, OUTPUT_TOPICS, TOPICS

_DOCS = Path(__file__).parents[2] / "docs" / "topics.md"
_DAY = 86_400_000

_CONTRACT = {
    # topic: retention in milliseconds, cleanup, compatibility
    "credit.customers.v1": (-1, "delete", "BACKWARD_TRANSITIVE"),
    "credit.orders.v1": (7 * _DAY, "delete", "BACKWARD_TRANSITIVE"),
    "credit.invoices.v1": (7 * _DAY, "delete", "BACKWARD_TRANSITIVE"),
    "credit.payments.v1": (7 * _DAY, "delete", "BACKWARD_TRANSITIVE"),
    "credit.reports.v1": (-1, "delete", "BACKWARD_TRANSITIVE"),
    "credit.fx-rates.v1": (-1, "delete", "BACKWARD_TRANSITIVE"),
    "credit.controls.v1": (-1, "delete", "BACKWARD_TRANSITIVE"),
    "credit.journal.v1": (-1, "delete", "BACKWARD_TRANSITIVE"),
    "credit.order-decisions.v1": (30 * _DAY, "delete", "FULL_TRANSITIVE"),
    "credit.limit-alerts.v1": (30 * _DAY, "delete", "FULL_TRANSITIVE"),
    "credit.exposures.v1": (-1, "compact", "FULL_TRANSITIVE"),
    "credit.group-exposures.v1": (-1, "compact", "FULL_TRANSITIVE"),
    "credit.dunning-steps.v1": (365 * _DAY, "delete", "FULL_TRANSITIVE"),
    "credit.letters.v1": (2557 * _DAY, "delete", "FULL_TRANSITIVE"),
    "credit.risk-signals.v1": (365 * _DAY, "delete", "FULL_TRANSITIVE"),
    "credit.dead-letters.v1": (30 * _DAY, "delete", "NONE"),
    "headroom-credit-changelog": (-1, "compact", "NONE"),
    "headroom-notify-changelog": (-1, "compact", "NONE"),
    "headroom-alert-notices": (40 * _DAY, "delete", "NONE"),
    "headroom-alerts-changelog": (-1, "compact", "NONE"),
}


def test_topics_are_those_of_the_contract() -> None:
    found = {
        name: (topic.retention_ms, topic.cleanup, topic.compatibility)
        for name, topic in TOPICS.items()
    }
    assert found == _CONTRACT


def test_broker_settings_use_the_brokers_names() -> None:
    assert TOPICS["credit.exposures.v1"].configs == {
        "cleanup.policy": "compact",
        "retention.ms": "-1",
    }
    assert TOPICS["credit.orders.v1"].configs["retention.ms"] == "604800000"


def test_what_the_broker_takes_as_input_fits_the_dead_letters() -> None:
    """A record that is too large to decode is still parked whole, with its headers."""
    room = TOPICS[catalogue.DEAD_LETTERS].max_message_bytes or 0
    for name in INPUT_TOPICS:
        assert (TOPICS[name].max_message_bytes or 0) + (1 << 20) <= room


def test_every_event_belongs_on_one_topic_of_its_direction() -> None:
    assert set(EVENTS) == set(events.BY_NAME)
    for kind in events.INCOMING:
        wanted = "journal" if kind in events.JOURNAL_ONLY else "in"
        assert TOPICS[catalogue.topic_of(kind.__name__)].direction == wanted
    for kind in events.OUTGOING:
        assert TOPICS[catalogue.topic_of(kind.__name__)].direction == "out"


def test_every_topic_of_events_has_some() -> None:
    for topic in (*INPUT_TOPICS, *OUTPUT_TOPICS):
        assert list(catalogue.types_in(topic)), topic
    assert len(INPUT_TOPICS) == 7
    assert len(OUTPUT_TOPICS) == 7


@pytest.mark.parametrize("name", sorted(events.BY_NAME))
def test_key_is_a_field_of_the_event(name: str) -> None:
    event = example(events.BY_NAME[name])
    field = EVENTS[name].key
    assert catalogue.key_of(event) == (getattr(event, field) if field else "")


def test_subjects_are_by_topic_and_record_name() -> None:
    """TopicRecordNameStrategy; the journal has one of every input, and of the business day."""
    assert (
        catalogue.subject("credit.orders.v1", "OrderPlaced")
        == "credit.orders.v1-headroom.OrderPlaced"
    )
    assert set(catalogue.types_in(catalogue.JOURNAL)) == {kind.__name__ for kind in events.INCOMING}


def test_docs_are_what_the_catalogue_says() -> None:
    """If this fails: `headroom schemas docs`."""
    assert _DOCS.read_text(encoding="utf-8") == catalogue.documentation()
