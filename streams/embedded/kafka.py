"""A real Kafka broker on this machine: one node, loopback only, its data under one directory.

The first start formats the directory; later starts find it as it was, on the same ports if these
are still free. The broker ends when `stop` is called or when the process that started it is gone,
be it killed with -9. Other processes find it by `running_kafka`.
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streams.embedded.claim import Claim, holder
from streams.embedded.class_cache import class_cache
from streams.embedded.java import OPTIONS, find_java
from streams.embedded.maven import fetch
from streams.embedded.ports import LOOPBACK, free_ports, listens
from streams.embedded.supervised import EmbeddedPartError, SupervisedProcess

JAVA_AT_LEAST = 17
_START_SECONDS = 90.0
"""A start takes 3 to 5 s on two idle cores; on a busy machine it may take many times that."""
_STOPPING_SECONDS = 15.0
"""How long to wait for a broker whose owner has just been killed: its grace and some more."""
_PORT_ATTEMPTS = 3
_LARGEST_RECORD_BYTES = 16 << 20

# Partitions of the internal topics are made when they are first used and each costs files and time;
# defaults (50) are meant for many groups. Records far above the default of 1 MB are let in, so that
# refusing a large one is the business of the rules, where it is counted and explained.
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
listeners=BROKER://{host}:{broker},CONTROLLER://{host}:{controller}
advertised.listeners=BROKER://{host}:{broker}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
log.dirs={logs}
auto.create.topics.enable=false
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
message.max.bytes={largest}
num.network.threads=2
num.io.threads=4
background.threads=2
num.recovery.threads.per.data.dir=2
log.cleaner.dedupe.buffer.size=16777216
"""


