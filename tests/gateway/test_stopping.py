"""A gateway ends when it is told to, also while it waits for brokers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from streams.embedded.ports import LOOPBACK, free_ports

pytestmark = pytest.mark.slow


def test_who_waits_for_brokers_ends_at_once(tmp_path: Path) -> None:
    kafka, own = free_ports(2, [])
    said = {
        "HEADROOM_KAFKA_BOOTSTRAP": f"{LOOPBACK}:{kafka}",
        "HEADROOM_GATEWAY_PORT": str(own),
        "HEADROOM_STATE_DIR": str(tmp_path),
    }
    environment = {name: v for name, v in os.environ.items() if not name.startswith("HEADROOM_")}
    with subprocess.Popen(
        [sys.executable, "-m", "agents.cli.main", "gateway"],
        env=environment | said,
        stderr=subprocess.PIPE,
        text=True,
    ) as gateway:
        assert gateway.stderr is not None
        assert "no Kafka broker answers" in gateway.stderr.readline()
        gateway.send_signal(signal.SIGTERM)
        try:
            gateway.wait(10)
        finally:
            gateway.kill()
