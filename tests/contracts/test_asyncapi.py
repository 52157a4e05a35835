"""The AsyncAPI document says what the catalogue says, and AsyncAPI's own parser takes it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from agents.cli.schemas import asyncapi_text
from schemas.catalogue import EVENTS, TOPICS, types_in
from schemas.events import BY_NAME
from streams.cloud_events import headers_of
from streams.codec import Codec
from streams.dead_letters import SETTLED, dead_letter
from streams.record import Record
from streams.registry import LockedSchemaIds

_ROOT = Path(__file__).parents[2]
_FILE = _ROOT / "schemas" / "asyncapi.json"
_PROJECT = _ROOT / "docs" / "asyncapi"

Lay = Callable[[Path, Path], Path]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    content = json.loads(_FILE.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def test_the_file_is_the_one_that_the_sources_make() -> None:
    """`headroom schemas docs` brings it up to date."""
    assert _FILE.read_text(encoding="utf-8") == asyncapi_text()


def test_every_topic_that_others_may_see_is_a_channel_with_its_settings(
    document: dict[str, Any],
) -> None:
    shown = {name: topic for name, topic in TOPICS.items() if topic.direction != "internal"}
    assert document["channels"].keys() == shown.keys()
    for name, topic in shown.items():
        channel = document["channels"][name]
        configuration = channel["bindings"]["kafka"]["topicConfiguration"]
        assert configuration["cleanup.policy"] == [topic.cleanup]
        assert configuration["retention.ms"] == topic.retention_ms
        assert configuration.get("max.message.bytes") == topic.max_message_bytes
        if topic.direction != "dead-letters":
            assert list(channel["messages"]) == list(types_in(name))
        action = {"in": {"receive"}, "journal": {"send", "receive"}}.get(topic.direction, {"send"})
        found = {
            one["action"]
            for one in document["operations"].values()
            if one["channel"]["$ref"] == f"#/channels/{name}"
        }
        assert found == action


def test_headers_are_those_that_are_sent(document: dict[str, Any]) -> None:
    codec = Codec(LockedSchemaIds())
    messages = document["components"]["messages"]
    for name in BY_NAME:
        golden = json.loads((_ROOT / "schemas" / "golden" / f"{name}.json").read_bytes())
        event = codec.decode(bytes.fromhex(golden["examples"][-1]["value_hex"]))
        properties = messages[name]["headers"]["properties"]
        sent = dict(headers_of("credit")(event))
        assert sent.keys() == properties.keys()
        for header, said in properties.items():
            assert said.get("const", sent[header].decode()) == sent[header].decode()
        assert ("key" in messages[name]["bindings"]["kafka"]) == bool(EVENTS[name].key)


def test_a_dead_letters_headers_are_those_that_are_sent(document: dict[str, Any]) -> None:
    record = Record("credit.orders.v1", 0, 1, 2, None, b"", [])
    letter = dead_letter(record, reason="undecodable", fault_class="message", detail="no event")
    sent = {name for name, _ in letter.headers}
    said = document["components"]["messages"]["DeadLetter"]["headers"]["properties"]
    assert said.keys() == sent | {SETTLED}


@pytest.mark.slow
def test_the_official_parser_takes_it_and_a_browser_shows_it(
    document: dict[str, Any], with_packages: Lay, node: Path, chromium: Path, tmp_path: Path
) -> None:
    project = with_packages(_PROJECT, tmp_path / "asyncapi")
    taken = _node(node, project, "check.mjs", _FILE)
    assert taken.returncode == 0, taken.stderr
    assert "error: " not in taken.stderr
    counts = [len(document[part]) for part in ("channels", "operations")]
    messages = len(document["components"]["messages"])
    assert taken.stdout == (f"{counts[0]} channels, {messages} messages, {counts[1]} operations\n")

    document = json.loads(_FILE.read_bytes())
    document["channels"]["credit.orders.v1"]["bindings"]["kafka"]["partitions"] = "four"
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps(document))
    refused = _node(node, project, "check.mjs", broken)
    assert refused.returncode == 1
    assert "error: channels.credit.orders.v1.bindings.kafka.partitions" in refused.stderr

    page = tmp_path / "topics.html"
    assert _node(node, project, "page.mjs", _FILE, page).returncode == 0
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        shown = browser.new_page()
        shown.goto(page.as_uri())
        shown.wait_for_function("document.body.innerText.includes('What became of each order.')")
        text = shown.inner_text("body")
        browser.close()
    assert [name for name in EVENTS if name not in text] == []


def _node(node: Path, project: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [node, *arguments], cwd=project, capture_output=True, text=True, timeout=60, check=False
    )
