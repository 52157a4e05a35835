"""`import`, `replay`, `check` and `tail` with a real broker and a worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from worker.conftest import WorkerProcess, free_port

from streams.embedded.kafka import EmbeddedKafka

pytestmark = [pytest.mark.connected, pytest.mark.slow]

_SECONDS = 60
_LINES = """\
{"type": "CustomerUpserted", "event_id": "e-1", "occurred_at": "2026-03-02T09:00:00Z", \
"customer_id": "C-1", "currency": "EUR", "credit_limit": "1000.00"}
{"type": "OrderPlaced", "event_id": "e-2", "occurred_at": "2026-03-02T09:30:00Z", \
"customer_id": "C-1", "order_id": "O-1", "amount": "-5.00", "currency": "EUR"}
no json
{"type": "BusinessDayStarted", "event_id": "e-3", "occurred_at": "2026-03-03T00:00:00Z", \
"date": "2026-03-03"}
{"type": "InvoiceIssued", "event_id": "e-4", "occurred_at": "2026-03-03T09:30:00Z", \
"customer_id": "C-1", "invoice_id": "I-1", "amount": "300.00", "currency": "EUR", \
"issued_on": "2026-03-03", "due_on": "2142-04-02"}
"""

_HISTORY = """\
{"type": "OrderCancelled", "event_id": "r-5", "occurred_at": "2026-02-04T09:00:00Z", \
"customer_id": "R-1", "order_id": "O-1"}
{"type": "CustomerUpserted", "event_id": "r-1", "occurred_at": "2026-02-01T09:00:00Z", \
"customer_id": "R-1", "currency": "EUR", "credit_limit": "1000.00"}
{"type": "BusinessDayStarted", "event_id": "r-2", "occurred_at": "2026-02-01T00:00:00Z", \
"date": "2026-02-01"}
{"type": "OrderPlaced", "event_id": "r-4", "occurred_at": "2026-02-02T09:30:00Z", \
"customer_id": "R-1", "order_id": "O-2", "amount": "300.00", "currency": "EUR"}
{"type": "OrderPlaced", "event_id": "r-3", "occurred_at": "2026-02-01T09:30:00Z", \
"customer_id": "R-1", "order_id": "O-1", "amount": "800.00", "currency": "EUR"}
"""


class Desk:
    """An installation of its own, and the command beside it."""

    def __init__(self, environment: dict[str, str], worker: WorkerProcess) -> None:
        self._environment = environment
        self.worker = worker

    def headroom(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "agents.cli.main", *arguments],
            input=text,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )

    def tail(self, *arguments: str) -> list[dict[str, Any]]:
        """All that there is."""
        done = self.headroom("tail", *arguments, "--since", "beginning", "--to-the-end")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Iterator[Desk]:
    tmp_path = tmp_path_factory.mktemp("desk")
    with EmbeddedKafka(tmp_path / "kafka", cache=cache_dir) as kafka:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("HEADROOM_")}
        environment |= {
            "HEADROOM_KAFKA_BOOTSTRAP": kafka.bootstrap_servers,
            "HEADROOM_REPLICATION_FACTOR": "1",
            "HEADROOM_MIN_INSYNC_REPLICAS": "1",
            "HEADROOM_STATE_DIR": str(tmp_path / "state"),
            "HEADROOM_WEB_PORT": str(free_port()),
            "HEADROOM_CLOCK": "replayed",
        }
        worker = WorkerProcess(environment, tmp_path / "worker.log")
        worker.start()
        worker.wait_until_ready()
        yield Desk(environment, worker)
        worker.kill()


def test_a_history_is_sent_in_the_order_in_which_it_happened(desk: Desk) -> None:
    played = desk.headroom("replay", "-", text=_HISTORY)
    assert played.returncode == 0, played.stderr
    assert played.stderr == "4 events of 3 days are in the journal\n"
    days = desk.tail("credit.journal.v1", "--type", "BusinessDayStarted")
    assert sorted({one["date"] for one in days}) == [f"2026-02-0{n}" for n in range(1, 5)]
    deadline = time.monotonic() + _SECONDS
    while len(decided := desk.tail("credit.order-decisions.v1", "--where", "customer_id=R-1")) < 4:
        assert time.monotonic() < deadline
    assert [(one["order_id"], one["decision"], one["occurred_at"][:10]) for one in decided] == [
        ("O-1", "approved", "2026-02-01"),
        ("O-2", "held", "2026-02-02"),
        ("O-1", "cancelled", "2026-02-04"),
        ("O-2", "released", "2026-02-04"),
    ]


def test_from_a_file_of_events_to_decisions_on_the_terminal(desk: Desk) -> None:
    brought = desk.headroom("import", "-", text=_LINES)
    assert brought.returncode == 1
    refused = [line for line in brought.stderr.splitlines() if line.startswith("refused: ")]
    assert [
        ("amount" in line, "line 3" in line, "BusinessDayStarted" in line) for line in refused
    ] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]
    assert "2 events sent" in brought.stderr

    # One account, one journal partition: the order is decided behind the invoice if that is there.
    first = desk.headroom("check", "C-1", "600.00", "EUR", "--order", "O-7", "--json")
    assert first.returncode == 0, first.stderr
    decision = json.loads(first.stdout)
    assert (decision["order_id"], decision["decision"]) == ("O-7", "approved")

    second = desk.headroom("check", "C-1", "600.00", "EUR", "--order", "O-8")
    assert second.returncode == 0, second.stderr
    assert second.stdout.startswith("O-8: held\n  because  credit_limit_exceeded\n")
    assert "headroom explain O-8" in second.stdout

    decided = desk.tail("credit.order-decisions.v1", "--where", "order_id=O-8", "--places")
    assert [one["decision"] for one in decided] == ["held"]
    assert [one["order_id"] for one in decided] == ["O-8"]
    assert decided[0]["topic"] == "credit.order-decisions.v1"
    assert {"partition", "offset", "recorded_at"} <= decided[0].keys()
    by_reason = desk.tail(
        "all", "--type", "OrderDecision", "--where", "reasons=credit_limit_exceeded",
        "--where", "customer_id=C-1",
    )  # fmt: skip
    assert [one["order_id"] for one in by_reason] == ["O-8"]
    customers = desk.tail("credit.customers.v1", "credit.invoices.v1", "--where", "customer_id=C-1")
    assert sorted(one["type"] for one in customers) == ["CustomerUpserted", "InvoiceIssued"]

    refused_amount = desk.headroom("check", "--", "C-1", "-1.00", "EUR")
    assert refused_amount.returncode == 2
    assert "amount: " in refused_amount.stderr

    desk.worker.kill()
    unanswered = desk.headroom("check", "C-1", "1.00", "EUR", "--order", "O-9", "--seconds", "1")
    assert (unanswered.returncode, unanswered.stdout) == (1, "")
    assert "no decision on order O-9 within 1 s; it may still follow" in unanswered.stderr
