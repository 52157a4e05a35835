"""A real Prometheus scrapes a real worker, and every rule has an answer."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy.test_alerts import ALERTS
from notify.firm import Firm, working_day

from schemas.events import OrderPlaced
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.ports import LOOPBACK, free_ports

pytestmark = [pytest.mark.connected, pytest.mark.slow]

_RULES = Path(__file__).parents[2] / "deploy" / "prometheus"


class Prometheus:
    """Debian's, on a port of its own, scraping every second."""

    def __init__(self, tools: Path, directory: Path, workers: list[int]) -> None:
        (port,) = free_ports(1, [])
        self._url = f"http://{LOOPBACK}:{port}"
        directory.mkdir()
        example = yaml.safe_load((_RULES / "prometheus.yml").read_text())
        example["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        example["rule_files"] = [str(_RULES / name) for name in example["rule_files"]]
        del example["alerting"]
        example["scrape_configs"] = [
            {
                "job_name": "headroom",
                "static_configs": [{"targets": [f"{LOOPBACK}:{one}" for one in workers]}],
            }
        ]
        (directory / "prometheus.yml").write_text(yaml.safe_dump(example))
        self._log = (directory / "log").open("ab")
        self._process = subprocess.Popen(
            [
                str(tools / "prometheus"),
                f"--config.file={directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address={LOOPBACK}:{port}",
            ],
            stdout=self._log,
            stderr=self._log,
        )

    def ask(self, path: str) -> Any:
        try:
            with urllib.request.urlopen(f"{self._url}/api/v1/{path}", timeout=5) as answer:  # noqa: S310
                return json.load(answer)["data"]
        except OSError:
            return None

    def wait_for(self, path: str, is_so: Callable[[Any], bool]) -> Any:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = self.ask(path)
            if found is not None and is_so(found):
                return found
            time.sleep(0.2)
        raise AssertionError(f"{path}: {json.dumps(found)[:2000]}")

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._log.close()


@pytest.fixture
def firm(tmp_path: Path, cache_dir: Path) -> Iterator[Firm]:
    procedure = '[[steps]]\ndays = 1\nchannels = ["email"]\ntemplate = "friendly_reminder"\n'
    with EmbeddedKafka(tmp_path / "kafka", cache=cache_dir) as kafka:
        one = Firm(tmp_path, kafka.bootstrap_servers, f'kind = "b2b"\n{procedure}', 3)
        yield one
        one.close()


def test_every_rule_has_an_answer_and_a_worker_that_ends_is_noticed(
    firm: Firm, tmp_path: Path, prometheus_tools: Path
) -> None:
    today = working_day()
    firm.desk.start(only="intake,credit,sink,notify")
    firm.desk.wait_until_ready()
    web_port = int(firm.environment["HEADROOM_WEB_PORT"])
    prometheus = Prometheus(prometheus_tools, tmp_path / "prometheus", [web_port])
    try:
        firm.owe(today)
        firm.begin(today)
        prometheus.wait_for("query?query=up", lambda found: bool(found["result"]))
        for number in range(200):
            firm.broker.send(
                OrderPlaced(
                    event_id=f"o-{number}",
                    occurred_at=today * 86_400_000_000 + number,
                    customer_id=f"C-{number % 3}",
                    order_id=f"O-{number}",
                    amount=10_00 if number % 2 else 2_000_00,
                    currency="EUR",
                )
            )
            if number % 20 == 0:
                firm.broker.flush()
                time.sleep(0.3)
        firm.broker.flush()
        # Those of the days are looked at every five minutes only; promtool tries them.
        groups = prometheus.wait_for(
            "rules",
            lambda found: all(
                rule["health"] == "ok"
                for group in found["groups"]
                for rule in group["rules"]
                if group["interval"] <= 60
            ),
        )["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert {rule["name"] for rule in rules if rule["type"] == "alerting"} == ALERTS.keys()
        for recorded in ("headroom:decisions:rate5m", "headroom:decision_latency_seconds:p99_5m"):
            prometheus.wait_for(f"query?query={recorded}", lambda found: bool(found["result"]))
        held = prometheus.wait_for(
            "query?query=headroom_oldest_held_order_seconds",
            lambda found: float(found["result"][0]["value"][1]) > 0,
        )
        assert held
        firing = {one["labels"]["alertname"] for one in prometheus.ask("alerts")["alerts"]}
        assert "HeadroomWatchdog" in firing
        assert not firing & {"HeadroomWorkerDown", "HeadroomAccountsParked", "HeadroomDeadLetters"}
        firm.desk.kill()
        prometheus.wait_for(
            "alerts", lambda found: {"HeadroomWorkerDown", "HeadroomNoWorker"} <= {
                one["labels"]["alertname"] for one in found["alerts"]
            },
        )  # fmt: skip
    finally:
        prometheus.close()