class EmbeddedKafka:
    """One broker in `directory`, with its files from `cache` and `java` as in `find_java`.

    With `jmx_rules`, a file of JMX exporter, it also tells Prometheus of itself and of its JVM, on
    `metrics_port`. Without `java_options` our own Java starts it from a cache of its classes, which
    the first start of all makes.
    """

    def __init__(
        self,
        directory: Path,
        *,
        cache: Path,
        java: Path | None = None,
        jmx_rules: Path | None = None,
        java_options: Sequence[str] | None = None,
    ) -> None:
        self.directory = directory.absolute()
        self.bootstrap_servers = ""
        self.metrics_port: int | None = None
        self._cache = cache.absolute()
        self._java = java
        self._jmx_rules = jmx_rules
        self._java_options = java_options
        self._claim = Claim(self.directory / "kafka.lock")
        self._process: SupervisedProcess | None = None

    @property
    def log(self) -> Path:
        return self.directory / "broker.log"

    def start(self) -> str:
        """Start and wait until the broker answers; returns `host:port`.

        Raises:
            EmbeddedPartError: the directory is in use, or the broker does not come up.
            DownloadError: its files are not there and cannot be had.
            ConfigurationError: the Java that was chosen will not do.
        """
        java = find_java(self._java, JAVA_AT_LEAST)
        jars = fetch("kafka", self._cache)
        if not self._claim.take(_STOPPING_SECONDS):
            raise EmbeddedPartError(
                f"{self.directory} is in use by process {holder(self._claim.path)}"
            )
        try:
            class_path = os.pathsep.join(str(jar) for jar in jars)
            self._start([str(java), *OPTIONS, *self._more_options(java, class_path)], class_path)
        except BaseException:
            self.stop()
            raise
        return self.bootstrap_servers

    def stop(self) -> None:
        """Stop the broker and wait until it is gone. Safe to call twice."""
        if self._process is not None:
            self._process.stop()
            self._process = None
        self._claim.release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def check(self) -> None:
        """Raises EmbeddedPartError when the broker has died."""
        if self._process is not None:
            self._process.check()

    def _more_options(self, java: Path, class_path: str) -> Sequence[str]:
        if self._java_options is not None:
            return self._java_options
        if self._java is not None or self._jmx_rules is not None:  # an agent has its own classes
            return ()
        return class_cache(java, class_path, self._cache, self._run_once)

    def _run_once(self, java_options: list[str]) -> None:
        with tempfile.TemporaryDirectory(prefix="headroom-") as directory:
            broker = EmbeddedKafka(Path(directory), cache=self._cache, java_options=java_options)
            with broker:
                pass

    def _start(self, java: list[str], class_path: str) -> None:
        wanted = _ports_of_last_start(self.directory)
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            broker, controller = free_ports(2, wanted)
            self._configure(broker, controller)
            self._format(java, class_path)
            self._process = SupervisedProcess(
                "The embedded Kafka broker",
                _command(java, self._agent(), class_path, _properties(self.directory)),
                log=self.log,
                claim=self._claim,
                environment=os.environ,
            )
            try:
                self._wait_until_ready(broker)
            except EmbeddedPartError as error:
                # Somebody took a port between our look and the broker's bind.
                if "Address already in use" not in str(error) or attempt == _PORT_ATTEMPTS:
                    raise
                wanted = []
            else:
                self.bootstrap_servers = f"{LOOPBACK}:{broker}"
                (self.directory / "bootstrap").write_text(self.bootstrap_servers, encoding="ascii")
                return

    def _agent(self) -> list[str]:
        """The option that loads JMX exporter into the broker's JVM, if it is wanted."""
        if self._jmx_rules is None:
            return []
        (exporter,) = fetch("jmx", self._cache)
        (self.metrics_port,) = free_ports(1)
        return [f"-javaagent:{exporter}={LOOPBACK}:{self.metrics_port}:{self._jmx_rules}"]

    def _configure(self, broker: int, controller: int) -> None:
        logs = self.directory / "data"
        logs.mkdir(parents=True, exist_ok=True)
        (self.directory / "bootstrap").unlink(missing_ok=True)
        _properties(self.directory).write_text(
            _PROPERTIES.format(
                host=LOOPBACK,
                broker=broker,
                controller=controller,
                logs=logs,
                largest=_LARGEST_RECORD_BYTES,
            ),
            encoding="utf-8",
        )

    def _format(self, java: list[str], class_path: str) -> None:
        if (self.directory / "data" / "meta.properties").exists():
            return
        command = [*java, "-cp", class_path]
        tool = ["kafka.tools.StorageTool", "format", "--ignore-formatted"]
        properties = str(_properties(self.directory))
        arguments = ["--cluster-id", self._cluster_id(), "--config", properties]
        done = subprocess.run(
            [*command, *tool, *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise EmbeddedPartError(
                f"The broker's directory {self.directory} cannot be formatted:\n"
                f"{done.stdout[-2000:]}{done.stderr[-2000:]}"
            )

    def _cluster_id(self) -> str:
        """Sixteen bytes as Kafka writes them; the first is fixed: a leading `-` is an option."""
        return base64.urlsafe_b64encode(b"H" + uuid.uuid4().bytes[1:]).decode().rstrip("=")

    def _wait_until_ready(self, port: int) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            self.check()
            # The bare connection first: librdkafka backs off after a refused one, which costs time.
            if listens(port) and _answers(port):
                return
            time.sleep(0.05)
        tail = self._process.log_tail() if self._process else ""
        raise EmbeddedPartError(f"The broker does not answer after {_START_SECONDS:.0f} s:\n{tail}")


def running_kafka(directory: Path) -> str | None:
    """`host:port` of the broker that runs in `directory`, None when none does."""
    if holder(directory / "kafka.lock") is None:
        return None
    try:
        return (directory / "bootstrap").read_text(encoding="ascii")
    except FileNotFoundError:
        return None  # it is just starting


def _answers(port: int) -> bool:
    # The clients' own log lines about a broker that is not ready yet would alarm for nothing.
    admin = AdminClient({"bootstrap.servers": f"{LOOPBACK}:{port}", "log_level": 0})
    try:
        return len(admin.list_topics(timeout=2).brokers) > 0
    except KafkaException:
        return False


def _command(java: list[str], agent: list[str], class_path: str, properties: Path) -> list[str]:
    logger = "-Dorg.slf4j.simpleLogger"
    logging = (f"{logger}.defaultLogLevel=warn", f"{logger}.showDateTime=true")
    broker = ["-cp", class_path, "kafka.Kafka", str(properties)]
    return [*java, *logging, *agent, *broker]


def _properties(directory: Path) -> Path:
    return directory / "server.properties"


def _ports_of_last_start(directory: Path) -> list[int]:
    """Broker and controller; kept where free, so that an address once noted down stays good."""
    try:
        text = _properties(directory).read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [int(port) for port in re.findall(r"(?:BROKER|CONTROLLER)://[^:,]+:(\d+)", text)[:2]]
