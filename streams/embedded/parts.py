"""Where the embedded parts live under HEADROOM_EMBEDDED_DIR, made from the settings."""

from __future__ import annotations

from pathlib import Path

from streams.embedded.apicurio import EmbeddedApicurio
from streams.embedded.kafka import EmbeddedKafka, running_kafka
from streams.errors import ConfigurationError
from streams.settings import Settings


def kafka_directory(settings: Settings) -> Path:
    return settings.embedded_dir / "kafka"


def clickhouse_directory(settings: Settings) -> Path:
    return settings.embedded_dir / "clickhouse"


def embedded_kafka(settings: Settings) -> EmbeddedKafka:
    """The broker as the settings want it, not started."""
    return EmbeddedKafka(kafka_directory(settings), cache=settings.cache_dir, java=settings.java)


def embedded_apicurio(settings: Settings) -> EmbeddedApicurio:
    """The registry as the settings want it, not started."""
    return EmbeddedApicurio(
        settings.embedded_dir / "registry", cache=settings.cache_dir, java=settings.java
    )


def at_broker(settings: Settings, bootstrap: str) -> Settings:
    """The same settings with the address of an embedded broker that was started."""
    return settings.model_copy(update={"kafka_bootstrap": bootstrap})


def with_broker(settings: Settings) -> Settings:
    """The settings with a broker in them: the one they name, else the embedded one that runs.

    Raises:
        ConfigurationError: none is named and none runs.
    """
    if settings.kafka_bootstrap:
        return settings
    bootstrap = running_kafka(kafka_directory(settings))
    if bootstrap is None:
        raise ConfigurationError(
            "no Kafka broker: start one with `headroom up`, or name one in HEADROOM_KAFKA_BOOTSTRAP"
        )
    return at_broker(settings, bootstrap)
