"""What a person does at the terminal, said to the pipeline as an event."""

from __future__ import annotations

import time
from collections.abc import Iterable

from confluent_kafka import KafkaError, Message, Producer

from agents.intake.rules import check
from schemas.catalogue import topic_of
from schemas.events import Event, Instant
from streams.cloud_events import headers_of
from streams.codec import Codec
from streams.errors import ConfigurationError, HeadroomError
from streams.fast_lane.outlet import Outgoing
from streams.kafka_client import producer_config
from streams.registry import open_codec
from streams.settings import Settings

_SEND_SECONDS = 30.0
_MICROSECONDS = 1_000_000


class NotSentError(HeadroomError):
    """The brokers did not take what was to be sent."""


def now() -> Instant:
    """When a person does it."""
    return int(time.time() * _MICROSECONDS)


def say(settings: Settings, codec: Codec, verb: str, event: Event, customer_id: str) -> None:
    """Write an event of a customer to its topic.

    Raises:
        NotSentError: the brokers do not take it in time.
    """
    topic = topic_of(type(event).__name__)
    headers = headers_of(verb)(event)
    send(settings, [Outgoing(topic, customer_id.encode(), codec.encode(event), headers)])


def tell(settings: Settings, verb: str, event: Event, customer_id: str) -> None:
    """The same for what a person has typed in.

    Raises:
        ConfigurationError: it cannot be; the field is named.
        NotSentError: the brokers do not take it in time.
    """
    refusal = check(event)
    if refusal is not None:
        raise ConfigurationError(f"{refusal.field}: {refusal.detail}")
    say(settings, open_codec(settings), verb, event, customer_id)


def send(settings: Settings, records: Iterable[Outgoing]) -> int:
    """Returns when the brokers have all of them; how many those are.

    Raises:
        NotSentError: they do not take one in time.
    """
    faults: list[str] = []

    def delivered(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            faults.append(error.str())

    limits = {"message.timeout.ms": int(_SEND_SECONDS * 1000)}
    producer = Producer({**producer_config(settings), **limits})
    count = 0
    for one in records:
        count += 1
        producer.poll(0)  # hears of those that are there, or they would stay in memory
        producer.produce(
            one.topic,
            one.value,
            one.key,
            one.partition,
            on_delivery=delivered,
            headers=[(name, value or b"") for name, value in one.headers],
        )
    if producer.flush(_SEND_SECONDS) or faults:
        raise NotSentError(f"the brokers did not take it: {', '.join(faults) or 'no answer'}")
    return count
