"""A worker as a process of its own, and a client that writes events and reads what comes out."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.catalogue import topic_of
from schemas.events import Event
from streams.codec import Codec
from streams.partitioning import PARTITIONER
from streams.registry import open_schema_ids
from streams.settings import Settings
from streams.topics import apply, catalogue_topics

START = "import sys; from agents.cli.main import run; sys.exit(run())"
_PATIENCE_SECONDS = 90.0
"""Nothing takes so long but on a machine that does twenty other things."""
_READY_SECONDS = 90.0


class WorkerProcess:
    """A worker that can be started, killed, stopped and asked."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self._environment = environment
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._web = f"http://127.0.0.1:{environment['HEADROOM_WEB_PORT']}"

    def start(self, program: str = START, only: str = "intake,credit") -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", program, "worker", "--only", only],
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    def wait_until_ready(self) -> None:
        end = time.monotonic() + _READY_SECONDS
        while self.get("/readyz")[0] != 200:
            assert self.exit_code is None, self.log
            assert time.monotonic() < end, self.log
            time.sleep(0.05)

    def get(self, path: str) -> tuple[int, str]:
        """Status and text; status 0 when nobody listens."""
        try:
            with urllib.request.urlopen(self._web + path, timeout=5) as answer:  # noqa: S310  our own
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as answer:
            return answer.code, answer.read().decode()
        except OSError:
            return 0, ""

    def partitions(self, topic: str) -> set[str]:
        """Those of a topic that it has open, as its metrics name them."""
        of_all = re.findall(r'_lag_seconds\{partition="([^"]*)"', self.get("/metrics")[1])
        return {name for name in of_all if f"/{topic}-" in name}

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def app_id(self) -> str:
        return self._environment["HEADROOM_APP_ID"]

    def terminate(self) -> None:
        """Ask it to stop as planned."""
        self.signal(signal.SIGTERM)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, seconds: float) -> int:
        assert self._process is not None
        return self._process.wait(seconds)

    def kill(self) -> None:
        """As when the machine goes away."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    @property
    def exit_code(self) -> int | None:
        return None if self._process is None else self._process.poll()

    @property
    def log(self) -> str:
        return self._log.read_text()


StartWorker = Callable[..., WorkerProcess]


@pytest.fixture
def make_worker(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[StartWorker]:
    """Makes workers of one group that belongs to the test; whatever runs at its end is killed."""
    made: list[WorkerProcess] = []
    name = re.sub(r"[^A-Za-z0-9]+", "-", request.node.name.removeprefix("test_"))
    group = f"t{os.getpid()}-{name[:40]}"

    def make(bootstrap: str, name: str = "a", **settings: str) -> WorkerProcess:
        environment = {key: v for key, v in os.environ.items() if not key.startswith("HEADROOM_")}
        environment |= {
            "HEADROOM_KAFKA_BOOTSTRAP": bootstrap,
            "HEADROOM_REPLICATION_FACTOR": "1",
            "HEADROOM_MIN_INSYNC_REPLICAS": "1",
            "HEADROOM_APP_ID": group,
            "HEADROOM_WORKER_NAME": name,
            "HEADROOM_STATE_DIR": str(tmp_path / "state"),
            "HEADROOM_SESSION_TIMEOUT_SECONDS": "6",
            "HEADROOM_WEB_PORT": str(free_port()),
            "HEADROOM_CLOCK": "replayed",
            "HEADROOM_LOG_LEVEL": "debug",
        }
        environment |= {f"HEADROOM_{key.upper()}": value for key, value in settings.items()}
        worker = WorkerProcess(environment, tmp_path / f"{name}.log")
        made.append(worker)
        return worker

    yield make
    for worker in made:
        if worker.exit_code is None and worker._process is not None:
            worker.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """Writes events to their topics and reads topics from where they stood when it was made."""

    def __init__(self, bootstrap: str, registry: str | None = None, replicas: int = 1) -> None:
        settings = Settings(
            kafka_bootstrap=bootstrap,
            replication_factor=replicas,
            min_insync_replicas=max(replicas - 1, 1),
        )
        self.admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        apply(self.admin, catalogue_topics(settings))
        self.codec = Codec(open_schema_ids(registry))
        self.partitions = settings.partitions
        self.bootstrap = bootstrap
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "partitioner": PARTITIONER,
                "enable.idempotence": True,
                "log_level": 0,
                "linger.ms": 0,
                "message.max.bytes": 16_000_000,
            }
        )

    def send(self, event: Event, key: str | None = None) -> None:
        self.send_raw(topic_of(type(event).__name__), self.codec.encode(event), key)

    def send_raw(
        self, topic: str, value: bytes | None, key: str | None = None, **more: Any
    ) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, **more)
            except BufferError:  # the client's queue is full
                self._producer.poll(0.1)
            else:
                break
        self._producer.poll(0)

    def flush(self) -> None:
        assert self._producer.flush(20) == 0

    def reader(self, topic: str) -> Callable[[Callable[[list[Message]], bool]], list[Message]]:
        """A function that reads on until what was read satisfies, or patience ends."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "test",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )
        starts = [
            TopicPartition(topic, n, end_of(consumer, TopicPartition(topic, n)))
            for n in range(self.partitions)
        ]
        consumer.assign(starts)
        read: list[Message] = []

        def read_on(enough: Callable[[list[Message]], bool]) -> list[Message]:
            end = time.monotonic() + _PATIENCE_SECONDS
            while not enough(read) and time.monotonic() < end:
                read.extend(m for m in consumer.consume(500, 0.1) if m.error() is None)
            return read

        return read_on


def end_of(consumer: Consumer, partition: TopicPartition) -> int:
    """Where the log ends; a topic that was just made has no leader yet."""
    deadline = time.monotonic() + 10
    while True:
        try:
            offsets = consumer.get_watermark_offsets(partition, timeout=10)
        except KafkaException:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        else:
            assert offsets is not None
            return int(offsets[1])


@pytest.fixture
def broker(kafka: str) -> Broker:
    return Broker(kafka)
