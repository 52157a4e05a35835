"""What the doctor says of a cluster, in an engine of its own."""

from __future__ import annotations

from typing import Any

from clickhouse_connect.driver.client import Client

from agents.doctor.clickhouse import server_findings


def findings(client: Client) -> Any:
    """All that is said with a cluster that is known, and with one that is not."""
    return {
        cluster: [[one.check, one.verdict, one.text] for one in server_findings(client, cluster)]
        for cluster in ("two", "three")
    }
