"""A firm as it runs: a broker that tells of its JVM, workers with months behind them and orders
coming in, ClickHouse filled by them, and Prometheus that looks at all of it.
"""

from __future__ import annotations

import math
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from notify.firm import Firm, working_day
from worker.conftest import WorkerProcess, free_port

from agents.catch_up import wait_for_group
from agents.intake.rules import account_of
from agents.sink.plan import SOURCES
from deploy.prometheus_server import Prometheus
from deploy.recent_months import PROCEDURE, RecentMonths
from schemas import events as ev
from schemas.catalogue import JOURNAL, topic_of
from schemas.dates import MICROSECONDS_PER_DAY
from schemas.events import Event
from streams.embedded.clickhouse import find_endpoint
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.ports import LOOPBACK

_JMX_RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "kafka.jmx.yml"
_APP = "headroom"
_WAVE_SECONDS = 0.3
_ORDERS_PER_WAVE = 12
_WAVES_KEPT = 6
_BUYERS = 7
_UNREADABLE = (1, 12)


class RealRun:
    """It runs from when it is made until it is closed.

    Args:
        directory: for all that is written.
        cache: of downloads.
        tools: where Prometheus is.
        authority: a file with a certificate, whose end is watched.

    Attributes:
        began: seconds since 1970, when Prometheus was started.
        desk: the worker that takes in, decides and fills ClickHouse.
        post: the one that lets letters leave.
    """

    def __init__(self, directory: Path, cache: Path, tools: Path, authority: Path) -> None:
        self._parts = ExitStack()
        try:
            self._start(directory, cache, tools, authority)
        except BaseException:
            self.close()
            raise

    def _start(self, directory: Path, cache: Path, tools: Path, authority: Path) -> None:
        self.today = working_day()
        kafka = self._parts.enter_context(
            EmbeddedKafka(directory / "kafka", cache=cache, jmx_rules=_JMX_RULES)
        )
        self._firm = Firm(
            directory,
            kafka.bootstrap_servers,
            PROCEDURE,
            0,
            HEADROOM_APP_ID=_APP,
            HEADROOM_KAFKA_SSL_CA_LOCATION=str(authority),
        )
        self._parts.callback(self._firm.close)
        self.desk, self.post = self._firm.desk, self._firm.post()
        self._comparing, self._directory = free_port(), directory
        self.desk.start(only="intake,credit,sink")
        months = RecentMonths(self.today, directory / "procedures")
        self._write(months)
        self.desk.wait_until_ready()
        self._wait_for("credit", [JOURNAL])
        # From here on, so that months that went through in seconds are no part of what it measures.
        self.began = time.time()
        self.prometheus = Prometheus(
            tools,
            directory / "prometheus",
            {
                "headroom": [_web_port(self.desk), _web_port(self.post)],
                "headroom-reconcile": [self._comparing],
                "kafka": [kafka.metrics_port or 0],
            },
        )
        self._parts.callback(self.prometheus.close)
        self.post.start(only="notify")
        self._compare()
        self._wait_for("sink", SOURCES)
        self._wait_until_above_0("headroom_reconcile_timestamp_seconds")
        self._firm.begin(self.today)
        self.clickhouse = self._open_clickhouse(directory)
        self._parts.callback(self.clickhouse.close)

    def _write(self, months: RecentMonths) -> None:
        """What intake would have written in these months."""
        broker = self._firm.broker
        for event in months.inputs:
            account, value = account_of(event), broker.codec.encode(event)
            if account is not None:
                broker.send_raw(JOURNAL, value, account)
                continue
            for partition in range(broker.partitions):
                broker.send_raw(JOURNAL, value, partition=partition)
        broker.flush()

    def _wait_for(self, agent: str, topics: Sequence[str]) -> None:
        config = {"bootstrap.servers": self._firm.broker.bootstrap}
        wait_for_group(
            config, f"{_APP}-{agent}", topics, self._firm.broker.partitions, give_up=self._check
        )

    def _check(self) -> None:
        assert self.desk.exit_code is None, self.desk.log

    def _open_clickhouse(self, directory: Path) -> Client:
        """By the endpoint of the worker, which holds the engine."""
        port = find_endpoint(directory / "embedded" / "clickhouse")
        assert port is not None
        return clickhouse_connect.get_client(
            host=LOOPBACK, port=port, autogenerate_session_id=False, compress=False
        )

    def take_orders(self, seconds: float) -> None:
        """Orders come in for so long, in dollars, by customers of their own, and are cancelled some
        waves later. Each wave has one that is too large, and two have a record that is unreadable.
        """
        broker = self._firm.broker
        for number in range(_BUYERS):
            broker.send(
                ev.CustomerUpserted(
                    event_id=f"buyer-{number}",
                    occurred_at=self._now(0),
                    customer_id=f"B-{number}",
                    currency="USD",
                    credit_limit=500_00,
                    kind="b2b",
                )
            )
        broker.flush()
        time.sleep(1)  # another topic: nothing else orders the customers before their orders
        end, wave = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            wave += 1
            if wave in _UNREADABLE:
                broker.send_raw(topic_of("OrderPlaced"), b"no event")
            busy = 1 + math.sin(wave / 25) / 2
            for number in range(int(_ORDERS_PER_WAVE * busy)):
                broker.send(self._order(wave, number))
                if wave > _WAVES_KEPT:
                    broker.send(self._cancellation(wave - _WAVES_KEPT, number))
            broker.flush()
            time.sleep(_WAVE_SECONDS)

    def _order(self, wave: int, number: int) -> Event:
        return ev.OrderPlaced(
            event_id=f"order-{wave}-{number}",
            occurred_at=self._now(wave),
            customer_id=f"B-{(wave + number) % _BUYERS}",
            order_id=f"L-{wave}-{number}",
            amount=400_00 if number == 0 else 5_00,
            currency="USD",
        )

    def _cancellation(self, wave: int, number: int) -> Event:
        return ev.OrderCancelled(
            event_id=f"cancelled-{wave}-{number}",
            occurred_at=self._now(wave) + 1,
            customer_id=f"B-{(wave + number) % _BUYERS}",
            order_id=f"L-{wave}-{number}",
        )

    def _now(self, wave: int) -> int:
        return self.today * MICROSECONDS_PER_DAY + wave * 1000

    def wait_until_looked_at(self) -> None:
        """Until everything is in ClickHouse, letters have left, and Prometheus knows of them."""
        self._wait_for("sink", SOURCES)
        self._wait_until_above_0("headroom_letters_total")

    def _wait_until_above_0(self, metric: str) -> None:
        asked = urllib.parse.quote(f"{metric} > 0")
        self.prometheus.wait_for(f"query?query={asked}", lambda found: bool(found["result"]))

    def _compare(self) -> None:
        """Have the figures compared with the journal, and the outcome served. Not while events come
        in: rows that are written meanwhile are told as differences.
        """
        with (self._directory / "comparison.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "agents.cli.main", "reconcile", "--every", "3600"],
                env=self._firm.environment | {"HEADROOM_WEB_PORT": str(self._comparing)},
                stdout=log,
                stderr=log,
            )
        self._parts.callback(process.wait)
        self._parts.callback(process.terminate)

    def close(self) -> None:
        self._parts.close()


def _web_port(worker: WorkerProcess) -> int:
    return int(worker._environment["HEADROOM_WEB_PORT"])
