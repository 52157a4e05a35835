"""Alerts: each is tried, has a page that says what to do, and asks for metrics that there are."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from agents.cli.main import app
from streams.metrics import Metrics

_ROOT = Path(__file__).parents[2]
_PROMETHEUS = _ROOT / "deploy" / "prometheus"
_RUNBOOKS = _ROOT / "docs" / "runbooks"
_FROM_OTHERS = {
    "up",
    "alertmanager_notifications_failed_total",
    "prometheus_notifications_dropped_total",
    "ClickHouseProfileEvents_RefreshableViewRefreshFailed",
}
_TRIED = ("headroom.test.yml", "headroom.days.test.yml")
_TEXTS_OF_PROMQL = re.compile(r'"[^"]*"')
_WORDS_OF_PROMQL = re.compile(r"[a-z_:][a-z0-9_:]*", re.IGNORECASE)


def _groups(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((_PROMETHEUS / name).read_text())["groups"]
    return found


ALERTS = {
    rule["alert"]: rule for group in _groups("headroom.alerts.yml") for rule in group["rules"]
}
RECORDED = {
    rule["record"] for group in _groups("headroom.recording.yml") for rule in group["rules"]
}


def _promtool(tool: str, *arguments: str, cwd: Path = _PROMETHEUS) -> str:
    done = subprocess.run(
        [tool, *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_rules_and_configurations_are_what_prometheus_takes(prometheus_tools: Path) -> None:
    promtool, amtool = str(prometheus_tools / "promtool"), str(prometheus_tools / "amtool")
    _promtool(promtool, "check", "rules", "headroom.recording.yml", "headroom.alerts.yml")
    _promtool(promtool, "check", "config", "prometheus.yml")
    _promtool(amtool, "check-config", "../alertmanager/alertmanager.yml")


@pytest.mark.slow
def test_alerts_fire_when_they_should_and_end(prometheus_tools: Path) -> None:
    promtool = str(prometheus_tools / "promtool")
    assert _promtool(promtool, "test", "rules", *_TRIED).count("SUCCESS") == len(_TRIED)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("alert", "severity", "receiver"),
    [
        ("HeadroomNoDecisions", "critical", "pager"),
        ("HeadroomSinkBehind", "warning", "desk"),
        ("HeadroomWatchdog", "none", "watchdog"),
    ],
)
def test_who_hears_of_it(prometheus_tools: Path, alert: str, severity: str, receiver: str) -> None:
    shown = _promtool(
        str(prometheus_tools / "amtool"), "config", "routes", "test",
        "--config.file=alertmanager.yml", f"alertname={alert}", f"severity={severity}",
        cwd=_ROOT / "deploy" / "alertmanager",
    )  # fmt: skip
    assert shown.strip() == receiver


def test_every_alert_is_tried_before_it_fires_while_it_does_and_when_it_is_over() -> None:
    fires: dict[str, list[bool]] = defaultdict(list)
    for test in (
        test
        for name in _TRIED
        for test in yaml.safe_load((_PROMETHEUS / name).read_text())["tests"]
    ):
        for one in test["alert_rule_test"]:
            fires[one["alertname"]].append(bool(one["exp_alerts"]))
    assert fires.keys() == ALERTS.keys()
    assert fires.pop("HeadroomWatchdog") == [True]
    for alert, course in fires.items():
        first = course.index(True)
        assert False in course[:first], f"{alert} is not tried before it fires"
        assert False in course[first:], f"{alert} is not tried when it is over"


@pytest.mark.parametrize("alert", list(ALERTS))
def test_an_alert_says_how_bad_it_is_and_where_to_read_on(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in ("critical", "warning", "none")
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{alert}.md"


def test_there_is_a_page_for_every_alert_and_no_other() -> None:
    assert {path.stem for path in _RUNBOOKS.glob("*.md")} == ALERTS.keys()


@pytest.mark.parametrize("path", sorted(_RUNBOOKS.glob("*.md")), ids=lambda path: path.stem)
def test_a_page_says_what_it_means_what_to_look_at_what_to_do_and_when_it_is_over(
    path: Path,
) -> None:
    text = path.read_text()
    for part in (f"# {path.stem}", "**What it means.**", "**Look.**", "**Do.**", "**It is over"):
        assert part in text
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (path.parent / link).exists(), link
    for command in re.findall(r"^    (headroom [^#\n]+)", text, re.MULTILINE):
        _check_command(command)
    for command in re.findall(r"`(headroom [a-z][^`]*)`", text):
        _check_command(command)


def _check_command(text: str) -> None:
    """The verb, and every option that the page gives it, are there."""
    words = shlex.split(text)[1:]
    command: Any = typer.main.get_command(app)
    while words and hasattr(command, "resolve_command"):
        _, command, words = command.resolve_command(typer.Context(command), words)
    options = {name for parameter in command.params for name in parameter.opts}
    for word in words:
        if word.startswith("--"):
            assert word in options, text


def test_rules_ask_for_metrics_that_there_are() -> None:
    there = {metric.name for metric in Metrics().registry.collect()} | _FROM_OTHERS | RECORDED
    for name in ("headroom.recording.yml", "headroom.alerts.yml"):
        for rule in (rule for group in _groups(name) for rule in group["rules"]):
            for word in _WORDS_OF_PROMQL.findall(_TEXTS_OF_PROMQL.sub("", str(rule["expr"]))):
                if word.startswith(("headroom", "up", "alertmanager", "prometheus", "ClickHouse")):
                    base = re.sub(r"_(total|bucket|count|sum)$", "", word)
                    assert {word, base} & there, f"{rule.get('alert', rule.get('record'))}: {word}"
