"""`headroom order-system`, over the topics and over HTTP, with a real worker and gateway."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from subscribers.conftest import Installation

from schemas.catalogue import topic_of
from streams.log_reader import open_readers

pytestmark = [pytest.mark.connected, pytest.mark.slow]


def _play(installation: Installation, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agents.cli.main", "order-system", "--json", *arguments],
        env=installation.environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def _events(installation: Installation, type_name: str, run: str) -> list[Any]:
    """All of a type that a run's orders led to."""
    broker = installation.broker
    readers = open_readers({"bootstrap.servers": broker.bootstrap}, topic_of(type_name))
    found: list[Any] = [broker.codec.decode(one.value) for reader in readers for one in reader]
    ours = [one for one in found if type(one).__name__ == type_name]
    return [one for one in ours if one.order_id.startswith(f"{run}-")]


def _run_of(told: str) -> str:
    """What the ids of a run begin with, from what it says on stderr."""
    word = next(word for word in told.split() if word.startswith("sim-"))
    return word.rpartition("-O-")[0]


@pytest.mark.parametrize("over_http", [False, True], ids=["topics", "http"])
def test_it_ships_what_is_approved_and_what_is_released(
    installation: Installation, over_http: bool
) -> None:
    door: list[str | Path] = ["--gateway", installation.gateway.url]
    door += ["--key-file", installation.key_file]
    done = _play(
        installation,
        *("--orders", "20", "--rate", "40", "--customers", "2", "--seed", "3"),
        *("--amount", "300.00", "--limit", "1000.00", "--paid-after", "0.5", "--patience", "60"),
        *(door if over_http else []),
    )
    assert done.returncode == 0, done.stderr
    told, run = json.loads(done.stdout), _run_of(done.stderr)
    assert (told["orders"], told["unanswered"], told["given_up"]) == (20, 0, 0)
    assert told["approved"] + told["held"] == 20
    assert told["held"] == told["released"] > 0
    assert 0 < told["latency_p50_seconds"] <= told["latency_p99_seconds"] < 60
    assert done.stderr.count(", shipped\n") == 20

    decisions = _events(installation, "OrderDecision", run)
    first = {one.order_id: one.decision for one in decisions if one.decision_number == 1}
    assert len(first) == 20
    assert sum(word == "approved" for word in first.values()) == told["approved"]
    released = {one.order_id for one in decisions if one.decision == "released"}
    assert released == {name for name, word in first.items() if word == "held"}
    shipped = [one.order_id for one in _events(installation, "OrderDelivered", run)]
    assert sorted(shipped) == sorted(first)


def test_it_gives_up_what_waits_too_long(installation: Installation) -> None:
    done = _play(
        installation, "--orders", "3", "--rate", "100", "--amount", "300.00", "--limit", "1.00",
        "--patience", "1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told, run = json.loads(done.stdout), _run_of(done.stderr)
    assert (told["held"], told["given_up"], told["unanswered"]) == (3, 3, 0)
    assert done.stderr.count("held all the time") == 3
    assert len(_events(installation, "OrderCancelled", run)) == 3
    assert _events(installation, "OrderDelivered", run) == []


def test_a_key_that_the_gateway_does_not_know_is_wrong_use(
    installation: Installation, tmp_path: Path
) -> None:
    wrong = tmp_path / "key"
    wrong.write_text("hr_none")
    done = _play(installation, "--gateway", installation.gateway.url, "--key-file", wrong)
    assert (done.returncode, done.stdout) == (2, "")
    assert "answers 401" in done.stderr
