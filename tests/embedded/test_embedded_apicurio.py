"""The embedded registry speaks Confluent's interface and keeps the ids it gave out."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from streams.embedded.apicurio import EmbeddedApicurio

pytestmark = [pytest.mark.connected, pytest.mark.slow]


def register(url: str, subject: str, schema: str) -> int:
    request = Request(  # noqa: S310  the fixture's own address
        f"{url}/subjects/{subject}/versions",
        data=json.dumps({"schema": schema}).encode(),
        headers={"Content-Type": "application/vnd.schemaregistry.v1+json"},
    )
    with urlopen(request, timeout=20) as answer:  # noqa: S310
        return int(json.load(answer)["id"])


def schema_of(url: str, number: int) -> str:
    with urlopen(f"{url}/schemas/ids/{number}", timeout=20) as answer:  # noqa: S310
        return str(json.load(answer)["schema"])


def test_ids_outlive_a_restart(tmp_path: Path, cache_dir: Path) -> None:
    with EmbeddedApicurio(tmp_path, cache=cache_dir) as registry:
        assert registry.url.startswith("http://127.0.0.1:")
        text = register(registry.url, "first-value", '"string"')
        number = register(registry.url, "second-value", '"long"')
    with EmbeddedApicurio(tmp_path, cache=cache_dir) as registry:
        assert json.loads(schema_of(registry.url, text)) in ("string", {"type": "string"})
        assert register(registry.url, "second-value", '"long"') == number
