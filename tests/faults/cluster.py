"""Three real brokers on this machine, each a controller as well, that can be killed one by one.

Each has a second door behind a proxy, so that who comes by `far_servers` can be cut off from all.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Self

from confluent_kafka.admin import AdminClient
from worker.proxy import Proxy, second_door

from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.ports import LOOPBACK, free_ports

_PROPERTIES = """
node.id={node}
controller.quorum.voters={voters}
broker.rack=r{node}
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
broker.session.timeout.ms=6000
replica.lag.time.max.ms=5000
initial.broker.registration.timeout.ms=300000
"""
"""Of a property that is set twice the last counts. A broker that is gone is given up after 6 s; one
that comes may take its time on a busy machine.
"""


class Node(EmbeddedKafka):
    """One of the brokers."""

    def __init__(self, directory: Path, *, cache: Path, node: int, voters: str, ports: str) -> None:
        super().__init__(directory, cache=cache)
        self.node = node
        self._door, far = free_ports(2, [])
        self.proxy = Proxy(far, self._door)
        self._voters = voters
        directory.mkdir(parents=True, exist_ok=True)
        # Where a broker looks for the ports of its last start.
        (directory / "server.properties").write_text(ports, encoding="ascii")

    def _configure(self, broker: int, controller: int) -> None:
        super()._configure(broker, controller)
        with (self.directory / "server.properties").open("a", encoding="utf-8") as properties:
            properties.write(second_door(broker, controller, self._door, self.proxy.port))
            properties.write(_PROPERTIES.format(node=self.node, voters=self._voters))

    def _cluster_id(self) -> str:
        return "SGVhZHJvb21DbHVzdGVyMQ"

    def kill(self) -> None:
        """As when its machine goes away."""
        process = java_of(self)
        if process is not None:
            os.kill(process, signal.SIGKILL)
        self.stop()


class Cluster:
    """All three, started together; topics have three replicas, two of which must have a record."""

    replicas = 3

    def __init__(self, directory: Path, *, cache: Path) -> None:
        brokers, controllers = free_ports(3, []), free_ports(3, [])
        voters = ",".join(f"{n + 1}@{LOOPBACK}:{port}" for n, port in enumerate(controllers))
        self.nodes = [
            Node(
                directory / f"node{n + 1}",
                cache=cache,
                node=n + 1,
                voters=voters,
                ports=f"BROKER://{LOOPBACK}:{brokers[n]} CONTROLLER://{LOOPBACK}:{controllers[n]}",
            )
            for n in range(3)
        ]
        self.bootstrap_servers = ",".join(f"{LOOPBACK}:{port}" for port in brokers)
        self.far_servers = ",".join(f"{LOOPBACK}:{node.proxy.port}" for node in self.nodes)

    def start(self) -> None:
        for node in self.nodes:
            node.proxy.start()
        self.start_nodes(*self.nodes)

    def cut(self) -> None:
        """Nothing passes the second doors any more."""
        for node in self.nodes:
            node.proxy.cut()

    def heal(self) -> None:
        for node in self.nodes:
            node.proxy.heal()

    def start_nodes(self, *nodes: Node) -> None:
        """Start some at the same time: a quorum needs two before the first answers."""
        errors: list[BaseException] = []

        def start(node: Node) -> None:
            try:
                node.start()
            except BaseException as error:  # noqa: BLE001  raised again below
                errors.append(error)

        threads = [threading.Thread(target=start, args=(node,)) for node in nodes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    def stop(self) -> None:
        """At once: nobody needs what they hold any more."""
        for node in self.nodes:
            node.kill()
            node.proxy.stop()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def leaders(self, topic: str) -> dict[int, int]:
        """The node that leads each partition of a topic."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers})
        partitions = admin.list_topics(topic, timeout=10).topics[topic].partitions
        return {number: partition.leader for number, partition in partitions.items()}

    def wait_until_in_sync(self, topic: str, replicas: int = 3) -> None:
        """Until each partition of a topic has so many replicas that have all of it."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers})
        deadline = time.monotonic() + 60
        while True:
            partitions = admin.list_topics(topic, timeout=10).topics[topic].partitions.values()
            if all(len(partition.isrs) >= replicas for partition in partitions):
                return
            assert time.monotonic() < deadline, f"{topic} is not in sync"
            time.sleep(0.2)


def java_of(kafka: EmbeddedKafka) -> int | None:
    """A broker's process, None when it does not run."""
    properties = str(kafka.directory / "server.properties").encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue  # it has just ended
            if arguments[0].endswith(b"java") and properties in arguments:
                return int(entry.name)
    return None
