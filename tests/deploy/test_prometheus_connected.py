"""A real Prometheus scrapes real workers, and every rule has an answer."""

from __future__ import annotations

import pytest

from deploy.real_run import RealRun
from deploy.test_alerts import ALERTS

pytestmark = [pytest.mark.connected, pytest.mark.slow]


def test_every_rule_has_an_answer(real_run: RealRun) -> None:
    prometheus = real_run.prometheus
    groups = prometheus.wait_for(
        "rules",
        lambda found: all(
            rule["health"] == "ok" for group in found["groups"] for rule in group["rules"]
        ),
    )["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["name"] for rule in rules if rule["type"] == "alerting"} == ALERTS.keys()
    for recorded in (rule["name"] for rule in rules if rule["type"] == "recording"):
        prometheus.wait_for(f"query?query={recorded}", lambda found: bool(found["result"]))
    held = prometheus.wait_for(
        "query?query=max(headroom_oldest_held_order_seconds)",
        lambda found: float(found["result"][0]["value"][1]) > 0,
    )
    assert held
    firing = {one["labels"]["alertname"] for one in prometheus.ask("alerts")["alerts"]}
    assert "HeadroomWatchdog" in firing
    assert not firing & {"HeadroomWorkerDown", "HeadroomAccountsParked", "HeadroomDeadLetters"}


def test_workers_that_end_are_noticed(real_run: RealRun) -> None:
    """The last test of the run: nothing decides behind it."""
    real_run.desk.kill()
    real_run.post.kill()
    real_run.prometheus.wait_for(
        "alerts", lambda found: {"HeadroomWorkerDown", "HeadroomNoWorker"} <= {
            one["labels"]["alertname"] for one in found["alerts"]
        },
    )  # fmt: skip
