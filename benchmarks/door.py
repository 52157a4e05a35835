"""How long an order system waits for its answer over HTTP, and what becomes of too many requests.

In one run on one broker, with one worker and one gateway beside it on the same cores:

* a bare echo with the same server and framework, and the way over the topics, at the same rate;
* `POST /v1/orders/check` at that rate;
* as many as are answered when 32 clients ask without a pause, which is taken for the capacity;
* twice that many, whoever is answered: how long those waited who were not turned away, and what the
  gateway's memory does meanwhile.

The load is vegeta's, a generator of steady rates that sends when a request is due, however long the
ones before take, so that nothing is left out of the figures while the other side stands still.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple

import msgspec

from agents.worker_process import wait_until_ready, worker_process
from benchmarks.bench import Bench, BenchFailedError, bench_on_a_broker
from benchmarks.pipeline import CUSTOMERS, DECISIONS, WARM_UP_SECONDS, Latency, latency_of
from benchmarks.workload import customers, orders
from schemas.catalogue import JOURNAL, topic_of
from schemas.json_lines import to_payload
from streams.embedded.ports import LOOPBACK, free_ports
from streams.embedded.supervised import SupervisedProcess
from streams.settings import PREFIX, Settings

_CLIENTS = 32
_NO_ANSWER = 0
"""What vegeta says in the place of a status."""
_TURNED_AWAY = (429, 503)
_LOOK_SECONDS = 0.5
_MIB = 1024 * 1024
_MEMORY = "process_resident_memory_bytes"


class Overload(msgspec.Struct, frozen=True):
    """More than can be answered."""

    capacity: float
    """Orders a second that are answered when `_CLIENTS` ask without a pause."""
    per_second: int
    answered: int
    p50: float
    """Milliseconds of those who were answered with a decision, as the next."""
    p99: float
    statuses: dict[str, int]
    memory_before: float
    """MiB that the gateway has, and at most had meanwhile."""
    memory_most: float


class Report(msgspec.Struct, frozen=True):
    """One run."""

    latency: list[Latency]
    overload: Overload


def run(
    settings: Settings, *, per_second: int, seconds: int, tell: Callable[[str], None]
) -> Report:
    """Measure everything.

    Args:
        settings: of the broker; without one an embedded one is started in a directory of its own.
        per_second: requests a second for the latencies.
        seconds: length of each measurement.
        tell: says what is going on.

    Raises:
        BenchFailedError: there is no vegeta, or something did not answer.
    """
    vegeta = shutil.which("vegeta")
    if vegeta is None:
        raise BenchFailedError(
            "vegeta is not on the PATH: `go install github.com/tsenart/vegeta/v12@v12.12.0`"
        )
    with bench_on_a_broker(settings, tell) as bench:
        bench.make_topics()
        bench.produce(topic_of("CustomerUpserted"), customers(CUSTOMERS))
        with (
            worker_process(bench.settings, bench.claim, name="bench", only=["intake", "credit"])
            as worker,
            _gateway(bench) as gateway,
        ):  # fmt: skip
            bench.wait_for_group(f"{bench.settings.app_id}-credit", worker)
            load = _Load(vegeta, bench, gateway)
            with _echo(bench) as echo:
                tell(f"bare echo, {per_second} a second")
                latency = [load.latency("bare echo over HTTP", f"{echo}/echo", per_second, seconds)]
            latency.append(
                latency_of(
                    bench, "order in the journal to decision", JOURNAL, DECISIONS,
                    per_second * seconds, per_second, 4,
                )
            )  # fmt: skip
            tell(f"order checks over HTTP, {per_second} a second")
            asked = load.latency("order check over HTTP", load.check_url, per_second, seconds)
            latency.append(asked)
            overload = load.overload(seconds)
            worker.check()
    return Report(latency, overload)


class _Hit(NamedTuple):
    """A request as vegeta saw it."""

    sent_at: int
    """Nanoseconds since 1970."""
    status: int
    seconds: float


class _Load:
    """Sends requests and reads how they were answered."""

    def __init__(self, vegeta: str, bench: Bench, gateway: str) -> None:
        self._vegeta = vegeta
        self._bench = bench
        self._gateway = gateway
        self._rounds = 0
        self.check_url = f"{gateway}/v1/orders/check"

    def latency(self, name: str, url: str, per_second: int, seconds: int) -> Latency:
        """The first seconds only warm up."""
        hits = self._attack(url, per_second, seconds + int(WARM_UP_SECONDS))
        begin = min(hit.sent_at for hit in hits) + int(WARM_UP_SECONDS * 1e9)
        counted = [hit for hit in hits if hit.sent_at >= begin]
        wrong = Counter(hit.status for hit in counted if hit.status != 200)
        if wrong:
            raise BenchFailedError(f"{name}: answers with {dict(wrong)}")
        return Latency(name, per_second, len(counted), *_milliseconds(counted))

    def overload(self, seconds: int) -> Overload:
        """Twice the capacity, whatever that is."""
        tell = self._bench.tell
        tell(f"order checks by {_CLIENTS} clients without a pause")
        answered = [hit for hit in self._attack(self.check_url, 0, seconds) if hit.status == 200]
        capacity = len(answered) / seconds
        per_second = int(capacity * 2)
        tell(f"order checks over HTTP, {per_second} a second")
        before = most = self._memory()
        with self._attacking(self.check_url, per_second, seconds) as (attack, results):
            while attack.poll() is None:
                most = max(most, self._memory())
                time.sleep(_LOOK_SECONDS)
            hits = self._hits(results)
        statuses = Counter(hit.status for hit in hits)
        strange = statuses.keys() - {200, *_TURNED_AWAY}
        if strange:
            raise BenchFailedError(f"answers with {sorted(strange)} under too many requests")
        decided = [hit for hit in hits if hit.status == 200]
        p50, p99 = _milliseconds(decided)
        told = {str(status): count for status, count in sorted(statuses.items())}
        return Overload(capacity, per_second, len(decided), p50, p99, told, before, most)

    def _attack(self, url: str, per_second: int, seconds: int) -> list[_Hit]:
        with self._attacking(url, per_second, seconds) as (attack, results):
            attack.wait()
            return self._hits(results)

    @contextmanager
    def _attacking(
        self, url: str, per_second: int, seconds: int
    ) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
        """Without a rate: `_CLIENTS`, each as fast as it is answered."""
        self._rounds += 1
        targets = self._bench.directory / f"targets-{self._rounds}.jsonl"
        results = targets.with_suffix(".bin")
        count = (per_second or 5_000) * (seconds + 1)
        with targets.open("wb") as out:
            out.writelines(_targets(url, count, self._rounds))
        rate = (
            [f"-rate={per_second}/s", "-max-workers=4000"]
            if per_second
            else ["-rate=0", f"-max-workers={_CLIENTS}", f"-workers={_CLIENTS}"]
        )
        attack = subprocess.Popen(
            [
                self._vegeta, "attack", "-format=json", "-lazy", f"-targets={targets}", *rate,
                f"-duration={seconds}s", "-timeout=30s", "-connections=4000",
                f"-output={results}",
            ]
        )  # fmt: skip
        try:
            yield attack, results
        finally:
            attack.kill()
            attack.wait()

    def _hits(self, results: Path) -> list[_Hit]:
        encoded = subprocess.run(
            [self._vegeta, "encode", "-to=csv", str(results)], check=True, capture_output=True
        ).stdout.decode()
        hits = []
        for line in encoded.splitlines():
            sent_at, status, nanoseconds, *_ = line.split(",", 3)
            hits.append(_Hit(int(sent_at), int(status), int(nanoseconds) / 1e9))
        if not hits or all(hit.status == _NO_ANSWER for hit in hits):
            raise BenchFailedError("nothing was answered")
        return hits

    def _memory(self) -> float:
        """Of the gateway, in MiB, as it tells itself."""
        with urllib.request.urlopen(f"{self._gateway}/metrics", timeout=30) as answer:  # noqa: S310  ours
            told = answer.read().decode()
        found = next(line for line in told.splitlines() if line.startswith(_MEMORY))
        return float(found.split()[1]) / _MIB


def _targets(url: str, count: int, round_: int) -> Iterator[bytes]:
    headers = {"Content-Type": ["application/json"]}
    for order in orders(count, CUSTOMERS, seed=100 + round_):
        payload = to_payload(order)
        body = {
            "customer_id": payload["customer_id"],
            "order_id": f"{payload['order_id']}-{round_}",
            "amount": payload["amount"],
            "currency": payload["currency"],
        }
        encoded = base64.b64encode(msgspec.json.encode(body)).decode()
        target = {"method": "POST", "url": url, "body": encoded, "header": headers}
        yield msgspec.json.encode(target) + b"\n"


def _milliseconds(hits: list[_Hit]) -> tuple[float, float]:
    """The median, and what 99 of 100 stay below."""
    parts = quantiles([hit.seconds for hit in hits], n=100, method="inclusive")
    return parts[49] * 1000, parts[98] * 1000


# ── what is asked ───────────────────────────────────────────────────────────────────────────────


@contextmanager
def _gateway(bench: Bench) -> Iterator[str]:
    settings = bench.settings
    (port,) = free_ports(1, [])
    own = {
        "KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "PARTITIONS": settings.partitions,
        "STATE_DIR": settings.state_dir,
        "GATEWAY_PORT": port,
        "GATEWAY_HOST": LOOPBACK,
        "WORKER_NAME": "bench",
    }
    environment = os.environ | {PREFIX + name: str(value) for name, value in own.items()}
    environment.pop(f"{PREFIX}GATEWAY_KEYS", None)
    command = [sys.executable, "-m", "agents.cli.main", "gateway"]
    with _serving(bench, "The gateway", "gateway.log", command, environment, port):
        yield f"http://{LOOPBACK}:{port}"


@contextmanager
def _echo(bench: Bench) -> Iterator[str]:
    (port,) = free_ports(1, [])
    command = [sys.executable, "-m", "benchmarks.echo", str(port)]
    with _serving(bench, "The echo", "echo.log", command, dict(os.environ), port):
        yield f"http://{LOOPBACK}:{port}"


@contextmanager
def _serving(
    bench: Bench, name: str, log: str, command: list[str], environment: dict[str, str], port: int
) -> Iterator[None]:
    process = SupervisedProcess(
        name, command, log=bench.directory / log, claim=bench.claim, environment=environment
    )
    try:
        wait_until_ready(process, port, name)
        yield
    finally:
        process.stop()
