"""How to reach the brokers, for librdkafka and for Faust, and what to do while they cannot be
reached.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.errors import ConfigurationError, HeadroomError
from streams.partitioning import PARTITIONER
from streams.settings import Settings

logger = logging.getLogger(__name__)

_REQUEST_SECONDS = 10.0
_MESSAGE_BYTES_MAX = 64 << 20
_BACK_OFF_SECONDS = (0.5, 1.0, 2.0, 5.0)
_SAY_AGAIN_SECONDS = 30.0


class Complaint:
    """A warning that is given once in a while, however often there is cause."""

    def __init__(self) -> None:
        self._given_at: float | None = None

    @property
    def was_given(self) -> bool:
        return self._given_at is not None

    def __call__(self, text: str, *what: object) -> None:
        now = time.monotonic()
        if self._given_at is None or now - self._given_at > _SAY_AGAIN_SECONDS:
            self._given_at = now
            logger.warning(text, *what)


class TopicMissingError(HeadroomError):
    """A topic that is needed does not exist."""


def client_config(settings: Settings) -> dict[str, Any]:
    """The settings that every librdkafka client has. Raises `ConfigurationError` when no broker is
    named.
    """
    if not settings.kafka_bootstrap:
        raise ConfigurationError(
            "HEADROOM_KAFKA_BOOTSTRAP is not set, so there is no broker to go to"
        )
    config: dict[str, Any] = {
        "bootstrap.servers": settings.kafka_bootstrap,
        "security.protocol": settings.kafka_security_protocol,
        "reconnect.backoff.ms": 100,
        "reconnect.backoff.max.ms": 2000,
        "logger": _quiet_logger,
        "error_cb": _BrokerWatch(settings.kafka_bootstrap),
    }
    if settings.kafka_sasl_mechanism and settings.kafka_sasl_password:
        config["sasl.mechanism"] = settings.kafka_sasl_mechanism
        config["sasl.username"] = settings.kafka_sasl_username
        config["sasl.password"] = settings.kafka_sasl_password.get_secret_value()
    if settings.kafka_ssl_ca_location:
        config["ssl.ca.location"] = str(settings.kafka_ssl_ca_location)
    return config


def producer_config(settings: Settings) -> dict[str, Any]:
    """The settings of every producer: nothing is given up, reordered, lost or sent to another
    partition.
    """
    return {
        **client_config(settings),
        "enable.idempotence": True,
        "acks": "all",
        "message.timeout.ms": 0,
        # What one step of an agent sends leaves in few requests; at 0 each record would be one.
        "linger.ms": 0.5,
        "partitioner": PARTITIONER,
        # The topics have bounds of their own; the client's must not be the lower one.
        "message.max.bytes": _MESSAGE_BYTES_MAX,
        # Bounded by bytes in the lane, so the client's own bound on their number is off.
        "queue.buffering.max.messages": 0,
    }


def faust_credentials(settings: Settings) -> Any:
    """The same for Faust, None when the brokers ask for nothing."""
    protocol = settings.kafka_security_protocol
    if protocol == "PLAINTEXT":
        return None
    import faust  # noqa: PLC0415  whoever only asks a broker something does without

    context = None
    if protocol.endswith("SSL"):
        authority = settings.kafka_ssl_ca_location
        context = ssl.create_default_context(cafile=str(authority) if authority else None)
    if protocol == "SSL":
        return faust.SSLCredentials(context=context)
    assert settings.kafka_sasl_password is not None  # noqa: S101  the settings checked it
    return faust.SASLCredentials(
        mechanism=settings.kafka_sasl_mechanism,
        username=settings.kafka_sasl_username,
        password=settings.kafka_sasl_password.get_secret_value(),
        ssl_context=context,
    )


def wait_for_brokers(
    settings: Settings, *, give_up: Callable[[], bool] = lambda: False
) -> AdminClient | None:
    """An admin client of a cluster that answers; waits for it as long as it takes, with one line
    now and then.

    None when `give_up` said so while it waited.
    """
    admin = AdminClient({**client_config(settings), "error_cb": _ignore})
    complain = Complaint()
    attempt = 0
    while not give_up():
        try:
            admin.list_topics(timeout=2.0)
        except KafkaException as error:
            complain(
                "no Kafka broker answers at %s (%s); trying again",
                settings.kafka_bootstrap,
                cause_of(error).str(),
            )
            time.sleep(_BACK_OFF_SECONDS[min(attempt, len(_BACK_OFF_SECONDS) - 1)])
            attempt += 1
            continue
        if complain.was_given:
            logger.info("Kafka answers at %s", settings.kafka_bootstrap)
        return admin
    return None


class TopicFacts(NamedTuple):
    """What the broker says of a topic. A topic that is deleted and made anew has another id."""

    id: str
    partitions: int


def topic_facts(admin: AdminClient, topics: Iterable[str]) -> dict[str, TopicFacts]:
    """What the broker says of each topic.

    Raises:
        TopicMissingError: one does not exist; the message says which and what to do.
    """
    names = list(topics)
    described = admin.describe_topics(TopicCollection(names), request_timeout=_REQUEST_SECONDS)
    facts, missing = {}, []
    for name, future in described.items():
        try:
            topic = future.result()
            facts[name] = TopicFacts(str(topic.topic_id), len(topic.partitions))
        except KafkaException as error:
            if cause_of(error).code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
            missing.append(name)
    if missing:
        raise TopicMissingError(
            f"no such topic: {', '.join(sorted(missing))}; `headroom topics apply` makes them"
        )
    return facts


def log_bounds(consumer: Consumer, place: TopicPartition, timeout: float) -> tuple[int, int]:
    """The first offset of a log, and the one behind its last record that this client may read.

    Raises `KafkaException` when there is no answer within so many seconds.
    """
    found = consumer.get_watermark_offsets(place, timeout=timeout)
    if found is None:  # so the client says now and then that nobody answered
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001
    return found


def cause_of(exception: KafkaException) -> KafkaError:
    """What the client or the broker says is wrong."""
    error = exception.args[0]
    assert isinstance(error, KafkaError)  # noqa: S101  the stubs allow a text, the client gives none
    return error


class _BrokerWatch:
    """Says once in a while that no broker answers, instead of once per attempt and client."""

    _complain = Complaint()  # shared: a worker has many clients of one cluster

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap

    def __call__(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001  its public name
            self._complain("no Kafka broker answers at %s; waiting for one", self._bootstrap)


def _ignore(_error: KafkaError) -> None:
    """The caller reports it."""


_quiet_logger = logging.getLogger("librdkafka")
_quiet_logger.setLevel(
    logging.CRITICAL
)  # every attempt to connect is a line; the watch above says it once
