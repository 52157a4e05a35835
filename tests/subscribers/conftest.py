"""One broker with one worker and a gateway for all that subscribes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway.test_gateway_connected import GatewayProcess
from subscribers.examples import command_of
from worker.conftest import Broker, WorkerProcess, free_port

from agents.gateway.callers import entry_of, new_key
from streams.embedded.kafka import EmbeddedKafka

__all__ = ["command_of"]


class Installation:
    """What an order system and the subscribers find: topics, a worker, a gateway."""

    def __init__(self, home: Path, bootstrap: str) -> None:
        self.broker = Broker(bootstrap)
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("HEADROOM_")}
        self.environment |= {
            "HEADROOM_KAFKA_BOOTSTRAP": bootstrap,
            "HEADROOM_REPLICATION_FACTOR": "1",
            "HEADROOM_MIN_INSYNC_REPLICAS": "1",
            "HEADROOM_STATE_DIR": str(home / "state"),
            "HEADROOM_CLOCK": "replayed",
        }
        self.key_file = home / "key"
        key, keys = new_key(), home / "keys.toml"
        self.key_file.write_text(key + "\n")
        keys.write_text(entry_of("a-shop", ("order-system",), key))
        ports = {name: str(free_port()) for name in ("WEB", "GATEWAY")}
        self.worker = WorkerProcess(
            self.environment | {"HEADROOM_WEB_PORT": ports["WEB"]}, home / "worker.log"
        )
        self.worker.start()
        self.gateway = GatewayProcess(
            self.environment
            | {
                "HEADROOM_WORKER_NAME": "gateway",
                "HEADROOM_GATEWAY_PORT": ports["GATEWAY"],
                "HEADROOM_GATEWAY_KEYS": str(keys),
            },
            home / "gateway.log",
        )
        self.worker.wait_until_ready()
        self.gateway.wait_until_ready()

    def close(self) -> None:
        self.worker.kill()
        assert self.gateway.stop() in {0, -15}


@pytest.fixture(scope="session")
def installation(
    tmp_path_factory: pytest.TempPathFactory, cache_dir: Path
) -> Iterator[Installation]:
    home = tmp_path_factory.mktemp("installation")
    with EmbeddedKafka(home / "kafka", cache=cache_dir) as kafka:
        one = Installation(home, kafka.bootstrap_servers)
        yield one
        one.close()
