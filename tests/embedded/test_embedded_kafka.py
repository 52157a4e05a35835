"""The embedded broker: a real one, found again, never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from streams.embedded.claim import Claim, holder
from streams.embedded.kafka import EmbeddedKafka, running_kafka
from streams.embedded.ports import listens
from streams.embedded.supervised import EmbeddedPartError
from streams.errors import ConfigurationError

pytestmark = pytest.mark.connected

START = """
import sys, time
from pathlib import Path
from streams.embedded.kafka import EmbeddedKafka
broker = EmbeddedKafka(Path(sys.argv[1]), cache=Path(sys.argv[2]))
print(broker.start(), flush=True)
time.sleep(300)
"""


def produce(bootstrap: str, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    producer.produce(topic, value)
    assert producer.flush(20) == 0


def read_one(bootstrap: str, topic: str) -> bytes | None:
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": topic, "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    try:
        message = consumer.poll(30)
        assert message is not None
        assert message.error() is None
        return message.value()
    finally:
        consumer.close()


def test_killed_with_9_the_starter_takes_the_broker_along_and_the_next_start_finds_all(
    tmp_path: Path, cache_dir: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", START, str(tmp_path), str(cache_dir)],
        stdout=subprocess.PIPE,
        text=True,
    ) as starter:
        assert starter.stdout is not None
        bootstrap = starter.stdout.readline().strip()
        assert running_kafka(tmp_path) == bootstrap
        admin = AdminClient({"bootstrap.servers": bootstrap})
        admin.create_topics([NewTopic("kept", 1, 1)])["kept"].result()
        produce(bootstrap, "kept", b"a record")
        starter.send_signal(signal.SIGKILL)
    # The watchdog has the directory too, until the broker it watches is gone.
    claim = Claim(tmp_path / "kafka.lock")
    assert claim.take(timeout_seconds=15)
    assert not listens(int(bootstrap.partition(":")[2]))
    claim.release()
    with EmbeddedKafka(tmp_path, cache=cache_dir) as broker:
        assert broker.bootstrap_servers == running_kafka(tmp_path) == bootstrap
        assert read_one(broker.bootstrap_servers, "kept") == b"a record"
    assert running_kafka(tmp_path) is None


def test_a_directory_in_use_is_refused_with_the_process_that_uses_it(
    tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.embedded.kafka._STOPPING_SECONDS", 0.1)
    first = EmbeddedKafka(tmp_path, cache=cache_dir)
    assert first._claim.take()
    try:
        with pytest.raises(EmbeddedPartError, match=f"in use by process {os.getpid()}"):
            EmbeddedKafka(tmp_path, cache=cache_dir).start()
    finally:
        first._claim.release()


def test_a_broker_that_dies_at_start_says_what_it_logged(tmp_path: Path, cache_dir: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "meta.properties").write_text("version=1\nnode.id=7\ncluster.id=x\n")
    with pytest.raises(EmbeddedPartError, match=r"ended with status 1[\s\S]*node.id"):
        EmbeddedKafka(tmp_path, cache=cache_dir).start()
    assert holder(tmp_path / "kafka.lock") is None


def test_a_cache_of_classes_that_does_not_fit_stops_no_start(
    tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "made.aot"
    made.write_bytes(b"of another Java")
    monkeypatch.setattr("streams.embedded.kafka.class_cache", lambda *_: [f"-XX:AOTCache={made}"])
    with EmbeddedKafka(tmp_path / "kafka", cache=cache_dir) as broker:
        assert AdminClient({"bootstrap.servers": broker.bootstrap_servers}).list_topics(timeout=10)


def test_a_java_that_is_none_is_refused_with_the_name_of_the_setting(
    tmp_path: Path, cache_dir: Path
) -> None:
    broker = EmbeddedKafka(tmp_path, cache=cache_dir, java=Path("/bin/true"))
    with pytest.raises(ConfigurationError, match="HEADROOM_JAVA"):
        broker.start()


def test_a_broker_does_not_make_topics_that_nobody_asked_for(kafka: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka})
    assert admin.list_topics("nobody-made-this", timeout=10).topics["nobody-made-this"].error
