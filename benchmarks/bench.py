"""What the benchmarks on a broker share: a broker of their own, topics, records in and out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from agents.catch_up import wait_for_group
from schemas.catalogue import JOURNAL
from schemas.events import Event
from streams.cloud_events import headers_of
from streams.codec import Codec
from streams.embedded.claim import Claim
from streams.embedded.parts import at_broker, embedded_kafka
from streams.embedded.supervised import SupervisedProcess
from streams.errors import HeadroomError
from streams.kafka_client import client_config, producer_config
from streams.registry import open_schema_ids
from streams.settings import Settings
from streams.topics import TopicSpec, apply, catalogue_topics

PATIENCE_SECONDS = 90.0


class BenchFailedError(HeadroomError):
    """What was measured did not come to its end."""


@dataclass(frozen=True)
class Bench:
    """What the measurements of one run share."""

    settings: Settings
    codec: Codec
    claim: Claim
    directory: Path
    tell: Callable[[str], None]

    def make_topics(self, *own: str) -> None:
        """The product's, and some of the bench's own."""
        settings = self.settings
        specs = [TopicSpec(name, settings.partitions, 1, {}) for name in own]
        apply(AdminClient(client_config(settings)), [*catalogue_topics(settings), *specs])

    def produce(self, topic: str, events: Iterable[Event]) -> None:
        producer = Producer({**producer_config(self.settings), "linger.ms": 20})
        headers = headers_of("bench")
        for event in events:
            key = str(getattr(event, "customer_id", "")).encode()
            value = self.codec.encode(event)
            while True:
                try:
                    producer.produce(topic, value, key, headers=list(headers(event)))
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
        producer.flush()

    def reader(self, topic: str, *, from_the_end: bool = True) -> Consumer:
        consumer = Consumer(
            {
                **client_config(self.settings),
                "group.id": "bench",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 10,
            }
        )
        places = [TopicPartition(topic, n) for n in range(self.settings.partitions)]
        starts = [consumer.get_watermark_offsets(one)[from_the_end] for one in places]
        consumer.assign([TopicPartition(topic, n, start) for n, start in enumerate(starts)])
        return consumer

    def wait_for_group(self, group: str, process: SupervisedProcess) -> None:
        """Until the group has committed all of the journal."""
        wait_for_group(
            client_config(self.settings), group, [JOURNAL], self.settings.partitions, process.check
        )


@contextmanager
def bench_on_a_broker(settings: Settings, tell: Callable[[str], None]) -> Iterator[Bench]:
    """On the settings' broker; without one an embedded one is started in a directory of its own."""
    directory = Path(mkdtemp(prefix="headroom-bench-"))
    settings = settings.model_copy(
        update={"embedded_dir": directory, "state_dir": directory / "state"}
    )
    with ExitStack() as parts:
        claim = Claim(directory / "bench.lock")
        claim.take()
        parts.callback(claim.release)
        if settings.kafka_bootstrap is None:
            tell("starting Kafka")
            kafka = parts.enter_context(embedded_kafka(settings))
            settings = at_broker(settings, kafka.bootstrap_servers)
        yield Bench(settings, Codec(open_schema_ids(None)), claim, directory, tell)
